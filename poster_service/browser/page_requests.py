"""What one page asks the network for, answered by its route.

Chrome has no network of its own: every request is paused (Fetch domain, on the browser's session,
which sees workers, frames of other sites and beacons too) and comes here. The page's own document
is the first of them; it is held until a render has it.
"""

import asyncio
import contextvars
import logging
from collections.abc import Coroutine, Mapping
from typing import Any

import pybase64

from poster_service.browser.page_calls import PageCalls
from poster_service.browser.pipe import PipeConnection, ProtocolError
from poster_service.browser.traffic import Traffic
from poster_service.browser.types import ADDRESS, Reply, Request, Route
from poster_service.browser.witness import Witness
from poster_service.errors import PageFailed, PosterError
from poster_service.origins import origin_of

logger = logging.getLogger(__name__)

#: Requests of one page answered at once; each body is held in memory until Chrome has taken it.
FETCHES_AT_ONCE = 8
#: From this size on encoding in base64 takes longer than a millisecond.
LARGE_BYTES = 1 << 20

Event = Mapping[str, Any]


class PageRequests:
    """Answers the requests of one page.

    Attributes:
        document: The page's request for its own document (CDP: Fetch.requestPaused), which is held
            until a render answers it.
        has_document: Whether the page was given its document; load events before that are those of
            a blank page.
        has_fetched: Whether it has asked for something of another origin.
        traffic: The requests under way, apart from that for the document.
    """

    def __init__(
        self,
        connection: PipeConnection,
        calls: PageCalls,
        target: str,
        witness: Witness,
        held: Event | None,
    ) -> None:
        """`held` is the request for its document, where it has been made already."""
        self._connection = connection
        self._calls = calls
        self._target = target
        self._witness = witness
        self.document: asyncio.Future[Event] = asyncio.get_running_loop().create_future()
        if held is not None:
            self.document.set_result(held)
        self.has_document = False
        self.has_fetched = False
        self._route: Route | None = None
        self._context = contextvars.copy_context()
        self._tasks: set[asyncio.Task[None]] = set()
        self._gate = asyncio.Semaphore(FETCHES_AT_ONCE)
        self.traffic = Traffic()
        #: By the request's id: how many redirects led to it, from where, and by which origins.
        self._redirects: dict[str, tuple[int, str, frozenset[str]]] = {}
        #: The one origin whose documents may find the page's cookies; None for any.
        self._cookies: str | None = None

    def answer_with(self, route: Route) -> None:
        """Answer by this route from now on, in the context of the caller.

        So the log lines of what the page asks for name this request, and not the one during which
        the Chrome was started.
        """
        self._route = route
        self._context = contextvars.copy_context()

    def clear_cookies_outside(self, origin: str) -> None:
        """Clear the page's cookies when its document is asked for from another origin.

        Scripts there could read them: cookies know no ports.
        """
        self._cookies = origin

    def stop(self) -> None:
        """Stop answering; the page, or all of its Chrome, is about to end."""
        self._route = None
        for task in self._tasks:
            task.cancel()

    def paused(self, event: Event) -> None:
        """A request of the page waits for its answer; that for the document is held."""
        if not self.document.done() and self._is_main(event):
            self.document.set_result(event)
        else:
            self.spawn(self._answer(event))

    def spawn(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        """Run something for the page that ends, at the latest, with the page."""
        task = asyncio.get_running_loop().create_task(work, context=self._context)
        self._tasks.add(task)
        task.add_done_callback(self._spawned_ended)
        return task

    async def give_document(self) -> bool:
        """Answer the request that was held until now; the task that answers ends with the page.

        Returns:
            Whether it was given a document. Otherwise it was redirected, and Chrome's next request
            for the page's document is held again.

        Raises:
            PageFailed: The route has no document.
            PosterError: What the route raised instead of an answer.
        """
        await self._calls.wait(self.spawn(self._answer_document(self.document.result())))
        return self.has_document

    async def refuse_document(self) -> None:
        """Abort the navigation that is held, which leaves the page as it is.

        Raises:
            RenderFailed: Chrome or the page is gone.
        """
        held, self.document = self.document, asyncio.get_running_loop().create_future()
        await self._calls.wait(self._fail(held.result(), "Aborted"))

    async def _answer_document(self, event: Event) -> None:
        if self._cookies not in (None, origin_of(event["request"]["url"])):
            await self._calls.send("Network.clearBrowserCookies")
            self._cookies = None
        reply = await self._reply(event, is_main=True)
        if reply is None:
            raise PageFailed("the page could not be loaded")
        if reply.is_redirect:
            self.document = asyncio.get_running_loop().create_future()
        else:
            self.has_document = True
            self.traffic.start()
        await self._fulfil(event, reply)

    def _is_main(self, event: Event) -> bool:
        return event.get("resourceType") == "Document" and bool(event["frameId"] == self._target)

    def _spawned_ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.debug("answering a request of the page failed", exc_info=error)

    async def _answer(self, event: Event) -> None:
        """Give the page the route's reply; a request without one fails.

        The poster is the page's first document and stays it: a navigation of the page itself is
        aborted, which leaves the page as it is.

        Chrome's confirmation that it has taken the answer is awaited inside the gate: that is what
        keeps a page with a thousand pictures from filling the service's memory.
        """
        refusal = "Aborted" if self._is_main(event) else None
        if refusal:
            self._witness.note_navigation(event["request"]["url"])
        kind, url = event.get("resourceType", ""), event["request"]["url"]
        self.has_fetched |= not url.startswith(ADDRESS)
        with self.traffic.request(kind, url):
            await self._answer_counted(event, refusal)

    async def _answer_counted(self, event: Event, refusal: str | None) -> None:
        """Answer a request, or refuse it for a reason of Chrome's."""
        async with self._gate:
            try:
                reply = None if refusal else await self._reply(event)
                if reply is not None:
                    await self._fulfil(event, reply)
                    return
            except ProtocolError:  # Chrome refuses a status of 999, for example
                logger.debug("Chrome refused an answer", exc_info=True)
            await self._fail(event, refusal or "BlockedByClient")

    async def _fulfil(self, event: Event, reply: Reply) -> None:
        answer = {"requestId": event["requestId"]} | await _encoded(reply)
        await self._connection.send("Fetch.fulfillRequest", answer)

    async def _fail(self, event: Event, reason: str) -> None:
        answer = {"requestId": event["requestId"], "errorReason": reason}
        await self._connection.send("Fetch.failRequest", answer)

    async def _reply(self, event: Event, *, is_main: bool = False) -> Reply | None:
        """The route's reply; only for the page's own document may it raise an error of ours."""
        if self._route is None:
            return None
        try:
            return await self._route(self._request_of(event, is_main=is_main))
        except PosterError:
            if is_main:
                raise
            logger.exception("the route of a page failed")
            return None
        except Exception:
            logger.exception("the route of a page failed")
            return None

    def _request_of(self, event: Event, *, is_main: bool) -> Request:
        request = event["request"]
        parts = [
            pybase64.b64decode(part["bytes"], validate=True)
            for part in request.get("postDataEntries", ())
            if part
        ]
        return Request(
            url=request["url"],
            method=request["method"],
            headers=request["headers"],
            body=b"".join(parts) if parts else None,
            kind=event.get("resourceType", "Other"),
            is_main=is_main,
            in_main_frame=event.get("frameId") == self._target,
            **self._redirects_to(event),
        )

    def _redirects_to(self, event: Event) -> dict[str, Any]:
        """How many redirects led to a request, and from where: Chrome names the one before."""
        before, url = event.get("redirectedRequestId"), event["request"]["url"]
        here = origin_of(url)
        if before is None:
            self._redirects[event["requestId"]] = 0, url, frozenset((here,))
            return {}
        hops, first, origins = self._redirects.get(before, (0, "", frozenset(("",))))
        self._redirects[event["requestId"]] = hops + 1, first, origins | {here}
        return {"hops": hops + 1, "first": first, "origins": origins}


async def _encoded(reply: Reply) -> dict[str, Any]:
    """The reply as CDP has it; a large one is encoded in a thread."""
    if len(reply.body) < LARGE_BYTES:
        return _fulfilment(reply)
    return await asyncio.to_thread(_fulfilment, reply)


def _fulfilment(reply: Reply) -> dict[str, Any]:
    return {
        "responseCode": reply.status,
        "responseHeaders": [{"name": name, "value": value} for name, value in reply.headers],
        "body": pybase64.b64encode_as_string(reply.body),
    }
