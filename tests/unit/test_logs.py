"""What is logged: JSON a line for machines, readable text on a terminal."""

import json
import logging
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from poster_service import logs
from poster_service.logwriter import PIPE_BUF

logger = logging.getLogger("poster_service.test")


class Stderr:
    """Stands for stderr, over a file; a terminal or not."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.terminal = False
        self.file = path.open("wb")

    def isatty(self) -> bool:
        """What `auto` goes by."""
        return self.terminal

    def fileno(self) -> int:
        """Where lines are written."""
        return self.file.fileno()

    def getvalue(self) -> str:
        """What was logged."""
        logs.flush()
        return self.path.read_text("utf-8")


@pytest.fixture
def set_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[..., Stderr]]:
    """Set logging up on a stderr of the test's; the loggers are put back afterwards."""
    names = ["", "pyppeteer", "aiohttp.access"]
    root = logging.getLogger()
    handlers, levels = root.handlers[:], [logging.getLogger(name).level for name in names]
    written = Stderr(tmp_path / "stderr")

    def on_own_stderr(level: str, form: str, *, terminal: bool = False) -> Stderr:
        written.terminal = terminal
        monkeypatch.setattr(sys, "stderr", written)
        logs.set_up(level, form)
        return written

    yield on_own_stderr
    logs.flush()
    written.file.close()
    logging.captureWarnings(capture=False)
    root.handlers[:] = handlers
    for name, level in zip(names, levels, strict=True):
        logging.getLogger(name).setLevel(level)


@pytest.fixture
def request_id() -> Iterator[str]:
    """The tests run for a request."""
    token = logs.request_id.set("abc")
    yield "abc"
    logs.request_id.reset(token)


SetUp = Callable[..., Stderr]


def only_line(written: Stderr) -> dict[str, Any]:
    """The one JSON line there is."""
    (line,) = written.getvalue().splitlines()
    reported: dict[str, Any] = json.loads(line)
    return reported


def test_json_is_one_object_a_line(set_up: SetUp) -> None:
    """With time, level, logger, message and the event's fields as they are."""
    stderr = set_up("info", "json")
    logs.event(logger, logging.WARNING, "went\nwrong", bytes=5, name="海报")
    reported = only_line(stderr)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", reported.pop("time"))
    assert reported == {
        "level": "warning", "logger": "poster_service.test", "message": "went\nwrong",
        "bytes": 5, "name": "海报",
    }  # fmt: skip


def test_json_carries_the_request(set_up: SetUp, request_id: str) -> None:
    """Where there is one."""
    stderr = set_up("info", "json")
    logger.info("x")
    assert only_line(stderr)["request_id"] == request_id


def test_json_keeps_an_exception_in_its_line(set_up: SetUp) -> None:
    """The traceback is a field, not lines that a collector tears apart."""
    stderr = set_up("info", "json")
    try:
        raise RuntimeError("inside")
    except RuntimeError:
        logger.exception("failed")
    reported = only_line(stderr)
    assert reported["message"] == "failed"
    assert "RuntimeError: inside" in reported["exception"]


def test_json_takes_fields_it_does_not_know(set_up: SetUp) -> None:
    """A log line is no place to fail."""
    stderr = set_up("info", "json")
    logs.event(logger, logging.INFO, "x", kind=RuntimeError, path=logs, half="\ud800")
    assert only_line(stderr)["message"] == "x"


def test_text_is_read_by_people(set_up: SetUp, request_id: str) -> None:
    """Time, level, message, fields, request; the traceback below."""
    stderr = set_up("info", "text")
    logs.event(logger, logging.WARNING, "went wrong", bytes=5, name="海报")
    text = stderr.getvalue()
    assert re.fullmatch(r"\d\d:\d\d:\d\d WARNING went wrong bytes=5 name=海报 \[abc\]\n", text)


def test_text_without_fields_and_request_has_nothing_for_them(set_up: SetUp) -> None:
    """No brackets, no spaces at the end."""
    stderr = set_up("info", "text")
    logger.info("up")
    assert re.fullmatch(r"\d\d:\d\d:\d\d INFO    up\n", stderr.getvalue())


def test_text_shows_an_exception(set_up: SetUp) -> None:
    """Below the line."""
    stderr = set_up("info", "text")
    try:
        raise RuntimeError("inside")
    except RuntimeError:
        logger.exception("failed")
    assert stderr.getvalue().endswith("RuntimeError: inside\n")


@pytest.mark.parametrize(("terminal", "form"), [(True, "text"), (False, "json")])
def test_auto_is_text_on_a_terminal_and_json_elsewhere(
    set_up: SetUp, terminal: bool, form: str
) -> None:
    """For every kind of stderr when logging is set up."""
    stderr = set_up("info", "auto", terminal=terminal)
    logger.info("up")
    assert stderr.getvalue().startswith("{") == (form == "json")


def test_below_the_level_nothing_is_logged(set_up: SetUp) -> None:
    """And never pyppeteer's messages, which hold whole pictures."""
    set_up("warning", "json")
    logger.info("x")
    stderr = set_up("debug", "json")
    logging.getLogger("pyppeteer.connection").debug("a picture")
    logging.getLogger("aiohttp.access").info("GET /")
    assert stderr.getvalue() == ""


def test_setting_up_twice_logs_once(set_up: SetUp) -> None:
    """One handler, the newest."""
    set_up("info", "json")
    stderr = set_up("info", "json")
    logger.info("x")
    assert only_line(stderr)["message"] == "x"


NASTY = "a\n12:00:00 INFO    forged\r\x1b[2J\u2028b\u202ec"


@pytest.mark.parametrize("form", ["text", "json"])
def test_no_text_forges_a_line(set_up: SetUp, form: str) -> None:
    """In the message, in a field or in the words of an error; nothing moves a terminal either."""
    stderr = set_up("info", form)
    try:
        raise ValueError(NASTY)
    except ValueError:
        logger.exception("failed: %s", NASTY)
    logs.event(logger, logging.INFO, f"refused: {NASTY}", field=NASTY, more=[NASTY, {NASTY: 1}])
    written = stderr.getvalue()
    assert not any(mark in written for mark in "\r\x1b\u2028\u202e")
    lines = [line for line in written.split("\n") if line and not line.startswith("    ")]
    assert len(lines) == 2
    if form == "json":
        assert json.loads(lines[1])["field"] == NASTY


@pytest.mark.parametrize("form", ["text", "json"])
def test_no_line_is_long(set_up: SetUp, form: str) -> None:
    """Fifteen megabytes are some kilobytes of the log, and JSON stays JSON."""
    stderr = set_up("info", form)
    huge = "\n" * 15_000_000
    logs.event(logger, logging.INFO, huge, **{f"field{n}": huge for n in range(100)})
    logs.event(logger, logging.INFO, "x", many=list(range(100_000)), deep=[[[[[[[1]]]]]]])
    for line in stderr.getvalue().splitlines():
        assert len(line) < 40_000
        if form == "json":
            json.loads(line)


@pytest.mark.parametrize("form", ["json", "text"])
def test_a_line_is_never_longer_than_a_pipe_takes_whole(set_up: SetUp, form: str) -> None:
    """JSON stays JSON; of a traceback the end is kept, where the error is named."""
    stderr = set_up("info", form)
    try:
        raise RuntimeError("inside")
    except RuntimeError:
        logs.event(logger, logging.ERROR, "\u6d77" * 9000, name="\x00" * 9000, stack="a\n" * 9000)
        logger.exception("x" * 99_000)
    text = stderr.getvalue()
    if form == "text":
        assert len(text.encode()) <= 2 * PIPE_BUF
        assert text.endswith("RuntimeError: inside\n")
        return
    first, second = text.splitlines()
    assert all(len(line.encode()) < PIPE_BUF for line in (first, second))
    assert json.loads(first)["stack"].endswith("a\na\n")
    assert json.loads(second)["exception"].endswith("RuntimeError: inside")


def test_a_record_that_cannot_be_formatted_is_one_line(set_up: SetUp) -> None:
    """And no traceback on stderr, nor an exception for who logs."""
    stderr = set_up("info", "json")
    logger.info("%d", "no number")
    assert "cannot be formatted" in stderr.getvalue()


def test_a_json_line_names_its_trace(set_up: SetUp, request_id: str) -> None:
    """By the names that OpenTelemetry has for logs; without a trace there are none."""
    written = set_up("info", "json")
    token = logs.trace.set({"trace_id": "a" * 32, "span_id": "b" * 16})
    try:
        logger.info("inside")
    finally:
        logs.trace.reset(token)
    logger.info("outside")
    inside, outside = map(json.loads, written.getvalue().splitlines())
    assert (inside["request_id"], inside["trace_id"]) == (request_id, "a" * 32)
    assert inside["span_id"] == "b" * 16
    assert "trace_id" not in outside
