"""browserless' screenshots: every property with what it does, and its default."""

import base64
from typing import Any

import pytest

from tests.web.compat.browserless import LATER, SAYS, TURN, colour, server, service, shot
from tests.web.compat.posting import post_json
from tests.web.local_web import LIME_SVG, LocalServer, local_server
from tests.web.pictures import BLUE, CLEAR, LIME, RED, WHITE, at, decode
from tests.web.service import Service

__all__ = ["server", "service"]


# --- what a picture shows ----------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["", "/chromium", "/chrome"])
async def test_a_picture_has_the_peers_defaults(service: Service, prefix: str) -> None:
    """800 x 600, png, white; the same under every prefix."""
    answer = await post_json(service, f"{prefix}/screenshot", html="<p>x")
    image = decode(answer.body)
    assert (answer.status, answer.content_type) == (200, "image/png")
    assert (image.size, at(image, 700, 500)) == ((800, 600), WHITE)
    assert answer.headers["x-isolation"] == "process"
    assert "x-response-code" not in answer.headers


@pytest.mark.parametrize(
    ("condition", "body"),
    [
        ("innerWidth == 800 && innerHeight == 600 && devicePixelRatio == 1", {}),
        ("innerWidth == 300 && innerHeight == 200",
         {"viewport": {"width": 300, "height": 200.0}}),
        ("devicePixelRatio == 2",
         {"viewport": {"width": 30, "height": 20, "deviceScaleFactor": 2}}),
        ("devicePixelRatio == 1",
         {"viewport": {"width": 30, "height": 20, "deviceScaleFactor": 0}}),
        ("innerWidth >= 980",
         {"viewport": {"width": 300, "height": 200, "isMobile": True, "isLandscape": False}}),
        ("'ontouchstart' in window",
         {"viewport": {"width": 300, "height": 200, "hasTouch": True}}),
        ("innerWidth == 800", {"viewport": None}),
        ("matchMedia('print').matches", {"emulateMediaType": "print"}),
        ("matchMedia('screen').matches", {"emulateMediaType": ""}),
        ("navigator.userAgent == 'Bot/1 x'", {"userAgent": {"userAgent": "Bot/1 x"}}),
        ("navigator.userAgent == 'Bot/2'", {"userAgent": "Bot/2"}),
        ("navigator.userAgent.includes('Chrome')",
         {"userAgent": {"platform": "x", "userAgentMetadata": {"mobile": True}}}),
    ],
)  # fmt: skip
async def test_the_page_is_set_up_before_it_loads(
    service: Service, condition: str, body: dict[str, Any]
) -> None:
    """Its first script sees the viewport, the media and the user agent."""
    assert await colour(service, html=SAYS % condition, **body) == LIME


async def test_without_javascript_no_script_runs(service: Service) -> None:
    """Which browserless itself does only where it is true."""
    html = "<body style='background:#00f'><script>document.body.style.background='#f00'</script>"
    assert await colour(service, html=html, setJavaScriptEnabled=False) == BLUE
    assert await colour(service, html=html, setJavaScriptEnabled=True) == RED


@pytest.mark.parametrize(
    ("options", "kind", "size"),
    [
        ({"type": "png"}, "image/png", (800, 600)),
        ({"type": "jpeg", "quality": 40}, "image/jpeg", (800, 600)),
        ({"type": "webp", "quality": 0}, "image/webp", (800, 600)),
        ({"fullPage": True}, "image/png", (800, 1500)),
        ({"clip": {"x": 10, "y": 900, "width": 120, "height": 50}}, "image/png", (120, 50)),
        ({"clip": {"x": 0, "y": 0, "width": 100, "height": 50, "scale": 2}}, "image/png",
         (200, 100)),
        ({"captureBeyondViewport": True, "fromSurface": True, "optimizeForSpeed": True,
          "encoding": "binary"}, "image/png", (800, 600)),
    ],
)  # fmt: skip
async def test_the_options_of_a_picture(
    service: Service, options: dict[str, Any], kind: str, size: tuple[int, int]
) -> None:
    """Type, quality, full page and clip."""
    html = "<body style='margin:0'><div style='height:1500px'>x"
    answer = await shot(service, html=html, options=options)
    assert (answer.content_type, decode(answer.body).size) == (kind, size)


async def test_a_lower_quality_takes_fewer_bytes(service: Service) -> None:
    """The same picture as jpeg."""
    html = "<body style='background:linear-gradient(45deg,red,blue,lime)'><h1>x</h1>"
    sizes = [
        len((await shot(service, html=html, options={"type": "jpeg", "quality": quality})).body)
        for quality in (5, 95)
    ]
    assert sizes[0] < sizes[1] / 2


async def test_without_background_a_picture_is_transparent(service: Service) -> None:
    """Where the type can be; a jpeg stays white, as with puppeteer."""
    assert await colour(service, html="<p>x", options={"omitBackground": True}) == CLEAR
    jpeg = {"omitBackground": True, "type": "jpeg"}
    assert await colour(service, html="<p>x", options=jpeg) == WHITE


async def test_base64_is_text(service: Service) -> None:
    """Of the same picture."""
    answer = await shot(service, html="<p>x", options={"encoding": "base64"})
    assert answer.content_type == "text/plain"
    assert decode(base64.b64decode(answer.body)).size == (800, 600)


async def test_a_selector_is_one_element(service: Service) -> None:
    """To its edges."""
    html = "<div id=a style='width:120px;height:60px;background:#00f'></div>"
    image = decode((await shot(service, html=html, selector="#a")).body)
    assert (image.size, at(image, 60, 30)) == ((120, 60), BLUE)
    answer = await post_json(service, "/screenshot", html=html, selector="#none")
    assert (answer.status, answer.text[:26]) == (400, "Element not found on page!")


# --- waiting -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        {"waitForTimeout": 600},
        {"waitForSelector": {"selector": "#done", "timeout": 9_000}},
        {"waitForSelector": {"selector": "#done", "visible": True, "timeout": 99_999_999}},
        {"waitForSelector": {"selector": "#gone", "hidden": True}},
        {"waitForFunction": {"fn": "window.done === 1;", "polling": "raf"}},
        {"waitForFunction": {"fn": "() => window.done", "polling": 50, "timeout": 9_000}},
        {"waitForFunction": {"fn": "function () { return window.done }"}},
        {"waitForFunction": {"fn": "async () => { await window.turned }"}},
        {"waitForEvent": {"event": "turned", "timeout": 9_000}},
    ],
)
async def test_what_a_page_is_waited_for(service: Service, body: dict[str, Any]) -> None:
    """A time, an element, a function or an event; without it the picture is taken at once."""
    script = TURN + "gone.remove(); dispatchEvent(new Event('turned')); resolve()"
    html = (
        "<script>window.turned = new Promise(done => { window.resolve = done })</script>"
        + LATER % script
        + "<b id=gone>x</b>"
    )
    assert await colour(service, html=html, **body) == LIME


@pytest.mark.parametrize(
    ("until", "is_late"),
    [
        ("load", True), ("domcontentloaded", False), ("networkidle0", True),
        (["load", "networkidle2"], True), ([], True),
    ],
)  # fmt: skip
async def test_the_event_of_goto(
    service: Service, server: LocalServer, until: object, is_late: bool
) -> None:
    """Of several the one that comes last; a slow picture is waited for, or not."""
    page = server.page("/page", "<img style='display:block' src=/slow.svg onload=''>")
    goto = {"waitUntil": until} if until else {}
    found = await colour(service, url=page, gotoOptions=goto)
    assert (found == LIME) >= is_late


async def test_a_time_out_is_408(service: Service) -> None:
    """From goto, from a wait, and from the query."""
    endless = "<script>while (true);</script>"
    for path, body in (
        ("/screenshot", {"html": "x", "waitForFunction": {"fn": "false", "timeout": 100}}),
        ("/screenshot", {"html": endless, "gotoOptions": {"timeout": 100}}),
        ("/screenshot?timeout=1000", {"html": endless}),
        ("/pdf?timeout=1000", {"html": endless}),
    ):
        answer = await post_json(service, path, **body)
        assert (answer.status, answer.content_type) == (408, "text/plain"), answer.text


async def test_a_best_attempt_is_what_is_there(service: Service) -> None:
    """When the time of its steps is up."""
    body = {"html": "<body style='background:#00f'>", "bestAttempt": True}
    waits = {"waitForSelector": {"selector": "#none", "timeout": 100}}
    assert await colour(service, **body, gotoOptions={"timeout": 500}, **waits) == BLUE


# --- what is added, sent, and kept away ---------------------------------------------------------


async def test_styles_and_scripts_are_added(service: Service, server: LocalServer) -> None:
    """Themselves or by address; paths of files are no property here."""
    style = {"content": "html { background: #0f0 }"}
    assert await colour(service, html="<p>x", addStyleTag=[style]) == LIME
    assert await colour(
        service, url=server.page("/page", "x"), addStyleTag=[{"url": server.address + "/s.css"}]
    ) == LIME  # fmt: skip
    script = {"content": "document.documentElement.style.background = '#00f'", "id": "a"}
    assert await colour(service, html="<p>x", addScriptTag=[script]) == BLUE
    answer = await post_json(service, "/screenshot", html="x", addScriptTag=[{"path": "/etc/x"}])
    assert (answer.status, '"addScriptTag.0.path" is not allowed' in answer.text) == (400, True)
    module = [{"content": "1", "type": "module"}]
    answer = await post_json(service, "/screenshot", html="x", addScriptTag=module)
    assert (answer.status, '"addScriptTag.0.type"' in answer.text) == (400, True)


async def test_what_is_sent_goes_to_the_origin_of_the_url(
    service: Service, server: LocalServer
) -> None:
    """Headers, cookies, user and password, referer; and the answer says what came."""
    page = server.page("/page", "<img src=/a.svg>")
    async with local_server() as other:
        server.pages["/page"] = (f"<img src=/a.svg><img src='{other.address}/b.svg'>", {})
        answer = await shot(
            service, url=page + "?x=1",
            setExtraHTTPHeaders={"X-Tenant": "7", "User-Agent": "Bot/3"},
            authenticate={"username": "u", "password": "p"},
            gotoOptions={"referer": "https://a.test/from"},
            cookies=[
                {"name": "a", "value": "1", "url": server.address, "sameSite": "Lax"},
                {"name": "b", "value": "2", "domain": "127.0.0.1", "path": "/", "expires": -1,
                 "httpOnly": True, "secure": False, "priority": "High"},
            ],
        )  # fmt: skip
        assert not any("x-tenant" in one.headers for one in other.received)
    [first] = server.got("/page")
    for one in (first, *server.got("/a.svg")):
        assert one.headers["x-tenant"] == "7"
        assert one.headers["user-agent"] == "Bot/3"
        assert {"a=1", "b=2"} == set(one.headers["cookie"].split("; "))
        assert one.headers["authorization"] == "Basic dTpw"
    assert first.headers["referer"] == "https://a.test/from"
    assert answer.headers["x-response-code"] == "200"
    assert answer.headers["x-response-status"] == "OK"
    assert answer.headers["x-response-url"] == page + "?x=1"


async def test_an_error_page_is_a_page(service: Service, server: LocalServer) -> None:
    """With its status; after redirects the address is the last one."""
    answer = await shot(service, url=f"{server.address}/status?code=404")
    assert answer.headers["x-response-code"] == "404"
    assert answer.headers["x-response-status"] == "Not Found"
    server.redirects["/start"] = server.page("/end", "x")
    answer = await shot(service, url=server.address + "/start")
    assert answer.headers["x-response-url"] == server.address + "/end"


async def test_requests_are_rejected_and_intercepted(service: Service, server: LocalServer) -> None:
    """By type, by pattern, and by responses, whose bodies are base64 where they could be."""
    page = server.page("/page", "<img style='display:block' src=/a.svg><script src=/s.js></script>")
    await shot(service, url=page, rejectResourceTypes=["image", "eventsource", "manifest"])
    assert {one.path for one in server.received} == {"/page", "/s.js"}
    server.received.clear()
    await shot(service, url=page, rejectRequestPattern=[r"\.(js|css)$"])
    assert {one.path for one in server.received} == {"/page", "/a.svg"}
    server.received.clear()
    red = LIME_SVG.replace("#00ff00", "#ff0000")
    for body in (red, base64.b64encode(red.encode()).decode()):
        response = {"body": body, "contentType": "image/svg+xml", "headers": {"X-A": [1, "b"]}}
        canned = [{"pattern": "a[.]svg", "response": response}]
        assert await colour(service, url=page, requestInterceptors=canned) == RED
    assert not server.got("/a.svg")


async def test_a_page_is_scrolled(service: Service) -> None:
    """So that what loads then is in the picture."""
    html = (
        "<body style='height:3000px'><script>addEventListener('scroll', () => {"
        "document.documentElement.style.background = '#0f0' })</script>"
    )
    assert await colour(service, html=html, scrollPage=True) == LIME
    assert await colour(service, html=html) == WHITE
