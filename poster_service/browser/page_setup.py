"""What a page is given before its document loads: one named action for each option.

Its own file so that an option which changes the page has one place: a function here that returns
its command, and a line in `ACTIONS` or `ENVIRONMENT_ACTIONS`.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

from poster_service.browser import glyphs
from poster_service.browser.types import Environment, Viewport
from poster_service.browser.witness import LISTEN, MAX_ADDRESS, MAX_LOST_ELEMENTS, MAX_SCRIPT_ERRORS

#: A command of CDP and its parameters.
Command = tuple[str, dict[str, Any]]

# Chrome lets a script close a window only as long as its history has a single entry: with a second
# one `window.close()` does nothing, of any window. Nothing that a page does
# to its history makes that shorter.
STAY = "if (window === top) try { history.pushState(null, '', location.href); } catch {}\n"


def viewport_size(viewport: Viewport) -> Command:
    """The size and device scale factor, which also decide media queries."""
    is_turned = viewport.mobile and viewport.width > viewport.height
    kind, angle = ("landscapePrimary", 90) if is_turned else ("portraitPrimary", 0)
    metrics = {
        "width": viewport.width,
        "height": viewport.height,
        "deviceScaleFactor": viewport.scale,
        "mobile": viewport.mobile,
        "screenOrientation": {"angle": angle, "type": kind},
    }
    return "Emulation.setDeviceMetricsOverride", metrics


def background(viewport: Viewport) -> Command:
    """The colour under the page."""
    red, green, blue, alpha = viewport.background
    colour = {"r": red, "g": green, "b": blue, "a": alpha / 255}
    return "Emulation.setDefaultBackgroundColorOverride", {"color": colour}


def touch(environment: Environment) -> Command:
    """A touch screen: `pointer: coarse`, and `ontouchstart` in the window."""
    return "Emulation.setTouchEmulationEnabled", {"enabled": environment.touch, "maxTouchPoints": 5}


def media(environment: Environment) -> Command:
    """The media type and features of CSS; one command sets both, and what it does not name ends."""
    features = [{"name": name, "value": value} for name, value in environment.media_features]
    return "Emulation.setEmulatedMedia", {"media": environment.media or "", "features": features}


def timezone(environment: Environment) -> Command:
    """The time zone of the page's scripts."""
    return "Emulation.setTimezoneOverride", {"timezoneId": environment.timezone}


def locale(environment: Environment) -> Command:
    """The locale of Intl and Date; that of `navigator` is in `user_agent`."""
    return "Emulation.setLocaleOverride", {"locale": environment.locale}


def user_agent(environment: Environment) -> Command:
    """The names in `navigator.userAgent` and `.languages`; an empty one changes nothing."""
    names = {"userAgent": environment.user_agent or "", "acceptLanguage": environment.locale or ""}
    return "Emulation.setUserAgentOverride", names


def javascript(environment: Environment) -> Command:
    """Whether the page's scripts run; ours always do."""
    return "Emulation.setScriptExecutionDisabled", {"value": not environment.javascript}


#: Every option that changes a page before it loads, in this order. All commands are sent at once,
#: so that one more action costs no round trip.
ACTIONS: tuple[Callable[[Viewport], Command], ...] = (
    viewport_size,
    background,
)


#: The same for what an environment may change, each with the attributes that it is sent for.
ENVIRONMENT_ACTIONS: Mapping[Callable[[Environment], Command], tuple[str, ...]] = {
    touch: ("touch",),
    media: ("media", "media_features"),
    timezone: ("timezone",),
    locale: ("locale",),
    user_agent: ("user_agent", "locale"),
    javascript: ("javascript",),
}
#: The environment of a page for which nothing is sent.
PLAIN = Environment()
#: What Chrome alone knows of an option's value: its command, and the option's name.
CHECKED_BY_CHROME = {
    "Emulation.setTimezoneOverride": "timezone",
    "Emulation.setLocaleOverride": "locale",
}


def commands(viewport: Viewport | None) -> list[Command]:
    """The commands that give a viewport to a page; none for None."""
    return [action(viewport) for action in ACTIONS] if viewport is not None else []


def environment_commands(environment: Environment) -> list[Command]:
    """The commands that give an environment to a page that has none; none for `PLAIN`."""
    return [
        action(environment)
        for action, names in ENVIRONMENT_ACTIONS.items()
        if any(getattr(environment, name) != getattr(PLAIN, name) for name in names)
    ]


def document_script(errors_key: str, seen_key: str) -> str:
    """The script that runs in every document before the page's own.

    Args:
        errors_key: Name of the window's property that collects script errors (`witness.LISTEN`).
        seen_key: Name of the one that collects what `glyphs.LISTEN` sees.
    """
    limits = (MAX_SCRIPT_ERRORS, MAX_LOST_ELEMENTS, MAX_ADDRESS)
    errors = LISTEN % (*limits, json.dumps(errors_key))
    return f"{STAY}{errors};{glyphs.LISTEN % json.dumps(seen_key)}"
