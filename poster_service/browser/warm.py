"""Warm pages: pages of one template that are used again, and when one is not used any more.

At the isolation level `page` a render leaves its page open for the next one of the same template,
size and environment. Before that the page is cleaned and checked: the document is emptied but for
its style sheets, and must be the same document as before. Doubt means discard. No script of the
page runs, so that nothing of a render can wait in it for the next one.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from poster_service.browser.types import PageOptions
from poster_service.errors import ChromeDied

#: So long, in seconds, a warm page is used at most.
MAX_AGE_SECONDS = 3_600.0
#: By so much, in bytes, the memory of its Chrome may grow from what it was after `SETTLED` renders.
MAX_GROWTH_BYTES = 256 << 20
#: After so many renders the memory of a page that does not leak has stopped growing (measured); it
#: is compared after every `MEASURE_EVERY` renders.
SETTLED, MEASURE_EVERY = 10, 10

#: Empties the page's document, and reports its state. Style sheets stay, so that they and their
#: fonts stay loaded; they are the template's own, since its policy allows no others.
CLEAN = """(() => {
    const root = document.documentElement, {head} = document;
    const keep = (parent, kept) => {  // what stays is not moved, or it would be loaded again
        for (const one of [...parent.childNodes]) if (!kept.includes(one)) one.remove();
    };
    const bare = (one) => {
        for (const {name} of [...one.attributes]) one.removeAttribute(name);
    };
    const sheets = [...head.children].filter((one) =>
        one.localName === 'link' && one.relList.contains('stylesheet'));
    keep(document, [document.doctype, root]);
    keep(root, [head]);
    keep(head, sheets);
    [root, head].forEach(bare);
    root.append(document.createElement('body'));
    document.adoptedStyleSheets = [];
    performance.clearResourceTimings();
    getSelection()?.removeAllRanges();
    scrollTo(0, 0);
    return {
        origin: performance.timeOrigin, address: location.href, entries: history.length,
        mode: document.compatMode, sheets: sheets.map((one) => one.href).join(' '),
        nodes: document.querySelectorAll('*').length - sheets.length, frames: frames.length,
        moving: document.getAnimations().length, scroll: [scrollX, scrollY].join(),
        loading: document.readyState, top: !!(document.fullscreenElement),
    };
})()"""
#: What must be so each time; the rest must be as it was the first time.
CLEAN_STATE = {
    "nodes": 3,
    "frames": 0,
    "moving": 0,
    "scroll": "0,0",
    "loading": "complete",
    "top": False,
}


@dataclass(frozen=True)
class WarmKey:
    """What a warm page is of; only a render with an equal key may have it.

    Attributes:
        template: The template's name.
        version: Its version; every change of its files gives another.
        page: How the page is set up.
    """

    template: str
    version: int
    page: PageOptions


@dataclass
class WarmPage:
    """The life of one warm page.

    Attributes:
        key: What it is of.
        since: When it became warm, in seconds on the monotonic clock.
        used: When a render last had it.
        renders: Renders that it has served.
    """

    key: WarmKey
    since: float = field(default_factory=time.monotonic)
    used: float = field(default_factory=time.monotonic)
    renders: int = 0
    _state: dict[str, Any] | None = None
    _memory: int | None = None

    def is_over(self, most: int) -> bool:
        """Whether its next clean-up would be for nothing: it is too old, or has served enough."""
        return self.renders + 1 >= most or time.monotonic() - self.since > MAX_AGE_SECONDS

    def is_idle(self, seconds: float) -> bool:
        """Whether no render has had it for so long, or it is too old."""
        now = time.monotonic()
        return now - self.used > seconds or now - self.since > MAX_AGE_SECONDS

    def check(self, state: object) -> None:
        """Check what `CLEAN` reports after a render, and count that render.

        Raises:
            ChromeDied: The page is not as it was.
        """
        if not isinstance(state, dict):
            raise ChromeDied("its page could not be emptied")
        known = CLEAN_STATE | (self._state or state)
        differing = [name for name, value in known.items() if state.get(name) != value]
        if differing:
            raise ChromeDied(f"its page has changed: {', '.join(differing)}")
        self._state = state
        self.renders += 1
        self.used = time.monotonic()

    @property
    def is_measured(self) -> bool:
        """Whether the memory of its Chrome is to be measured after this render."""
        return self.renders >= SETTLED and self.renders % MEASURE_EVERY == 0

    def check_memory(self, used: int) -> None:
        """Compare the memory of its Chrome, in bytes, with what it was at first.

        Raises:
            ChromeDied: It has grown too much.
        """
        if self._memory is None:
            self._memory = used
        elif used > self._memory + MAX_GROWTH_BYTES:
            raise ChromeDied(f"its memory has grown by {(used - self._memory) >> 20} MiB")


#: Whether a key is of a template as it is now.
IsCurrent = Callable[[WarmKey], bool]
