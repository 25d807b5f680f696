"""What a page may fetch: decided on the address, fetched by the service, with limits."""

import asyncio
import gzip
import ipaddress
import socket
from pathlib import Path

import pytest
from aiohttp import web

from poster_service.browser.types import ADDRESS, Reply, Request
from poster_service.engine import policy_of
from poster_service.fetch.client import Fetcher, FetchLimits
from poster_service.fetch.errors import FetchError, RequestDenied, RequestFailed
from poster_service.fetch.policy import (
    BAD_PORTS,
    AddressDenied,
    CheckedResolver,
    Policy,
    connector,
)
from poster_service.render.page_files import template_file
from poster_service.render.page_route import PageSources, page_route
from poster_service.render.request import Asset
from poster_service.render.warnings import Warnings
from poster_service.settings import Settings
from tests.unit.fetching import LOOPBACK, PUBLIC, fetching, get, header, serving


async def test_a_name_is_resolved_to_what_may_be_connected_to() -> None:
    """The addresses are those that were checked: no second look-up follows."""
    found = await CheckedResolver(LOOPBACK).resolve("localhost", 80, socket.AF_INET)
    assert {one["host"] for one in found} == {"127.0.0.1"}
    assert {(one["hostname"], one["port"]) for one in found} == {("localhost", 80)}


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "2130706433", "0x7f.1", "127.1", "0"])
async def test_a_name_that_leads_inside_does_not_resolve(name: str) -> None:
    """OSError, which aiohttp knows; the system's many ways to write an address do not help."""
    with pytest.raises(OSError, match=r"not a public address|not known|No address"):
        await CheckedResolver(PUBLIC).resolve(name, 80)


async def test_a_name_that_does_not_exist_is_an_os_error() -> None:
    """`.invalid` is reserved for this (RFC 6761)."""
    with pytest.raises(OSError):  # noqa: PT011 - its words are the system's
        await CheckedResolver(PUBLIC).resolve("nowhere.invalid", 80)


# --- fetching ----------------------------------------------------------------------------------


async def test_what_is_fetched_comes_as_the_server_sent_it() -> None:
    """Status, headers and body; repeated headers stay repeated."""

    async def handler(_: web.Request) -> web.StreamResponse:
        answer = web.Response(status=404, body=b"\x00\xff", content_type="image/x-odd")
        answer.headers.extend([("X-Twice", "1"), ("X-Twice", "2"), ("Connection", "close")])
        return answer

    async with serving(handler) as address, fetching() as fetcher:
        reply = await fetcher.fetch(get(address + "/a"))
    assert (reply.status, reply.body) == (404, b"\x00\xff")
    assert header(reply, "content-type") == ["image/x-odd"]
    assert header(reply, "x-twice") == ["1", "2"]
    assert header(reply, "content-length") == header(reply, "connection") == []


async def test_the_pages_own_headers_are_passed_on_but_none_of_the_hop() -> None:
    """No cookie, nothing for a proxy, no host of the page's choosing; and the body of a POST."""
    seen: list[tuple[str, dict[str, str], bytes]] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        seen.append((request.method, headers, await request.read()))
        return web.Response(headers={"Set-Cookie": "a=1"})

    sent = {"Accept": "image/*", "Cookie": "a=1", "Authorization": "x", "Host": "evil",
            "User-Agent": "Chrome", "X-Own": "1", "Proxy-Authorization": "x"}  # fmt: skip
    async with serving(handler) as address, fetching() as fetcher:
        for _ in range(2):
            await fetcher.fetch(Request(address, "POST", sent, b"body", "Fetch"))
    for method, headers, body in seen:
        assert (method, body) == ("POST", b"body")
        assert (headers["accept"], headers["user-agent"]) == ("image/*", "Chrome")
        assert headers["host"] in address
        assert (headers["x-own"], headers["authorization"]) == ("1", "x")
        assert not {"cookie", "proxy-authorization"} & headers.keys()


async def test_without_leave_nothing_on_this_machine_is_reached() -> None:
    """In every spelling of its address; the server sees no connection."""
    hits: list[str] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        hits.append(request.host)
        return web.Response(text="inside")

    async with serving(handler) as address, fetching(PUBLIC) as fetcher:
        port = address.rpartition(":")[2]
        for host in (
            "127.0.0.1", "localhost", "2130706433", "127.1", "0177.0.0.1", "0x7f.1", "0", "127.1.",
            "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "0x7f000001", "[::1]", "[::127.0.0.1]",
        ):  # fmt: skip
            with pytest.raises(RequestDenied):
                await fetcher.fetch(get(f"http://{host}:{port}/"))
    assert hits == []


@pytest.mark.parametrize(
    "url",
    ["file:///etc/passwd", "ftp://127.0.0.1/", "data:text/plain,x", "ws://127.0.0.1/", "http:///x",
     "chrome://version", "blob:x", "about:blank", "", "http://[::1", "http://a:99999/",
     "http://\ud800/", "http://a b/", "javascript:1"],
)  # fmt: skip
async def test_what_is_no_web_address_is_denied(url: str) -> None:
    """And never another error: the render goes on without it."""
    async with fetching() as fetcher:
        with pytest.raises(RequestDenied):
            await fetcher.fetch(get(url))


async def test_a_redirect_is_handed_back_and_not_followed() -> None:
    """So that every hop comes through the policy."""
    hits: list[str] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        hits.append(request.path)
        return web.Response(status=302, headers={"Location": "http://169.254.169.254/"})

    async with serving(handler) as address, fetching() as fetcher:
        reply = await fetcher.fetch(get(address + "/first"))
    assert (reply.status, header(reply, "location")) == (302, ["http://169.254.169.254/"])
    assert hits == ["/first"]


@pytest.mark.parametrize("zipped", [False, True], ids=["plain", "gzip-bomb"])
@pytest.mark.parametrize(("size", "fits"), [(1000, True), (1001, False), (50_000_000, False)])
async def test_a_body_is_bounded_as_it_will_be_used(size: int, fits: bool, zipped: bool) -> None:
    """Unpacked; a bomb of 50 MB in 50 KB is noticed before it is unpacked."""
    packed = gzip.compress(b"x" * size, 1) if zipped else b"x" * size

    async def handler(_: web.Request) -> web.StreamResponse:
        headers = {"Content-Encoding": "gzip"} if zipped else {}
        return web.Response(body=packed, headers=headers)

    async with serving(handler) as address, fetching(max_bytes=1000) as fetcher:
        if not fits:
            with pytest.raises(RequestFailed, match="more than 1000 bytes"):
                await fetcher.fetch(get(address))
            return
        reply = await fetcher.fetch(get(address))
    assert reply.body == b"x" * size
    assert header(reply, "content-encoding") == []


async def test_a_body_without_an_end_is_bounded_too() -> None:
    """With any length that was announced."""

    async def handler(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        while True:
            await answer.write(b"x" * 65536)

    async with serving(handler) as address, fetching() as fetcher:
        with pytest.raises(RequestFailed, match="more than 1000 bytes"):
            await fetcher.fetch(get(address))


@pytest.mark.parametrize("begun", [False, True], ids=["silent", "stuck-in-the-body"])
async def test_a_server_that_does_not_answer_in_time_is_given_up(begun: bool) -> None:
    """The page goes on without it."""
    over = asyncio.Event()

    async def handler(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        if begun:
            await answer.prepare(request)
            await answer.write(b"x")
        await over.wait()
        return answer

    async with serving(handler) as address, fetching(seconds=0.2) as fetcher:
        with pytest.raises(RequestFailed, match="Timeout"):
            await fetcher.fetch(get(address))
        over.set()


async def test_a_server_that_speaks_no_http_has_failed() -> None:
    """Or closes in the middle, or promises an encoding it does not keep, or is not there."""

    async def broken(_: web.Request) -> web.StreamResponse:
        return web.Response(body=b"not gzip", headers={"Content-Encoding": "gzip"})

    async with serving(broken) as address, fetching() as fetcher:
        with pytest.raises(RequestFailed):
            await fetcher.fetch(get(address))

    def chatter(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 smtp ready\r\n")
        writer.close()

    server = await asyncio.start_server(chatter, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with fetching() as fetcher:
        with pytest.raises(RequestFailed):
            await fetcher.fetch(get(f"http://127.0.0.1:{port}/"))
        server.close()
        await server.wait_closed()
        with pytest.raises(RequestFailed):
            await fetcher.fetch(get(f"http://127.0.0.1:{port}/"))


async def test_a_fetcher_that_fetched_nothing_closes_too() -> None:
    """It opens its session when it is first needed."""
    async with fetching():
        pass


# --- the template's own files ------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A template's folder, with a secret beside it and a link that leads there."""
    inside = tmp_path / "card"
    (inside / "assets").mkdir(parents=True)
    (inside / "assets" / "style.css").write_text("p {}")
    (inside / "图 片.svg").write_text("<svg/>")
    (inside / "odd.unknownkind").write_bytes(b"\0")
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "card-2").mkdir()
    (tmp_path / "card-2" / "x").write_text("secret")
    (inside / "way-out").symlink_to(tmp_path / "secret")
    (inside / "folder-out").symlink_to(tmp_path)
    return inside


@pytest.mark.parametrize(
    ("address", "kind", "body"),
    [
        ("assets/style.css", "text/css", b"p {}"),
        ("assets/style.css?v=2#x", "text/css", b"p {}"),
        ("./assets/../assets/style.css", "text/css", b"p {}"),
        ("%E5%9B%BE%20%E7%89%87.svg", "image/svg+xml", b"<svg/>"),
        ("odd.unknownkind", "application/octet-stream", b"\0"),
    ],
)
def test_a_templates_files_are_served_with_their_type(
    folder: Path, address: str, kind: str, body: bytes
) -> None:
    """By relative address, as a page writes it."""
    assert template_file(folder, address) == Reply(200, (("Content-Type", kind),), body)


@pytest.mark.parametrize(
    "address",
    ["missing.png", "", "assets", "assets/", "../secret", "..%2fsecret", "%2e%2e/secret",
     "assets/../../secret", "/etc/passwd", "%2fetc%2fpasswd", "way-out", "folder-out/secret",
     "../card-2/x", "a%00b", "%00", "x" * 300, "a/" * 3000, "\ud800",
     "assets/style.css%00.png"],
)  # fmt: skip
def test_all_else_is_not_there(folder: Path, address: str) -> None:
    """Nothing outside the folder, and no name makes another error of it."""
    assert template_file(folder, address).status == 404


def test_without_a_template_there_are_no_files() -> None:
    """A caller's own HTML has none."""
    assert template_file(None, "assets/style.css").status == 404


@pytest.mark.parametrize(
    ("url", "status"),
    [(ADDRESS, 200), (ADDRESS + "assets/style.css", 200), (ADDRESS + "../secret", 404)],
)
async def test_a_page_and_its_files_come_without_any_network(
    folder: Path, url: str, status: int
) -> None:
    """Also where the network is off."""
    async with fetching(Policy(public=False)) as fetcher:
        reply = await page_route(
            PageSources("<p>你好", template_folder=folder), fetcher, Warnings()
        )(get(url))
    assert reply is not None
    assert reply.status == status
    assert url != ADDRESS or reply.body.decode() == "<p>你好"


async def test_files_that_came_with_a_page_are_beside_it() -> None:
    """From memory, by the address as a page writes it, and nothing else is."""
    sent = [Asset("图 片/a.png", "image/png", b"\0"), Asset("b", "text/css", b"p {}")]
    async with fetching(Policy(public=False)) as fetcher:
        route = page_route(PageSources("x", sent), fetcher, Warnings())
        for path, status in (
            ("%E5%9B%BE%20%E7%89%87/a.png?v=1#x", 200), ("b", 200), ("B", 404), ("b/", 404),
            ("%252e", 404), ("", 200),
        ):  # fmt: skip
            reply = await route(get(ADDRESS + path))
            assert reply is not None
            assert reply.status == status, path
        assert await route(get(ADDRESS + "b")) == Reply(
            200, (("Content-Type", "text/css"),), b"p {}"
        )


@pytest.mark.parametrize(
    "request_",
    [
        get("http://127.0.0.1:1025/a.png"),
        get("file:///etc/passwd"),
        get("http://[::1"),
        get("http://\ud800/"),
        Request("https://example.com/", "POST", {}, b"a=1", "Document"),
    ],
    ids=["loopback", "file", "no-address", "half-a-character", "a-form"],
)
async def test_what_a_page_may_not_have_is_nothing_to_it(request_: Request) -> None:
    """None: the page goes on without it; the answer knows the reason."""
    warnings = Warnings()
    async with fetching(PUBLIC) as fetcher:
        assert await page_route(PageSources("x"), fetcher, warnings)(request_) is None
    (missing,) = warnings.missing()
    assert missing.verb == "denied"
    assert missing.reason in ("address", "scheme", "form")


# --- hosts, ports, the socket itself -----------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("cdn.example.com", True), ("CDN.Example.COM.", True), ("a.cdn.example.com", False),
        ("a.example.org", True), ("a.b.example.org", True), ("example.org", False),
        ("evil-example.org", False), ("xn--bcher-kva.example", True), ("bücher.example", True),
        ("bad.example.org", False), ("93.184.216.34", True), ("[2606:2800:220:1::1]", True),
        ("93.184.216.35", False), ("", False),
    ],
)  # fmt: skip
def test_an_allowlist_lets_through_what_it_names(host: str, allowed: bool) -> None:
    """Exact names, `*.suffix` for all below it and not itself; what is denied stays denied."""
    listed = "cdn.example.com, *.example.org, bücher.example, 93.184.216.34, 2606:2800:220:1:0::1"
    environ = {"POSTER_ALLOW_HOSTS": listed, "POSTER_DENY_HOSTS": "bad.example.org"}
    policy = policy_of(Settings.load({"POSTER_NETWORK": "allowlist", **environ}, {}))
    assert (policy.refuse_host(host) is None) == allowed
    assert PUBLIC.refuse_host(host) is None


def test_ports_that_are_not_for_the_web_are_refused() -> None:
    """Mail, remote shells, X11 and so on, as browsers do; others are a server's own choice."""
    for port in (22, 25, 110, 139, 465, 587, 993, 2049, 5060, 6000, 6667):
        assert PUBLIC.refuse_host("example.com", port) is not None
    for port in (80, 443, 3000, 8080, 8443, 65535):
        assert PUBLIC.refuse_host("example.com", port) is None
        assert port not in BAD_PORTS


async def test_the_socket_itself_is_made_for_checked_addresses_only() -> None:
    """The last check is of the address itself; a name would be resolved again, so it is refused."""
    tcp = connector(PUBLIC)
    make = tcp._socket_factory
    assert make is not None
    try:
        for host in ("127.0.0.1", "10.0.0.1", "localhost", "2130706433", "example.com"):
            with pytest.raises(AddressDenied):
                make((socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, 80)))
        for host in ("::1", "::ffff:127.0.0.1", "fe80::1%lo"):
            with pytest.raises(AddressDenied):
                make((socket.AF_INET6, socket.SOCK_STREAM, 6, "", (host, 80, 0, 0)))
        make((socket.AF_INET, socket.SOCK_STREAM, 6, "", ("8.8.8.8", 80))).close()
    finally:
        await tcp.close()


# --- budgets and warnings ----------------------------------------------------------------------


async def test_a_page_may_ask_for_so_many_things() -> None:
    """Those beyond are denied without a connection."""
    hits = 0

    async def handler(_: web.Request) -> web.StreamResponse:
        nonlocal hits
        hits += 1
        return web.Response()

    warnings = Warnings()
    async with serving(handler) as address:
        fetcher = Fetcher(LOOPBACK, FetchLimits(max_requests=3))
        route = page_route(PageSources("x"), fetcher, warnings)
        replies = [await route(get(address)) for _ in range(5)]
        await fetcher.close()
    assert [reply is not None for reply in replies] == [True] * 3 + [False] * 2
    assert hits == 3
    assert f'denied;url="{address}";reason=requests' in warnings.header()


async def test_things_fetched_at_once_stay_within_the_budget_together() -> None:
    """Bytes are counted as they come: eight large things at once are not eight times as much."""

    async def handler(_: web.Request) -> web.StreamResponse:
        return web.Response(body=bytes(1_000_000))

    warnings = Warnings()
    async with serving(handler) as address:
        fetcher = Fetcher(LOOPBACK, FetchLimits(max_total_bytes=2_500_000))
        route = page_route(PageSources("x"), fetcher, warnings)
        replies = await asyncio.gather(*(route(get(address)) for _ in range(8)))
        await fetcher.close()
    assert sum(reply is not None for reply in replies) <= 2
    assert [one.reason for one in warnings.missing()] == ["bytes"]


async def test_redirects_are_counted_by_their_hops() -> None:
    """As many as allowed, and not one more."""

    async def handler(_: web.Request) -> web.StreamResponse:
        return web.Response()

    async with serving(handler) as address:
        fetcher = Fetcher(LOOPBACK, FetchLimits(max_redirects=2))
        route = page_route(PageSources("x"), fetcher, Warnings())
        asked = [Request(address, "GET", {}, None, "Image", hops) for hops in range(4)]
        replies = [await route(one) for one in asked]
        await fetcher.close()
    assert [reply is not None for reply in replies] == [True, True, True, False]


@pytest.mark.parametrize(
    ("verb", "reason", "url"),
    [
        ("failed", "unknown_host", "http://nowhere.invalid/"),
        ("failed", "unreachable", "http://127.0.0.1:1025/"),
        ("denied", "port", "http://127.0.0.1:22/"),
        ("denied", "address", "http://127.0.0.2:1025/"),
        ("denied", "address", "http://localhost:1025/"),
        ("denied", "address", "http://0x7f.1:1025/"),
        ("denied", "scheme", "ftp://127.0.0.1/"),
    ],
)
async def test_each_way_of_not_getting_something_has_a_word(
    verb: str, reason: str, url: str
) -> None:
    """Stable, for programs."""
    only = ipaddress.ip_network("127.0.0.1/32")
    policy = PUBLIC if "localhost" in url else Policy(public=True, private=(only,))
    async with fetching(policy) as fetcher:
        with pytest.raises(FetchError) as caught:
            await fetcher.fetch(get(url))
    assert (caught.value.verb, caught.value.reason) == (verb, reason)
