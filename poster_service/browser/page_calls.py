"""Calls to one page of Chrome, which end early when the page, its Chrome or its render ends.

Its own file because every step of a render waits here: a call of a page that has crashed would
otherwise wait for ever. What Chrome's protocol raises ends here and leaves as an error of ours.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Iterator
from typing import Any, TypeVar

from poster_service.browser.pipe import FlatSession, PipeConnection, ProtocolError, interrupt
from poster_service.errors import ChromeDied, PageCrashed, PageFailed, RenderFailed

T = TypeVar("T")

#: How long after a failed call Chrome may still report a crash, in seconds.
CRASH_REPORT_SECONDS = 0.3


class PageCalls:
    """Sends commands to one page and waits for their answers.

    Attributes:
        session: The page's session.
        crashed: Done when the page's renderer process has died.
    """

    def __init__(self, connection: PipeConnection, session: FlatSession) -> None:
        self._connection = connection
        self.session = session
        loop = asyncio.get_running_loop()
        self._new_future = loop.create_future
        self.crashed: asyncio.Future[None] = loop.create_future()
        self._why_given_up: str | None = None
        #: What is waited for now, and would be in vain once the page has ended.
        self._waiting: set[asyncio.Future[Any]] = set()

    async def send(self, method: str, parameters: dict[str, Any] | None = None) -> dict[str, Any]:
        """Send one command to the page; returns Chrome's answer.

        Raises:
            PageCrashed: The renderer process died.
            ChromeDied: The pipe closed.
            PageFailed: Chrome refused the command, or the page is gone.
        """
        return await self.answer(self._connection.send(method, parameters, self.session.id))

    async def answer(self, call: "asyncio.Future[Any]") -> dict[str, Any]:
        """Wait for Chrome's answer to a command that was sent, and that nothing else waits for.

        Raises:
            RenderFailed: As `send`.
        """
        try:
            answer: dict[str, Any] = await self._first(call)
        except ProtocolError as error:
            await self.wait_for_crash_report()
            raise PageFailed("Chrome could not paint the page") from error
        return answer

    async def evaluate(self, expression: str, **parameters: Any) -> dict[str, Any]:
        """Run a script in the page and wait for its promise (CDP: Runtime.evaluate).

        Raises:
            RenderFailed: As `send`.
        """
        return await self.send("Runtime.evaluate", evaluation(expression) | parameters)

    async def wait(self, call: Awaitable[T]) -> T:
        """Wait for something, but only as long as there is a page that it can come from.

        What is waited for goes on when this wait is cut off.

        Raises:
            PageCrashed: The renderer process died. Calls to it would never return.
            ChromeDied: The pipe closed.
            PageFailed: Chrome refused the call, or `give_up` ended the render.
        """
        step = asyncio.ensure_future(call)
        if not step.done():
            step.add_done_callback(retrieve_exception)  # it may fail after this wait has ended
        await self.until_done(step)
        if step.cancelled():  # when the page was abandoned; the task that waits here was not
            raise ChromeDied("Chrome ended during the render")
        try:
            return step.result()
        except ProtocolError as error:
            await self.wait_for_crash_report()
            raise PageFailed("Chrome could not paint the page") from error

    async def wait_for_crash_report(self) -> None:
        """Wait briefly for a crash: Chrome fails a page's calls a moment before it reports it.

        Raises:
            RenderFailed: As `wait`, if the report comes.
        """
        self._check_page()
        await self.until_done(asyncio.ensure_future(asyncio.sleep(CRASH_REPORT_SECONDS)))

    async def until_done(self, step: "asyncio.Future[Any]") -> None:
        """Wait until a step is done, whether it succeeds or not.

        Raises:
            RenderFailed: The page, its Chrome or its render has ended.
        """
        if step.done():
            self._check_page()
            return
        done: asyncio.Future[None] = self._new_future()

        def note(_: object) -> None:
            settle(done)

        step.add_done_callback(note)
        try:
            await self._first(done)
        finally:
            step.remove_done_callback(note)

    async def _first(self, call: "asyncio.Future[T]") -> T:
        """The result of a call of which only this waits, unless the page has ended by then.

        One set of all that is waited for, instead of a callback on each possible end for each wait:
        0.3 ms of CPU a render less.

        Raises:
            ProtocolError: Chrome refused the call.
            RenderFailed: The page, its Chrome or its render has ended.
        """
        self._check_page()
        mine, all_pages = self._waiting, self._connection.waiting
        mine.add(call)
        all_pages.add(call)
        try:
            answer = await call
        except ProtocolError:
            self._check_page()
            raise
        finally:
            mine.discard(call)
            all_pages.discard(call)
        self._check_page()
        return answer

    def _check_page(self) -> None:
        """Raise the end of the page, its Chrome or its render, if one has come."""
        if self._why_given_up is not None:
            raise PageFailed(self._why_given_up)
        if self.crashed.done():
            raise PageCrashed("the page crashed: its process died, often for lack of memory")
        if self._connection.closed.done():
            raise ChromeDied("Chrome ended during the render")
        if self._connection.flooded.done():
            raise PageFailed(
                "the page keeps Chrome too busy: too many requests, windows, frames or dialogs,"
                " or too many bytes"
            )

    def note_crash(self) -> None:
        """Note that the page's renderer process has died, which ends all waiting for it."""
        settle(self.crashed)
        interrupt(self._waiting)

    def give_up(self, why: str) -> None:
        """End all waiting for this page with a PageFailed; `why` is its message, for the caller."""
        if self._why_given_up is None:
            self._why_given_up = why
            interrupt(self._waiting)

    @contextlib.contextmanager
    def expecting_much(self) -> Iterator[None]:
        """While inside, an answer of Chrome may be as large as a picture is."""
        self._connection.expects_much = True
        try:
            yield
        finally:
            self._connection.expects_much = False


def evaluation(expression: str) -> dict[str, Any]:
    """Parameters of Runtime.evaluate: the value that the script's promise is fulfilled with."""
    return {"expression": expression, "awaitPromise": True, "returnByValue": True}


@contextlib.contextmanager
def errors_end_chrome() -> Iterator[None]:
    """While inside, every error means that this Chrome cannot be used: no render has its page yet.

    Raises:
        ChromeDied: Instead of the errors of the protocol and of a render.
    """
    try:
        yield
    except (ProtocolError, OSError, RenderFailed) as error:
        raise ChromeDied("Chrome ended while its page was opened or closed") from error


def retrieve_exception(step: "asyncio.Future[Any]") -> None:
    """Retrieve the exception of a step, so that asyncio does not log it as never retrieved."""
    if not step.cancelled():
        step.exception()


def settle(future: "asyncio.Future[None]") -> None:
    """Mark a future as done, unless it is already."""
    if not future.done():
        future.set_result(None)
