"""Logging set up once: human-readable on a terminal, one JSON object a line elsewhere.

Never logs HTML, template data or a token; callers hand over sizes and names only.
"""

import contextvars
import itertools
import json
import logging
import sys
import time
from collections.abc import Iterable, Mapping
from typing import Any, TextIO

from poster_service.quoting import QUOTED, escaped, plain_json, quoted, shortened

#: Characters of one line at most, of its message and of one of its fields, escapes included;
#: entries of a field that is a list or a mapping, and how deep it may be nested.
MOST_LINE, MOST_MESSAGE, MOST_FIELD, MOST_ENTRIES, MOST_DEPTH = 16_384, 2_000, 1_000, 50, 4
#: Characters of a stack trace: its end, where the error is.
MOST_TRACE = 8_000

#: The request that the running task works for, or "" outside of any.
request_id: contextvars.ContextVar[str] = contextvars.ContextVar("request_id", default="")


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
            + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": shortened(record.getMessage(), MOST_MESSAGE),
        }
        if request := request_id.get():
            line["request_id"] = request
        fields = _bounded(getattr(record, "fields", {}))
        trace = {"exception": self._trace(record)} if record.exc_info else {}
        text = json.dumps(line | fields | trace, ensure_ascii=False, default=str)
        if len(text) > MOST_LINE:  # many fields, each of which is short
            cut = {"fields_cut": shortened(json.dumps(fields, default=str), MOST_MESSAGE)}
            text = json.dumps(line | cut | trace, ensure_ascii=False)
        return plain_json(text)

    def _trace(self, record: logging.LogRecord) -> str:
        assert record.exc_info
        return self.formatException(record.exc_info)[-MOST_TRACE:]


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields = getattr(record, "fields", {})
        told = " ".join(f"{name}={_shown(value)}" for name, value in fields.items())
        request = request_id.get()
        message = quoted(record.getMessage(), MOST_MESSAGE)
        text = f"{self.formatTime(record, '%H:%M:%S')} {record.levelname:7} {message}"
        text = " ".join(part for part in (text, told, request and f"[{request}]") if part)
        text = quoted(text, MOST_LINE)
        if record.exc_info:  # indented, so that no line of an error's own text passes for a record
            trace = self.formatException(record.exc_info)[-MOST_TRACE:]
            text += "".join(f"\n    {escaped(line)}" for line in trace.split("\n"))
        return text


def _shown(value: object) -> str:
    """A field of a text line."""
    return quoted(str(_bounded(value)), MOST_FIELD)


def _bounded(value: Any, depth: int = 0) -> Any:
    """A field with every text in it cut, and no more entries than are logged."""
    if isinstance(value, str):
        return shortened(value, MOST_FIELD)
    if value is None or isinstance(value, bool | int | float):
        return value
    if depth >= MOST_DEPTH or not isinstance(value, Mapping | list | tuple | set | frozenset):
        return shortened(str(value), MOST_FIELD)
    if isinstance(value, Mapping):
        some = _first(value.items())
        return {shortened(str(name), QUOTED): _bounded(one, depth + 1) for name, one in some}
    return [_bounded(one, depth + 1) for one in _first(value)]


def _first(entries: Iterable[Any]) -> list[Any]:
    """As many entries as are logged."""
    return list(itertools.islice(entries, MOST_ENTRIES))


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
