"""From a body of Browser Run to options of POST /render.

Most of it is what puppeteer calls so: such a body becomes one of puppeteer's, which
`puppeteer.translation` and `.printing` translate.
"""

import re
from collections.abc import Mapping
from typing import Any, TypeVar

from poster_service.render.request import Limits
from poster_service.web.compat.cloudflare.bodies import (
    Links,
    Page,
    Pdf,
    Scrape,
    Screenshot,
    Snapshot,
)
from poster_service.web.compat.puppeteer import bodies as puppeteer
from poster_service.web.compat.puppeteer.parameters import Parameters
from poster_service.web.compat.puppeteer.printing import PDF_NAMES, print_options
from poster_service.web.compat.puppeteer.translation import (
    PICTURE_NAMES,
    RESERVE_MS,
    TYPES,
    page_options,
    screenshot_options,
)

Options = dict[str, Any]
P = TypeVar("P", bound=puppeteer.Page)

#: What of a page its links are, and the address that they are relative to.
LINKS = ["a[href], area[href]", "base[href]"]
#: A regular expression as JavaScript writes it, with `/` around and flags behind. The examples in
#: Cloudflare's documentation have the first of the two only.
_DELIMITED = re.compile(r"/(?P<inside>.*)/(?P<flags>[dgimsuvy]{0,8})\Z", re.DOTALL)

#: Names of Browser Run by those of the options that they become.
NAMES: Mapping[str, str] = {
    **{
        ours: theirs.replace("options.", "screenshotOptions.")
        for ours, theirs in PICTURE_NAMES.items()
        if not theirs.startswith("?")
    },
    "timeout_ms": "actionTimeout", "block.expressions": "rejectRequestPattern",
    "allow.expressions": "allowRequestPattern", "allow": "allowResourceTypes",
    "cache_ttl": "cacheTTL",
}  # fmt: skip
PRINT_NAMES: Mapping[str, str] = {
    **NAMES,
    **{
        ours: "pdfOptions" + theirs.removeprefix("options")
        for ours, theirs in PDF_NAMES.items()
        if theirs.partition(".")[0] == "options"
    },
}
SCRAPE_NAMES: Mapping[str, str] = {
    **NAMES,
    **{f"elements.{at}": f"elements.{at}.selector" for at in range(20)},
}
SNAPSHOT_NAMES: Mapping[str, str] = {
    **NAMES,
    **{
        f"outputs.{at}.{ours}": NAMES[ours]
        for at in range(2)
        for ours in ("format", "quality", "clip", "full_page", "background")
    },
}


def picture(body: Screenshot, limits: Limits) -> Options:
    """The options of POST /screenshot.

    Raises:
        InvalidField: A property has a value that has no meaning here; as of each of these.
    """
    shown = _as_puppeteer(
        puppeteer.Screenshot,
        body,
        options=body.screenshot_options,
        selector=body.selector,
        scroll_page=body.scroll_page,
    )
    return screenshot_options(shown, Parameters(), limits) | _of_page(body, limits)


def printed(body: Pdf, limits: Limits) -> Options:
    """The options of POST /pdf."""
    given = body.pdf_options
    options = puppeteer.PdfOptions.model_construct(**dict(given)) if given else None
    shown = _as_puppeteer(puppeteer.Pdf, body, options=options)
    return print_options(shown, Parameters(), limits) | _of_page(body, limits)


def content(body: Page, limits: Limits) -> Options:
    """The options of POST /content and /markdown."""
    return _plain(body, limits) | {"format": "html"}


def scraped(body: Scrape, limits: Limits) -> Options:
    """The options of POST /scrape."""
    selectors = [one.selector for one in body.elements]
    return _plain(body, limits) | {"format": "elements", "elements": selectors}


def links(body: Links, limits: Limits) -> Options:
    """The options of POST /links."""
    return _plain(body, limits) | {"format": "elements", "elements": LINKS}


def snapshot(body: Snapshot, limits: Limits) -> Options:
    """The options of POST /snapshot: one load of the page, its document and its picture."""
    options = _plain(body, limits)
    outputs: list[Options] = []
    if {"content", "markdown"} & set(body.formats):
        outputs.append({"name": "content", "format": "html"})
    if "screenshot" in body.formats:
        shown = _as_puppeteer(puppeteer.Screenshot, body, options=body.screenshot_options)
        made = screenshot_options(shown, Parameters(), limits)
        own = ("format", "quality", "full_page", "clip", "background")
        outputs.append({"name": "screenshot", **{one: made[one] for one in own if one in made}})
    return options | {"outputs": outputs}


def expression(pattern: str) -> str:
    """A pattern as a regular expression without what JavaScript has around it."""
    if (found := _DELIMITED.match(pattern)) is not None:
        flags = "".join(sorted(set(found["flags"]) & set("ims")))  # the others change nothing
        return f"(?{flags}){found['inside']}" if flags else found["inside"]
    return pattern[1:] if pattern.startswith("/^") else pattern


def _plain(body: Page, limits: Limits) -> Options:
    return page_options(_as_puppeteer(puppeteer.Page, body), Parameters(), limits) | _of_page(
        body, limits
    )


def _as_puppeteer(kind: type[P], body: Page, **more: Any) -> P:
    """The same as puppeteer has it; both are checked already."""
    shared = {name: value for name, value in dict(body).items() if name in kind.model_fields}
    shared["reject_request_pattern"] = [expression(one) for one in body.reject_request_pattern]
    return kind.model_construct(**(shared | more))


def _of_page(body: Page, limits: Limits) -> Options:
    """What Browser Run has beside that."""
    options: Options = {}
    # What EventSource or `<track>` load has no kind of its own in Chrome (`puppeteer.translation`).
    types = [one if one in TYPES else "other" for one in body.allow_resource_types]
    allow = {
        "types": list(dict.fromkeys(types)),
        "expressions": [expression(one) for one in body.allow_request_pattern],
    }
    if any(allow.values()):
        options["allow"] = {name: value for name, value in allow.items() if value}
    if body.action_timeout:
        options["timeout_ms"] = _whole_time(body, body.action_timeout, limits)
    return options


def _whole_time(body: Page, action: float, limits: Limits) -> int:
    """Time for loading, all that is waited for, and what is done then, in milliseconds."""
    goto = body.goto_options.timeout if body.goto_options else None
    load = limits.timeout_ms if goto is None else goto
    wait = (body.wait_for_selector and body.wait_for_selector.timeout) or 0
    whole = load + wait + (body.wait_for_timeout or 0) + max(action, RESERVE_MS)
    return min(int(whole), limits.max_timeout_ms)
