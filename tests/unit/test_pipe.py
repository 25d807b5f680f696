"""The debugging pipe: cut into messages, answers to whom they belong, and nothing stops it."""

import asyncio
import base64
import contextlib
import gc
import json
import os
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyppeteer.errors import NetworkError

from poster_service.browser.page_calls import PageCalls
from poster_service.browser.pieces import decoded
from poster_service.browser.pipe import FlatSession, PipeConnection
from poster_service.browser.pipe_ends import HUGE_BYTES, PIPE_BYTES
from poster_service.browser.types import MAX_MESSAGE_BYTES
from poster_service.errors import ChromeDied, PageCrashed, PageFailed, RenderFailed


class Chrome:
    """The other end of the pipe."""

    def __init__(self) -> None:
        self.replies, self._reply_end = os.pipe()
        self._command_end, self.commands = os.pipe()
        os.set_blocking(self._command_end, False)
        self._buffer = b""
        self.connection: PipeConnection

    async def connect(self) -> PipeConnection:
        """Open the connection under test."""
        self.connection = PipeConnection(self.replies, self.commands)
        self.connection.open()
        return self.connection

    def send_to_client(self, *messages: dict[str, Any]) -> None:
        """Send whole messages."""
        self.raw(b"".join(json.dumps(message).encode() + b"\0" for message in messages))

    def raw(self, data: bytes) -> None:
        """Send bytes."""
        os.write(self._reply_end, data)

    async def received(self) -> dict[str, Any]:
        """The next command."""
        while b"\0" not in self._buffer:
            try:
                self._buffer += os.read(self._command_end, 1 << 20)
            except BlockingIOError:
                await asyncio.sleep(0)
        first, _, self._buffer = self._buffer.partition(b"\0")
        noted: dict[str, Any] = json.loads(first)
        return noted

    def unread(self) -> bytes:
        """What has come and was not taken."""
        with contextlib.suppress(BlockingIOError):
            self._buffer += os.read(self._command_end, 1 << 20)
        return self._buffer

    def close(self) -> None:
        """End our side."""
        for descriptor in (self._reply_end, self._command_end):
            if descriptor >= 0:
                os.close(descriptor)
        self._reply_end = self._command_end = -1


@pytest.fixture
async def chrome() -> AsyncIterator[Chrome]:
    """The other end, connected; nothing may be reported to the loop as lost in the end."""
    reported: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: reported.append(context))
    one = Chrome()
    await one.connect()
    yield one
    one.connection.lost()
    one.close()
    await turns()
    gc.collect()
    await turns()
    assert reported == []


async def turns(count: int = 5) -> None:
    """Let all that is ready run."""
    for _ in range(count):
        await asyncio.sleep(0)


async def session(chrome: Chrome, name: str = "S1") -> FlatSession:
    """A session of a page."""
    making = asyncio.ensure_future(
        chrome.connection.createSession({"targetId": "T1", "type": "page"})
    )
    command = await chrome.received()
    assert command["params"] == {"targetId": "T1", "flatten": True}
    chrome.send_to_client({"id": command["id"], "result": {"sessionId": name}})
    return await asyncio.wait_for(making, 60)


async def test_a_call_is_answered_by_its_number(chrome: Chrome) -> None:
    """In any order of the answers."""
    calls = [asyncio.ensure_future(chrome.connection.send(f"A.m{n}", {"n": n})) for n in range(5)]
    commands = [await chrome.received() for _ in calls]
    assert [command["method"] for command in commands] == [f"A.m{n}" for n in range(5)]
    chrome.send_to_client(*({"id": c["id"], "result": c["params"]} for c in reversed(commands)))
    assert [await call for call in calls] == [{"n": n} for n in range(5)]


MESSAGES = st.lists(st.dictionaries(st.text(max_size=5), st.text(), max_size=3), max_size=6)


@given(messages=MESSAGES, sizes=st.lists(st.integers(1, 40), min_size=1, max_size=30))
def test_messages_are_whole_however_the_bytes_come(
    messages: list[dict[str, str]], sizes: list[int]
) -> None:
    """Cut anywhere, in the middle of a character too, several in one piece or one in many."""
    assert asyncio.run(_through_a_pipe(messages, sizes)) == messages


async def _through_a_pipe(messages: list[dict[str, str]], sizes: list[int]) -> list[Any]:
    chrome = Chrome()
    connection = await chrome.connect()
    got: list[Any] = []
    connection.on("E", got.append)
    data = b"".join(
        json.dumps({"method": "E", "params": one}, ensure_ascii=False).encode() + b"\0"
        for one in messages
    )
    turn = 0
    while data:
        size = sizes[turn % len(sizes)]
        chrome.raw(data[:size])
        data, turn = data[size:], turn + 1
        await asyncio.sleep(0)
    chrome.close()
    await asyncio.wait_for(connection.closed, 60)
    return got


async def test_a_message_larger_than_any_buffer_comes_whole(chrome: Chrome) -> None:
    """A picture of 5 MB as base64, both ways."""
    text = "x" * 5_000_000
    call = asyncio.ensure_future(chrome.connection.send("A.b", {"text": text}))
    command = await asyncio.wait_for(chrome.received(), 60)
    assert command["params"]["text"] == text
    message = json.dumps({"id": command["id"], "result": {"text": text}}).encode() + b"\0"
    await asyncio.to_thread(_write_all, chrome, message)
    assert (await asyncio.wait_for(call, 60))["text"] == text


def _write_all(chrome: Chrome, data: bytes) -> None:
    while data:
        written = os.write(chrome._reply_end, data)
        data = data[written:]


async def test_an_error_answer_is_an_error_that_names_the_method(chrome: Chrome) -> None:
    """And the next call works."""
    call = asyncio.ensure_future(chrome.connection.send("Page.fly"))
    chrome.send_to_client({"id": (await chrome.received())["id"],
                "error": {"message": "no such method", "data": "really"}})  # fmt: skip
    with pytest.raises(NetworkError, match=r"Page\.fly.*no such method really"):
        await call
    await _works(chrome)


async def _works(chrome: Chrome) -> None:
    call = asyncio.ensure_future(chrome.connection.send("A.works"))
    chrome.send_to_client({"id": (await chrome.received())["id"], "result": {"yes": 1}})
    assert await asyncio.wait_for(call, 60) == {"yes": 1}


async def test_a_cancelled_call_ends_there(chrome: Chrome) -> None:
    """Its answer comes too late and does no harm (pyppeteer's loop died of it)."""
    call = asyncio.ensure_future(chrome.connection.send("A.slow"))
    command = await chrome.received()
    call.cancel()
    await turns()
    chrome.send_to_client({"id": command["id"], "result": {}})
    await _works(chrome)


@pytest.mark.parametrize(
    "message",
    [
        {"id": 999_999, "result": {}},
        {"id": 999_999, "error": {"message": "x"}},
        {"method": "A.event", "params": {}, "sessionId": "nobody"},
        {"method": "A.nobodyListens", "params": {}},
        {"method": "Target.detachedFromTarget", "params": {"sessionId": "nobody"}},
        {"method": "Target.detachedFromTarget", "params": {}},
        {"method": "A.event"},
        {},
    ],
)
async def test_what_belongs_to_no_session_is_passed_over(
    chrome: Chrome, message: dict[str, Any]
) -> None:
    """The pipe goes on."""
    chrome.send_to_client(message)
    await _works(chrome)


async def test_a_handler_that_fails_stops_nothing(chrome: Chrome) -> None:
    """Neither the pipe nor the messages that came with its event."""
    got: list[Any] = []

    def fail(_: Any) -> None:
        raise RuntimeError("a handler's own fault")

    chrome.connection.on("A.bad", fail)
    chrome.connection.on("A.good", got.append)
    chrome.send_to_client(
        {"method": "A.bad", "params": {}}, {"method": "A.good", "params": {"n": 1}}
    )
    await _works(chrome)
    assert got == [{"n": 1}]


async def test_a_sessions_messages_travel_unwrapped_and_stay_its_own(chrome: Chrome) -> None:
    """Tagged with the session both ways; the browser's listeners do not see them."""
    page = await session(chrome)
    seen: dict[str, list[Any]] = {"page": [], "browser": []}
    page.on("A.event", seen["page"].append)
    chrome.connection.on("A.event", seen["browser"].append)
    call = asyncio.ensure_future(page.send("Page.go", {"x": 1}))
    command = await chrome.received()
    assert (command["sessionId"], command["method"]) == ("S1", "Page.go")
    chrome.send_to_client(
        {"method": "A.event", "params": {"n": 1}, "sessionId": "S1"},
        {"id": command["id"], "sessionId": "S1", "result": {"ok": 1}},
    )
    assert await asyncio.wait_for(call, 60) == {"ok": 1}
    assert seen == {"page": [{"n": 1}], "browser": []}


async def test_a_session_whose_target_is_gone_says_so_at_once(chrome: Chrome) -> None:
    """By the future, and nothing is sent; the browser's own session goes on."""
    page = await session(chrome)
    chrome.send_to_client({"method": "Target.detachedFromTarget", "params": {"sessionId": "S1"}})
    await _works(chrome)
    call = page.send("Page.go")
    assert call.done()
    with pytest.raises(NetworkError, match="the target is gone"):
        await call
    await _works(chrome)


async def test_a_target_that_goes_ends_the_calls_that_wait_for_it(chrome: Chrome) -> None:
    """As pyppeteer's own session does: no answer will come any more."""
    page = await session(chrome)
    call = asyncio.ensure_future(page.send("Page.go"))
    await chrome.received()
    chrome.send_to_client({"method": "Target.detachedFromTarget", "params": {"sessionId": "S1"}})
    with pytest.raises(NetworkError):
        await asyncio.wait_for(call, 60)


@pytest.mark.parametrize("side", ["chrome", "ours"])
async def test_when_the_pipe_closes_every_pending_call_fails(chrome: Chrome, side: str) -> None:
    """From either side; the sessions are over too, and further calls fail by their future."""
    page = await session(chrome)
    calls = [
        asyncio.ensure_future(chrome.connection.send("A.a")),
        asyncio.ensure_future(page.send("A.b")),
    ]
    await turns()
    if side == "chrome":
        chrome.close()
    else:
        chrome.connection.lost()
    await asyncio.wait_for(chrome.connection.closed, 60)
    for call in [*calls, chrome.connection.send("A.c"), page.send("A.d")]:
        with pytest.raises(NetworkError, match="pipe is closed"):
            await asyncio.wait_for(call, 60)


async def test_calls_without_a_waiter_are_not_reported_as_lost(chrome: Chrome) -> None:
    """A render that was cut off leaves some; the fixture looks at what the loop logged."""
    for number in range(5):
        chrome.connection.send(f"A.m{number}")
    chrome.send_to_client({"id": 1, "error": {"message": "x"}})
    await turns()
    chrome.connection.lost()
    chrome.connection.send("A.late")
    await turns()


async def test_losing_it_twice_is_once(chrome: Chrome) -> None:
    """Ended by us and by Chrome at the same time."""
    chrome.connection.lost()
    chrome.connection.lost()
    await chrome.connection.dispose()
    await turns()
    assert chrome.connection.closed.done()


def _ours() -> set[str]:
    """The pipes that this process has open."""
    return {link for link in map(_link, Path("/proc/self/fd").iterdir()) if "pipe:" in link}


def _link(path: Path) -> str:
    try:
        return str(path.readlink())
    except OSError:
        return ""


@pytest.mark.parametrize("opened", [True, False], ids=["opened", "never-opened"])
async def test_both_descriptors_are_closed_in_the_end(opened: bool) -> None:
    """Also of a connection that was given up before it was opened."""
    before = _ours()
    chrome = Chrome()
    connection = PipeConnection(chrome.replies, chrome.commands)
    if opened:
        connection.open()
    connection.lost()
    chrome.close()
    await turns()
    assert _ours() == before


@pytest.mark.parametrize("sends", [True, False])
async def test_a_chrome_that_left_before_the_pipe_was_opened_is_noticed(sends: bool) -> None:
    """By what cannot be written, or by the end of its replies; no call may wait after that."""
    before = _ours()
    chrome = Chrome()
    connection = PipeConnection(chrome.replies, chrome.commands)
    chrome.close()
    connection.open()
    call = connection.send("A.a") if sends else None
    await asyncio.wait_for(connection.closed, 60)
    with pytest.raises(NetworkError):
        await asyncio.wait_for(call or connection.send("A.a"), 60)
    connection.lost()
    assert _ours() == before


# --- no more than so much ----------------------------------------------------------------------


async def test_more_messages_than_allowed_are_a_flood(chrome: Chrome) -> None:
    """So many are reported; then nothing is read any more, and every waiting call fails."""
    seen: list[int] = []
    chrome.connection.on("A.b", lambda event: seen.append(event["n"]))
    chrome.connection.allow(5)
    chrome.send_to_client(*({"method": "A.b", "params": {"n": n}} for n in range(9)))
    await asyncio.wait_for(chrome.connection.flooded, 60)
    await turns()
    assert seen == [0, 1, 2, 3, 4]


async def test_answers_are_no_flood(chrome: Chrome) -> None:
    """We asked for them."""
    chrome.connection.allow(1)
    for _ in range(9):
        call = asyncio.ensure_future(chrome.connection.send("A.b"))
        command = await chrome.received()
        chrome.send_to_client({"id": command["id"], "result": {}})
        await asyncio.wait_for(call, 60)
    assert not chrome.connection.flooded.done()


@pytest.mark.parametrize(
    ("begin", "expects_much", "floods"),
    [
        (b'{"method":"A.b","params":"', False, True),
        (b'{"method":"A.b","params":"', True, True),
        (b'{"id":1,"result":"', False, True),
        (b'{"id":1,"result":"', True, False),
    ],
    ids=["event", "event-during-capture", "answer", "picture"],
)
async def test_a_message_without_an_end_is_a_flood(
    chrome: Chrome, begin: bytes, expects_much: bool, floods: bool
) -> None:
    """Nothing but a picture may be large; what was kept of the rest is let go."""
    chrome.connection.expects_much = expects_much
    await asyncio.to_thread(_say_much, chrome, begin, MAX_MESSAGE_BYTES + (2 << 20))
    await turns()
    assert chrome.connection.flooded.done() == floods
    assert chrome.connection._ends is not None
    assert (sum(map(len, chrome.connection._ends[0].parts)) == 0) == floods


def _say_much(chrome: Chrome, begin: bytes, size: int) -> None:
    """Write a message that does not end, so large that Chrome's pipe is emptied again and again."""
    _write_all(chrome, begin)
    for _ in range(size >> 20):
        _write_all(chrome, b"x" * (1 << 20))


async def test_what_is_sent_in_one_turn_is_written_at_once(chrome: Chrome) -> None:
    """In order, and each a message of its own; Chrome wakes once for all of them."""
    for name in ("A.a", "B.b", "C.c"):
        chrome.connection.send(name)
    assert chrome.unread() == b""
    await turns(1)
    assert chrome.unread().count(b"\0") == 3
    assert [(await chrome.received())["method"] for _ in range(3)] == ["A.a", "B.b", "C.c"]


async def test_half_a_surrogate_pair_passes_both_ways(chrome: Chrome) -> None:
    """A page may have one in its title, a caller in their HTML; JSON has a word for it."""
    received: list[Any] = []
    chrome.connection.on("Page.said", received.append)
    chrome.send_to_client({"method": "Page.said", "params": {"title": "a\ud800b"}})
    chrome.connection.send("Page.do", {"text": "\udc00"})
    assert (await chrome.received())["params"] == {"text": "\udc00"}
    await turns(20)
    assert received == [{"title": "a\ud800b"}]


SIZES = (12, 200_000, HUGE_BYTES, HUGE_BYTES + PIPE_BYTES, 3 * HUGE_BYTES)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("beside", [{}, {"hasDamage": True}])
async def test_a_picture_comes_whole_however_large(
    chrome: Chrome, size: int, beside: dict[str, Any]
) -> None:
    """Between other messages; it is not read as JSON, and what stands beside it is."""
    key = "screenshotData" if beside else "data"
    seen: list[Any] = []
    chrome.connection.on("A.b", seen.append)
    picture = os.urandom(size // 4 * 3)
    answer = chrome.connection.send("Page.capture")
    chrome.connection.expects_much = True
    noted = {"id": 1, "result": {**beside, key: base64.b64encode(picture).decode()}}
    around = [b'{"method":"A.b","params":{"n":%d}}\0' % n for n in range(2)]
    whole = json.dumps(noted, separators=(",", ":")).encode() + b"\0"
    await asyncio.to_thread(_write_all, chrome, around[0] + whole + around[1])
    got = await answer
    assert await decoded(got.pop(key)) == picture
    assert got == beside
    await turns(20)
    assert seen == [{"n": 0}, {"n": 1}]


@pytest.mark.parametrize("size", [1, 20, 60])
async def test_the_end_of_a_large_picture_may_come_in_many_pieces(
    chrome: Chrome, size: int
) -> None:
    """Chrome writes the zero byte by itself, and the pipe may be full just before the end."""
    picture = os.urandom(HUGE_BYTES // 4 * 3)
    answer = chrome.connection.send("Page.capture")
    chrome.connection.expects_much = True
    head = b'{"id":1,"result":{"data":"' + base64.b64encode(picture)
    tail = b'"},"sessionId":"0123456789ABCDEF0123456789ABCDEF"}\0'
    await asyncio.to_thread(_write_all, chrome, head)
    for at in range(0, len(tail), size):
        chrome.raw(tail[at : at + size])
        await turns()
    assert await decoded((await asyncio.wait_for(answer, 60))["data"]) == picture


@pytest.mark.parametrize("size", [1, 2, 5, 6])
async def test_a_picture_whose_first_bytes_come_alone_is_no_flood(
    chrome: Chrome, size: int
) -> None:
    """Though they do not say yet that it is an answer."""
    picture = os.urandom(PIPE_BYTES)
    answer = chrome.connection.send("Page.capture")
    chrome.connection.allow(10, 1000)
    chrome.connection.expects_much = True
    whole = b'{"id":1,"result":{"data":"' + base64.b64encode(picture) + b'"}}\0'
    chrome.raw(whole[:size])
    await turns()
    await asyncio.to_thread(_write_all, chrome, whole[size:])
    assert await decoded((await asyncio.wait_for(answer, 60))["data"]) == picture


async def test_a_buffer_is_read_to_again_only_when_its_picture_was_taken(chrome: Chrome) -> None:
    """Two pictures, the second of which comes before anyone has looked at the first."""
    pictures = [os.urandom(300_000) for _ in range(2)]
    answers = [chrome.connection.send("Page.capture") for _ in pictures]
    chrome.connection.expects_much = True
    data = b"".join(
        b'{"id":%d,"result":{"data":"%s"}}\0' % (at, base64.b64encode(picture))
        for at, picture in enumerate(pictures, 1)
    )
    await asyncio.to_thread(_write_all, chrome, data)
    await asyncio.wait(answers)
    assert [await decoded(one.result()["data"]) for one in answers] == pictures


@pytest.mark.parametrize("expects_much", [False, True])
async def test_what_only_looks_like_a_picture_is_read_as_it_is(
    chrome: Chrome, expects_much: bool
) -> None:
    """A page's own words, with quotes in them, where a picture would be."""
    chrome.connection.expects_much = expects_much
    words = 'x"data":"' + "y" * 100_000
    for number, result in enumerate(({"result": {"value": {"data": words}}}, {"data": words}), 1):
        answer = chrome.connection.send("Runtime.evaluate")
        noted = {"id": number, "result": result}
        await asyncio.to_thread(
            chrome.raw, json.dumps(noted, separators=(",", ":")).encode() + b"\0"
        )
        assert await answer == result


# --- waits of a page, and its end ---------------------------------------------------------------


def _flood(chrome: Chrome, _: PageCalls) -> None:
    chrome.connection.allow(0)
    chrome.send_to_client({"method": "A.b", "params": {}})


#: How a page may end, and what its waits raise then.
ENDS: Mapping[str, tuple[Callable[[Chrome, PageCalls], object], type[RenderFailed]]] = {
    "crash": (lambda _, calls: calls.note_crash(), PageCrashed),
    "given up": (lambda _, calls: calls.give_up("of a test"), PageFailed),
    "closed by Chrome": (lambda chrome, _: chrome.close(), ChromeDied),
    "closed by us": (lambda chrome, _: chrome.connection.lost(), ChromeDied),
    "flood": (_flood, PageFailed),
}


@pytest.mark.parametrize("end", ENDS)
async def test_the_end_of_a_page_ends_all_its_waits(chrome: Chrome, end: str) -> None:
    """Those for answers, for events and for what runs; later ones too. Nothing stays behind."""
    calls, event = PageCalls(chrome.connection, await session(chrome)), asyncio.Event()
    unset: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    running = asyncio.ensure_future(event.wait())
    begun = (
        calls.send("Page.do"),
        calls.wait(unset),
        calls.wait(running),
        calls.until_done(unset),
    )
    waits = [asyncio.ensure_future(one) for one in begun]
    await turns()
    assert not any(one.done() for one in waits)
    act, error = ENDS[end]
    act(chrome, calls)
    for wait in (*waits, calls.send("Page.late"), calls.wait(unset)):
        with pytest.raises(error):
            await asyncio.wait_for(wait, 60)
    assert [one.done() for one in (unset, running)] == [False, False]
    assert calls._waiting | chrome.connection.waiting == set()
    event.set()
    await running


async def test_a_wait_that_is_cancelled_leaves_what_it_waited_for(chrome: Chrome) -> None:
    """And is cancelled itself, also when the page ends in the same turn."""
    calls = PageCalls(chrome.connection, await session(chrome))
    unset: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    waits = [asyncio.ensure_future(one) for one in (calls.send("Page.do"), calls.wait(unset))]
    await turns()
    for wait in waits:
        wait.cancel()
    calls.give_up("of a test")
    await asyncio.wait(waits)
    assert all(one.cancelled() for one in waits)
    assert unset.done() is False
    assert calls._waiting | chrome.connection.waiting == set()
