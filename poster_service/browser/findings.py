"""What the scripts in a page report once it is painted, and how it is waited until it is.

One script waits for fonts and pictures and then reports, so that both take one round trip.
"""

import asyncio
import json
import logging
import secrets
from typing import Any

from poster_service.browser import glyphs, page_setup
from poster_service.browser.frames import STEADY, STILL
from poster_service.browser.page_access import PageAccess
from poster_service.browser.page_calls import evaluation
from poster_service.browser.settle import settled
from poster_service.browser.witness import MAX_ADDRESS, MAX_LOST_ELEMENTS, SEARCH

logger = logging.getLogger(__name__)

#: Characters of a page's title that are read.
MAX_TITLE = 300
#: What a warm page asks for in place of what was noted for its first document: nothing, and always
#: by the same scripts, which V8 then need not compile again.
NO_KEY = "poster_none"


class PageFindings:
    """Waits until one page is painted, and takes what its scripts report.

    Attributes:
        seen: What else happened on the page, of `glyphs.SEEN_KINDS`; known once it is painted.
        text: The less common characters that the page may show, each once; known once painted.
    """

    def __init__(self, access: PageAccess, *, is_warm: bool) -> None:
        """`is_warm` is whether the document was loaded for an earlier render."""
        self._calls, self._world = access.calls, access.world
        self._witness, self._frames = access.witness, access.frames
        #: Properties of the window; a page that does not know their names cannot replace them.
        self._errors_key = NO_KEY if is_warm else f"poster_{secrets.token_hex(4)}"
        self._seen_key = NO_KEY if is_warm else f"poster_{secrets.token_hex(4)}"
        self.seen: tuple[str, ...] = ()
        self.text = ""

    @property
    def document_script(self) -> str:
        """What must run in every document before the page's own scripts."""
        return page_setup.document_script(self._errors_key, self._seen_key)

    async def wait(self, *, is_full: bool, is_static: bool, patience: float | None) -> bool:
        """Wait until fonts are ready and pictures decoded; returns whether the document is empty.

        Args:
            is_full: Whether all of the page is painted and not only what the viewport shows.
            is_static: As for `Loading.load`.
            patience: Seconds for fonts and pictures that have not come yet; None for no limit.

        Raises:
            RenderFailed: The page or its Chrome failed.
        """
        seen = glyphs.SEEN % json.dumps(self._seen_key)
        report = f"async () => [await {self._search}, {seen}, {glyphs.TEXT}]"
        async with self._frames(STILL if is_static else 0, STEADY):
            answer = await self._settled(report, patience, is_full=is_full)
        if "exceptionDetails" in answer:  # the page broke its own document; paint what is there
            logger.info("waiting for fonts and pictures failed in the page")
        found = self._take(answer.get("result", {}).get("value"))
        return isinstance(found, dict) and bool(found.get("empty"))

    async def _settled(
        self, report: str, patience: float | None, *, is_full: bool
    ) -> dict[str, Any]:
        """Chrome's answer to the script that waits and then reports.

        The limit is not the page's: its timers do not run without its scripts.
        """
        script = settled(everything=is_full)
        try:
            async with asyncio.timeout(patience):
                return await self._calls.evaluate(f"{script}.then({report})")
        except TimeoutError:
            script = settled(everything=is_full, patient=False)
            return await self._calls.evaluate(f"{script}.then({report})")

    def _take(self, value: Any) -> object:
        """Store what the page reports; returns the part of it that is for the witness."""
        is_complete = isinstance(value, list) and len(value) == 3
        found, seen, text = value if is_complete else (None, None, None)
        self.seen, self.text = glyphs.parse_kinds(seen), glyphs.parse_characters(text)
        self._witness.hear(found)
        return found

    async def undrawn(self, characters: str) -> str:
        """Which of the characters the page displays although none of its own fonts has them.

        Asked in an isolated world, out of reach of the page's scripts.

        Args:
            characters: Those that no installed font has.

        Raises:
            RenderFailed: The page or its Chrome failed.
        """
        async with self._frames(STEADY, STEADY):
            answer = await self._world.value(glyphs.undrawn(characters))
        found = set(glyphs.parse_characters(answer))
        return "".join(each for each in characters if each in found)

    async def title(self) -> str:
        """The title of the page, which may be anything that it likes; up to MAX_TITLE characters.

        Chrome's own record of it (CDP: Target.TargetInfo) is the address where there is no title.

        Raises:
            RenderFailed: The page or its Chrome failed.
        """
        answer = await self._calls.evaluate(f"`${{document.title}}`.slice(0, {MAX_TITLE})")
        value = answer.get("result", {}).get("value")
        return value[:MAX_TITLE] if isinstance(value, str) else ""

    @property
    def _search(self) -> str:
        return SEARCH % (MAX_LOST_ELEMENTS, MAX_ADDRESS, MAX_LOST_ELEMENTS, self._errors_key)

    def ask_for_errors(self) -> None:
        """Ask for the errors of the page's scripts so far; returns without waiting for them.

        For a page whose time is nearly up, since it may never be painted.
        """
        call = self._calls.session.send("Runtime.evaluate", evaluation(self._search))
        call.add_done_callback(self._errors_came)

    def _errors_came(self, call: "asyncio.Future[dict[str, Any]]") -> None:
        if not call.cancelled() and call.exception() is None:
            self._witness.hear(call.result().get("result", {}).get("value"))
