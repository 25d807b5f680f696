"""pyppeteer's connection over Chrome's debugging pipe instead of a web socket.

No port is open that a page or a neighbour could reach, and the end of this process is the end of
the pipe. Sessions are flat (one JSON message each way, tagged with `sessionId`), where pyppeteer
wraps each message twice; that alone halves the CPU of the protocol (284 to 131 ms, docs/facts.md,
for a whole render with what follows from it).

It also mends what makes pyppeteer's own connection unfit for a server: a cancelled call, a crashed
page or an exception in a handler ends only itself, and not the loop that receives for every page.

The only file that imports pyppeteer: others catch its errors by the name `ProtocolError`.
"""

import asyncio
import contextlib
import json
import logging
import os
import re
from collections.abc import Callable, Iterator
from fcntl import F_SETPIPE_SZ, fcntl
from typing import IO, Any

import orjson
from pyee import EventEmitter
from pyppeteer.connection import CDPSession, Connection
from pyppeteer.errors import NetworkError, PyppeteerError

from poster_service.browser.types import MAX_MESSAGE_BYTES

logger = logging.getLogger(__name__)

#: What a call raises that Chrome refused, or that the end of its target or of the pipe cut off.
ProtocolError = PyppeteerError

CLOSED = "Chrome's debugging pipe is closed"
GONE = "the target is gone"

#: How Chrome's answer to a call begins; an event, which it sends unasked, begins with `{"method"`.
ANSWER = b'{"id":'
#: Capacity of the pipe of Chrome's replies, in bytes, so that a picture comes in few pieces: as
#: much as asyncio reads at once. All pipes of a user without privilege share 64 MiB (pipe(7)).
PIPE_BYTES = 1 << 18
#: From this size on an answer is large, in bytes.
LARGE_BYTES = 1 << 16
#: From this size on the pieces of an answer are not joined, in bytes: the time for that grows with
#: the size.
HUGE_BYTES = 1 << 20
#: How an answer with a picture or a PDF begins. That is base64, without a quote or an escape, so it
#: need not be read as JSON, which takes longer than decoding it.
PICTURE = re.compile(
    rb'\{"id":\d+,"result":\{(?:"hasDamage":(?:true|false),)?"(data|screenshotData)":"'
)
#: Messages that Chrome may send unasked before a render has its page.
STARTUP_MESSAGES = 10_000


class PipeConnection(Connection):  # type: ignore[misc]  # pyppeteer ships no types
    """One Chrome's browser-level session, which opens the sessions of its targets."""

    def __init__(self, replies: int, commands: int) -> None:
        """Take over two descriptors: Chrome's replies to read, its commands to write.

        `open` connects them. pyppeteer's own constructor opens a web socket and is deliberately
        not called.
        """
        EventEmitter.__init__(self)
        self._url = "pipe:"
        self._loop = loop = asyncio.get_running_loop()
        with contextlib.suppress(OSError):  # more than this user may have: it stays as it is
            fcntl(replies, F_SETPIPE_SZ, PIPE_BYTES)
        self._descriptors = [(replies, "rb"), (commands, "wb")]
        self._unsent: list[bytes] = []
        self._lastId = 0
        self._callbacks: dict[int, asyncio.Future[Any]] = {}
        self._sessions: dict[str, FlatSession] = {}
        self._closeCallback = None
        self._connected = False
        self._writer: asyncio.WriteTransport | None = None
        self._reader: asyncio.ReadTransport | None = None
        self.closed: asyncio.Future[None] = loop.create_future()
        #: Done when Chrome has sent more, unasked, than allowed.
        self.flooded: asyncio.Future[None] = loop.create_future()
        self._messages_left = STARTUP_MESSAGES
        self._bytes_left = MAX_MESSAGE_BYTES
        #: Whether an answer may be of any size: a picture is awaited.
        self.expects_much = False
        #: Called with the size of each piece of a picture, in bytes; if it returns a future,
        #: nothing more is read until that is done.
        self.meter: Callable[[int], asyncio.Future[None] | None] = lambda _: None

    def allow(self, messages: int, size: int = MAX_MESSAGE_BYTES) -> None:
        """Let Chrome send so much, unasked, from now on: in messages, and in bytes."""
        self._messages_left, self._bytes_left = messages, size

    def allow_more(self, size: int) -> None:
        """Let it send so many bytes beside: an answer is awaited that is large."""
        self._bytes_left += size

    def charge(self, size: int, *, whole: bool, is_answer: bool) -> bool:
        """Count what came; False when it is too much, and nothing more is to be accepted.

        An answer counts too unless a picture is awaited, since a page can decide what the answer to
        a script is.

        Args:
            size: Bytes that came.
            whole: Whether a message ends with them.
            is_answer: Whether they are of an answer to a call.
        """
        if self.flooded.done():
            return False
        if is_answer and (self.expects_much or whole):
            return True
        self._bytes_left -= size
        self._messages_left -= whole
        if self._bytes_left < 0 or self._messages_left < 0:
            self.flooded.set_result(None)
            return False
        return True

    async def open(self) -> None:
        """Begin to read and write.

        Raises:
            OSError: A descriptor cannot be used.
        """
        self._reader, _ = await self._loop.connect_read_pipe(
            lambda: _Receiver(self), self._next_file()
        )
        if not self.closed.done():
            self._writer, _ = await self._loop.connect_write_pipe(
                asyncio.BaseProtocol, self._next_file()
            )
        if self.closed.done():  # Chrome left meanwhile: close what was opened since
            self.lost()
            return
        self._connected = True

    def _next_file(self) -> IO[bytes]:
        """The next descriptor as a file; the transport that gets it closes it."""
        descriptor, mode = self._descriptors.pop(0)
        return os.fdopen(descriptor, mode, 0)

    def _unopened(self) -> Iterator[tuple[int, str]]:
        """The descriptors that no transport has taken over; each is yielded once."""
        while self._descriptors:
            yield self._descriptors.pop(0)

    def send(
        self, method: str, params: dict[str, Any] | None = None, session_id: str | None = None
    ) -> "asyncio.Future[Any]":
        """Send one command; the answer comes with the future.

        Args:
            method: Of the protocol.
            params: Its parameters.
            session_id: Of the target's session; None for the browser's own.

        Raises:
            NetworkError: By the future, when Chrome refuses the command, the target is gone, which
                it may be before the pipe is closed, or the pipe is closed.
        """
        callback: asyncio.Future[Any] = self._loop.create_future()
        callback.add_done_callback(_retrieve_exception)
        is_open = self._connected and self._writer is not None
        if not is_open or (session_id is not None and session_id not in self._sessions):
            callback.set_exception(NetworkError(GONE if is_open else CLOSED))
            return callback
        self._lastId += 1
        message = {"id": self._lastId, "method": method, "params": params or {}}
        if session_id is not None:
            message["sessionId"] = session_id
        self._callbacks[self._lastId] = callback
        callback.session_id = session_id  # type: ignore[attr-defined]
        # The method is for the error's text, as pyppeteer has it.
        callback.method = method  # type: ignore[attr-defined]
        self._write(_packed(message))
        return callback

    def _write(self, message: bytes) -> None:
        """Send it with all that is sent in the same turn of the loop: one write, one wake-up."""
        if not self._unsent:
            self._loop.call_soon(self._flush)
        self._unsent.append(message)

    def _flush(self) -> None:
        unsent, self._unsent = self._unsent, []
        if self._writer is None:
            return
        if sum(map(len, unsent)) < HUGE_BYTES:
            self._writer.write(b"\0".join((*unsent, b"")))
            return
        for message in unsent:  # megabytes are not copied once more
            self._writer.write(message)
            self._writer.write(b"\0")

    def pause_until(self, room: "asyncio.Future[None]") -> None:
        """Read nothing more until there is room for it; meanwhile the data stays in Chrome."""
        if self._reader is not None:
            self._reader.pause_reading()
            room.add_done_callback(self._resume)

    def _resume(self, _: object) -> None:
        if self._reader is not None:
            self._reader.resume_reading()

    def receive_pieces(self, pieces: list[bytes]) -> None:
        """Handle a message that came in pieces; those of a large picture are not joined."""
        message = _large_picture(pieces)
        if message is None:
            self.receive(b"".join(pieces))
        else:
            self._answer(message)

    def receive(self, raw: bytes) -> None:
        """Pass one message to its call or session; an error in a handler does not stop the pipe."""
        message = _unpacked(raw)
        if "id" in message:
            self._answer(message)
            return
        session_id = message.get("sessionId")
        target = self if session_id is None else self._sessions.get(session_id)
        if target is None:
            return  # an event of a target that has just gone
        method, params = message.get("method", ""), message.get("params", {})
        try:
            target.emit(method, params)
        except Exception:
            logger.debug("a handler of %s failed", method, exc_info=True)
        if method == "Target.detachedFromTarget":
            self._forget(params.get("sessionId"))

    def _answer(self, message: dict[str, Any]) -> None:
        callback = self._callbacks.pop(message["id"], None)
        if callback is None or callback.done():  # the caller was cancelled meanwhile
            return
        if error := message.get("error"):
            method = getattr(callback, "method", "?")
            text = f"Protocol error ({method}): {error.get('message')} {error.get('data', '')}"
            callback.set_exception(NetworkError(text.rstrip()))
        else:
            callback.set_result(message.get("result"))

    def _forget(self, session_id: str | None) -> None:
        session = self._sessions.pop(session_id or "", None)
        if session is None:
            return
        session._on_closed()
        for number, callback in list(self._callbacks.items()):
            if getattr(callback, "session_id", None) == session_id:
                del self._callbacks[number]
                if not callback.done():
                    callback.set_exception(NetworkError(GONE))

    async def createSession(self, targetInfo: dict[str, Any]) -> "FlatSession":  # noqa: N802, N803 - pyppeteer's names
        """Attach to a target; the name is pyppeteer's."""
        answer = await self.send(
            "Target.attachToTarget", {"targetId": targetInfo["targetId"], "flatten": True}
        )
        session = FlatSession(self, targetInfo["type"], answer["sessionId"])
        self._sessions[answer["sessionId"]] = session
        return session

    def lost(self) -> None:
        """End every pending call; called when either side closes the pipe, or both do."""
        self._connected = False
        for callback in self._callbacks.values():
            if not callback.done():
                callback.set_exception(NetworkError(CLOSED))
        self._callbacks.clear()
        for session_id in list(self._sessions):
            self._forget(session_id)
        reader, self._reader, writer, self._writer = self._reader, None, self._writer, None
        if reader is not None:
            reader.close()
        if writer is not None and not writer.is_closing():  # asyncio fails when it is aborted twice
            writer.abort()  # not `close`: a stopped Chrome never reads what is buffered
        for descriptor, _ in self._unopened():
            os.close(descriptor)
        if not self.closed.done():
            self.closed.set_result(None)

    async def dispose(self) -> None:
        """Close the pipe; the name is pyppeteer's."""
        self.lost()


class FlatSession(CDPSession):  # type: ignore[misc]  # pyppeteer ships no types
    """A target's session whose messages travel unwrapped."""

    def __init__(self, connection: PipeConnection, kind: str, identity: str) -> None:
        """A session of a target of a kind (CDP: Target.TargetInfo), by its id."""
        super().__init__(connection, kind, identity, connection._loop)
        self._pipe = connection

    @property
    def id(self) -> str:
        """CDP's id of it."""
        identity: str = self._sessionId
        return identity

    def send(self, method: str, params: dict[str, Any] | None = None) -> "asyncio.Future[Any]":
        """Send one command to the target; see `PipeConnection.send`."""
        return self._pipe.send(method, params, self.id)


def _packed(message: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(message)
    except TypeError:  # a lone surrogate, or a number beyond JavaScript's integers
        return json.dumps(message).encode()


def _unpacked(raw: bytes) -> dict[str, Any]:
    """A message as a dictionary; a large picture in it stays as it came."""
    message: dict[str, Any]
    picture = PICTURE.match(raw) if len(raw) > LARGE_BYTES else None
    try:
        if picture is None:
            message = orjson.loads(raw)
        else:
            begin, end = picture.end(), raw.find(b'"', picture.end())
            message = orjson.loads(raw[:begin] + raw[end:])
            message["result"][picture[1].decode()] = memoryview(raw)[begin:end]  # not copied
    except orjson.JSONDecodeError:  # a lone surrogate, which a page may well contain
        message = json.loads(raw)
    return message


def _large_picture(pieces: list[bytes]) -> dict[str, Any] | None:
    """An answer with a large picture, which stays in pieces; None for any other message."""
    if sum(map(len, pieces)) < HUGE_BYTES:
        return None
    # What is around the picture may be cut anywhere, but is short.
    first, last = b"".join(pieces[:2]), b"".join(pieces[-2:])
    begin, end = PICTURE.match(first), last.find(b'"')
    if begin is None or end < 0 or len(pieces) < 4:
        return None
    message: dict[str, Any] = orjson.loads(first[: begin.end()] + last[end:])
    message["result"][begin[1].decode()] = [first[begin.end() :], *pieces[2:-2], last[:end]]
    return message


class _Receiver(asyncio.Protocol):
    """Cuts the byte stream into messages; each ends with a zero byte."""

    def __init__(self, connection: PipeConnection) -> None:
        self._connection = connection
        self._parts: list[bytes] = []

    def data_received(self, data: bytes) -> None:
        *whole, rest = data.split(b"\0") if b"\0" in data else (data,)  # most pieces have no end
        for part in whole:
            if not self._take(part, whole=True):
                return
            pieces, self._parts = self._parts, []
            self._connection.receive_pieces(pieces)
        if rest:
            self._take(rest, whole=False)

    def _take(self, part: bytes, *, whole: bool) -> bool:
        """Store a part of a message; False, and nothing stored, if that is more than allowed."""
        is_answer = (self._parts[0] if self._parts else part).startswith(ANSWER)
        if not self._connection.charge(len(part), whole=whole, is_answer=is_answer):
            self._parts.clear()
            return False
        self._parts.append(part)
        if is_answer and self._connection.expects_much:
            room = self._connection.meter(len(part))
            if room is not None and not whole:
                self._connection.pause_until(room)
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._connection.lost()


def _retrieve_exception(callback: "asyncio.Future[Any]") -> None:
    """Retrieve the exception, so that asyncio does not log it as never retrieved."""
    if not callback.cancelled():
        callback.exception()
