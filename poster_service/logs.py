"""Logging set up once: human-readable on a terminal, one JSON object a line elsewhere.

Never logs HTML, template data or a token; callers hand over sizes and names only.
"""

import contextvars
import json
import logging
import sys
import time
from typing import Any, TextIO

#: The request that the running task works for, or "" outside of any.
request_id: contextvars.ContextVar[str] = contextvars.ContextVar("request_id", default="")


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
            + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if request := request_id.get():
            line["request_id"] = request
        line |= getattr(record, "fields", {})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields = getattr(record, "fields", {})
        told = " ".join(f"{name}={value}" for name, value in fields.items())
        request = request_id.get()
        text = f"{self.formatTime(record, '%H:%M:%S')} {record.levelname:7} {record.getMessage()}"
        text = " ".join(part for part in (text, told, request and f"[{request}]") if part)
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        return text


def set_up(level: str, form: str, stream: str = "stderr") -> None:
    """Send all logs to "stderr" or "stdout" in a form ("auto", "text" or "json")."""
    where: TextIO = getattr(sys, stream)
    if form == "auto":
        form = "text" if where.isatty() else "json"
    handler = logging.StreamHandler(where)
    handler.setFormatter(_Json() if form == "json" else _Text())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # pyppeteer logs every message at debug, pictures included; never wanted.
    logging.getLogger("pyppeteer").setLevel(logging.WARNING)
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)


def event(logger: logging.Logger, level: int, message: str, **fields: object) -> None:
    """Log one event with its fields, which JSON keeps apart and text appends."""
    logger.log(level, message, extra={"fields": fields})
