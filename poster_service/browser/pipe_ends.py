"""Our two ends of the pipe to one Chrome: bytes are read here and cut into messages, or written.

Without asyncio's transports, which allocate 256 KiB for each read, however little there is, and
copy a picture three times on its way. Here it is read to where it stays until it is decoded.
"""

import asyncio
import os
from collections.abc import Callable
from typing import Protocol

#: How Chrome's answer to a call begins; an event, which it sends unasked, begins with `{"method"`.
ANSWER = b'{"id":'
#: Capacity of the pipe of Chrome's replies, in bytes, so that a picture comes in few pieces. All
#: pipes of a user without privilege share 64 MiB (pipe(7)).
PIPE_BYTES = 1 << 18
#: From this size on the pieces of an answer are not joined, and written messages are not copied,
#: in bytes: the time for that grows with the size.
HUGE_BYTES = 1 << 20
#: Buffers that are read to; one is with a `ReadEnd` while it reads, or while a picture comes.
MOST_BUFFERS = 2
_buffers: list[bytearray] = []


class Receiver(Protocol):
    """What gets the messages.

    Attributes:
        expects_much: Whether a picture is awaited.
    """

    expects_much: bool

    def charge(self, size: int, *, whole: bool, is_answer: bool) -> bool:
        """Count what came; False when it is too much, and nothing more is to be accepted."""

    def metered(self, size: int) -> "asyncio.Future[None] | None":
        """Count what came of a picture; a future that is to be awaited before more is read."""

    def receive(self, raw: bytes | memoryview) -> None:
        """Handle a message. A memoryview is of a picture, and is valid during the call only."""

    def receive_pieces(self, pieces: list[bytes]) -> None:
        """Handle a message that came in pieces."""


class ReadEnd:
    """Reads Chrome's replies; each message ends with a zero byte."""

    def __init__(self, descriptor: int, receiver: Receiver, lost: Callable[[], None]) -> None:
        """Read from a descriptor, which is closed with this end; `lost` is called at its end."""
        self._descriptor, self._receiver, self._lost = descriptor, receiver, lost
        self._loop = asyncio.get_running_loop()
        #: Parts of the message that has not come whole.
        self.parts: list[bytes] = []
        #: Where it is read to, and how much of a picture is there.
        self._buffer: bytearray | None = None
        self._filled = 0
        self._is_closed = False
        os.set_blocking(descriptor, False)
        self._loop.add_reader(descriptor, self._readable)

    def close(self) -> None:
        """Read nothing more; may be called more than once."""
        if not self._is_closed:
            self._is_closed = True
            self._loop.remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._drop_buffer()

    def _readable(self) -> None:
        if self._buffer is None:
            self._buffer = _buffers.pop() if _buffers else bytearray(HUGE_BYTES + PIPE_BYTES)
        try:
            size = os.readv(self._descriptor, [memoryview(self._buffer)[self._filled :]])
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            size = 0
        if not size:
            self._lost()
        elif self._filled or (self._receiver.expects_much and not self.parts):
            self._came(size)
        else:
            self._filled = size
            self._take_rest(0)

    def take(self, data: bytes) -> None:
        """Take what came next, and hand over each message that is whole now."""
        *whole, rest = data.split(b"\0") if b"\0" in data else (data,)  # most pieces have no end
        for part in whole:
            if self.parts:
                if not self._store(part, whole=True):
                    return
                pieces, self.parts = self.parts, []
                self._receiver.receive_pieces(pieces)
            elif self._count(len(part), whole=True, is_answer=part.startswith(ANSWER)):
                self._receiver.receive(part)
            else:
                return
        if rest:
            self._store(rest, whole=False)

    def _store(self, part: bytes, *, whole: bool) -> bool:
        """Store a part of a message; False, and nothing stored, if that is more than allowed."""
        begin = b"".join(one[: len(ANSWER)] for one in (*self.parts[: len(ANSWER)], part))
        is_answer = begin.startswith(ANSWER)
        if not self._count(len(part), whole=whole, is_answer=is_answer):
            self.parts.clear()
            return False
        self.parts.append(part)
        return True

    def _count(self, size: int, *, whole: bool, is_answer: bool) -> bool:
        """Count what came; False when it is too much."""
        if not self._receiver.charge(size, whole=whole, is_answer=is_answer):
            return False
        if is_answer and self._receiver.expects_much:
            room = self._receiver.metered(size)
            if room is not None and not whole:
                self._pause_until(room)
        return True

    def _came(self, size: int) -> None:
        """So many bytes have come where a picture is awaited."""
        assert self._buffer is not None
        begin, self._filled = self._filled, self._filled + size
        end = self._buffer.find(0, begin, self._filled)
        if not begin and not self._buffer.startswith(ANSWER, 0, self._filled):
            self._take_rest(0)  # something else
            return
        whole = end >= 0
        size = (end if whole else self._filled) - begin
        if not self._count(size, whole=whole, is_answer=True):
            self._drop_buffer()
        elif whole:
            self._receiver.receive(memoryview(self._buffer)[:end])
            self._take_rest(end + 1)
        elif self._filled > HUGE_BYTES:  # it goes on in pieces
            view = memoryview(self._buffer)[: self._filled]
            steps = range(0, self._filled, PIPE_BYTES)
            self.parts = [bytes(view[at : at + PIPE_BYTES]) for at in steps]
            self._drop_buffer()

    def _take_rest(self, begin: int) -> None:
        """Take the bytes from there on as messages of any kind, and let go of the buffer."""
        if self._buffer is not None:
            rest = bytes(memoryview(self._buffer)[begin : self._filled])
            self._drop_buffer()
            if rest:
                self.take(rest)

    def _drop_buffer(self) -> None:
        buffer, self._buffer, self._filled = self._buffer, None, 0
        if buffer is not None and len(_buffers) < MOST_BUFFERS:
            _buffers.append(buffer)

    def _pause_until(self, room: "asyncio.Future[None]") -> None:
        """Read nothing more until there is room for it; meanwhile the data stays in Chrome."""
        self._loop.remove_reader(self._descriptor)
        room.add_done_callback(self._resume)

    def _resume(self, _: object) -> None:
        if not self._is_closed:
            self._loop.add_reader(self._descriptor, self._readable)


class WriteEnd:
    """Writes commands to Chrome: all of one turn of the loop at once, so that it wakes up once."""

    def __init__(self, descriptor: int, lost: Callable[[], None]) -> None:
        """Write to a descriptor, which is closed with this end; `lost` is called if that fails."""
        self._descriptor, self._lost = descriptor, lost
        self._loop = asyncio.get_running_loop()
        #: Messages of this turn, and what Chrome has not read of those of earlier ones.
        self._unsent: list[bytes] = []
        self._unread: list[memoryview] = []
        self._is_closed = False
        os.set_blocking(descriptor, False)

    def write(self, message: bytes) -> None:
        """Send a message."""
        if not self._unsent:
            self._loop.call_soon(self._flush)
        self._unsent.append(message)

    def close(self) -> None:
        """Drop what Chrome has not read; may be called more than once."""
        if not self._is_closed:
            self._is_closed = True
            if self._unread:
                self._loop.remove_writer(self._descriptor)
            os.close(self._descriptor)

    def _flush(self) -> None:
        unsent, self._unsent = self._unsent, []
        if self._is_closed:
            return
        is_idle = not self._unread
        if sum(map(len, unsent)) < HUGE_BYTES:
            self._unread.append(memoryview(b"\0".join((*unsent, b""))))
        else:  # megabytes are not copied once more
            self._unread += [memoryview(part) for one in unsent for part in (one, b"\0")]
        if is_idle:
            self._write_on()
            if self._unread and not self._is_closed:
                self._loop.add_writer(self._descriptor, self._go_on)

    def _go_on(self) -> None:
        self._write_on()
        if not self._unread and not self._is_closed:
            self._loop.remove_writer(self._descriptor)

    def _write_on(self) -> None:
        """Write as much as Chrome has room for."""
        while self._unread:
            try:
                size = os.write(self._descriptor, self._unread[0])
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                self._lost()
                return
            rest = self._unread.pop(0)[size:]
            if rest:
                self._unread.insert(0, rest)
