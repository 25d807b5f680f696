"""What is added to a page: style sheets, scripts, what is hidden, and that nothing moves.

In headless-shell and full Chromium, with a Chrome for each render and with one for many.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import FormData, web

from tests.marks import some_in_quick
from tests.web.conftest import Service, StartService
from tests.web.modes import in_both_chromes, service_in_modes
from tests.web.pictures import BLUE, RED, at, decode

LIME = (0, 255, 0, 255)
SVG = (
    b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'>"
    b"<path fill='lime' d='M0 0h9v9H0'/></svg>"
)

ServePages = Callable[..., contextlib.AbstractAsyncContextManager[str]]


service = service_in_modes(fetch_timeout_ms=2_000, allow_private="127.0.0.0/8")


@pytest.fixture
async def host(serve_pages: ServePages) -> AsyncIterator[str]:
    """A server of style sheets and scripts, good and bad ones."""
    closing = asyncio.Event()

    def css(text: str) -> web.Response:
        return web.Response(text=text, content_type="text/css")

    async def good(_: web.Request) -> web.Response:
        return css("html { background: url(../picture.svg) }")

    async def late(_: web.Request) -> web.Response:
        await asyncio.sleep(0.4)
        return web.Response(body=SVG, content_type="image/svg+xml")

    async def moved(_: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": "sheets/good.css"})

    async def around(_: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": "around"})

    async def away(_: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": "http://10.0.0.1/x.css"})

    async def plain(_: web.Request) -> web.Response:
        return web.Response(text="html { background: red }")

    async def script(_: web.Request) -> web.Response:
        text = "document.documentElement.style.background = 'lime'; window.é = 'é'.length"
        return web.Response(body=text.encode("latin-1"), headers={
            "Content-Type": "text/javascript; charset=iso-8859-1"})  # fmt: skip

    async def never(_: web.Request) -> web.Response:
        await closing.wait()
        return web.Response()

    pages = {
        "sheets/good.css": good, "picture.svg": late, "moved": moved, "around": around,
        "away": away, "plain": plain, "script.js": script, "never": never,
    }  # fmt: skip
    async with serve_pages(**pages) as address:
        yield address
        closing.set()


async def colour(service: Service, html: str, **options: Any) -> tuple[int, ...]:
    """The colour of a page of 50 x 50 near its corner."""
    given = {"width": 50, "height": 50, **options}
    return at(decode(await service.picture(html=f"<!doctype html>{html}", **given)), 45, 45)


def style(text: str) -> list[dict[str, str]]:
    """One style sheet."""
    return [{"content": text}]


# --- styles -------------------------------------------------------------------------------------

#: Pages that are red by themselves, and that a style sheet at their end makes lime.
RED_PAGES = {
    "a rule": "<style>html { background: red }</style>",
    "a transition": "<style>html { background: red; transition: background 999s }</style>",
    "a policy": "<meta http-equiv=Content-Security-Policy content=\"default-src 'none';"
    " style-src 'sha256-x'; script-src 'none'\"><body bgcolor=red>",
    "no sheets": "<style>html { background: red }</style><script>"
    "document.adoptedStyleSheets = []</script>",
    "a later sheet": "<script>const one = new CSSStyleSheet();"
    "one.replaceSync('html { background: red }');"
    "onload = () => document.adoptedStyleSheets.push(one)</script>",
    "no body": "<style>html { background: red }</style><script>onload = () => {"
    "document.body.remove(); document.head.remove() }</script>",
    "nothing": "<body bgcolor=red>",
}


@pytest.mark.parametrize("javascript", some_in_quick([True, False], 2))
@pytest.mark.parametrize("name", RED_PAGES)
async def test_a_style_is_the_last_of_the_pages_own(
    service: Service, name: str, *, javascript: bool
) -> None:
    """There at the first paint, so that no transition begins; with scripts and without."""
    page, sheet = RED_PAGES[name], style("html, body { background: lime }")
    assert await colour(service, page, styles=sheet, javascript=javascript) == LIME
    if name != "no body" and javascript:
        assert await colour(service, page) == RED


@in_both_chromes
async def test_the_first_script_of_a_page_sees_its_styles(service: Service) -> None:
    """And the page's own elements are not changed by them."""
    html = (
        "<script>const seen = getComputedStyle(document.documentElement).color;"
        "const count = document.querySelectorAll('*').length;"
        "document.documentElement.style.background ="
        " seen === 'rgb(1, 2, 3)' && count === 3 ? 'lime' : 'red'</script>"
    )
    assert await colour(service, html, styles=style("html { color: rgb(1, 2, 3) }")) == LIME
    assert await colour(service, html) == RED


async def test_several_styles_are_in_order_and_a_broken_one_harms_no_other(
    service: Service,
) -> None:
    """What Chrome does not understand ends with its sheet."""
    sheets = [{"content": text} for text in (
        "html { background: red", "} html {", "html { background: lime }", "@import 'x.css'; p {"
    )]  # fmt: skip
    assert await colour(service, "<p>", styles=sheets) == LIME


async def test_what_a_style_needs_is_waited_for(service: Service, host: str) -> None:
    """A picture of it, relative to the sheet; with scripts and without, also in a policy's page."""
    for more in ({}, {"javascript": False}):
        for path in ("sheets/good.css", "moved"):
            sheets = [{"url": f"{host}/{path}"}]
            assert await colour(service, "<p>text", styles=sheets, **more) == LIME
        sheets = style(f"html {{ background: url({host}/picture.svg) }}")
        assert await colour(service, "<p>text", styles=sheets, **more) == LIME


async def test_a_font_of_a_style_is_waited_for(service: Service, host: str) -> None:
    """Here it does not come as a font, so there is a warning."""
    sheet = f"@font-face {{ font-family: x; src: url({host}/plain) }} p {{ font-family: x }}"
    answer = await service.render(html="<p>text", styles=style(sheet))
    assert answer.status == 200
    assert "reason=broken_font" in answer.headers["X-Render-Warnings"]


@pytest.mark.parametrize(
    ("path", "warning"),
    [
        ("nothing", "failed;url={};reason=http_404"),
        ("plain", "failed;url={};reason=mime_type"),
        ("never", "failed;url={};reason=timeout"),
        ("around", "denied;url={};reason=redirects"),
        ("away", 'denied;url="http://10.0.0.1/x.css";reason=address'),
    ],
)
async def test_a_style_that_does_not_come_is_a_warning(
    service: Service, host: str, path: str, warning: str
) -> None:
    """The page is painted without it; with `strict` that is an error."""
    sheets = [{"url": f"{host}/{path}"}, {"content": "html { background: lime }"}]
    answer = await service.render(html="<p>x", styles=sheets, width=50, height=50)
    assert answer.status == 200
    assert at(decode(await answer.read()), 45, 45) == LIME
    assert warning.format(f'"{host}/{path}"') in answer.headers["X-Render-Warnings"]
    strict = await service.render(html="<p>x", styles=sheets, strict=True)
    assert strict.status == (422 if "denied" in warning else 502)


async def test_a_file_of_the_form_is_a_style_and_a_script(service: Service) -> None:
    """By its path, relative to the page."""
    form = FormData()
    for name, text in (
        ("index.html", "<p>x"),
        ("look/page.css", "body { background: lime }"),
        ("page.js", "document.body.prepend('x')"),
    ):
        form.add_field(name, text.encode(), filename=name.rpartition("/")[2])
    query = {"styles.0.url": "look/page.css", "scripts.0.url": "page.js", "width": "50"}
    async with service.client.post(
        f"{service.address}/render", data=form, params={**query, "height": "50"}
    ) as answer:
        assert answer.status == 200, await answer.text()
        assert at(decode(await answer.read()), 45, 45) == LIME
        assert "X-Render-Warnings" not in answer.headers


# --- scripts ------------------------------------------------------------------------------------


async def test_scripts_run_in_order_after_the_page_has_loaded(service: Service) -> None:
    """Each sees what the one before declared; a promise is awaited; a policy does not stop them."""
    page = (
        "<meta http-equiv=Content-Security-Policy content=\"script-src 'none'\"><body>"
        "<img src='data:image/svg+xml,<svg xmlns=\"http://www.w3.org/2000/svg\"/>'>"
    )
    scripts = [
        {"content": "const state = document.readyState; var later;"},
        {"content": "new Promise((then) => setTimeout(() => { later = 'lime'; then() }, 300))"},
        {"content": "document.body.style.background = state === 'complete' ? later : 'red'"},
    ]
    assert await colour(service, page, scripts=scripts) == LIME


async def test_a_script_is_fetched(service: Service, host: str) -> None:
    """Before it is waited for what it does; in the encoding that its header names."""
    answer = await colour(
        service, "<p>x", scripts=[{"url": f"{host}/script.js"}],
        wait_for={"expression": "window.é === 1"},
    )  # fmt: skip
    assert answer == LIME


async def test_errors_of_scripts_are_warnings(service: Service, host: str) -> None:
    """Of kind and place, never with the text; the next script runs all the same."""
    scripts = [
        {"content": "\n  nobody.knows"},
        {"content": "if ("},
        {"content": "Promise.reject(new TypeError('secret'))"},
        {"content": "throw 'secret'"},
        {"url": f"{host}/nothing.js"},
        {"content": "document.body.style.background = 'lime'"},
    ]
    options: dict[str, Any] = {"html": "<p>x", "width": 50, "height": 50, "scripts": scripts}
    answer = await service.render(**options)
    assert at(decode(await answer.read()), 45, 45) == LIME
    warnings = answer.headers["X-Render-Warnings"]
    for kind, place in (
        ("ReferenceError", "2:3"),
        ("SyntaxError", "1:5"),
        ("TypeError", "promise"),
    ):
        assert f'script_error;kind="{kind}";at="{place}"' in warnings
    assert 'script_error;kind="string"' in warnings
    assert "secret" not in warnings
    assert f'failed;url="{host}/nothing.js";reason=http_404' in warnings
    assert (await service.render(**options, fail_on=["script_error"])).status == 422


# --- hide ---------------------------------------------------------------------------------------

BANNER = (
    "<style>body { margin: 0; background: lime } #one { height: 99px; background: red }</style>"
)
SHOWN = {
    "plain": f"{BANNER}<div id=one class=banner></div>",
    "important": f"{BANNER}<style>html body #one.banner {{ display: block !important }}</style>"
    "<div id=one class=banner></div>",
    "layered": f"<style>@layer a {{ #one {{ display: block !important }} }}</style>{BANNER}"
    "<div id=one class=banner></div>",
    "inline": f"{BANNER}<div id=one class=banner style='display: block !important'></div>",
    "late": f"{BANNER}<script>onload = () => {{ document.adoptedStyleSheets = [];"
    "document.body.innerHTML = '<div id=one class=banner style=\"display: flex\"></div>'"
    "}</script>",
}


@pytest.mark.parametrize("name", SHOWN)
async def test_what_is_hidden_takes_no_room(service: Service, name: str) -> None:
    """Against all styles of the page, and beside selectors that would swallow a rule in a sheet."""
    selectors = ["i /*", "[title='x", "p::before", ".banner", "u:is(", "b:has(> i)"]
    assert await colour(service, SHOWN[name], hide=selectors) == LIME
    assert await colour(service, SHOWN[name], hide=["#another", "p"]) == RED


async def test_what_is_hidden_is_not_there_for_the_first_script(service: Service) -> None:
    """Nor with a template; a page of a template is hidden from like any other."""
    html = (
        f"{SHOWN['plain']}<script>document.body.style.background ="
        "one.offsetHeight ? 'red' : 'blue'</script>"
    )
    assert await colour(service, html, hide=["#one"]) == BLUE
    data = {"title": "t", "author": {"name": "n"}}
    shown = await service.picture(template="article-card", data=data, format="png")
    hidden = await service.picture(template="article-card", data=data, hide=["body *"], freeze=True)
    assert len(decode(hidden).getcolors() or []) < len(decode(shown).getcolors(1 << 20) or [])


# --- freeze -------------------------------------------------------------------------------------

#: Lime only when all that moves has come to its end, or stands where its keyframes put it.
MOVING = {
    "a finite animation": "<style>@keyframes k { from { background: red } to { background: lime } }"
    " html { animation: k 99s 1s 3 forwards }</style>",
    "an endless animation": "<style>@keyframes k { 0%, 100% { background: red } }"
    " html { background: lime; animation: k 99s infinite }</style>",
    "a transition": "<style>html { background: red; transition: background 99s 99s }</style>"
    "<script>onload = () => { document.documentElement.offsetTop;"
    "document.documentElement.style.background = 'lime' }</script>",
    "by a script": "<script>document.documentElement.animate([{background: 'red'},"
    " {background: 'lime'}], {duration: 1e5, fill: 'both'})</script>",
    "a pseudo-element": "<style>@keyframes k { from { background: red } to { background: lime } }"
    " body::before { content: ''; position: fixed; inset: 0; animation: k 99s forwards }</style>",
    "a shadow tree": "<style>body { margin: 0 }</style><div><template shadowrootmode=open><style>"
    "@keyframes k { from { background: red } to { background: lime } }"
    " p { margin: 0; height: 99px; animation: k 99s forwards }</style><p></p></template></div>",
    "one after the other": "<style>@keyframes k { to { background: red } }"
    " html { background: red; animation: k 99s }</style><script>"
    "document.documentElement.onanimationend = () => document.documentElement.animate("
    "[{background: 'red'}, {background: 'lime'}], {duration: 1e5, fill: 'both'})</script>",
    "a paused one": "<style>@keyframes k { from { background: red } 50% { background: lime } }"
    " html { animation: k 100s -50s paused }</style>",
    "an svg": "<style>body { margin: 0 }</style><svg width=50 height=50><rect width=50 height=50"
    " fill=red><animate attributeName=fill from=red to=lime begin=1s dur=90s fill=freeze />"
    "<animate attributeName=x values='0;9;0' dur=1s repeatCount=indefinite /></rect></svg>",
}


@pytest.mark.parametrize("name", some_in_quick(list(MOVING), 3))
async def test_what_moves_is_brought_to_its_end(service: Service, name: str) -> None:
    """Finite ones at their end, endless ones as if they were not there."""
    page = MOVING[name]
    assert await colour(service, page, freeze=True) == LIME
    if name != "a paused one":
        assert await colour(service, page) != LIME
    if "<script>" not in page:
        assert await colour(service, page, freeze=True, javascript=False) == LIME


@pytest.mark.slow
@pytest.mark.parametrize("scale", [1, 2])
async def test_a_frozen_page_is_the_same_each_time(service: Service, scale: int) -> None:
    """To the byte, although each render sees another moment."""
    page = (
        "<!doctype html><style>@keyframes a { to { transform: rotate(1turn) scale(2) } }"
        "@keyframes b { to { margin-left: 99px; color: red } } p { animation: a 1.3s infinite }"
        "b { animation: b 7s } i { transition: all 9s } .x { font-size: 30px }</style><p>one"
        "<b>two</b> <i>three</i><input value=four autofocus><svg width=99 height=50>"
        "<circle r=9 cy=25><animate attributeName=cx from=0 to=99 dur=1.1s"
        " repeatCount=indefinite /></circle></svg><script>setTimeout(() => document.querySelector("
        "'i').classList.add('x'), Math.random() * 100)</script>"
    )
    options: dict[str, Any] = {"html": page, "width": 200, "height": 200, "delay_ms": 300}
    options["device_scale_factor"] = scale
    pictures = {await service.picture(**options, freeze=True) for _ in range(3)}
    assert len(pictures) == 1
    assert len({await service.picture(**options) for _ in range(3)}) > 1


async def test_the_caret_is_hidden(service: Service) -> None:
    """Also in an open shadow tree that has its own colour for it."""
    page = (
        "<style>body { margin-top: 80px }</style><input id=a style='caret-color: red'><div id=b>"
        "<template shadowrootmode=open>"
        "<style>input { caret-color: red }</style><input></template></div>"
    )
    clear = "=== 'rgba(0, 0, 0, 0)'"
    inner = f"getComputedStyle(b.shadowRoot.querySelector('input')).caretColor {clear}"
    body = f"<!doctype html>{page.replace(' style=', ' title=')}<script>onload = () => {{" + (
        "let left = 200; const look = () => { const seen = " + inner
        + f" && getComputedStyle(a).caretColor {clear};"
        "document.documentElement.style.background = seen ? 'lime' : 'red';"
        "if (left--) requestAnimationFrame(look) }; look() }</script>"
    )  # fmt: skip
    assert await colour(service, body, freeze=True) == LIME
    assert await colour(service, body) == RED


# --- pages on the web ----------------------------------------------------------------------------


async def test_a_page_on_the_web_is_added_to_and_waited_for(
    service: Service, serve_pages: ServePages
) -> None:
    """With any Content-Security-Policy; an address is relative to the page."""

    async def page(_: web.Request) -> web.Response:
        return web.Response(
            text="<!doctype html><body bgcolor=red><p>x<script>setTimeout(() => {"
            " window.posterReady = true; document.body.title = 'late' }, 300)</script>",
            content_type="text/html",
            headers={"Content-Security-Policy": "default-src 'none'; script-src 'unsafe-inline'"},
        )

    async def css(_: web.Request) -> web.Response:
        return web.Response(text="[title=late] { background: lime }", content_type="text/css")

    async with serve_pages(**{"site/page": page, "site/look.css": css}) as address:
        options: dict[str, Any] = {"url": f"{address}/site/page", "width": 50, "height": 50}
        options |= {"styles": [{"url": "look.css"}], "hide": ["p"], "freeze": True}
        for more in (
            {"wait_for": {"event": "posterReady"}},
            {"wait_for": {"expression": "document.body.title"}},
            {"scripts": [{"content": "document.body.title = 'late'"}]},
            {"wait_until": "networkidle0"},
        ):
            picture = decode(await service.picture(**options, **more))
            assert at(picture, 45, 45) == LIME
        early = decode(await service.picture(**options, javascript=False))
        assert at(early, 45, 45) == RED


# --- all of it ----------------------------------------------------------------------------------


async def test_frames_of_a_page_stay_as_they_are(service: Service) -> None:
    """What is added concerns the page itself."""
    frame = "<style>html{background:red}</style><p>x"
    page = f'<style>body,iframe{{margin:0;border:0}}</style><iframe srcdoc="{frame}"></iframe>'
    sheet = style("html { background: blue } iframe { width: 50px; height: 50px }")
    assert await colour(service, page, styles=sheet, hide=["p"]) == RED


@in_both_chromes
async def test_the_next_page_has_none_of_it(service: Service) -> None:
    """Nor a page that opens later in the same Chrome."""
    page = f"{SHOWN['plain']}<script>document.adoptedStyleSheets.length || one.remove()</script>"
    assert await colour(service, page, styles=style("html { color: red }"), freeze=True) == RED
    assert await colour(service, page) == LIME


@pytest.mark.slow
async def test_what_runs_or_moves_is_not_cached(start_service: StartService) -> None:
    """What is only there is; another style is another picture."""
    service = await start_service(cache_bytes=1 << 20)

    async def second(**options: Any) -> str:
        for _ in range(2):
            answer = await service.render(html="<p>x", **options)
            assert answer.status == 200
        return answer.headers["X-Cache"]

    assert await second(styles=style("p { color: red }"), hide=["b"], freeze=True) == "hit"
    assert await second(styles=style("p { color: blue }")) == "hit"
    assert await second(wait_for={"selector": "p"}, delay_ms=5, wait_until="networkidle2") == "hit"
    assert await second(scripts=[{"content": "1"}]) == "bypass"
    assert await second(wait_for={"expression": "true"}) == "bypass"
    assert await second(styles=style("p { animation: x 1s }")) == "bypass"
