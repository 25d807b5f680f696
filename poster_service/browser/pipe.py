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
from collections.abc import Callable, Iterable
from fcntl import F_SETPIPE_SZ, fcntl
from typing import Any

import orjson
import pybase64
from pyppeteer.connection import CDPSession, Connection
from pyppeteer.errors import NetworkError, PyppeteerError

from poster_service.browser.pipe_ends import HUGE_BYTES, PIPE_BYTES, ReadEnd, WriteEnd
from poster_service.browser.types import MAX_MESSAGE_BYTES

logger = logging.getLogger(__name__)

#: What a call raises that Chrome refused, or that the end of its target or of the pipe cut off.
ProtocolError = PyppeteerError

CLOSED = "Chrome's debugging pipe is closed"
GONE = "the target is gone"

#: From this size on an answer is large, in bytes.
LARGE_BYTES = 1 << 16
#: How an answer with a picture or a PDF begins. That is base64, without a quote or an escape, so it
#: need not be read as JSON, which takes longer than decoding it.
PICTURE = re.compile(
    rb'\{"id":\d+,"result":\{(?:"hasDamage":(?:true|false),)?"(data|screenshotData)":"'
)
#: What follows the picture in it is shorter than this, in bytes.
TAIL_BYTES = 256
#: Messages that Chrome may send unasked before a render has its page.
STARTUP_MESSAGES = 10_000


class Listeners:
    """What listens to the events of a session, in place of pyee's emitter.

    That takes a lock and makes two lists for each event, also for one that nothing listens to.
    """

    def __init__(self) -> None:
        self._listeners: dict[str, list[Callable[..., object]]] = {}

    def on(self, event: str, handler: Callable[..., object]) -> None:
        """Call a handler with the parameters of each event of that name."""
        self._listeners.setdefault(event, []).append(handler)

    def remove_listener(self, event: str, handler: Callable[..., object]) -> None:
        """Call it no more."""
        self._listeners[event].remove(handler)

    def remove_all_listeners(self, event: str | None = None) -> None:
        """Call none of them any more, or none of that event."""
        if event is None:
            self._listeners.clear()
        else:
            self._listeners.pop(event, None)

    def emit(self, event: str, *parameters: Any) -> bool:
        """Call the handlers of an event; whether there were any."""
        handlers = self._listeners.get(event)
        for handler in tuple(handlers or ()):
            handler(*parameters)
        return bool(handlers)


class PipeConnection(Listeners, Connection):  # type: ignore[misc]  # pyppeteer ships no types
    """One Chrome's browser-level session, which opens the sessions of its targets."""

    def __init__(self, replies: int, commands: int) -> None:
        """Take over two descriptors: Chrome's replies to read, its commands to write.

        `open` connects them. pyppeteer's own constructor opens a web socket and is deliberately
        not called.
        """
        Listeners.__init__(self)
        self._url = "pipe:"
        self._loop = loop = asyncio.get_running_loop()
        with contextlib.suppress(OSError):  # more than this user may have: it stays as it is
            fcntl(replies, F_SETPIPE_SZ, PIPE_BYTES)
        self._descriptors = [replies, commands]
        self._lastId = 0
        self._callbacks: dict[int, asyncio.Future[Any]] = {}
        self._sessions: dict[str, FlatSession] = {}
        self._closeCallback = None
        self._connected = False
        self._ends: tuple[ReadEnd, WriteEnd] | None = None
        self.closed: asyncio.Future[None] = loop.create_future()
        #: Done when Chrome has sent more, unasked, than allowed.
        self.flooded: asyncio.Future[None] = loop.create_future()
        #: What is waited for now, and would be in vain once the pipe has closed or is flooded.
        self.waiting: set[asyncio.Future[Any]] = set()
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
            interrupt(self.waiting)
            return False
        return True

    def open(self) -> None:
        """Begin to read and write.

        Raises:
            OSError: A descriptor cannot be used.
        """
        replies, commands = self._descriptors
        self._ends = ReadEnd(replies, self, self.lost), WriteEnd(commands, self.lost)
        self._descriptors = []
        self._connected = True

    def metered(self, size: int) -> "asyncio.Future[None] | None":
        """Count what came of a picture; a future that is to be awaited before more is read."""
        return self.meter(size)

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
        ends = self._ends
        if ends is None or (session_id is not None and session_id not in self._sessions):
            _fail(callback, CLOSED if ends is None else GONE)
            return callback
        self._lastId += 1
        message = {"id": self._lastId, "method": method, "params": params or {}}
        if session_id is not None:
            message["sessionId"] = session_id
        self._callbacks[self._lastId] = callback
        callback.session_id = session_id  # type: ignore[attr-defined]
        # The method is for the error's text, as pyppeteer has it.
        callback.method = method  # type: ignore[attr-defined]
        ends[1].write(_packed(message))
        return callback

    def receive_pieces(self, pieces: list[bytes]) -> None:
        """Handle a message that came in pieces; those of a large picture are not joined."""
        message = _large_picture(pieces) if len(pieces) > 1 else None
        if message is None:
            self.receive(b"".join(pieces))
        else:
            self._answer(message)

    def receive(self, raw: bytes | memoryview) -> None:
        """Pass one message to its call or session; an error in a handler does not stop the pipe."""
        message = _unpacked(raw) if isinstance(raw, bytes) else _with_picture(raw)
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
            _fail(callback, text.rstrip())
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
                _fail(callback, GONE)

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
            _fail(callback, CLOSED)
        self._callbacks.clear()
        for session_id in list(self._sessions):
            self._forget(session_id)
        ends, self._ends, unopened, self._descriptors = self._ends, None, self._descriptors, []
        for end in ends or ():
            end.close()
        for descriptor in unopened:
            os.close(descriptor)
        if not self.closed.done():
            self.closed.set_result(None)
        interrupt(self.waiting)

    async def dispose(self) -> None:
        """Close the pipe; the name is pyppeteer's."""
        self.lost()


class FlatSession(Listeners, CDPSession):  # type: ignore[misc]  # pyppeteer ships no types
    """A target's session whose messages travel unwrapped."""

    def __init__(self, connection: PipeConnection, kind: str, identity: str) -> None:
        """A session of a target of a kind (CDP: Target.TargetInfo), by its id."""
        Listeners.__init__(self)
        CDPSession.__init__(self, connection, kind, identity, connection._loop)
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


def _with_picture(raw: memoryview) -> dict[str, Any]:
    """An answer with a picture, or another message, from bytes that are soon overwritten.

    A picture is decoded at once: that takes less than copying it, and its size is bounded
    (`pipe_ends.HUGE_BYTES`).
    """
    picture = PICTURE.match(raw)
    if picture is None:
        return _unpacked(bytes(raw))
    begin = picture.end()
    tail = max(begin, len(raw) - TAIL_BYTES)
    end = tail + bytes(raw[tail:]).find(b'"')
    try:
        decoded = pybase64.b64decode(raw[begin:end], validate=True)
    except ValueError:  # it is no picture, but a page's own words
        return _unpacked(bytes(raw))
    message: dict[str, Any] = orjson.loads(bytes(raw[:begin]) + bytes(raw[end:]))
    message["result"][picture[1].decode()] = decoded
    return message


def _large_picture(pieces: list[bytes]) -> dict[str, Any] | None:
    """An answer with a large picture, which stays in pieces; None for any other message."""
    if sum(map(len, pieces)) < HUGE_BYTES:
        return None
    # What is around the picture may be cut anywhere, also more than once, but is short.
    count = 2
    while sum(map(len, pieces[-count:])) < TAIL_BYTES:
        count += 1
    first, last = b"".join(pieces[:2]), b"".join(pieces[-count:])
    begin, end = PICTURE.match(first), last.find(b'"')
    if begin is None or end < 0 or len(pieces) < 2 + count:
        return None
    message: dict[str, Any] = orjson.loads(first[: begin.end()] + last[end:])
    between = pieces[2:-count]
    message["result"][begin[1].decode()] = [first[begin.end() :], *between, last[:end]]
    return message


def _fail(call: "asyncio.Future[Any]", text: str) -> None:
    """Have a call raise a ProtocolError, unless it is done already.

    Its exception counts as retrieved, so that asyncio does not log that of a call which nothing
    waits for.
    """
    if not call.done():
        call.set_exception(NetworkError(text))
        call.exception()


def interrupt(waiting: Iterable["asyncio.Future[Any]"]) -> None:
    """End all these waits with a ProtocolError: what they wait for has no source any more."""
    for call in list(waiting):
        _fail(call, GONE)
