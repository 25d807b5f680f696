"""From a body of browserless to options of POST /render: what every route has, and screenshots.

What has no meaning here, and what means something a little different, is listed in
`docs/compat-browserless.md`.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from poster_service.errors import Fault, InvalidField
from poster_service.render.request import Limits
from poster_service.web.compat.puppeteer.bodies import (
    CookieParam,
    GotoOptions,
    Page,
    RequestInterceptor,
    Scrape,
    Screenshot,
    Viewport,
)
from poster_service.web.compat.puppeteer.parameters import Parameters

Options = dict[str, Any]

#: puppeteer's own viewport, which browserless does not change.
DEFAULT_VIEWPORT = Viewport(width=800, height=600)
#: The events that a page may be waited for; of several the last one happens last.
EVENTS = ("domcontentloaded", "load", "networkidle2", "networkidle0")
#: Resource types that Chrome reports; it counts what an EventSource or a `<track>` loads as others.
TYPES = frozenset((
    "document", "stylesheet", "image", "media", "font", "script", "xhr", "fetch", "websocket",
    "prefetch", "ping", "other",
))  # fmt: skip
#: Time for set-up and capture beside what the caller gives to its steps, in ms, and as a part of
#: all of it: so much is left when a page is given up (`render.page_run`).
RESERVE_MS, RESERVE_SHARE = 1_000, 0.1
#: What browserless takes for base64 in the body of a canned response.
_BASE64 = re.compile(r"([0-9A-Za-z+/]{4})*(([0-9A-Za-z+/]{2}==)|([0-9A-Za-z+/]{3}=))?\Z")

#: Names of browserless by those of the options that they become.
NAMES: Mapping[str, str] = {
    "url": "url", "html": "html", "width": "viewport.width", "height": "viewport.height",
    "device_scale_factor": "viewport.deviceScaleFactor", "mobile": "viewport.isMobile",
    "touch": "viewport.hasTouch", "media": "emulateMediaType", "user_agent": "userAgent",
    "javascript": "setJavaScriptEnabled", "headers": "setExtraHTTPHeaders",
    "referrer": "gotoOptions.referer", "cookies": "cookies", "credentials": "authenticate",
    "block.expressions": "rejectRequestPattern", "block": "rejectResourceTypes",
    "respond": "requestInterceptors", "styles": "addStyleTag", "scripts": "addScriptTag",
    "scroll_page": "scrollPage", "wait_until": "gotoOptions.waitUntil",
    "wait_for.selector": "waitForSelector.selector", "wait_for.state": "waitForSelector",
    "wait_for.expression": "waitForFunction.fn", "wait_for.event": "waitForEvent.event",
    "wait_for.timeout_ms": "waitForSelector.timeout",
    "delay_ms": "waitForTimeout", "on_timeout": "bestAttempt", "timeout_ms": "?timeout",
    "locale": "?launch.args",
    **{
        f"respond.{at}.{ours}": f"requestInterceptors.{at}.{theirs}"
        for at in range(20)
        for ours, theirs in (
            ("expression", "pattern"), ("status", "response.status"), ("body", "response.body"),
            ("headers", "response.headers"), ("content_type", "response.contentType"),
        )
    },
}  # fmt: skip
#: Those of a picture.
PICTURE_NAMES: Mapping[str, str] = {
    **NAMES, "format": "options.type", "quality": "options.quality", "clip": "options.clip",
    "full_page": "options.fullPage", "background": "options.omitBackground",
    "selector": "selector",
}  # fmt: skip


def screenshot_options(body: Screenshot, parameters: Parameters, limits: Limits) -> Options:
    """The options of a picture.

    Raises:
        InvalidField: A property has a value that has no meaning here.
    """
    given, found = body.options, page_options(body, parameters, limits)
    kind = (given and given.type) or "png"
    found["format"] = kind
    if body.scroll_page:
        found["scroll_page"] = True
    if body.selector:
        found["selector"] = body.selector
    is_clear = given is not None and given.omit_background and kind != "jpeg"
    found["background"] = "transparent" if is_clear else "#ffffff"
    if given is None:
        return found
    if given.quality is not None:
        found["quality"] = max(1, whole(given.quality, "options.quality"))
    if given.full_page:
        found["full_page"] = True
    if given.clip is not None:
        found["clip"] = given.clip.model_dump(exclude_none=True)
    return found


def page_options(body: Page, parameters: Parameters, limits: Limits) -> Options:
    """The options of the page, which every route has.

    Raises:
        InvalidField: There is no source, or a property has a value that has no meaning here.
    """
    found: Options = {**_source(body), **_viewport(body, parameters), **_reader(body, parameters)}
    if body.url:
        found |= _sent(body, body.url, found)
    block = {
        "types": [kind for kind in dict.fromkeys(body.reject_resource_types) if kind in TYPES],
        "expressions": body.reject_request_pattern,
    }
    found |= {"block": block} if any(block.values()) else {}
    found |= _given("respond", [_response(one) for one in body.request_interceptors])
    found |= _given("styles", [one.model_dump(exclude_none=True) for one in body.add_style_tag])
    found |= _given("scripts", list(_scripts(body)))
    return found | _waits(body, limits) | _times(body, parameters, limits)


def whole(number: float, field: str) -> int:
    """A whole number, as JSON may write it with a fraction of zero.

    Raises:
        InvalidField: It is not whole.
    """
    if number != int(number):
        raise InvalidField.of(Fault(field, f"{number} is not a whole number", "a whole number"))
    return int(number)


def _given(name: str, value: Sequence[Any]) -> Options:
    return {name: list(value)} if value else {}


def _source(body: Page) -> Options:
    if body.url:
        return {"url": body.url, "allow_error_status": True}
    if not body.html:
        raise InvalidField.of(Fault("", 'One of "url" or "html" properties are required.'))
    private = {
        "cookies": body.cookies, "authenticate": body.authenticate,
        "setExtraHTTPHeaders": body.set_extra_http_headers,
    }  # fmt: skip
    if wrong := [name for name, value in private.items() if value]:
        raise InvalidField.of(
            *(Fault(name, "is sent to the origin of the url only, and html has none", "url")
              for name in wrong)
        )  # fmt: skip
    return {"html": body.html}


def _viewport(body: Page, parameters: Parameters) -> Options:
    given = body.viewport or parameters.launch.viewport or DEFAULT_VIEWPORT
    found: Options = {
        "width": whole(given.width, "viewport.width"),
        "height": whole(given.height, "viewport.height"),
    }
    if given.device_scale_factor:  # 0 is the default, too
        found["device_scale_factor"] = given.device_scale_factor
    return found | {
        name: True for name, on in (("mobile", given.is_mobile), ("touch", given.has_touch)) if on
    }


def _reader(body: Page, parameters: Parameters) -> Options:
    """Who looks at the page."""
    agent = body.user_agent if isinstance(body.user_agent, str) else None
    if body.user_agent is not None and not isinstance(body.user_agent, str):
        agent = body.user_agent.user_agent
    found = {
        "media": body.emulate_media_type or None,
        "user_agent": agent or parameters.launch.user_agent,
        "locale": parameters.launch.language,
        "javascript": False if body.set_javascript_enabled is False else None,
    }
    return {name: value for name, value in found.items() if value is not None}


def _sent(body: Page, url: str, found: Options) -> Options:
    """What is sent to the origin of the url."""
    options: Options = {}
    headers = dict(body.set_extra_http_headers or {})
    for name in list(headers):
        if name.lower() == "user-agent" and "user_agent" not in found:
            options["user_agent"] = headers.pop(name)
        elif name.lower() == "referer":
            options["referrer"] = headers.pop(name)
    if headers:
        options["headers"] = headers
    goto = body.goto_options or GotoOptions()
    if goto.referer:
        options["referrer"] = goto.referer
    if body.cookies:
        options["cookies"] = [_cookie(one, at) for at, one in enumerate(body.cookies)]
    if body.authenticate is not None:
        options["credentials"] = body.authenticate.model_dump()
    return options


def _cookie(given: CookieParam, at: int) -> Options:
    """A cookie; its own url says for which host it is, as its domain does."""
    found: Options = {"name": given.name, "value": given.value}
    domain = given.domain
    if domain is None and given.url is not None:
        domain = _host(given.url, f"cookies.{at}.url")
    is_lasting = given.expires is not None and given.expires >= 0  # -1 is a session's
    more = {
        "domain": domain,
        "path": given.path,
        "secure": given.secure,
        "http_only": given.http_only,
        "same_site": given.same_site.lower() if given.same_site not in (None, "Default") else None,
        "expires": given.expires if is_lasting else None,
    }
    return found | {name: value for name, value in more.items() if value is not None}


def _host(url: str, field: str) -> str:
    found = re.match(r"https?://(?:[^/@]*@)?(\[[^\]]*\]|[^/:?#]+)", url)
    if found is None:
        raise InvalidField.of(Fault(field, "is not an http or https address", "an address"))
    return found[1]


def _response(given: RequestInterceptor) -> Options:
    """A canned response; its body is base64 where it could be, as browserless has it."""
    answer = given.response
    body = answer.body or ""
    headers = {name: _header(value) for name, value in (answer.headers or {}).items()}
    found = {
        "status": answer.status,
        "content_type": answer.content_type or None,
        "headers": headers or None,
        "body": body or None,
        "encoding": "base64" if body and _BASE64.match(body) else None,
    }
    return {
        "expression": given.pattern,
        **{name: value for name, value in found.items() if value is not None},
    }


def _header(value: object) -> str:
    values = value if isinstance(value, list) else [value]
    return ", ".join(one if isinstance(one, str) else json.dumps(one) for one in values)


def _scripts(body: Page) -> Iterator[Options]:
    for at, one in enumerate(body.add_script_tag):
        if one.type not in (None, "", "text/javascript", "application/javascript"):
            field = f"addScriptTag.{at}.type"
            raise InvalidField.of(Fault(field, "is not supported", "a classic script"))
        yield one.model_dump(include={"url", "content"}, exclude_none=True)


def _waits(body: Page, limits: Limits) -> Options:
    """What the page is waited for."""
    found: Options = {}
    goto = body.goto_options
    if goto is not None and goto.wait_until:
        events = [goto.wait_until] if isinstance(goto.wait_until, str) else goto.wait_until
        found["wait_until"] = max(events, key=EVENTS.index)
    awaited: Options = {}
    if (element := body.wait_for_selector) is not None:
        state = "hidden" if element.hidden else "visible" if element.visible else "attached"
        awaited |= {"selector": element.selector, "state": state}
    if body.wait_for_function is not None:
        awaited["expression"] = expression_of(body.wait_for_function.fn)
    if body.wait_for_event is not None:
        awaited["event"] = body.wait_for_event.event
    if awaited and (limit := wait_time(body, limits)) is not None:
        awaited["timeout_ms"] = limit
    found |= {"wait_for": awaited} if awaited else {}
    if body.wait_for_timeout:
        found["delay_ms"] = int(body.wait_for_timeout)
    return found


def expression_of(function: str) -> str:
    """JavaScript that is truthy once a function or statement of `waitForFunction` is.

    Asynchronous code has to end only: what it returns does not count, as in browserless.
    """
    plain = function.strip().rstrip(";")
    if "async" in plain or "await" in plain:
        return f"(async () => {{ await ({plain})(); return true }})()"
    return plain


def wait_time(body: Page, limits: Limits) -> int | None:
    """The time for all that the page is waited for, in ms; None where a wait has no time.

    It is never longer than a render may be: the deadline comes first then.
    """
    steps = [body.wait_for_selector, body.wait_for_function, body.wait_for_event]
    times = [step.timeout for step in steps if step is not None]
    if isinstance(body, Scrape):  # its elements are waited for together
        some = [one.timeout for one in body.elements]
        times.append(None if None in some else max(one or 0 for one in some))
    known = [one for one in times if one]  # 0 is no limit
    if not times or len(known) < len(times):
        return None
    return min(max(1, int(sum(known))), limits.max_timeout_ms)


def _times(body: Page, parameters: Parameters, limits: Limits) -> Options:
    """The one deadline of the render, from the query, or from the times of the body's steps."""
    found: Options = {"on_timeout": "capture"} if body.best_attempt else {}
    if parameters.timeout is not None:
        return found | {"timeout_ms": parameters.timeout}
    goto = body.goto_options.timeout if body.goto_options else None
    waits = (wait_time(body, limits) or 0) + (body.wait_for_timeout or 0)
    if goto is None and not waits:
        return found
    # 0 is no limit there; here it is the longest that there is.
    load = limits.max_timeout_ms if goto == 0 else limits.timeout_ms if goto is None else goto
    whole_time = max(load + waits + RESERVE_MS, (load + waits) / (1 - RESERVE_SHARE))
    return found | {"timeout_ms": min(int(whole_time), limits.max_timeout_ms)}
