"""A page at a `url`: loaded at its own address, redirects and all, and what its answer reports."""

import asyncio
import base64
import contextlib
import hashlib
import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import aiohttp
import pytest

from tests.marks import some_in_make_test
from tests.web.caching import ask, cache_status, renders
from tests.web.conftest import Service
from tests.web.local_web import LIME_SVG, LocalServer, local_server
from tests.web.modes import in_both_chromes, service_in_modes
from tests.web.pictures import at, decode
from tests.web.served import left_of, run
from tests.web.shown import SIZE, colour, shown

LIME, RED = (0, 255, 0, 255), (255, 0, 0, 255)
SHEET = "body { background: #00ff00 }"
DOT = "<img style='display:block' src=dot.svg>"


service = service_in_modes(
    allow_private="127.0.0.0/8", timeout_ms=30_000, fetch_timeout_ms=1_500, cache_bytes=1 << 20
)


@pytest.fixture
async def server() -> AsyncIterator[LocalServer]:
    """A server that may be fetched from."""
    async with local_server() as found:
        yield found


async def refused(service: Service, url: str, **options: Any) -> dict[str, Any]:
    """The problem of a render that does not."""
    answer = await service.render(url=url, **SIZE, **options)
    found: dict[str, Any] = json.loads(await answer.text())
    assert found["status"] == answer.status >= 400
    return found


@in_both_chromes
async def test_a_page_is_loaded_at_its_own_address(service: Service, server: LocalServer) -> None:
    """Relative addresses, origin and history are its own, and its document is asked for once."""
    script = """fetch('data').then(() => {
        const own = location.origin === ORIGIN && location.pathname === '/deep/page';
        document.querySelector('img').hidden = !(own && document.referrer === '');
    })""".replace("ORIGIN", f"'{server.address}'")
    url = server.page("/deep/page", f"{DOT}<script>{script}</script>")
    answer = await shown(service, url + "?q=1")
    assert await colour(answer) == LIME
    paths = [one.path for one in server.received]
    assert paths.count("/deep/page?q=1") == 1
    assert {"/deep/dot.svg", "/deep/data"} <= set(paths)
    assert "X-Render-Warnings" not in answer.headers


async def test_the_part_that_a_url_names_is_scrolled_to(
    service: Service, server: LocalServer
) -> None:
    """A fragment is never sent, and works."""
    tall = "height: 900px; margin: 0; background:"
    body = f"<div style='{tall} red'></div><h1 id=part style='{tall} lime'>"
    url = server.page("/long", body)
    assert await colour(await shown(service, url)) == RED
    answer = await shown(service, url + "#part")
    assert await colour(answer) == LIME
    assert answer.headers["X-Page-Url"] == url + "#part"
    assert [one.path for one in server.received] == ["/long", "/long"]


@pytest.mark.parametrize("status", some_in_make_test([301, 302, 303, 307, 308], 2))
async def test_redirects_are_followed_to_the_final_address(
    service: Service, server: LocalServer, status: int
) -> None:
    """Also to another origin, whose relative addresses then count."""
    async with local_server() as other:
        final = other.page("/there/", DOT, title="There")
        to = quote(f"/go?to={quote(final, safe='')}", safe="")
        answer = await shown(service, f"{server.address}/go?to={to}&status={status}")
        assert await colour(answer) == LIME
        assert answer.headers["X-Page-Url"] == final
        assert answer.headers["X-Page-Status"] == "200"
        assert answer.headers["X-Page-Title"] == "There"
        assert [one.path for one in other.received] == ["/there/", "/there/dot.svg"]
        assert len(server.received) == 2


async def test_an_answer_reports_no_query_that_a_redirect_added(
    service: Service, server: LocalServer
) -> None:
    """It may be a secret of the site; what the caller sent is reported."""
    page = server.page("/page", DOT)
    to = quote(f"{page}?ticket=secret#in", safe="")
    answer = await shown(service, f"{server.address}/go?to={to}")
    assert answer.headers["X-Page-Url"] == page
    assert (await shown(service, page + "?own=1")).headers["X-Page-Url"] == page + "?own=1"


async def test_json_has_it_too(service: Service, server: LocalServer) -> None:
    """With the title as it is."""
    url = server.page("/page", DOT, title="Größe 漢字")
    job = {"url": url, **SIZE}
    found = await (await ask(service, job, Accept="application/json")).json()
    assert found["page"] == {"url": url, "status": 200, "title": "Größe 漢字"}


@pytest.mark.parametrize(
    ("title", "header"),
    [("Größe 100 % 漢字", "Größe 100 % 漢字"), ("x\r\n\r\ny", "x y"), ("", None)],
)
async def test_a_title_is_safe_in_a_header(
    service: Service, server: LocalServer, title: str, header: str | None
) -> None:
    """Percent-encoded, in one line."""
    url = server.page("/page", "x", title=title)
    found = (await shown(service, url)).headers.get("X-Page-Title")
    assert (found if found is None else unquote(found)) == header


async def test_a_title_is_bounded_and_a_page_that_lies_about_it_is_rendered(
    service: Service, server: LocalServer
) -> None:
    """A script may make anything of `document.title`."""
    long = await shown(service, server.page("/long", "x", title="漢" * 5_000))
    assert 800 < len(long.headers["X-Page-Title"]) <= 900
    assert unquote(long.headers["X-Page-Title"], errors="strict").strip("漢") == ""
    lie = "<script>Object.defineProperty(document, 'title', {get() { return %s }})</script>" + DOT
    for value in ("Symbol()", "(() => { throw 1 })()", "{toString: () => 'x'.repeat(1e7)}"):
        answer = await shown(service, server.page("/lie", lie % value))
        assert await colour(answer) == LIME
        assert len(answer.headers.get("X-Page-Title", "")) <= 900


@pytest.mark.parametrize("code", some_in_make_test([400, 401, 404, 500, 503], 2))
async def test_an_error_status_fails_unless_it_is_allowed(
    service: Service, server: LocalServer, code: int
) -> None:
    """422 with the status; its own page with `allow_error_status`, and never from the cache."""
    url = f"{server.address}/status?code={code}"
    found = await refused(service, url)
    assert (found["status"], found["code"], found["field"]) == (422, "url_status", "url")
    assert str(code) in found["detail"]
    answer = await shown(service, url, allow_error_status=True, cache_ttl=60)
    assert answer.headers["X-Page-Status"] == str(code)
    assert cache_status(answer) == "bypass"


async def test_an_address_that_cannot_be_reached_is_502_with_the_reason(service: Service) -> None:
    """No such host, no listener, no TLS: each soon, and each named."""
    found = await refused(service, "http://no.such.invalid/")
    assert (found["status"], found["code"]) == (502, "url_unreachable")
    assert found["detail"].endswith("did not answer: unknown_host")
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as closed:
        port = closed.getsockname()[1]
    found = await refused(service, f"http://127.0.0.1:{port}/")
    assert found["detail"].endswith("did not answer: unreachable")
    async with local_server() as server:
        found = await refused(service, server.address.replace("http:", "https:"))
        assert found["detail"].endswith("did not answer: certificate")


@pytest.mark.parametrize("cookies", [[], [{"name": "a", "value": "1"}]])
async def test_a_page_may_take_longer_than_what_it_loads(
    service: Service, server: LocalServer, cookies: list[dict[str, str]]
) -> None:
    """Such as a report that is made when it is asked for: it has the time of the render."""
    late = f"{server.address}/late?late=2.5"  # a fetch has 1.5 s here
    own = {"cookies": cookies} if cookies else {}
    page = f"<!doctype html><style>body{{background:#00ff00}}</style><img src='{late}&img'>"
    server.pages["/report"] = (page, {})
    answer = await shown(service, f"{server.address}/report?late=2.5", **own)
    assert await colour(answer) == LIME
    assert (
        f'failed;url="{server.address}/late";reason=timeout' in answer.headers["X-Render-Warnings"]
    )


@pytest.mark.parametrize("target", some_in_make_test((
    "http://10.0.0.1/", "https://169.254.169.254/", "http://[::1]/", "http://[::ffff:10.0.0.1]/",
    "file:///etc/passwd", "data:text/html,x", "javascript:alert(1)", "about:blank",
    "view-source:http://127.0.0.1/", "chrome://version/", "ftp://127.0.0.1/", "blob:null/x",
    "//10.0.0.1/",
), 2))  # fmt: skip
async def test_a_redirect_leads_where_the_policy_allows(
    service: Service, server: LocalServer, target: str
) -> None:
    """To no other scheme and no other network: 422 with the field."""
    found = await refused(service, f"{server.address}/go?to={quote(target, safe='')}")
    assert (found["status"], found["code"], found["field"]) == (422, "fetch_denied", "url")


async def test_redirects_without_an_end_end(service: Service, server: LocalServer) -> None:
    """After as many as any request may have."""
    server.redirects["/round"] = "/round"
    found = await refused(service, server.address + "/round")
    assert (found["status"], found["code"]) == (422, "fetch_denied")
    assert "redirects" in found["detail"]
    assert len(server.received) == 11


@pytest.mark.parametrize(
    "url",
    ["file:///etc/passwd", "FILE:///etc/passwd", "data:text/html,x", "javascript:alert(1)",
     "view-source:https://example.com/", "chrome://version", "about:blank", "ftp://example.com/",
     "ws://example.com/", "example.com", "//example.com/", "/x", "", "http://", "https:///x",
     "http://:80/", "https://a b/", "https://example.com/\n", " https://example.com/",
     "https://user@example.com/", "https://user:word@example.com/", "https://example.com:99999/",
     "https://x/" + "y" * 8_000, "blob:https://example.com/1", "http:example.com",
     "https://good.example\\@10.0.0.1/", "http://a\u2100b.example/", "http://\xad/"],
)  # fmt: skip
async def test_what_is_no_address_of_the_web_is_400(service: Service, url: str) -> None:
    """Before a Chrome is leased; the error does not repeat it, for it may hold a secret."""
    before = renders(service)
    found = await refused(service, url)
    assert (found["status"], found["code"], found["field"]) == (400, "invalid_field", "url")
    if "@" in url and "\\" not in url:
        assert "credentials" in found["detail"]
        assert "word" not in json.dumps(found["errors"]).replace("password", "")
    assert renders(service) == before


async def test_a_host_that_is_not_ascii_is_what_a_browser_makes_of_it(
    service: Service, server: LocalServer
) -> None:
    """Full-width digits are an IPv4 address; the policy looks at what will be asked."""
    wide = server.address.replace("127.", "\uff11\uff12\uff17.")
    assert await colour(await shown(service, f"{wide}/page")) == await colour(
        await shown(service, f"{server.address}/page")
    )
    found = await refused(service, "http://\uff11\uff10.0.0.1/")
    assert (found["status"], found["code"]) == (422, "fetch_denied")


async def test_pictures_and_text_are_rendered_as_chrome_displays_them(
    service: Service, server: LocalServer
) -> None:
    """A picture, an SVG, text, JSON, XHTML; and HTML that names no type."""
    assert await colour(await shown(service, server.address + "/dot.svg")) == LIME
    xhtml = "<html xmlns='http://www.w3.org/1999/xhtml'><body style='background:lime'/></html>"
    cases = {
        "application/xhtml%2Bxml": xhtml,
        "image/svg%2Bxml;charset=utf-8": LIME_SVG,
        "text/html": "<body style='background:lime'>",
    }
    for kind, body in cases.items():
        url = f"{server.address}/typed?type={kind}&body={quote(body)}"
        assert await colour(await shown(service, url)) == LIME, kind
    for kind in ("text/plain", "application/json"):
        answer = await shown(service, f"{server.address}/typed?type={kind}&body={quote('{}')}")
        colours = decode(await answer.read()).getcolors()
        assert colours is not None
        assert len(colours) > 2, kind


@pytest.mark.parametrize(
    ("kind", "body"),
    [("application/pdf", "%PDF-1.7"), ("video/mp4", "x"), ("text/csv", "a,b"),
     *(pytest.param(kind, body, marks=pytest.mark.endurance) for kind, body in (
         ("application/zip", "PK"), ("application/octet-stream", "x"), ("multipart/form-data", "x")
     ))],
)  # fmt: skip
async def test_what_is_no_page_is_refused(
    service: Service, server: LocalServer, kind: str, body: str
) -> None:
    """422, and not a blank picture."""
    found = await refused(service, f"{server.address}/typed?type={kind}&body={quote(body)}")
    assert (found["status"], found["code"], found["field"]) == (422, "not_a_page", "url")


async def test_downloads_and_empty_answers_are_refused(
    service: Service, server: LocalServer
) -> None:
    """By their header, or by their status."""
    for rest in ("typed?type=text/html&disposition=attachment", "status?code=204"):
        found = await refused(service, f"{server.address}/{rest}")
        assert found["code"] == "not_a_page"


async def test_what_the_page_does_to_its_own_address_stays_as_for_other_pages(
    service: Service, server: LocalServer
) -> None:
    """It does not navigate away, and Chrome has no network for its sockets."""
    away = server.page("/away", "<body style='background:red'>")
    url = server.page(
        "/page",
        DOT + f"<script>new WebSocket('ws://127.0.0.1:9/'); location = '{away}'</script>",
        Refresh=f"0; url={away}",
    )
    answer = await shown(service, url)
    assert await colour(answer) == LIME
    assert not server.got("/away")
    assert "reason=navigation" in answer.headers["X-Render-Warnings"]
    assert "reason=web_socket" in answer.headers["X-Render-Warnings"]


async def test_one_dead_host_does_not_fail_a_render(service: Service, server: LocalServer) -> None:
    """It costs the time of one fetch, and is listed."""
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as silent:
        dead = f"http://127.0.0.1:{silent.getsockname()[1]}/x.svg"
        url = server.page("/page", DOT + f"<img src='{dead}'>")
        answer = await shown(service, url)
    assert await colour(answer) == LIME
    assert f'failed;url="{dead}";reason=timeout' in answer.headers["X-Render-Warnings"]


async def test_a_file_of_the_page_that_is_not_there_is_named_by_its_address(
    service: Service, server: LocalServer
) -> None:
    """A page on the web has no files that came with it."""
    url = server.page(
        "/page", DOT + "<img src='/status?code=404'><img src='https://poster.invalid/x.svg'>"
    )
    warnings = (await shown(service, url)).headers["X-Render-Warnings"]
    assert f'failed;url="{server.address}/status";reason=http_404' in warnings
    assert "not_found" in warnings


@pytest.mark.parametrize(
    ("headers", "body", "found"),
    [
        ({"Cache_Control": "max-age=60"}, "still", "hit"),
        ({}, "still", "bypass"),
        ({"Cache_Control": "no-store"}, "still", "bypass"),
        ({"Cache_Control": "max-age=60"}, "<script>1</script>", "bypass"),
        ({"Cache_Control": "max-age=60", "Set_Cookie": "a=1"}, "still", "bypass"),
        ({"Cache_Control": "max-age=60"}, "<img src=/dot.svg>", "bypass"),
    ],
    ids=["lifetime", "none", "no-store", "script", "cookie", "part"],
)
async def test_a_page_is_cached_by_its_lifetime_and_where_nothing_runs(
    service: Service, server: LocalServer, headers: dict[str, str], body: str, found: str
) -> None:
    """Never as the text that a caller sent; all of it must have a lifetime."""
    job: dict[str, Any] = {
        "url": server.page(f"/{id(headers)}", body, title="T", **headers),
        **SIZE,
    }
    first = await ask(service, job)
    second = await ask(service, job)
    assert cache_status(first) == ("miss" if found == "hit" else "bypass")
    assert cache_status(second) == found
    names = ("X-Page-Url", "X-Page-Status", "X-Page-Title")
    assert all(first.headers[name] == second.headers[name] for name in names)
    if found == "hit":
        assert cache_status(await ask(service, {**job, "cache_ttl": 0})) == "bypass"
        other = await ask(service, {**job, "url": job["url"] + "#x"})
        assert cache_status(other) == "miss"


async def test_cache_ttl_works_as_for_other_pages(service: Service, server: LocalServer) -> None:
    """A page that runs scripts may be cached where the caller says for how long."""
    job = {"url": server.page("/ttl", "<script>1</script>"), **SIZE, "cache_ttl": 60}
    assert [cache_status(await ask(service, job)) for _ in range(2)] == ["miss", "hit"]
    assert len(server.got("/ttl")) == 1


async def test_without_scripts_a_page_with_a_script_is_static(
    service: Service, server: LocalServer
) -> None:
    """As for pages of the caller's own."""
    url = server.page("/still", "<script>1</script>", Cache_Control="max-age=60")
    job = {"url": url, **SIZE, "javascript": False}
    assert [cache_status(await ask(service, job)) for _ in range(2)] == ["miss", "hit"]


@in_both_chromes
async def test_a_caller_that_hangs_up_ends_the_render_in_every_phase(
    service: Service, server: LocalServer
) -> None:
    """While its document is waited for, and after."""
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as silent:
        dead = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        page = server.page("/page", f"<img src='{dead}'>")
        for url in (dead, page):
            with pytest.raises(asyncio.TimeoutError):
                async with asyncio.timeout(0.7):
                    await service.render(url=url, **SIZE)
    assert await service.at_rest()


async def test_a_form_and_the_time_of_a_render_know_a_url_too(
    service: Service, server: LocalServer
) -> None:
    """A form names it in a field; files have no meaning beside it; the deadline is one."""
    url = server.page("/page", DOT)
    form = aiohttp.FormData(default_to_multipart=True)
    for name, value in {"url": url, "width": "60", "height": "40"}.items():
        form.add_field(name, value)
    async with service.client.post(service.address + "/render", data=form) as answer:
        assert answer.status == 200
        assert at(decode(await answer.read()), 5, 5) == LIME
    form = aiohttp.FormData(default_to_multipart=True)
    form.add_field("url", url)
    form.add_field("a.svg", b"x", filename="a.svg")
    async with service.client.post(service.address + "/render", data=form) as answer:
        assert (answer.status, (await answer.json())["field"]) == (400, "a.svg")
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as silent:
        dead = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        found = await refused(service, dead, timeout_ms=500)
        assert (found["status"], found["code"]) == (504, "render_timeout")


async def test_a_style_sheet_with_a_digest_is_not_changed(
    service: Service, server: LocalServer
) -> None:
    """So that the digest fits: what Chrome gets of other sheets has no optional fonts."""
    css = "@font-face { font-family: x; font-display: optional; src: url(x) } " + SHEET
    digest = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    sheet = "/typed?type=text/css&body=" + quote(css)
    link = f"<link rel=stylesheet href='{sheet}' crossorigin integrity='sha256-{digest}'>"
    assert await colour(await shown(service, server.page("/page", link))) == LIME
    wrong = link.replace(digest, "A" + digest[1:])
    assert await colour(await shown(service, server.page("/wrong", wrong))) != LIME


@pytest.mark.slow
async def test_the_command_takes_an_address(
    server: LocalServer, work_dir: Path, tmp_path: Path
) -> None:
    """In place of a file, with what belongs to its origin only; a failure says why."""
    url = server.page("/page", DOT)
    words = ["render", url, "-o", str(tmp_path / "out.png"), "--width", "60", "--height", "40"]
    words += ["--headers", "X-Tenant=7", "--cookies", '{"name": "a", "value": "1"}']
    private = {"POSTER_ALLOW_PRIVATE": "127.0.0.0/8"}
    status, _, errors = await run(work_dir, *words, **private)
    assert (status, errors) == (0, "")
    assert at(decode((tmp_path / "out.png").read_bytes()), 5, 5) == LIME
    (document,) = server.got("/page")
    assert (document.headers["x-tenant"], document.headers["cookie"]) == ("7", "a=1")
    missing = f"{server.address}/status?code=404"
    status, _, errors = await run(work_dir, "render", missing, *words[2:4], **private)
    assert status != 0
    assert "answered with status 404" in errors
    assert left_of(work_dir) == []
