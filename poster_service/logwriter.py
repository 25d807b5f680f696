"""Writes log lines so that logging never waits for a reader of the log.

A pipe that is not read, a stopped terminal (Ctrl-S) or a full disk must not block the service, its
watchdog or its shutdown. So lines go through a queue to one thread, which writes them. When the
queue is full, lines are dropped, counted, and reported once there is room again. O_NONBLOCK would
not do: it is a property of the open file, which other processes share.
"""

import contextlib
import io
import os
import queue
import select
import threading
import time
from collections.abc import Callable

#: Bytes that are written to a pipe atomically (pipe(7)); no line is longer.
PIPE_BUF = select.PIPE_BUF
#: Lines that may wait to be written.
MOST_LINES = 2000
#: How long `put` waits for a writer that is behind but writing, in seconds; then lines are dropped
#: until half of the queue is free.
PATIENCE_SECONDS = 0.05
#: Seconds without progress after which a writer counts as stuck.
STUCK_SECONDS = 0.25
#: How long the exit of the process waits for lines to be written, in seconds.
FLUSH_SECONDS = 2.0


class LogWriter:
    """Lines for one descriptor.

    Args:
        descriptor: Written to, never changed and never closed.
        report: Makes the line that reports how many lines were dropped.

    Attributes:
        dropped: Lines dropped since the start.
        descriptor: As given.
    """

    def __init__(self, descriptor: int, report: Callable[[int], bytes]) -> None:
        self.dropped = 0
        self.descriptor = descriptor
        self._report = report
        self._reported = 0
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._pending = 0
        self._progress = time.monotonic()
        self._is_behind = False
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def put(self, line: bytes) -> None:
        """Queue a line, which includes its line feed; never waits for a reader, never raises."""
        if len(line) > PIPE_BUF:
            line = line[: PIPE_BUF - 1].rstrip(b"\n") + b"\n"
        if not self._has_room():
            with self._lock:
                self.dropped += 1
            return
        with self._lock:
            self._pending += 1
        self._lines.put(line)
        if self._thread is None:
            self._start()

    def flush(self, seconds: float = FLUSH_SECONDS) -> bool:
        """Wait until all lines are written; False after `seconds`, or when the writer is stuck."""
        deadline = time.monotonic() + seconds
        begin = time.monotonic()
        while self._pending:
            now = time.monotonic()
            if now > deadline or now - max(begin, self._progress) > STUCK_SECONDS:
                return False
            time.sleep(0.001)
        return True

    def _has_room(self) -> bool:
        most = MOST_LINES // 2 if self._is_behind else MOST_LINES
        self._is_behind = self._pending >= most
        if not self._is_behind:
            return True
        if most < MOST_LINES or time.monotonic() - self._progress > STUCK_SECONDS:
            return False
        give_up = time.monotonic() + PATIENCE_SECONDS
        while self._pending >= most and time.monotonic() < give_up:
            time.sleep(0.001)
        self._is_behind = self._pending >= most
        return not self._is_behind

    def _start(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="log", daemon=True)
                with contextlib.suppress(RuntimeError):  # no thread available; the lines wait
                    self._progress = time.monotonic()
                    self._thread.start()
                    return
                self._thread = None

    def _run(self) -> None:
        while True:
            lines = [self._lines.get()]
            size = len(lines[0])
            # As many as fit PIPE_BUF: a thread of a busy process runs seldom.
            held: bytes | None = None
            while not self._lines.empty():
                following = self._lines.get()
                if size + len(following) > PIPE_BUF:
                    held = following
                    break
                lines.append(following)
                size += len(following)
            self._write(lines)
            if held is not None:
                self._write([held])

    def _write(self, lines: list[bytes]) -> None:
        self._report_dropped()
        written = self._put_out(b"".join(lines))
        with self._lock:
            self._pending -= len(lines)
            self.dropped += 0 if written else len(lines)
            self._progress = time.monotonic()

    def _report_dropped(self) -> None:
        missing = self.dropped - self._reported
        if missing and self._put_out(self._report(missing)):
            self._reported += missing

    def _put_out(self, text: bytes) -> bool:
        """Write all of it; False if that is impossible: the pipe is closed, the disk is full."""
        while text:
            try:
                text = text[os.write(self.descriptor, text) :]
                self._progress = time.monotonic()
            except BlockingIOError:  # another process made it non-blocking
                select.select([], [self.descriptor], [])
            except OSError:
                return False
        return True


class Lines(io.TextIOBase):
    """A text stream in place of stdout or stderr, whose lines go to a writer.

    So warnings, tracebacks and other prints do not wait for a reader either.
    """

    def __init__(self, writer: LogWriter, descriptor: int) -> None:
        self.writer = writer
        self._descriptor = descriptor
        self._begun = ""

    @property
    def encoding(self) -> str:  # type: ignore[override]  # read only is enough
        """Always UTF-8."""
        return "utf-8"

    def write(self, text: str) -> int:
        """Take text; its complete lines are queued."""
        *lines, self._begun = (self._begun + text).split("\n")
        for line in lines:
            self.writer.put(line.encode(errors="backslashreplace") + b"\n")
        self._begun = self._begun[:PIPE_BUF]  # the rest would be cut anyhow
        return len(text)

    def flush(self) -> None:
        """Queue an incomplete line as a line."""
        begun, self._begun = self._begun, ""
        if begun:
            self.writer.put(begun.encode(errors="backslashreplace") + b"\n")

    def writable(self) -> bool:
        """Yes."""
        return True

    def isatty(self) -> bool:
        """Whether the descriptor is a terminal."""
        return os.isatty(self._descriptor)

    def fileno(self) -> int:
        """The descriptor."""
        return self._descriptor
