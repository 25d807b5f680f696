"""Headers, cookies and credentials go to the page's own origin and to no other; and `block`.

What leaked is read from what the servers received.
"""

import base64
import json
import logging
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
from aiohttp import web

from tests.unit.fetching import serving
from tests.web.caching import ask, cache_status, renders
from tests.web.conftest import Service
from tests.web.local_web import LIME_SVG, LocalServer, Received, local_server
from tests.web.modes import in_both_chromes, service_in_modes
from tests.web.pictures import at, decode
from tests.web.shown import SIZE, colour, shown

LIME = (0, 255, 0, 255)
SECRETS: dict[str, Any] = {
    "headers": {"X-Tenant": "secret-7"},
    "cookies": [{"name": "session", "value": "secret-8", "http_only": True}],
    "credentials": {"username": "user", "password": "secret-9"},
}
BASIC = "Basic " + base64.b64encode(b"user:secret-9").decode()


service = service_in_modes(
    allow_private="127.0.0.0/8", timeout_ms=30_000, cache_bytes=1 << 20, asset_cache_bytes=1 << 20
)


@pytest.fixture
async def server() -> AsyncIterator[LocalServer]:
    """The page's own origin."""
    async with local_server() as found:
        yield found


@pytest.fixture
async def other() -> AsyncIterator[LocalServer]:
    """Another origin: the same host, another port, which cookies do not tell apart."""
    async with local_server() as found:
        yield found


def has_all(one: Received) -> bool:
    """Whether a request brought every secret."""
    headers = one.headers
    return (
        headers.get("x-tenant") == "secret-7"
        and headers.get("authorization") == BASIC
        and "session=secret-8" in headers.get("cookie", "")
    )


def has_any(one: Received) -> bool:
    """Whether anything of a secret is in a request, in any header, or in its address."""
    text = json.dumps([one.path, one.headers])
    return any(word in text for word in ("secret", "authorization", "tenant", BASIC))


async def test_all_that_goes_to_the_own_origin_brings_it(
    service: Service, server: LocalServer
) -> None:
    """The document, its redirects and parts, requests of scripts, frames, and workers."""
    server.page("/frame", "<img src=/in-frame.svg>")
    page = server.page(
        "/page",
        "<link rel=stylesheet href=s.css><img src=a.svg><script src=s.js></script>"
        "<iframe src=/frame></iframe><script>fetch('/data');"
        "new Worker('/w.js')</script>",
    )
    server.redirects["/start"] = page
    await shown(service, server.address + "/start", **SECRETS)
    paths = {one.path for one in server.received}
    assert {"/start", "/page", "/s.css", "/a.svg", "/s.js", "/frame", "/in-frame.svg"} <= paths
    assert "/data" in paths
    assert [one.path for one in server.received if not has_all(one)] == []


@in_both_chromes
async def test_nothing_of_it_goes_to_another_origin(
    service: Service, server: LocalServer, other: LocalServer
) -> None:
    """By no element and no redirect of the page; nor back through another."""
    back = quote(f"{server.address}/back.svg", safe="")
    away = quote(f"{other.address}/away.svg", safe="")
    through = quote(f"{other.address}/go?to={back}", safe="")
    frame = other.page("/frame", f"<img src='{server.address}/from-frame.svg'><img src=x.svg>"
                       f"<form method=post target=f action='{server.address}/post'></form>"
                       f"<script>fetch('{server.address}/fetched', {{credentials: 'include',"
                       "mode: 'no-cors'}).catch(() => 0)</script>")  # fmt: skip
    page = server.page(
        "/page",
        f"<img src='{other.address}/direct.svg'><script src='{other.address}/s.js'></script>"
        f"<link rel=stylesheet href='{other.address}/s.css'><img src='/go?to={away}'>"
        f"<img src='/go?to={through}'><iframe src='{frame}'></iframe>"
        f"<script>for (const mode of ['cors', 'no-cors']) fetch('{other.address}/data',"
        "{mode, credentials: 'include'}).catch(() => 0);"
        f"navigator.sendBeacon('{other.address}/beacon', document.cookie)</script>",
    )
    await shown(service, page, **SECRETS)
    asked = {one.path.partition("?")[0] for one in other.received}
    wanted = {"/direct.svg", "/s.js", "/s.css", "/away.svg", "/go", "/frame", "/x.svg", "/data"}
    assert wanted <= asked
    assert [one.path for one in other.received if has_any(one)] == []
    for path in ("/back.svg", "/from-frame.svg", "/fetched"):
        assert server.got(path), path
        assert not any(has_any(one) for one in server.got(path)), path


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_document_that_is_redirected_elsewhere_gets_nothing_from_there_on(
    service: Service, server: LocalServer, other: LocalServer, status: int
) -> None:
    """Neither there, nor back at the first origin; scripts there do not see the cookies."""
    last = server.page("/last", "<img src=/end.svg><script>document.title = document.cookie"
                       "</script>")  # fmt: skip
    to = quote(f"{other.address}/go?to={quote(last, safe='')}&status={status}", safe="")
    seen = [{"name": "plain", "value": "secret-5"}]
    more = {**SECRETS, "cookies": [*SECRETS["cookies"], *seen]}
    answer = await shown(service, f"{server.address}/go?to={to}&status={status}", **more)
    assert has_all(server.received[0])
    assert not any(has_any(one) for one in other.received)
    assert not any(has_any(one) for one in (*server.got("/last"), *server.got("/end.svg")))
    assert server.got("/end.svg")
    assert "secret" not in answer.headers.get("X-Page-Title", "")
    there = other.page("/there", "<script>document.title = 'x' + document.cookie</script>")
    answer = await shown(service, f"{server.address}/go?to={quote(there, safe='')}", **more)
    assert answer.headers["X-Page-Title"] == "x"


async def test_scripts_see_cookies_that_are_not_hidden(
    service: Service, server: LocalServer
) -> None:
    """Before their first line; and what the page's answers set is sent from then on."""
    page = server.page(
        "/app/page", "<script>document.title = document.cookie</script><img src=/app/a.svg>",
        Set_Cookie="fresh=1; Path=/; HttpOnly",
    )  # fmt: skip
    to = quote(page, safe="")
    cookies = [
        {"name": "open", "value": "a b", "path": "/app"},
        {"name": "hidden", "value": "2", "http_only": True},
        {"name": "elsewhere", "value": "3", "path": "/other"},
        {"name": "old", "value": "4", "expires": 1_000_000},
        {"name": "late", "value": "5", "expires": 4_000_000_000, "same_site": "strict"},
    ]
    url = f"{server.address}/go?set=hop%3D9&to={to}"
    answer = await shown(service, url, cookies=cookies)
    assert set(answer.headers["X-Page-Title"].split("; ")) == {"open=a b", "hop=9", "late=5"}
    (part,) = server.got("/app/a.svg")
    sent = set(part.headers["cookie"].split("; "))
    assert sent == {"open=a b", "hidden=2", "hop=9", "fresh=1", "late=5"}
    assert set(server.received[0].headers["cookie"].split("; ")) == {"hidden=2", "late=5"}


async def test_cookies_of_a_site_are_its_own_without_any_of_the_caller(
    service: Service, server: LocalServer, other: LocalServer
) -> None:
    """Those that its answers set, redirects too, and never another origin's."""
    page = other.page("/page", "<img src=a.svg><img src='%s/b.svg'>" % server.address)  # noqa: UP031
    url = f"{other.address}/go?set=own%3D1&to={quote(page, safe='')}"
    await shown(service, url)
    assert other.got("/page")[0].headers["cookie"] == "own=1"
    assert other.got("/a.svg")[0].headers["cookie"] == "own=1"
    assert "cookie" not in server.got("/b.svg")[0].headers


@in_both_chromes
async def test_no_render_finds_the_cookies_of_another(
    service: Service, server: LocalServer
) -> None:
    """In the same Chrome or another."""
    page = server.page("/page", "<script>document.title = 'x' + document.cookie</script>",
                       Set_Cookie="set=1")  # fmt: skip
    await shown(service, page, cookies=[{"name": "a", "value": "1"}])
    server.received.clear()
    server.page("/page", "<script>document.title = 'x' + document.cookie</script>")
    answer = await shown(service, page)
    assert answer.headers["X-Page-Title"] == "x"
    assert "cookie" not in server.received[0].headers


async def test_a_password_opens_what_asks_for_it(service: Service) -> None:
    """And a wrong one is 422 with the status; the page's own Authorization stays."""
    seen: list[str] = []

    async def closed(request: web.Request) -> web.Response:
        seen.append(request.headers.get("Authorization", ""))
        if request.path == "/own":
            return web.Response(text="x")
        if seen[-1] != BASIC:
            return web.Response(status=401, headers={"WWW-Authenticate": 'Basic realm="x"'})
        if request.path.endswith(".svg"):
            return web.Response(text=LIME_SVG, content_type="image/svg+xml")
        text = ("<!doctype html><body style='margin:0'><img src=a.svg><script>"
                "fetch('/own', {headers: {Authorization: 'Bearer own'}})</script>")  # fmt: skip
        return web.Response(text=text, content_type="text/html")

    async with serving(closed) as address:
        answer = await shown(service, address, credentials=SECRETS["credentials"])
        assert await colour(answer) == LIME
        assert "Bearer own" in seen
        wrong = {"username": "user", "password": "other"}
        for options in ({}, {"credentials": wrong}):
            failed = await service.render(url=address, **SIZE, **options)
            assert (failed.status, (await failed.json())["code"]) == (422, "url_status")
            assert "401" in await failed.text()
            assert "other" not in await failed.text()


@pytest.mark.parametrize("name", ["Authorization", "authorization"])
async def test_a_bearer_token_goes_to_the_pages_origin_alone(service: Service, name: str) -> None:
    """As any header does; the page's own stays there too."""
    seen: dict[str, str] = {}
    foreign: dict[str, str] = {}

    async def own(request: web.Request) -> web.Response:
        seen[request.path] = request.headers.get("Authorization", "")
        text = (f"<!doctype html><img src=/a.svg><img src={other}/b.svg><script>"
                "fetch('/own', {headers: {Authorization: 'Bearer own'}})</script>")  # fmt: skip
        return web.Response(text=text, content_type="text/html")

    async def another(request: web.Request) -> web.Response:
        foreign[request.path] = request.headers.get("Authorization", "")
        return web.Response(text=LIME_SVG, content_type="image/svg+xml")

    async with serving(another) as other, serving(own) as address:
        await shown(
            service, f"{address}/", headers={name: "Bearer secret"}, wait_until="networkidle0"
        )
    assert seen == {"/": "Bearer secret", "/a.svg": "Bearer secret", "/own": "Bearer own"}
    assert foreign == {"/b.svg": ""}


async def test_what_is_fetched_with_a_secret_is_not_shared(
    service: Service, server: LocalServer
) -> None:
    """Not by the cache of responses, and by that of pictures for equal secrets only."""
    page = server.page(
        "/page", "still<link rel=stylesheet href=/s.css>", Cache_Control="max-age=60"
    )

    async def one(**more: Any) -> str:
        return cache_status(await ask(service, {"url": page, **SIZE, "cache_ttl": 60, **more}))

    assert await one(headers={"X-A": "1"}) == "miss"
    assert await one(headers={"X-A": "2"}) == "miss"
    assert await one(headers={"X-A": "1"}) == "hit"
    assert await one(credentials={"username": "a", "password": "1"}) == "miss"
    assert await one(credentials={"username": "a", "password": "2"}) == "miss"
    assert await one(cookies=[{"name": "a", "value": "1"}]) == "miss"
    assert await one(cookies=[{"name": "a", "value": "2"}]) == "miss"
    assert await one() == "miss"
    assert len(server.got("/page")) == 7
    assert [got.headers.get("x-a") for got in server.got("/page")][:2] == ["1", "2"]


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"headers": {name: "secret"}}, "headers")
        for name in ("Host", "host", "Cookie", "Connection", "Transfer-Encoding",
                     "Content-Length", "Proxy-Authorization", "Sec-Fetch-Site", "Origin",
                     "Referer", "Upgrade", "TE", "X-Forwarded-For", "a b", "", "a:b", "ä",
                     "X\r\nY")
    ] + [
        ({"headers": {"X-A": "a\r\nsecret: 1"}}, "headers"),
        ({"headers": {"X-A": "secret ä"}}, "headers"),
        ({"headers": {"X-A": "secret\n"}}, "headers"),
        ({"headers": {f"X-{i}": "1" for i in range(65)}}, "headers"),
        ({"headers": {"X-A": "s" * 9_000}}, "headers"),
        ({"headers": {"X-A": "1", "x-a": "2"}}, "headers"),
        ({"headers": {"X-A": 5}}, "headers.X-A"),
        ({"cookies": [{"name": "a", "value": "secret;x"}]}, "cookies.0.value"),
        ({"cookies": [{"name": "a b", "value": "1"}]}, "cookies.0.name"),
        ({"cookies": [{"name": "a"}]}, "cookies.0.value"),
        ({"cookies": [{"name": "a", "value": "1", "domain": "example.com"}]}, "cookies.0.domain"),
        ({"cookies": [{"name": "a", "value": "1", "domain": "0.0.1"}]}, "cookies.0.domain"),
        ({"cookies": [{"name": "a", "value": "1", "domain": "1"}]}, "cookies.0.domain"),
        ({"cookies": [{"name": "a", "value": "1", "secure": True}]}, "cookies.0.secure"),
        ({"cookies": [{"name": "a", "value": "1", "same_site": "none"}]}, "cookies.0.same_site"),
        ({"cookies": [{"name": "__Host-a", "value": "1"}]}, "cookies.0.name"),
        ({"cookies": [{"name": "a", "value": "1", "same_site": "Lax"}]}, "cookies.0.same_site"),
        ({"cookies": [{"name": "a", "value": "1"}] * 51}, "cookies"),
        ({"credentials": {"username": "a:b", "password": "secret"}}, "credentials.username"),
        ({"credentials": {"username": "a", "password": "secret\n"}}, "credentials.password"),
        ({"credentials": {"username": "a"}}, "credentials.password"),
        ({"credentials": "secret:secret"}, "credentials"),
        ({"credentials": {"username": "a", "password": "secret"},
          "headers": {"authorization": "Bearer secret"}}, "credentials"),
        ({"block": {"types": ["Image"]}}, "block.types.0"),
        ({"block": {"patterns": [""]}}, "block.patterns.0"),
        ({"block": {"patterns": ["a"] * 51}}, "block.patterns"),
    ],
)  # fmt: skip
async def test_what_cannot_be_sent_is_refused_with_its_field(
    service: Service, options: dict[str, Any], field: str
) -> None:
    """Before anything is rendered, and without the secret."""
    before = renders(service)
    answer = await service.render(url="http://127.0.0.1:1/", **SIZE, **options)
    assert answer.status == 400, await answer.text()
    found = await answer.json()
    assert field in [one["field"] for one in found["errors"]]
    assert "secret" not in await answer.text()
    assert renders(service) == before


async def test_no_log_line_has_a_secret(
    service: Service, server: LocalServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Of a render that succeeds, and of those that do not."""
    caplog.set_level(logging.DEBUG)
    page = server.page("/page", "<img src=/status?code=404><img src='http://10.0.0.1/'>")
    await shown(service, page, **SECRETS)
    await service.render(url=f"{server.address}/status?code=500", **SIZE, **SECRETS)
    await service.render(url="http://no.such.invalid/", **SIZE, **SECRETS)
    ours = [one for one in caplog.records if one.name.startswith("poster_service")]
    assert ours
    text = "".join(f"{one.getMessage()}{vars(one)}" for one in ours)
    assert "secret" not in text
    assert BASIC not in text


# --- block -------------------------------------------------------------------------------------

EVERY = """<link rel=stylesheet href=/s.css><style>@font-face { font-family: f; src: url(/f.woff2) }
b { font-family: f }</style><b>x</b><img src=/a.svg><script src=/s.js></script><script>
fetch('/fetched').catch(() => 0); const r = new XMLHttpRequest(); r.open('GET', '/xhr'); r.send();
navigator.sendBeacon('/beacon'); new EventSource('/events'); new WebSocket('ws://127.0.0.1:9/ws')
</script><img src=/slow.svg><script src=/slow.js></script>
<iframe src=/frame></iframe><video src=/v.mp4></video><link rel=manifest href=/m.json>"""
#: What each kind is asked for by above.
ASKED = {
    "stylesheet": "/s.css", "font": "/f.woff2", "image": "/a.svg", "script": "/s.js",
    "fetch": "/fetched", "document": "/frame", "media": "/v.mp4",
}  # fmt: skip


async def test_what_is_blocked_is_not_asked_for(service: Service, server: LocalServer) -> None:
    """By kind, one at a time; all others are."""
    page = server.page("/page", EVERY)
    await shown(service, page)
    assert set(ASKED.values()) <= {one.path for one in server.received}
    for kind, path in ASKED.items():
        server.received.clear()
        answer = await shown(service, page, block={"types": [kind]})
        paths = {one.path for one in server.received}
        assert path not in paths, kind
        assert set(ASKED.values()) - {path} <= paths, kind
        assert ("/events" in paths) == (kind != "fetch"), "Chrome does not tell them apart"
        assert f'{path}"' not in answer.headers["X-Render-Warnings"], kind


async def test_what_is_blocked_makes_no_warning_and_fails_nothing(
    service: Service, server: LocalServer
) -> None:
    """Also with `strict`; a web socket too, which is never asked for."""
    page = server.page("/page", EVERY)
    everything = [*ASKED, "xhr", "websocket", "ping", "prefetch", "other"]
    answer = await shown(service, page, block={"types": everything}, strict=True)
    assert "url=" not in answer.headers.get("X-Render-Warnings", "")
    assert {one.path for one in server.received} == {"/page"}
    server.received.clear()
    answer = await shown(service, page, block={"patterns": ["*"]}, strict=True)
    assert "url=" not in answer.headers.get("X-Render-Warnings", "")
    assert {one.path for one in server.received} == {"/page"}


#: Those of `*/a.svg`'s address, and those which it is not.
FITTING = ("*/a.svg", "*.svg", "*127.0.0.1*", "*", "http://*/a*", "*://127.0.0.1:*/*.s*g")
OTHERS = ("*.png", "/a.svg", "*a.sv", "https://*", "*.svg*svg", "[a-z]*", "*/?.svg", "*.SVG")


@pytest.mark.slow
@pytest.mark.parametrize("patterns", [*((one,) for one in FITTING), OTHERS], ids=" ".join)
async def test_a_pattern_is_a_whole_address(
    service: Service, server: LocalServer, patterns: tuple[str, ...]
) -> None:
    """With `*` for any characters, and nothing else that is special."""
    page = server.page("/page", "<img src='a.svg#part'>")
    await shown(service, page, block={"patterns": ["*.none", *patterns]})
    assert bool(server.got("/a.svg")) == (patterns == OTHERS)


async def test_other_sources_know_it_too(service: Service, server: LocalServer) -> None:
    """A page of the caller's own, and what its caller sends with it."""
    html = f"<!doctype html><body style='margin:0'><img src='{server.address}/a.svg'>"
    url = server.address.replace("http:", "https:")
    options = {"html": html, **SIZE, "block": {"patterns": [f"{url}/*", f"{server.address}/*"]}}
    answer = await service.render(**options, strict=True)
    assert answer.status == 200, await answer.text()
    assert await colour(answer) != LIME
    form = aiohttp.FormData(default_to_multipart=True)
    page = "<body style='margin:0'><img style='display:block' src=a.svg>"
    fields = {"index.html": page, "block.types.0": "image", "strict": "true"}
    fields |= {"width": "60", "height": "40"}
    for name, value in fields.items():
        form.add_field(name, value)
    form.add_field("a.svg", LIME_SVG.encode(), filename="a.svg")
    async with service.client.post(service.address + "/render", data=form) as found:
        assert found.status == 200
        assert at(decode(await found.read()), 5, 5) != LIME


async def test_what_is_blocked_is_part_of_the_cache_key(
    service: Service, server: LocalServer
) -> None:
    """For the picture differs."""
    job = {"url": server.page("/page", "<img src=a.svg>"), **SIZE, "cache_ttl": 60}
    assert cache_status(await ask(service, job)) == "miss"
    assert cache_status(await ask(service, {**job, "block": {"types": ["image"]}})) == "miss"
    assert cache_status(await ask(service, job)) == "hit"
