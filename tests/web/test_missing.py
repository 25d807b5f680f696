"""What a page asks for and does not get, or cannot use, is a warning; `strict` fails; no cache.

One table of kinds, each rendered by real Chrome: by a page in which nothing runs and by one with a
script, which are loaded in different ways.
"""

import asyncio
import zlib
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import pytest
from aiohttp import web

from poster_service.render.warnings import items
from tests.marks import steps_through_a_table
from tests.web.conftest import Service, StartService
from tests.web.service import running_in_own_folder

FULL = Path("/usr/lib/chromium/chromium")
SCRIPT = "<script>let nothing = 0</script>"


def png() -> bytes:
    """A red picture of 1 x 1 pixels."""

    def chunk(name: bytes, data: bytes) -> bytes:
        whole = name + data
        return len(data).to_bytes(4, "big") + whole + zlib.crc32(whole).to_bytes(4, "big")

    head = (1).to_bytes(4, "big") * 2 + b"\x08\x02\0\0\0"
    data = zlib.compress(b"\0\xff\0\0")
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        (chunk(b"IHDR", head), chunk(b"IDAT", data), chunk(b"IEND", b""))
    )


#: Files that come with each page, with their media types.
FILES: dict[str, tuple[bytes, str]] = {
    "img/Logo.png": (png(), "image/png"),
    "broken.png": (b"no picture at all", "image/png"),
    "empty.png": (b"", "image/png"),
    "cut.png": (png()[:40], "image/png"),
    "corrupt.png": (png()[:45] + b"IDATIEND" * 20, "image/png"),
    "drawing.svg": (
        b"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 1 1'/>",
        "image/svg+xml",
    ),
    "empty.svg": (b"<p>no drawing</p>", "image/svg+xml"),
    "bad.woff2": (b"no font", "font/woff2"),
    "odd.woff2": (b"wOF2" + bytes(100), "font/woff2"),
    "page.css": (b"@import 'none.css'; p { background: url(none-either.png) }", "text/css"),
    "html.css": (b"<p>", "text/html"),
    "text.js": (b"1", "image/png"),
    "good.js": (b"window.x = 1", "text/javascript"),
    "frame.html": (b"<img src='in-frame.png'>", "text/html"),
}


class Kind(NamedTuple):
    """A page with `{remote}` in it, and the warning that it must get."""

    name: str
    html: str
    expected: str


FACE = "<style>@font-face{{font-family:f;src:url({})}}p{{font-family:f}}</style><p>text"
BACK = "<style>p{{background:url({})}}</style><p>text"
SRI = "sha256-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
MISSING = 'failed;url="{}";reason=not_found'
KINDS = [
    Kind("picture", "<img src=none.png>", MISSING.format("none.png")),
    Kind("case", "<img src=img/logo.png>",
         MISSING.format("img/logo.png") + ';similar="img/Logo.png"'),
    Kind("query", "<img src='none.png?key=secret'>", MISSING.format("none.png")),
    Kind("outside", "<img src=../../etc/passwd>", MISSING.format("etc/passwd")),
    Kind("style", "<link rel=stylesheet href=none.css>", MISSING.format("none.css")),
    Kind("import", "<style>@import url(none.css)</style>", MISSING.format("none.css")),
    Kind("import-in-style", "<link rel=stylesheet href=page.css>", MISSING.format("none.css")),
    Kind("background-in-style", "<link rel=stylesheet href=page.css><p>x",
         MISSING.format("none-either.png")),
    Kind("font", FACE.format("none.woff2"), MISSING.format("none.woff2")),
    Kind("background", BACK.format("none.png"), MISSING.format("none.png")),
    Kind("srcset", "<img srcset='none.png 1x'>", MISSING.format("none.png")),
    Kind("picture-source", "<picture><source srcset=none.png><img></picture>",
         MISSING.format("none.png")),
    Kind("preload", "<link rel=preload as=image href=none.png>", MISSING.format("none.png")),
    Kind("svg-image", "<svg><image href=none.png /></svg>", MISSING.format("none.png")),
    Kind("svg-use", "<svg><use href='none.svg#a'/></svg>", MISSING.format("none.svg")),
    Kind("poster", "<video poster=none.png></video>", MISSING.format("none.png")),
    Kind("object", "<object data=none.svg></object>", MISSING.format("none.svg")),
    Kind("frame", "<iframe src=none.html></iframe>", MISSING.format("none.html")),
    Kind("in-frame", "<iframe src=frame.html></iframe>", MISSING.format("in-frame.png")),
    Kind("input", "<input type=image src=none.png>", MISSING.format("none.png")),
    Kind("in-shadow", "<div><template shadowrootmode=open><img src=none.png></template></div>",
         MISSING.format("none.png")),
    Kind("script", "<script src=none.js></script>", MISSING.format("none.js")),
    Kind("fetch", "<script>fetch('none.json').catch(() => 0)</script>",
         MISSING.format("none.json")),
    # What Chrome refuses by itself.
    Kind("file", "<img src=file:///etc/passwd>", 'denied;url="file:///etc/passwd";reason=scheme'),
    Kind("file-style", "<link rel=stylesheet href=file:///a.css>",
         'denied;url="file:///a.css";reason=scheme'),
    Kind("file-background", BACK.format("file:///a.png"),
         'denied;url="file:///a.png";reason=scheme'),
    Kind("file-font", FACE.format("file:///a.woff2"), 'denied;url="file:///a.woff2";reason=scheme'),
    Kind("file-frame", "<iframe src=file:///a></iframe>", 'denied;url="file:///a";reason=scheme'),
    Kind("chrome", "<img src=chrome://gpu/a.png>", 'denied;url="chrome://gpu/a.png";reason=scheme'),
    Kind("ftp", "<img src=ftp://a.test/a.png>", 'denied;url="ftp://a.test/a.png";reason=scheme'),
    Kind("password", "<img src=https://user:secret@a.test/a.png>",
         'denied;url="https://a.test/a.png";reason=blocked'),
    Kind("other-scheme", "<img src=foo://a/b>", 'denied;url="foo://a/b";reason=scheme'),
    Kind("http-style", "<link rel=stylesheet href=http://a.test/a.css?key=secret>",
         'denied;url="http://a.test/a.css";reason=mixed_content'),
    Kind("http-script", "<script src=http://a.test/a.js></script>",
         'denied;url="http://a.test/a.js";reason=mixed_content'),
    Kind("http-font", FACE.format("http://a.test/a.woff2"),
         'denied;url="http://a.test/a.woff2";reason=mixed_content'),
    Kind("http-import", "<style>@import url(http://a.test/a.css)</style>",
         'denied;url="http://a.test/a.css";reason=mixed_content'),
    Kind("http-frame", "<iframe src=http://a.test/></iframe>",
         'denied;url="http://a.test/";reason=mixed_content'),
    Kind("http-picture", "<img src=http://no-such-host.invalid/a.png>",
         'failed;url="https://no-such-host.invalid/a.png";reason=unknown_host'),
    Kind("csp", "<meta http-equiv=Content-Security-Policy content=\"img-src 'none'\">"
         "<img src=img/Logo.png>", 'denied;url="img/Logo.png";reason=csp'),
    Kind("cors", "<img crossorigin src={remote}/good>",
         'failed;url="{remote}/good";reason=cors'),
    Kind("cors-font", FACE.format("{remote}/font"), 'failed;url="{remote}/font";reason='),
    Kind("cors-module", "<script type=module src={remote}/script></script>",
         'failed;url="{remote}/script";reason=cors'),
    Kind("integrity", f"<script src=good.js integrity={SRI}></script>",
         'failed;url="good.js";reason=integrity'),
    Kind("mime-script", "<script src={remote}/good></script>",
         'failed;url="{remote}/good";reason='),
    Kind("broken-data-svg", "<svg><image href=data:image/png;base64,c2VjcmV0 /></svg>",
         'failed;url="data:image/png";reason=broken_image'),
    # What came and cannot be used.
    Kind("404", "<img src='{remote}/none?key=secret'>",
         'failed;url="{remote}/none";reason=http_404'),
    Kind("500", "<link rel=stylesheet href={remote}/fails>",
         'failed;url="{remote}/fails";reason=http_500'),
    Kind("404-after-redirect", "<img src={remote}/moved>",
         'failed;url="{remote}/none";reason=http_404'),
    Kind("html-for-picture", "<img src={remote}/html>",
         'failed;url="{remote}/html";reason=broken_image'),
    Kind("broken", "<img src=broken.png>", 'failed;url="broken.png";reason=broken_image'),
    Kind("empty", "<img src=empty.png>", 'failed;url="empty.png";reason=broken_image'),
    Kind("cut", "<img src=cut.png>", 'failed;url="cut.png";reason=broken_image'),
    Kind("corrupt", "<img src=corrupt.png>", 'failed;url="corrupt.png";reason=broken_image'),
    Kind("no-drawing", "<img src=empty.svg>", 'failed;url="empty.svg";reason=broken_image'),
    Kind("broken-background", BACK.format("broken.png"),
         'failed;url="broken.png";reason=broken_image'),
    Kind("broken-svg-image", "<svg><image href=broken.png /></svg>",
         'failed;url="broken.png";reason=broken_image'),
    Kind("broken-in-shadow",
         "<div><template shadowrootmode=open><img src=corrupt.png></template></div>",
         'failed;url="corrupt.png";reason=broken_image'),
    Kind("broken-data", "<img src=data:image/png;base64,c2VjcmV0>",
         'failed;url="data:image/png";reason=broken_image'),
    Kind("bad-font", FACE.format("bad.woff2"), 'failed;url="bad.woff2";reason=broken_font'),
    Kind("odd-font", FACE.format("odd.woff2"), 'failed;url="odd.woff2";reason=broken_font'),
    Kind("bad-data-font", FACE.format("data:font/woff2;base64,d09GMgAA"),
         'failed;url="data:font/woff2";reason=broken_font'),
    Kind("navigation", "<p>x<script>location='https://a.test/?key=secret'</script>",
         'denied;url="https://a.test/";reason=navigation'),
]  # fmt: skip


def redirect(_: web.Request) -> web.Response:
    """Elsewhere, where nothing is."""
    return web.Response(status=302, headers={"Location": "/none"})


@pytest.fixture
async def remote(serve_pages: Callable[..., Any]) -> AsyncIterator[str]:
    """A server with good things, bad ones, and no CORS headers."""

    def gives(status: int, body: bytes, media: str) -> Callable[..., Any]:
        async def handler(_: web.Request) -> web.Response:
            return web.Response(status=status, body=body, content_type=media)

        return handler

    async def moved(request: web.Request) -> web.Response:
        return redirect(request)

    async with serve_pages(
        good=gives(200, png(), "image/png"), html=gives(200, b"<p>log in", "text/html"),
        fails=gives(500, b"", "text/css"), script=gives(200, b"1", "text/javascript"),
        font=gives(200, b"wOF2" + bytes(100), "font/woff2"), moved=moved,
    ) as address:  # fmt: skip
        yield address


@pytest.fixture(scope="module")
async def keeping() -> AsyncIterator[Service]:
    """A service that keeps pictures, and fetches from loopback."""
    async with running_in_own_folder(
        cache_bytes=1 << 20, allow_private="127.0.0.0/8", concurrency=1
    ) as found:
        yield found


async def send(service: Service, html: str, **options: str) -> aiohttp.ClientResponse:
    """A page with its files, as a form."""
    form = aiohttp.FormData(quote_fields=False)
    form.add_field("files", html, filename="index.html", content_type="text/html")
    for name, (body, media) in FILES.items():
        form.add_field("files", body, filename=name, content_type=media)
    for name, value in {"width": "80", "height": "60", **options}.items():
        form.add_field(name, value)
    answer = await service.client.post(f"{service.address}/render", data=form)
    await answer.read()
    return answer


def may_share(one: Kind, other: Kind) -> bool:
    """Whether a page may have both: of other addresses, and neither changes what the other asks."""
    both = (one, other)
    is_alone = any("-in-style" in kind.name or kind.name in ("csp", "navigation") for kind in both)
    have_style = all("<p>" in kind.html for kind in both)  # of which the later one counts
    addresses = {kind.expected.split('"')[1] for kind in both}
    run = {"<script" in kind.html for kind in both}
    return not is_alone and not have_style and (len(addresses), len(run)) == (2, 1)


def on_few_pages(kinds: Sequence[Kind]) -> list[list[Kind]]:
    """Each page with as many kinds as may share one; twenty warnings are the most of an answer."""
    pages: list[list[Kind]] = []
    for kind in kinds:
        for page in pages:
            if len(page) < 10 and all(may_share(kind, one) for one in page):
                page.append(kind)
                break
        else:
            pages.append([kind])
    return pages


def pages_of(step: int) -> list[list[Kind]]:
    """Every `step`th kind, on few pages; each kind on a page of its own for `make endurance`."""
    return [[one] for one in KINDS] if step == 1 else on_few_pages(KINDS[::step])


async def faults_of(
    service: Service, remote: str, before: str, pages: Sequence[Sequence[Kind]]
) -> str:
    """What is wrong with the answers to these pages."""
    faults: list[str] = []
    for page in pages:
        html = "".join(kind.html for kind in page)
        answer = await send(service, before + html.replace("{remote}", remote))
        header = answer.headers.get("X-Render-Warnings", "")
        entries, names = items(header), " ".join(kind.name for kind in page)
        is_listed = all(
            len([one for one in entries if one.startswith(wanted)]) == 1
            for wanted in (kind.expected.replace("{remote}", remote) for kind in page)
        )
        is_all = len(entries) == len(page) or "in-style" in names
        is_kept = answer.headers.get("X-Cache") != "bypass"
        if answer.status != 200 or is_kept or "secret" in header or not is_listed or not is_all:
            faults.append(f"{names}: {answer.status} {header}")
    return "\n".join(faults)


@pytest.mark.parametrize(
    "pages",
    [
        pytest.param(on_few_pages(KINDS), id="few", marks=pytest.mark.slow),
        pytest.param(pages_of(1), id="each", marks=pytest.mark.endurance),
    ],
)
async def test_all_that_a_page_goes_without_is_reported(
    keeping: Service, remote: str, pages: list[list[Kind]]
) -> None:
    """With its address, without secrets, once; such a picture is not kept."""
    assert await faults_of(keeping, remote, "<!doctype html>", pages) == ""


@steps_through_a_table(3)
async def test_a_page_with_a_script_is_reported_on_alike(
    keeping: Service, remote: str, step: int
) -> None:
    """It is loaded in another way."""
    before = f"<!doctype html>{SCRIPT}"
    assert await faults_of(keeping, remote, before, pages_of(step)) == ""


@steps_through_a_table(8)
async def test_full_chromium_tells_the_same(
    start_service: StartService, remote: str, step: int
) -> None:
    """In the same words, and where a Chrome serves many pages as well."""
    if not FULL.exists():
        pytest.skip("no full Chromium here")
    service = await start_service(
        cache_bytes=1 << 20, allow_private="127.0.0.0/8", concurrency=1, chrome=FULL,
        isolation="context",
    )  # fmt: skip
    assert await faults_of(service, remote, f"<!doctype html>{SCRIPT}", pages_of(step)) == ""


@pytest.mark.parametrize(
    ("name", "status"), [("picture", 502), ("broken-data", 502), ("file", 422), ("500", 502)]
)
async def test_strict_fails(keeping: Service, remote: str, name: str, status: int) -> None:
    """422 for what may not be, 502 for what did not come; the address is in the sentence."""
    kind = next(one for one in KINDS if one.name == name)
    answer = await send(keeping, kind.html.replace("{remote}", remote), strict="true")
    problem = await answer.json()
    address = kind.expected.split('"')[1].replace("{remote}", remote)
    assert (answer.status, address in problem["detail"]) == (status, True)
    assert address in answer.headers["X-Render-Warnings"]


@pytest.mark.parametrize(
    "html",
    [
        "<p>nothing at all",
        "<img src=img/Logo.png><img src=drawing.svg><img src='data:image/gif;base64,"
        "R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw=='>",
        "<link rel=icon href=none.ico><a href=none.html>x</a>",
        "<link rel=prefetch href=none.png>",
        "<img><img src=''><img alt=x>",
        "<style>@font-face{font-family:f;src:url(none.woff2)}</style>never used",
        "<style>@media (min-width: 5000px) { p { background: url(none.png) } }</style><p>x",
        "<script>navigator.sendBeacon('none')</script>",
        "<script>const c = new AbortController(); fetch('good.js', {signal: c.signal})"
        ".catch(() => 0); c.abort()</script>",
        "<script>dispatchEvent(new Event('error')); document.head.dispatchEvent("
        "new Event('error'))</script>",
    ],
)
async def test_what_is_not_missing_is_not_reported(keeping: Service, html: str) -> None:
    """Good pictures, what Chrome never asks for, what was asked for the sake of another time."""
    answer = await send(keeping, "<!doctype html>" + html, strict="true")
    assert (answer.status, answer.headers.get("X-Render-Warnings")) == (200, None)


async def test_a_template_tells_of_its_missing_files(
    start_service: StartService, work_dir: Path
) -> None:
    """Its folder is where its files are; what its policy keeps out is reported as well."""
    folder = work_dir / "templates" / "card"
    folder.mkdir(parents=True)
    (folder / "poster.html").write_text("<link rel=stylesheet href=no-such.css><p>{{ title }}")
    (folder / "schema.json").write_text('{"type": "object"}')
    (folder / "sample.json").write_text('{"title": "x"}')
    service = await start_service(cache_bytes=1 << 20, templates=folder.parent)
    answer = await service.render(template="card", data={"title": "x"})
    assert answer.status == 200
    assert answer.headers["X-Render-Warnings"] == 'failed;url="no-such.css";reason=not_found'
    assert answer.headers["X-Cache"] == "bypass"


async def test_a_flood_of_failures_is_bounded(keeping: Service) -> None:
    """Twenty entries, four KiB, and a picture; however many Chrome refuses."""
    html = (
        "<script>for (let n = 0; n < 3000; n++) new Image().src = `file:///${n}${'x'.repeat(500)}`;"
        "for (let n = 0; n < 100; n++) document.write(`<img src=data:image/png;base64,AA${n}>`);"
        "for (let n = 0; n < 100; n++) setTimeout(() => null.x)</script>"
    )
    answer = await send(keeping, html)
    header = answer.headers["X-Render-Warnings"]
    assert answer.status == 200
    assert len(items(header)) <= 21
    assert len(header) < 4096
    assert "script_error" in header


async def test_errors_of_scripts_are_reported_to_the_caller(keeping: Service) -> None:
    """Kind and place, never the words; they do not make `strict` fail, and are not kept."""
    html = (
        "<script>null.secret</script><script>Promise.reject(new RangeError('secret'))</script>"
        "<script>class My_Error2 extends Error {}; throw new My_Error2('secret')</script>"
        "<script>throw 'secret'</script><script>syntax error</script>"
    )
    answer = await send(keeping, html, strict="true")
    header = answer.headers["X-Render-Warnings"]
    assert (answer.status, answer.headers["X-Cache"]) == (200, "bypass")
    assert "secret" not in header
    kinds = sorted(one.split('"')[1] for one in items(header))
    assert kinds == ["My_Error2", "RangeError", "SyntaxError", "TypeError", "string"]
    assert 'script_error;kind="TypeError";at="1:14"' in items(header)
    assert 'script_error;kind="RangeError";at="promise"' in items(header)


async def test_a_render_that_fails_tells_of_its_errors_too(
    keeping: Service, serve_pages: Callable[..., Any]
) -> None:
    """By `strict`, and when its time is up before it was ever painted."""
    html = "<script>null.x</script><img src=none.png>"
    answer = await send(keeping, html, strict="true")
    assert answer.status == 502
    assert 'script_error;kind="TypeError";at="1:14"' in answer.headers["X-Render-Warnings"]

    over = asyncio.Event()

    async def never(_: web.Request) -> web.Response:
        await over.wait()
        return web.Response()

    async with serve_pages(never=never) as address:
        slow = html.replace("none.png", f"{address}/never")
        answer = await send(keeping, slow, timeout_ms="3000")
        over.set()
    assert answer.status == 504
    assert 'script_error;kind="TypeError";at="1:14"' in answer.headers["X-Render-Warnings"]


DEAD = "https://no-such-host.invalid/"
AWAY = {
    "location": f"<script>location='{DEAD}'</script>",
    "location-in-body": f"<p>x<script>location='{DEAD}'</script>",
    "replace": f"<script>location.replace('{DEAD}')</script>",
    "http": f"<script>location='{DEAD.replace('https', 'http')}'</script>",
    "meta": f"<meta http-equiv=refresh content='0;url={DEAD}'>",
    "link": f"<a id=a href='{DEAD}'></a><script>a.click()</script>",
    "form": f"<form id=f method=post action='{DEAD}'></form><script>f.submit()</script>",
    "form-get": f"<form id=f action='{DEAD}'></form><script>f.submit()</script>",
    "loaded": f"<body onload=\"location='{DEAD}'\">x",
    "content-loaded": f"<script>addEventListener('DOMContentLoaded', () => location='{DEAD}')"
    "</script>",
    "later": f"<script>setTimeout(() => location='{DEAD}')</script>x",
    "while-it-is-parsed": f"<script>setTimeout(() => location='{DEAD}')</script>{'<p>x' * 5_000}",
    "again-and-again": f"<script>setInterval(() => location='{DEAD}', 1)</script>x",
    "from-a-frame": f"<iframe srcdoc=\"<script>top.location='{DEAD}'</script>\"></iframe>",
}
STAYS = {
    "reload": "<script>location.reload()</script>",
    "stop": "<script>stop()</script>x",
    "script": "<script>location='javascript:1'</script>",
    "mail": "<script>location='mailto:a@a.test'</script>",
    "scheme": "<script>location='foo://a'</script>",
    "file": "<script>location='file:///etc/passwd'</script>",
    "data": "<script>location='data:text/html,x'</script>",
    "no-root": "<script>document.documentElement.remove(); stop()</script>",
    "other-root": "<script>document.documentElement.replaceWith(document.createElement('p'));stop()"
    "</script>",
}


@pytest.mark.slow
async def test_a_page_that_wants_to_go_elsewhere_is_painted(keeping: Service) -> None:
    """As it is, long before its deadline, also without a body; and the answer says so."""
    assert await wrong_of(keeping, list(AWAY | STAYS)) == []


@steps_through_a_table(3)
@pytest.mark.parametrize("options", [{"full_page": True}, {"format": "pdf"}], ids=str)
async def test_so_it_is_in_a_full_page_and_on_paper(
    keeping: Service, options: dict[str, Any], step: int
) -> None:
    """Which wait for more of a page before they capture it."""
    assert await wrong_of(keeping, list(AWAY | STAYS)[::step], **options) == []


async def wrong_of(keeping: Service, names: Sequence[str], **options: Any) -> list[Any]:
    """Those of these pages that are not painted, or of which the answer does not say enough."""
    wrong: list[tuple[object, ...]] = []
    for name in names:
        html = (AWAY | STAYS)[name]
        asked = {"html": html, "width": 200, "height": 100, "timeout_ms": 20_000, **options}
        answer = await keeping.render(**asked)
        header = answer.headers.get("X-Render-Warnings", "")
        if answer.status != 200:
            wrong.append((name, answer.status, header))
        if name in AWAY and 'no-such-host.invalid/";reason=navigation' not in header:
            wrong.append((name, header))
    return wrong
