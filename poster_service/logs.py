"""Logging set up once: human-readable on a terminal, one JSON object a line elsewhere.

Never logs HTML, template data or a token; callers pass sizes and names only. Logging never waits
for a reader of the log (see `logwriter.py`), and no line is longer than a pipe takes at once.
"""

import atexit
import contextvars
import itertools
import json
import logging
import sys
import time
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, TextIO

from poster_service.logwriter import PIPE_BUF, Lines, LogWriter
from poster_service.quoting import QUOTED, escaped, plain_json, quoted, shortened

#: Most characters of one message and of one field, escapes included; most entries of a field that
#: is a list or a mapping, and its deepest nesting. A whole line has at most PIPE_BUF bytes.
MOST_MESSAGE, MOST_FIELD, MOST_ENTRIES, MOST_DEPTH = 2_000, 1_000, 50, 4
#: Most characters of a stack trace; the end is kept, where the error is.
MOST_TRACE = 8_000

#: The request that the running task works for, or "" outside of any.
request_id: contextvars.ContextVar[str] = contextvars.ContextVar("request_id", default="")

#: The trace and the span that the running task works for, as fields of its JSON lines; {} without.
trace: contextvars.ContextVar[Mapping[str, str]] = contextvars.ContextVar(
    "trace", default=MappingProxyType({})
)


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
        line |= trace.get()
        fields = getattr(record, "fields", {})
        line |= _bounded(fields)
        if "stack" in fields:  # the end names the place
            line["stack"] = str(fields["stack"])[-MOST_TRACE:]
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)[-MOST_TRACE:]
        return _fitted(line)


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields = getattr(record, "fields", {})
        shown = " ".join(f"{name}={_shown(value)}" for name, value in fields.items())
        request = request_id.get()
        message = quoted(record.getMessage(), MOST_MESSAGE)
        text = f"{self.formatTime(record, '%H:%M:%S')} {record.levelname:7} {message}"
        text = " ".join(part for part in (text, shown, request and f"[{request}]") if part)
        text = quoted(text, PIPE_BUF)
        if record.exc_info:  # indented, so that no line of an error's text looks like a record
            trace = self.formatException(record.exc_info)[-MOST_TRACE:]
            text += "".join(f"\n    {escaped(line)}" for line in trace.split("\n"))
        return text


def _shown(value: object) -> str:
    """A field of a text line."""
    return quoted(str(_bounded(value)), MOST_FIELD)


def _bounded(value: Any, depth: int = 0) -> Any:
    """A field with its texts shortened and its entries limited."""
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
    """The first MOST_ENTRIES entries."""
    return list(itertools.islice(entries, MOST_ENTRIES))


def _as_json(line: dict[str, Any]) -> str:
    return plain_json(json.dumps(line, ensure_ascii=False, default=str))


def _size(text: str) -> int:
    return len(text.encode(errors="backslashreplace"))


def _fitted(line: dict[str, Any]) -> str:
    """One object as JSON, its longest values shortened until the line fits PIPE_BUF."""
    text = _as_json(line)
    over = _size(text) - (PIPE_BUF - 1)
    cut = {name: value if isinstance(value, str) else str(value) for name, value in line.items()}
    while over > 0:
        name = max(cut, key=lambda one: _size(_as_json({"": cut[one]})))
        line[name] = cut[name] = _shortened(cut[name], over, tail=name in ("exception", "stack"))
        text = _as_json(line)
        over = _size(text) - (PIPE_BUF - 1)
    return text


def _shortened(text: str, over: int, *, tail: bool) -> str:
    """A text shortened at its end, or with `tail` at its beginning.

    Never to less than half at once, since an escaped character may take six bytes.
    """
    left = max(len(text) // 2, len(text) - over - 1)
    return "…" + text[len(text) - left :] if tail else text[:left] + "…"


class _Handler(logging.Handler):
    """Hands records to a writer."""

    def __init__(self, writer: LogWriter) -> None:
        super().__init__()
        self.writer = writer

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = self.format(record)
        except Exception as error:  # logging must not fail
            text = f"a log record of {record.name} cannot be formatted: {type(error).__name__}"
        line = text.encode(errors="backslashreplace")
        if len(line) >= PIPE_BUF:  # text: the start has the message, the end the cause
            half = PIPE_BUF // 2 - 16
            parts = (line[:half].decode(errors="ignore"), line[-half:].decode(errors="ignore"))
            line = " ... ".join(parts).encode()
        self.writer.put(line + b"\n")


def set_up(level: str, form: str, stream: str = "stderr") -> None:
    """Send all logs to "stderr" or "stdout" in a form ("auto", "text" or "json")."""
    where: TextIO = getattr(sys, stream)
    if form == "auto":
        form = "text" if where.isatty() else "json"
    formatter = _Json() if form == "json" else _Text()

    def report(lines: int) -> bytes:
        words = "log lines were dropped: the reader of the log was too slow, or there was none"
        record = logging.LogRecord(__name__, logging.WARNING, "", 0, f"{lines} {words}", None, None)
        return formatter.format(record).encode() + b"\n"

    handler = _Handler(LogWriter(where.fileno(), report))
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    logging.captureWarnings(True)
    # pyppeteer logs every message at debug, pictures included; never wanted.
    logging.getLogger("pyppeteer").setLevel(logging.WARNING)
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)


def _writers() -> list[LogWriter]:
    found = [one.writer for one in logging.getLogger().handlers if isinstance(one, _Handler)]
    found += [one.writer for one in (sys.stdout, sys.stderr) if isinstance(one, Lines)]
    return list(dict.fromkeys(found))


def take_streams() -> None:
    """Make printing to stdout and stderr not wait for a reader either."""
    writers = {one.descriptor: one for one in _writers()}
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        getattr(sys, name).flush()
        writer = writers.get(descriptor) or LogWriter(descriptor, lambda _: b"")
        setattr(sys, name, Lines(writer, descriptor))


@atexit.register
def flush() -> None:
    """Wait for a bounded time until everything logged is written; not for a reader that is gone.

    Call it before the process exits or is replaced in a way that Python does not notice.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, Lines):
            stream.flush()
    for writer in _writers():
        writer.flush()


def dropped() -> int:
    """Log lines dropped since the start."""
    return sum(writer.dropped for writer in _writers())


def event(logger: logging.Logger, level: int, message: str, **fields: object) -> None:
    """Log one event with its fields: separate members in JSON, appended in text."""
    logger.log(level, message, extra={"fields": fields})
