"""What is added to a page so that it looks as asked: style sheets, what is hidden, nothing moves.

All of it runs in the page's isolated world (`world.py`), where the page's scripts and its
Content-Security-Policy have no say. Style sheets are adopted by the document before its first
script, and again at the end, in case the page has replaced them.
"""

import asyncio
import json

from poster_service.browser.frames import STEADY
from poster_service.browser.page_access import PageAccess
from poster_service.browser.types import Look
from poster_service.browser.world import NAME
from poster_service.errors import Fault, InvalidField

#: Rounds in which what moves is brought to its end; what ends may begin something else.
MAX_ROUNDS = 10

# Runs in every document before its own scripts. Each selector is set by itself, so that none can
# end a rule and begin another. In a layer `!important` wins over all that the page declares so
# outside of layers, however specific.
_START = """((styles, hide, freeze, event) => {
    if (window !== top) return;
    const sheets = styles.map((text) => {
        const sheet = new CSSStyleSheet();
        sheet.replaceSync(text);
        return sheet;
    });
    if (hide.length) {
        const sheet = new CSSStyleSheet();
        const rules = 'x { display: none !important } '.repeat(hide.length);
        sheet.replaceSync(`@layer { ${rules} }`);
        hide.forEach((one, at) => { sheet.cssRules[0].cssRules[at].selectorText = one; });
        sheets.push(sheet);
    }
    const caret = new CSSStyleSheet();
    caret.replaceSync('* { caret-color: transparent !important }');
    if (freeze) sheets.push(caret);
    const state = globalThis.poster = {sheets, hide, caret, fired: false};
    document.adoptedStyleSheets.push(...sheets);
    if (event) addEventListener(event, ({target}) => {
        if (target === window || target === document) state.fired = true;
    }, true);
})(%s)"""

# Makes good what the page has done since: sheets are the last again, and what an inline style
# shows although it is to be hidden has an inline style that hides it.
_FINISH = """(() => {
    const {sheets, hide} = globalThis.poster;
    const adopted = [...document.adoptedStyleSheets];
    if (sheets.some((one, at) => adopted.at(at - sheets.length) !== one)) {
        const others = adopted.filter((one) => !sheets.includes(one));
        document.adoptedStyleSheets = [...others, ...sheets];
    }
    for (const selector of hide) for (const one of document.querySelectorAll(selector)) {
        if (getComputedStyle(one).display !== 'none') {
            one.style?.setProperty('display', 'none', 'important');
        }
    }
})()"""

# Brings to an end what moves in the document and its open shadow trees; its value is how much did.
# A finite animation is finished, an endless one cancelled. What is paused, or follows scrolling, is
# the same each time. The time of a moving SVG is set to when its last finite animation has ended.
_FREEZE = """(() => {
    const {caret} = globalThis.poster;
    const roots = [document];
    for (const root of roots) {
        const found = [...root.querySelectorAll('*')].map((one) => one.shadowRoot);
        roots.push(...found.filter((one) => one));
    }
    const end = (svg) => {
        let last = 0;
        for (const one of svg.querySelectorAll('animate, animateMotion, animateTransform, set')) {
            const times = one.getAttribute('repeatCount') ?? 1;
            try {
                const length = one.getSimpleDuration() * times;
                if (Number.isFinite(length)) last = Math.max(last, one.getStartTime() + length);
            } catch {}  // it has no duration, or does not begin
        }
        return Math.min(last, 3600);
    };
    let moved = 0;
    for (const root of roots) {
        if (root !== document && !root.adoptedStyleSheets.includes(caret)) {
            root.adoptedStyleSheets.push(caret);
        }
        for (const one of root.getAnimations()) {
            const isOther = one.timeline && !(one.timeline instanceof DocumentTimeline);
            if (isOther || one.playState !== 'running' || !one.playbackRate) continue;
            moved += 1;
            try {
                const {endTime} = one.effect.getComputedTiming();
                if (Number.isFinite(endTime)) one.finish(); else one.cancel();
            } catch {}
        }
        for (const svg of root.querySelectorAll('svg')) {
            if (svg.ownerSVGElement || svg.animationsPaused()) continue;
            svg.pauseAnimations();
            svg.setCurrentTime(end(svg));
        }
    }
    return moved;
})()"""

# Which selectors Chrome does not understand, by their number.
_INVALID = """((selectors) => {
    const empty = document.createDocumentFragment();
    const isWrong = (one) => { try { empty.querySelector(one); } catch { return true; } };
    return selectors.flatMap((one, at) => isWrong(one) ? [at] : []);
})(%s)"""


class PageLook:
    """Changes how one page looks."""

    def __init__(self, access: PageAccess) -> None:
        self._calls, self._world, self._frames = access.calls, access.world, access.frames
        self._look = Look()

    async def check_selectors(self, selectors: dict[str, str]) -> None:
        """Check selectors, by the names of their options, before the page has its document.

        Raises:
            InvalidField: With a fault for each that is no selector.
            RenderFailed: The page or its Chrome failed.
        """
        if not selectors:
            return
        answer = await self._calls.evaluate(_INVALID % json.dumps(list(selectors.values())))
        names = list(selectors)
        if wrong := answer["result"].get("value"):
            faults = [Fault(names[at], "is not a CSS selector", "a CSS selector") for at in wrong]
            raise InvalidField.of(*faults)

    async def add(self, look: Look) -> None:
        """Have the next document look so from its start; to be called before it loads.

        Chrome runs a script of ours in a document without scripts only when a client asks for the
        document's world, which would be after it has loaded. Enabling the domain Runtime, even for
        a moment, has Chrome create the world of each later document at once (measured), also where
        scripts are off.

        Raises:
            RenderFailed: The page or its Chrome failed.
        """
        self._look = look
        if look == Look():
            return
        words = json.dumps([look.sheets, look.hide, look.freeze, look.event])[1:-1]
        script = {"source": _START % words, "worldName": NAME}
        await asyncio.gather(
            self._calls.send("Page.addScriptToEvaluateOnNewDocument", script),
            self._calls.send("Runtime.enable"),
            self._calls.send("Runtime.disable"),
        )

    async def finish(self) -> None:
        """Make sure of the look, after all that the page has done; nothing moves from here on.

        Raises:
            RenderFailed: The page or its Chrome failed.
        """
        if self._look.sheets or self._look.hide or self._look.freeze:
            await self._world.value(_FINISH)
        await self.freeze()

    async def freeze(self) -> None:
        """Bring to an end what moves, if that is wanted.

        Raises:
            RenderFailed: The page or its Chrome failed.
        """
        if not self._look.freeze:
            return
        async with self._frames(0, STEADY):
            for _ in range(MAX_ROUNDS):
                if not await self._world.value(_FREEZE):
                    return
                await asyncio.sleep(2 * STEADY)
