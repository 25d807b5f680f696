"""Browser Run's routes: what every property does, its default, and what a bad value gets."""

import base64
import json
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.web import pdf_files
from tests.web.compat.cloudflare import PREFIX, ask, colour, error_of, result, shot
from tests.web.compat.posting import send
from tests.web.local_web import LocalServer, local_server
from tests.web.pictures import BLUE, CLEAR, LIME, RED, WHITE, at, decode
from tests.web.service import Service, running_in_own_folder

#: A page of which a script decides the colour: lime where its condition holds, else red.
SAYS = "<body><script>document.documentElement.style.background = (%s) ? '#0f0' : '#f00'</script>"
#: A page that is red at first, and lime after a moment.
LATER = (
    "<body style='background:#f00'><b id=gone>x</b><script>setTimeout(() => {"
    " document.body.style.background = '#0f0'; document.body.id = 'done'; gone.remove() }, 300)"
    "</script>"
)


@pytest.fixture(scope="module")
async def service() -> AsyncIterator[Service]:
    """A service for all tests here, without tokens."""
    async with running_in_own_folder(
        compat=("cloudflare",), allow_private="127.0.0.0/8", timeout_ms=20_000, cache_bytes=8 << 20
    ) as found:
        yield found


@pytest.fixture
async def server() -> AsyncIterator[LocalServer]:
    """A small web."""
    async with local_server() as found:
        yield found


# --- pictures ----------------------------------------------------------------------------------


async def test_a_picture_has_the_peers_defaults(service: Service) -> None:
    """800 x 600, png, white, for any Accept: the SDK sends application/json."""
    for accept in ("application/json", "application/pdf", "*/*"):
        path = f"{PREFIX}/screenshot?cacheTTL=0"
        headers = {"Accept": accept}
        answer = await send(service, "POST", path, json={"html": "<p>x"}, headers=headers)
        picture = decode(answer.body)
        assert (answer.status, answer.content_type) == (200, "image/png")
        assert (picture.size, at(picture, 700, 500)) == ((800, 600), WHITE)
        assert int(answer.headers["x-browser-ms-used"]) > 0


@pytest.mark.parametrize(
    ("condition", "body"),
    [
        ("innerWidth == 300 && innerHeight == 200", {"viewport": {"width": 300, "height": 200}}),
        ("devicePixelRatio == 2", {"viewport": {"width": 30, "height": 20,
         "deviceScaleFactor": 2}}),
        ("innerWidth >= 980", {"viewport": {"width": 300, "height": 200, "isMobile": True,
         "isLandscape": False}}),
        ("'ontouchstart' in window", {"viewport": {"width": 300, "height": 200,
         "hasTouch": True}}),
        ("matchMedia('print').matches", {"emulateMediaType": "print"}),
        ("navigator.userAgent == 'Bot/2'", {"userAgent": "Bot/2"}),
    ],
)  # fmt: skip
async def test_the_page_is_set_up_before_it_loads(
    service: Service, condition: str, body: dict[str, Any]
) -> None:
    """Its first script sees the viewport, the media and the user agent."""
    assert await colour(service, html=SAYS % condition, **body) == LIME


async def test_without_javascript_no_script_runs(service: Service) -> None:
    """By default they do."""
    html = "<body style='background:#00f'><script>document.body.style.background='#f00'</script>"
    assert await colour(service, html=html, setJavaScriptEnabled=False) == BLUE
    assert await colour(service, html=html, setJavaScriptEnabled=True) == RED


@pytest.mark.parametrize(
    ("body", "kind", "size"),
    [
        ({"screenshotOptions": {"type": "jpeg", "quality": 40}}, "image/jpeg", (800, 600)),
        ({"screenshotOptions": {"type": "webp"}}, "image/webp", (800, 600)),
        ({"screenshotOptions": {"fullPage": True}}, "image/png", (800, 1500)),
        ({"screenshotOptions": {"clip": {"x": 10, "y": 900, "width": 120, "height": 50}}},
         "image/png", (120, 50)),
        ({"screenshotOptions": {"captureBeyondViewport": True, "fromSurface": True,
          "optimizeForSpeed": True, "encoding": "binary"}}, "image/png", (800, 600)),
        ({"selector": "#box"}, "image/png", (70, 30)),
    ],
)  # fmt: skip
async def test_the_options_of_a_picture(
    service: Service, body: dict[str, Any], kind: str, size: tuple[int, int]
) -> None:
    """Format, quality, and what of the page it shows."""
    html = "<body style='margin:0;height:1500px'><div id=box style='width:70px;height:30px'>"
    answer = await ask(service, "screenshot", html=html, **body)
    assert (answer.status, answer.content_type) == (200, kind), answer.text
    assert decode(answer.body).size == size


async def test_a_picture_may_be_transparent_or_base64(service: Service) -> None:
    """As puppeteer has it."""
    clear = await shot(service, html="<p>x", screenshotOptions={"omitBackground": True})
    assert at(decode(clear), 700, 500) == CLEAR
    encoded = await shot(service, html="<p>x", screenshotOptions={"encoding": "base64"})
    assert decode(base64.b64decode(encoded)).size == (800, 600)


async def test_a_page_is_scrolled(service: Service) -> None:
    """So that what loads then is in the picture."""
    html = (
        "<body style='height:3000px'><script>addEventListener('scroll', () => {"
        "document.documentElement.style.background = '#0f0' })</script>"
    )
    assert await colour(service, html=html, scrollPage=True) == LIME
    assert await colour(service, html=html) == WHITE


# --- PDFs --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "size", "count"),
    [
        (None, (612, 792), 3), ({"format": "a5"}, (420, 596), 3),
        ({"landscape": True}, (792, 612), 3), ({"pageRanges": "2-3"}, (612, 792), 2),
        ({"width": "10in", "height": 480}, (720, 360), 3),
        ({"preferCSSPageSize": True}, (360, 360), 3), ({"scale": 0.5}, (612, 792), 3),
        ({"margin": {"top": "1in", "left": "20mm"}, "timeout": 9_000}, (612, 792), 3),
    ],
)  # fmt: skip
async def test_the_sheets_of_a_pdf(
    service: Service, options: dict[str, Any] | None, size: tuple[int, int], count: int
) -> None:
    """Letter by default."""
    html = "<style>@page { size: 5in 5in } p { break-after: page }</style><p>a<p>b<b>c</b>"
    body = {"pdfOptions": options} if options is not None else {}
    answer = await ask(service, "pdf", html=html.replace("<b>", "<p>"), **body)
    assert (answer.status, answer.content_type) == (200, "application/pdf"), answer.text
    found = pdf_files.sizes(answer.body)
    assert [tuple(map(round, one)) for one in found] == [size] * count


async def test_what_is_printed_in_a_pdf(service: Service) -> None:
    """Backgrounds if asked for; header and footer; tags and an outline."""
    html = "<title>T</title><body style='margin:0;background:#f00'><h1>Head</h1>"
    plain = pdf_files.picture((await ask(service, "pdf", html=html)).body)
    assert at(plain, plain.width - 5, plain.height - 5)[:3] == WHITE[:3]
    options: dict[str, Any] = {"printBackground": True}
    red = pdf_files.picture((await ask(service, "pdf", html=html, pdfOptions=options)).body)
    assert at(red, red.width - 5, red.height - 5)[:3] == RED[:3]
    options = {
        "displayHeaderFooter": True, "headerTemplate": "<b style='font-size:20px'>Above</b>",
        "footerTemplate": "<b style='font-size:20px'>Below</b>", "outline": True, "tagged": True,
        "margin": {"top": 100, "bottom": 100}, "omitBackground": True,
    }  # fmt: skip
    (text,) = pdf_files.texts((await ask(service, "pdf", html=html, pdfOptions=options)).body)
    assert [word in text for word in ("Above", "Head", "Below")] == [True] * 3


# --- what a page says --------------------------------------------------------------------------


async def test_content_is_the_document(service: Service, server: LocalServer) -> None:
    """After its scripts; with status and title of a page on the web."""
    html = "<!doctype html><p id=p>old</p><script>p.textContent = 'new'</script>"
    assert '<p id="p">new</p>' in await result(service, "content", html=html)
    answer = await ask(service, "content", url=server.page("/page", "<p>ü", title="A ü"))
    found = json.loads(answer.body)
    assert "<p>ü" in found["result"]
    assert found["meta"] == {"status": 200, "title": "A ü"}
    answer = await ask(service, "content", url=f"{server.address}/status?code=404")
    assert json.loads(answer.body)["meta"]["status"] == 404


async def test_scrape_is_what_selectors_match(service: Service) -> None:
    """Text, HTML, attributes and place of each."""
    html = "<body style='margin:0'><p class=a style='margin:0;width:50px;height:20px'>x<b>y</b></p>"
    body = {"elements": [{"selector": "p"}, {"selector": "i"}]}
    found, none = await result(service, "scrape", html=html, **body)
    assert none == {"selector": "i", "results": []}
    attributes = [
        {"name": "class", "value": "a"},
        {"name": "style", "value": "margin:0;width:50px;height:20px"},
    ]
    assert found == {"selector": "p", "results": [
        {"attributes": attributes, "html": "x<b>y</b>", "text": "xy", "left": 0, "top": 0,
         "width": 50, "height": 20},
    ]}  # fmt: skip


async def test_links_are_absolute_and_in_order(service: Service, server: LocalServer) -> None:
    """All of them, or those that are seen, or those of the same host."""
    page = server.page("/dir/page", (
        "<a href=a.html>1</a><a href='https://other.test/x'>2</a><a href=/b hidden>3</a>"
        "<a href='javascript:x()'>4</a><a href='mailto:a@b.test'>5</a><a href=a.html></a>"
        "<a href=/c><img src=/i.svg></a>"
    ))  # fmt: skip
    here, other, mail = server.address, "https://other.test/x", "mailto:a@b.test"
    every = [
        f"{here}/dir/a.html",
        other,
        f"{here}/b",
        mail,
        f"{here}/dir/a.html",
        f"{here}/c",
    ]
    assert await result(service, "links", url=page) == every
    seen = [f"{here}/dir/a.html", other, mail, f"{here}/c"]
    assert await result(service, "links", url=page, visibleLinksOnly=True) == seen
    own = [one for one in every if one not in (other, mail)]
    found = await result(service, "links", url=page, excludeExternalLinks=True)
    assert [one for one in found if one != mail] == own
    based = "<base href='https://base.test/d/'><a href=x>1</a><a href='//h.test'>2</a>"
    assert await result(service, "links", html=based) == ["https://base.test/d/x", "https://h.test"]
    assert await result(service, "links", html="<a href=x>1</a>") == ["x"]


async def test_markdown_is_the_text_of_the_page(service: Service, server: LocalServer) -> None:
    """With headings, lists, tables, links, and without scripts and styles."""
    body = (
        "<style>p{}</style><h2>Head</h2><p>one <b>two</b> <a href=/x>link</a></p>"
        "<ul><li>a<li>b</ul>"
        "<table><thead><tr><th>k<th>v</thead><tr><td>1<td>2</table><script>1</script>"
    )
    found = await result(service, "markdown", url=server.page("/page", body, title="Title"))
    for part in ("## Head", "one **two**", f"[link]({server.address}/x)", "- a\n- b", "| k | v |"):
        assert part in found
    assert "script" not in found
    assert "Title" not in found


@pytest.mark.parametrize("page", ["<blockquote>" * 30 + "x", "<p>" + "x" * (2 << 20)])
async def test_what_would_take_too_long_as_markdown_is_refused(service: Service, page: str) -> None:
    """By its depth, and by its size."""
    script = f"document.body.innerHTML = {json.dumps(page[:400])}.padEnd({len(page)}, 'x')"
    answer = await ask(service, "markdown", html=f"<body><script>{script}</script>")
    assert error_of(answer)[:2] == (422, 422), answer.text


async def test_a_snapshot_is_of_one_load(service: Service, server: LocalServer) -> None:
    """The document and a picture by default; others if asked for."""
    page = server.page("/page", "<p>once")
    found = await result(service, "snapshot", url=page)
    assert set(found) == {"content", "screenshot"}
    assert "<p>once" in found["content"]
    assert decode(base64.b64decode(found["screenshot"])).size == (800, 600)
    assert len(server.got("/page")) == 1
    options = {"type": "jpeg", "quality": 30, "clip": {"x": 0, "y": 0, "width": 9, "height": 7}}
    body = {"formats": ["markdown", "screenshot"], "screenshotOptions": options}
    found = await result(service, "snapshot", url=page, **body)
    picture = decode(base64.b64decode(found["screenshot"]))
    assert (picture.size, found["markdown"].strip()) == ((9, 7), "once")
    answer = await ask(service, "snapshot", html="x", formats=["accessibilityTree"])
    assert error_of(answer)[:2] == (501, 501)


# --- waiting -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        {"waitForTimeout": 600},
        {"waitForSelector": {"selector": "#done", "timeout": 9_000}},
        {"waitForSelector": {"selector": "#done", "visible": True}},
        {"waitForSelector": {"selector": "#gone", "hidden": True}},
    ],
)
async def test_what_a_page_is_waited_for(service: Service, body: dict[str, Any]) -> None:
    """A time or an element."""
    assert await colour(service, html=LATER, **body) == LIME


async def test_the_event_of_goto(service: Service, server: LocalServer) -> None:
    """Of several the one that comes last."""
    page = server.page("/page", "<img style='display:block' src=/slow.svg>")
    goto = {"waitUntil": ["load", "networkidle2"], "timeout": 15_000}
    assert await colour(service, url=page, gotoOptions=goto) == LIME


async def test_times_that_are_up(service: Service) -> None:
    """504 for goto and for a wait; a best attempt is what is there."""
    endless = "<script>while (true);</script>"
    answer = await ask(service, "screenshot", html=endless, gotoOptions={"timeout": 100})
    assert error_of(answer)[0] == 504
    wait = {"waitForSelector": {"selector": "#none", "timeout": 100}, "actionTimeout": 1_000}
    body = {"html": "<body style='background:#00f'>", "gotoOptions": {"timeout": 500}, **wait}
    assert error_of(await ask(service, "content", **body))[0] == 504
    assert await colour(service, **body, bestAttempt=True) == BLUE


# --- what is added, sent, and kept away ---------------------------------------------------------


async def test_styles_and_scripts_are_added(service: Service, server: LocalServer) -> None:
    """Themselves or by address."""
    style = [{"content": "html { background: #0f0 }"}]
    assert await colour(service, html="<p>x", addStyleTag=style) == LIME
    page, sheet = server.page("/page", "x"), [{"url": f"{server.address}/s.css"}]
    assert await colour(service, url=page, addStyleTag=sheet) == LIME
    script = [{"content": "document.documentElement.style.background = '#00f'", "id": "a"}]
    assert await colour(service, html="<p>x", addScriptTag=script) == BLUE


async def test_what_is_sent_goes_to_the_origin_of_the_url(
    service: Service, server: LocalServer
) -> None:
    """Headers, cookies, user and password, referer."""
    async with local_server() as other:
        page = server.page("/page", f"<img src=/a.svg><img src='{other.address}/b.svg'>")
        await result(
            service, "content", url=page, setExtraHTTPHeaders={"X-Tenant": "7"},
            authenticate={"username": "u", "password": "p"},
            gotoOptions={"referer": "https://a.test/from"},
            cookies=[
                {"name": "a", "value": "1", "url": server.address, "sourcePort": 80},
                {"name": "b", "value": "2", "domain": "127.0.0.1", "path": "/", "httpOnly": True,
                 "priority": "High", "sourceScheme": "NonSecure", "partitionKey": "x"},
            ],
        )  # fmt: skip
        assert not any("x-tenant" in one.headers for one in other.received)
    [first] = server.got("/page")
    assert first.headers["referer"] == "https://a.test/from"
    for one in (first, *server.got("/a.svg")):
        assert one.headers["x-tenant"] == "7"
        assert {"a=1", "b=2"} == set(one.headers["cookie"].split("; "))
        assert one.headers["authorization"] == "Basic dTpw"


@pytest.mark.parametrize(
    ("body", "loaded"),
    [
        ({"rejectResourceTypes": ["image", "eventsource"]}, {"/s.js", "/s.css"}),
        ({"rejectRequestPattern": [r"\.(js|css)$"]}, {"/a.svg"}),
        ({"rejectRequestPattern": ["/^.*\\.(CSS)/i"]}, {"/a.svg", "/s.js"}),
        ({"rejectRequestPattern": ["/^.*\\.(css)"]}, {"/a.svg", "/s.js"}),
        ({"allowResourceTypes": ["script"]}, {"/s.js"}),
        ({"allowResourceTypes": ["texttrack"]}, set()),
        ({"allowRequestPattern": [r"\.svg$", "s[.]js"]}, {"/a.svg", "/s.js"}),
        ({"allowRequestPattern": [r"\.(svg|js)$"], "rejectResourceTypes": ["script"]}, {"/a.svg"}),
    ],
)
async def test_requests_are_rejected_and_allowed(
    service: Service, server: LocalServer, body: dict[str, Any], loaded: set[str]
) -> None:
    """By type and by pattern; what is rejected is so in any case, and the page is loaded."""
    page = "<img src=/a.svg><script src=/s.js></script><link rel=stylesheet href=/s.css>"
    await result(service, "content", url=server.page("/page", page), **body)
    assert {one.path for one in server.received} == {"/page"} | loaded


async def test_an_answer_is_cached_for_its_time(service: Service, server: LocalServer) -> None:
    """5 s by default, also of a page with scripts; never with 0; each body by itself."""
    page = server.page("/page", "<script>document.title = Math.random()</script>")
    answers = [await ask(service, f"content?cacheTTL={ttl}", url=page) for ttl in (60, 60)]
    assert [one.headers["x-cache"] for one in answers] == ["miss", "hit"]
    assert answers[0].body == answers[1].body
    assert answers[1].headers["x-browser-ms-used"] == "0"
    default = [
        await send(service, "POST", f"{PREFIX}/content", json={"url": page, "viewport": None})
        for _ in range(2)
    ]
    assert default[0].body == default[1].body
    for _ in range(2):
        assert (await ask(service, "content", url=page)).headers["x-cache"] in ("bypass", "miss")
    assert len(server.got("/page")) >= 3


# --- what is refused ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("route", "body", "text"),
    [
        ("screenshot", {}, 'One of "url" or "html" properties are required.'),
        ("content", {"html": "x", "foo": 1}, "foo: is not allowed"),
        ("content", {"html": "x", "waitForFunction": {"fn": "1"}}, "waitForFunction: is not"),
        ("screenshot", {"html": "x", "screenshotOptions": {"type": "gif"}},
         "screenshotOptions.type"),
        ("screenshot", {"html": "x", "screenshotOptions": {"quality": 50}},
         "screenshotOptions.quality: has no meaning for png"),
        ("screenshot", {"html": "x", "selector": "a["}, "selector: is not a CSS selector"),
        ("screenshot", {"html": "x", "viewport": {"width": 0, "height": 10}}, "viewport.width"),
        ("pdf", {"html": "x", "pdfOptions": {"format": "b5"}}, "pdfOptions.format"),
        ("pdf", {"html": "x", "pdfOptions": {"pageRanges": "x"}}, "pdfOptions.pageRanges"),
        ("pdf", {"html": "x", "pdfOptions": {"margin": {"top": "50in"}}}, "pdfOptions.margin"),
        ("pdf", {"html": "x", "pdfOptions": {"fullPage": True}}, "pdfOptions.fullPage: is not"),
        ("scrape", {"html": "x"}, "elements"),
        ("scrape", {"html": "x", "elements": [{"selector": "a["}]}, "elements.0.selector"),
        ("links", {"html": "x", "visibleLinksOnly": 1}, "visibleLinksOnly"),
        ("snapshot", {"html": "x", "formats": []}, "formats"),
        ("snapshot", {"html": "x", "screenshotOptions": {"quality": 5}},
         "screenshotOptions.quality"),
        ("content", {"html": "x", "cookies": [{"name": "a", "value": "1"}]}, "cookies"),
        ("content", {"html": "x", "rejectRequestPattern": ["(?=a)"]}, "rejectRequestPattern.0"),
        ("content", {"html": "x", "allowRequestPattern": ["("]}, "allowRequestPattern.0"),
        ("content", {"html": "x", "allowResourceTypes": ["img"]}, "allowResourceTypes.0"),
        ("content", {"html": "x", "gotoOptions": {"waitUntil": "idle"}}, "gotoOptions.waitUntil"),
        ("content", {"html": "x", "actionTimeout": 999_999}, "actionTimeout"),
        ("content", {"html": "x", "waitForTimeout": 99_999_999}, "waitForTimeout"),
        ("content", {"html": "x", "emulateMediaType": "tv"}, "emulateMediaType"),
        ("content?cacheTTL=86401", {"html": "x"}, "cacheTTL"),
        ("content?cacheTTL=soon", {"html": "x"}, "cacheTTL"),
    ],
)  # fmt: skip
async def test_what_is_wrong_is_said_in_the_envelope(
    service: Service, route: str, body: dict[str, Any], text: str
) -> None:
    """400, with the property by Browser Run's own name."""
    status, code, message = error_of(await ask(service, route, **body))
    assert (status, code) == (400, 400), message
    assert text in message


async def test_other_refusals_have_the_envelope_too(service: Service) -> None:
    """No JSON, no page, no element, no such address."""
    path = f"{PREFIX}/content"
    answer = await send(service, "POST", path, data=b"x", headers={"Content-Type": "text/plain"})
    assert error_of(answer)[:2] == (415, 415)
    headers = {"Content-Type": "application/json"}
    answer = await send(service, "POST", path, data=b"{", headers=headers)
    assert error_of(answer)[:2] == (400, 400)
    answer = await ask(service, "screenshot", html="<p>", selector="#none")
    assert error_of(answer)[:2] == (422, 422)
    answer = await ask(service, "content", url="http://10.0.0.1/")
    assert error_of(answer)[:2] == (422, 422)
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    answer = await ask(service, "content", url=f"http://127.0.0.1:{port}/")
    assert error_of(answer)[:2] == (502, 502)


@pytest.mark.parametrize(
    ("method", "path", "word"),
    [
        ("POST", "json", "language model"), ("POST", "crawl", "more than one page"),
        ("GET", "crawl/7", "more than one page"), ("DELETE", "crawl/7", "more than one page"),
        ("POST", "accessibilityTree", "accessibility tree"),
    ],
)  # fmt: skip
async def test_what_is_not_there_says_why(
    service: Service, method: str, path: str, word: str
) -> None:
    """501, in the envelope."""
    status, code, message = error_of(await send(service, method, f"{PREFIX}/{path}", json={}))
    assert (status, code, word in message) == (501, 501, True), message
