"""Waits for what a page must have or say, and runs scripts of the caller's in it.

Selectors and events are looked for in the page's isolated world, where the page cannot fake them.
An expression is the caller's and runs beside the page's own scripts, as added scripts do. Nothing
here has a time of its own: the render's deadline ends every wait.
"""

import asyncio
import json
from typing import Any

from poster_service.browser.frames import STEADY
from poster_service.browser.page_access import PageAccess
from poster_service.browser.types import Awaited
from poster_service.errors import Fault, WaitFailed
from poster_service.quoting import quoted

#: Time between two looks at the page, in seconds.
POLL_SECONDS = 0.06
#: Characters of an expression's error that the caller gets.
MAX_ERROR = 300
#: Elements that are looked at for one that is visible.
MAX_ELEMENTS = 1_000

# Whether the selector holds, and whether the event was seen.
_SEEN = """((selector, state) => {
    const isVisible = (one) => {
        const box = one.getBoundingClientRect();
        return box.width > 0 && box.height > 0 && one.checkVisibility({visibilityProperty: true});
    };
    const holds = () => {
        if (state === 'attached') return !!document.querySelector(selector);
        const some = [...document.querySelectorAll(selector)].slice(0, %d).some(isVisible);
        return some === (state === 'visible');
    };
    return [!selector || holds(), !!globalThis.poster?.fired];
})(%s)"""

_IS_TRUE = "(() => { try { return window[%s] === true; } catch { return false; } })()"

# The line feeds keep a comment at the expression's end from reaching further.
_ASK = """(async () => {
    let value;
    try {
        value = (
%s
);
        if (typeof value === 'function') value = value();
        value = await value;
    } catch (error) {
        try { return {error: `${error}`.slice(0, %d)}; } catch { return {error: ''}; }
    }
    return !!value;
})()"""


class PageWaits:
    """Waits for one page."""

    def __init__(self, access: PageAccess) -> None:
        self._calls, self._world = access.calls, access.world
        self._witness, self._frames = access.witness, access.frames

    async def wait_for(self, awaited: Awaited) -> None:
        """Wait until all of what is awaited holds at once.

        The expression is asked only while the rest holds.

        Raises:
            WaitFailed: The expression throws, or its promise is rejected.
            RenderFailed: The page or its Chrome failed.
        """
        if awaited == Awaited():
            return
        async with self._frames(0, STEADY):
            while True:
                if await self._holds(awaited):
                    return
                await asyncio.sleep(POLL_SECONDS)

    async def pause(self, seconds: float) -> None:
        """Wait so long, with frames going."""
        if seconds:
            async with self._frames(0, STEADY):
                await asyncio.sleep(seconds)

    async def _holds(self, awaited: Awaited) -> bool:
        if awaited.selector or awaited.event:
            words = json.dumps([awaited.selector, awaited.state])[1:-1]
            seen = await self._world.value(_SEEN % (MAX_ELEMENTS, words))
            is_there, has_fired = seen if isinstance(seen, list) and len(seen) == 2 else (0, 0)
            if not is_there:
                return False
            if awaited.event and not has_fired and not await self._is_true(awaited.event):
                return False
        return not awaited.expression or await self._asked(awaited.expression)

    async def _is_true(self, name: str) -> bool:
        """Whether a property of the window is true."""
        answer = await self._calls.evaluate(_IS_TRUE % json.dumps(name))
        return answer["result"].get("value") is True

    async def _asked(self, expression: str) -> bool:
        """Whether an expression is truthy.

        Raises:
            WaitFailed: It throws.
        """
        answer = await self._calls.evaluate(_ASK % (expression, MAX_ERROR + 1))
        value: Any = answer["result"].get("value")
        if "exceptionDetails" in answer:  # no JavaScript
            exception = answer["exceptionDetails"].get("exception", {})
            value = {"error": str(exception.get("description", "")).partition("\n")[0]}
        if isinstance(value, dict):
            text = value.get("error")
            shown = quoted(text, MAX_ERROR) if isinstance(text, str) else ""
            raise WaitFailed.of(Fault("wait_for.expression", f"failed: {shown}"))
        return value is True

    async def run(self, scripts: tuple[str, ...]) -> None:
        """Run scripts one after the other, and wait for the promise that the last statement is.

        Errors are noted as those of the page's own scripts are.

        Raises:
            RenderFailed: The page or its Chrome failed.
        """
        if not scripts:
            return
        async with self._frames(0, STEADY):
            for script in scripts:
                call = {"expression": script, "awaitPromise": True}
                answer = await self._calls.send("Runtime.evaluate", call)
                if "exceptionDetails" in answer:
                    self._witness.note_script_error(answer["exceptionDetails"])
