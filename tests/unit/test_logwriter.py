"""Log lines are whole and in order, and no code that logs waits for their reader."""

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from poster_service import logwriter
from poster_service.logwriter import MOST_LINES, PIPE_BUF, Lines, LogWriter
from tests.conftest import SETTLE_SECONDS


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A writer that is given up only where a test has failed: its thread may get its turn late."""
    monkeypatch.setattr(logwriter, "PATIENCE_SECONDS", SETTLE_SECONDS)
    monkeypatch.setattr(logwriter, "STUCK_SECONDS", SETTLE_SECONDS)
    monkeypatch.setattr(LogWriter.flush, "__defaults__", (SETTLE_SECONDS,))


def report(lines: int) -> bytes:
    """The line about lines that are missing."""
    return b"%d dropped\n" % lines


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """A pipe that only the test reads."""
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


def read_until(end: int, last: bytes) -> bytes:
    """Read until a line has come."""
    text = b""
    while last not in text:
        text += os.read(end, 65536)
    return text


@pytest.mark.usefixtures("patient")
def test_a_reader_gets_every_line_in_order(pipe: tuple[int, int]) -> None:
    """More than the queue holds, written as fast as one can, by two threads."""
    writer = LogWriter(pipe[1], report)
    got: list[bytes] = []
    reader = threading.Thread(
        target=lambda: got.append(b"".join(iter(lambda: os.read(pipe[0], 4096), b"end\n")))
    )
    reader.start()
    for number in range(3 * MOST_LINES):
        writer.put(b"%d\n" % number)
    assert writer.flush(SETTLE_SECONDS)
    writer.put(b"end\n")
    reader.join(SETTLE_SECONDS)
    assert writer.dropped == 0
    assert got[0].splitlines() == [b"%d" % number for number in range(3 * MOST_LINES)]


def test_without_a_reader_lines_are_dropped_counted_and_reported(
    pipe: tuple[int, int], request: pytest.FixtureRequest
) -> None:
    """No code waits for one; once there is room again the log says how many are missing."""
    writer = LogWriter(pipe[1], report)
    line = b"x" * 999 + b"\n"
    begin = time.monotonic()
    for _ in range(2 * MOST_LINES):
        writer.put(line)
    assert not writer.flush()
    assert time.monotonic() - begin < SETTLE_SECONDS  # 100 s if each line were waited for
    request.getfixturevalue("patient")
    dropped = writer.dropped
    assert dropped >= MOST_LINES // 2
    text = read_until(pipe[0], b" dropped\n")
    assert set(text.splitlines()) == {line.strip(), b"%d dropped" % dropped}
    drain = threading.Thread(target=read_until, args=(pipe[0], b"last\n"))
    drain.start()
    assert writer.flush(SETTLE_SECONDS)
    writer.put(b"last\n")
    drain.join(SETTLE_SECONDS)
    assert not drain.is_alive()


@pytest.mark.usefixtures("patient")
def test_a_reader_who_is_gone_or_a_full_disk_is_no_fault(pipe: tuple[int, int]) -> None:
    """EPIPE, ENOSPC: dropped and counted, and the next line is tried again."""
    with Path("/dev/full").open("wb") as full:
        writer = LogWriter(full.fileno(), report)
        writer.put(b"a\n")
        writer.put(b"b\n")
        assert writer.flush()
        assert writer.dropped == 2
    reader, other = os.pipe()
    os.close(reader)
    writer = LogWriter(other, report)
    writer.put(b"a\n")
    assert writer.flush()
    assert writer.dropped == 1
    os.close(other)


@pytest.mark.usefixtures("patient")
def test_one_that_others_made_non_blocking_loses_nothing(pipe: tuple[int, int]) -> None:
    """The flag is the open file's, which all processes with it share."""
    os.set_blocking(pipe[1], False)
    writer = LogWriter(pipe[1], report)
    for _ in range(100):
        writer.put(b"x" * 999 + b"\n")
    writer.put(b"end\n")
    assert len(read_until(pipe[0], b"end\n")) == 100_004
    assert writer.dropped == 0


def test_what_is_printed_becomes_lines(pipe: tuple[int, int]) -> None:
    """A begun line at the flush; one that is too long is cut."""
    writer = LogWriter(pipe[1], report)
    lines = Lines(writer, pipe[1])
    print("a\nb", "\udc80", file=lines)
    print("y" * 2 * PIPE_BUF, file=lines)
    print("begun", end="", file=lines, flush=True)
    text = read_until(pipe[0], b"begun\n").splitlines()
    assert text == [b"a", b"b \\udc80", b"y" * (PIPE_BUF - 1), b"begun"]
    assert not lines.isatty()
