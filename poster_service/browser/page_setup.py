"""What a page is given before its document loads: one named action for each option.

Its own file so that an option which changes the page has one place: a function here that returns
its command, and a line in `ACTIONS`.
"""

import json
from collections.abc import Callable
from typing import Any

from poster_service.browser import glyphs
from poster_service.browser.types import Viewport
from poster_service.browser.witness import LISTEN, MAX_ADDRESS, MAX_LOST_ELEMENTS, MAX_SCRIPT_ERRORS

#: A command of CDP and its parameters.
Command = tuple[str, dict[str, Any]]

# Chrome lets a script close a window only as long as its history has a single entry: with a second
# one `window.close()` does nothing, whichever window's function is called. Nothing that a page does
# to its history makes that shorter.
STAY = "if (window === top) try { history.pushState(null, '', location.href); } catch {}\n"


def viewport_size(viewport: Viewport) -> Command:
    """The size and device scale factor, which also decide media queries."""
    metrics = {
        "width": viewport.width,
        "height": viewport.height,
        "deviceScaleFactor": viewport.scale,
        "mobile": False,
        "screenOrientation": {"angle": 0, "type": "portraitPrimary"},
    }
    return "Emulation.setDeviceMetricsOverride", metrics


def background(viewport: Viewport) -> Command:
    """The colour under the page."""
    red, green, blue, alpha = viewport.background
    colour = {"r": red, "g": green, "b": blue, "a": alpha / 255}
    return "Emulation.setDefaultBackgroundColorOverride", {"color": colour}


#: Every option that changes a page before it loads, in this order. All commands are sent at once,
#: so that one more action costs no round trip.
ACTIONS: tuple[Callable[[Viewport], Command], ...] = (
    viewport_size,
    background,
)


def commands(viewport: Viewport | None) -> list[Command]:
    """The commands that give a viewport to a page; none for None."""
    return [action(viewport) for action in ACTIONS] if viewport is not None else []


def document_script(errors_key: str, seen_key: str) -> str:
    """The script that runs in every document before the page's own.

    Args:
        errors_key: Name of the window's property that collects script errors (`witness.LISTEN`).
        seen_key: Name of the one that collects what `glyphs.LISTEN` sees.
    """
    limits = (MAX_SCRIPT_ERRORS, MAX_LOST_ELEMENTS, MAX_ADDRESS)
    errors = LISTEN % (*limits, json.dumps(errors_key))
    return f"{STAY}{errors};{glyphs.LISTEN % json.dumps(seen_key)}"
