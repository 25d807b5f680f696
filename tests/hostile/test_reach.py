"""No page gets in, with any kind of request and any spelling of the address.

Zero is asserted twice over: no canary was connected to, and a raw socket saw no packet at all that
was neither for a hostile server's web nor a question of ours for a name.
"""

from collections.abc import Sequence
from typing import Any

import pytest

from tests.hostile.conftest import World, in_both_chromes, in_either_mode
from tests.hostile.elements import (
    BY_NAME,
    ELEMENTS,
    HOSTS,
    PAGES,
    SCHEMES,
    TOGETHER,
    Element,
    names_of,
)
from tests.hostile.network import FORBIDDEN
from tests.marks import some_in_make_test, some_in_quick

URLS = [f"https://{host}/x" for host in HOSTS]
PLAIN = [f"http://{host}/x" for host in HOSTS]
OPEN = "0.0.0.0/0, ::/0"
#: Canaries that differ in where they are; at the two addresses left out others answer.
OWN_CANARIES = [
    f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    for port in (443, 8080)
    for host in FORBIDDEN
    if host not in ("0.0.0.0", "fe80::5")
]


def reached(place: str) -> str:
    """Host and port as the world reports them."""
    host, _, port = place.rpartition(":")
    return f"{host.strip('[]')} {port}"


@pytest.mark.parametrize(
    "number", some_in_quick(range(len(PAGES)), 4), ids=lambda i: names_of(PAGES[i])
)
def test_no_element_reaches_a_forbidden_address_however_it_is_written(
    either_world: World, number: int
) -> None:
    """Seven or so elements a page times a third of all spellings; `make endurance` has all."""
    urls = URLS[number % 3 :: 3]
    page = "<body>" + "".join(one.page(urls) for one in PAGES[number])
    seen = either_world.render(page, timeout_ms=60_000)
    seen.assert_nothing_got_through()
    assert seen.status == 200, seen.body
    assert "denied" in seen.warnings


@in_either_mode
@pytest.mark.parametrize("element", [one for one in ELEMENTS if one.alone], ids=lambda e: e.name)
def test_no_page_goes_to_a_forbidden_address(either_world: World, element: Element) -> None:
    """Navigations, forms, windows: one address each time, since one is all that such a page has."""
    for url in ("https://10.0.0.1/x", "http://169.254.169.254/x"):
        seen = either_world.render("<body>" + element.page([url]), hold=150)
        seen.assert_nothing_got_through()
        assert seen.status == 200


@pytest.mark.slow
def test_no_element_reaches_a_forbidden_address_while_the_page_is_read(world: World) -> None:
    """Its document and what is in its elements are read in the page, and nothing is parsed."""
    page = "<body>" + "".join(one.page(URLS[::5]) for one in PAGES[0])
    elements = {"format": "elements", "elements": ["*"]}
    seen = world.render(page, outputs=[{"format": "html"}, elements, {}])
    seen.assert_nothing_got_through()
    assert seen.status == 200, seen.body
    assert b'"selector": "*"' in seen.body or b'"selector":"*"' in seen.body


@pytest.mark.slow
def test_the_canaries_do_hear_of_it_where_the_policy_allows_it(world: World) -> None:
    """The check can fail: with the door open, the same pages reach them."""
    settings = {"allow_private": OPEN, "fetch_timeout_ms": 500}
    urls = ["https://10.0.0.1/x", "https://[::1]/x", "https://inside.test/x"]
    for name in ("img", "fetch", "css-import", "worker"):
        seen = world.render("<body>" + BY_NAME[name].page(urls), settings=settings)
        assert {"10.0.0.1 443", "::1 443"} <= seen.canaries.keys(), name
        assert any(line.startswith("tcp 10.0.0.1") for line in seen.packets)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(3))
def test_each_element_does_ask(shared_world: World, number: int) -> None:
    """None of the tables above is empty words: where it is let, each gets to its canary."""
    elements = [one for one in TOGETHER if one.asks][number::3]
    assert len(elements) <= len(OWN_CANARIES)
    pairs = list(zip(elements, OWN_CANARIES, strict=False))
    page = "<body>" + "".join(one.page([f"https://{there}/x"]) for one, there in pairs)
    settings = {"allow_private": OPEN, "fetch_timeout_ms": 10_000}
    seen = shared_world.render(page, hold=3000, settings=settings, wait_until="networkidle0")
    asked = {one.name for one, there in pairs if reached(there) in seen.canaries}
    assert asked == {one.name for one in elements}, seen


@pytest.mark.parametrize(
    "element",
    [
        pytest.param(one, marks=pytest.mark.slow if one.alone else pytest.mark.endurance)
        for one in ELEMENTS
        if one.asks
    ],
    ids=lambda e: e.name,
)
def test_each_element_does_ask_on_its_own(shared_world: World, element: Element) -> None:
    """So do those that disturb others, and each without the others."""
    settings = {"allow_private": OPEN, "fetch_timeout_ms": 500}
    urls = ["https://10.0.0.1/x", "http://127.0.0.1/x"]
    seen = shared_world.render("<body>" + element.page(urls), hold=500, settings=settings)
    assert seen.canaries, seen


@pytest.mark.endurance
@pytest.mark.parametrize("element", ELEMENTS, ids=lambda e: e.name)
def test_no_element_on_its_own_reaches_a_forbidden_address(
    shared_world: World, element: Element
) -> None:
    """Each with all spellings, over https and http, with time to get there."""
    page = "<body>" + element.page([*URLS, *PLAIN])
    seen = shared_world.render(page, hold=500, timeout_ms=60_000)
    seen.assert_nothing_got_through()
    assert seen.status == 200, seen.body


@pytest.mark.parametrize("elements", some_in_make_test(PAGES, 6), ids=names_of)
def test_nor_in_full_chromium(full_either: World, elements: list[Element]) -> None:
    """More of everything: a network service, a PDF viewer, extensions, crash handlers."""
    page = "<body>" + "".join(one.page(URLS) for one in elements)
    seen = full_either.render(page, hold=1000, timeout_ms=60_000)
    seen.assert_nothing_got_through()
    assert seen.status == 200, seen.body


@pytest.mark.parametrize(
    "element",
    some_in_make_test([one for one in ELEMENTS if one.alone], 3),
    ids=lambda e: e.name,
)
def test_no_page_of_full_chromium_goes_elsewhere(full_either: World, element: Element) -> None:
    """Navigations, forms and windows there too."""
    for url in ("https://10.0.0.1/x", "http://169.254.169.254/x", "https://inside.test/x"):
        seen = full_either.render("<body>" + element.page([url]))
        seen.assert_nothing_got_through()


# --- the doors that others left open -----------------------------------------------------------


def every_way(address: str) -> str:
    """To an address directly, and through a hostile server's redirect."""
    through = f"https://hostile.test/go?to={address}"
    return "".join(
        f"<iframe width=80 height=40 src='{one}'></iframe><object data='{one}'></object>"
        f"<embed src='{one}'><img src='{one}'><link rel=stylesheet href='{one}'>"
        f"<script src='{one}'></script>"
        for one in (address, through)
    )


def shows_no_file(world: World, urls: Sequence[str]) -> None:
    """A picture with a file's text in it would differ from that of a file that is not there."""
    there = "".join(map(every_way, urls))
    seen = world.render(there, hold=100)
    other = world.render(there.replace("passwd", "no-such-file"), hold=100)
    seen.assert_nothing_got_through()
    assert seen.status == 200
    if any("passwd" in url for url in urls):
        assert seen.body == other.body


@pytest.mark.parametrize("is_file", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_no_scheme_but_the_webs_is_fetched(world: World, is_file: bool) -> None:
    r"""CVE-2024-21527 (`\\localhost\etc\passwd` in a frame) and its relatives, redirects too."""
    shows_no_file(world, [url for url in SCHEMES if ("passwd" in url) is is_file])


@pytest.mark.endurance
@pytest.mark.parametrize("url", SCHEMES)
def test_no_single_scheme_but_the_webs_is_fetched(shared_world: World, url: str) -> None:
    """Each on a page of its own."""
    shows_no_file(shared_world, [url])


@pytest.mark.parametrize("is_file", [True, pytest.param(False, marks=pytest.mark.endurance)])
def test_nor_is_any_in_full_chromium(full_either: World, is_file: bool) -> None:
    """Which has more of them: viewers, extensions, pages of its own."""
    shows_no_file(full_either, [url for url in SCHEMES if ("passwd" in url) is is_file])


@pytest.mark.parametrize(
    "hops",
    [
        ["https://10.0.0.1/"],
        ["http://169.254.169.254/latest/meta-data/"],
        ["https://other.test/go?to=https://10.0.0.1/"],
        ["https://other.test/go?to=https://hostile.test/go?to=http://[::1]/"],
        ["https://inside.test/"],
        ["//10.0.0.1/"],
        ["https://0x7f.1:8080/"],
    ],
)
def test_a_redirect_leads_nowhere_that_its_start_could_not(
    any_world: World, hops: list[str]
) -> None:
    """CVE-2026-42595: checked hop by hop, not only where it begins."""
    page = "".join(f"<img src='https://hostile.test/go?to={hop}'>" for hop in hops)
    seen = any_world.render(page + page.replace("<img", "<iframe"), hold=200)
    seen.assert_nothing_got_through()
    assert any("/go?to=" in hit for hit in seen.hits)
    assert "reason=address" in seen.warnings


@in_both_chromes
def test_an_ipv4_address_in_an_ipv6_one_is_judged_as_itself(any_world: World) -> None:
    """CVE-2026-42596 (mapped) and GHSA-86m8-88fq-xfxp (6to4, NAT64, site-local)."""
    hosts = ["[::ffff:127.0.0.1]", "[::ffff:10.0.0.1]", "[2002:a00:1::1]", "[64:ff9b::a00:1]",
             "[fec0::1]", "mapped.test", "sixtofour.test", "nat64.test"]  # fmt: skip
    seen = any_world.render("".join(f"<img src='https://{host}/'>" for host in hosts))
    seen.assert_nothing_got_through()
    assert seen.warnings.count("reason=address") == len(hosts)


@pytest.mark.parametrize("name", ["rebind.test", "rebind-at-once.test"])
def test_a_name_that_changes_its_mind_gets_nowhere(any_world: World, name: str) -> None:
    """GHSA-2pmr-289p-44r3: public when asked first, private ever after, and never kept."""
    script = f"""<script>(async () => {{
        for (let i = 0; i < 6; i++)
            await fetch('https://{name}/typed?header=Connection=close&n=' + i).catch(() => {{}});
        document.body.append(Object.assign(new Image(), {{src: 'https://{name}:8080/'}}));
    }})()</script>"""
    seen = any_world.render("<body>" + script, hold=600)
    seen.assert_nothing_got_through()
    assert seen.names.count(name) >= 4
    assert seen.warned("denied", name, "address")


def test_a_name_with_an_address_inside_and_one_outside_leads_outside(any_world: World) -> None:
    """Never to the one that is forbidden, however often it is tried."""
    page = "".join(f"<img src='https://both.test/typed?header=Connection=close&{i}'>"
                   for i in range(12))  # fmt: skip
    seen = any_world.render(page)
    seen.assert_nothing_got_through()
    assert len([hit for hit in seen.hits if "both.test" in hit]) == 12


def test_without_a_network_there_is_none(world: World) -> None:
    """POSTER_NETWORK=none: not a packet, not even a question for a name."""
    page = "<img src='https://hostile.test/green'><img src='https://10.0.0.1/'>"
    seen = world.render(page, settings={"network": "none"})
    seen.assert_nothing_got_through()
    assert seen.hits == []
    assert seen.names == []
    assert seen.status == 200
    assert seen.warned("denied", "hostile.test")


def test_an_allowlist_is_all_that_there_is(world: World) -> None:
    """POSTER_NETWORK=allowlist: by name, and by address all the same."""
    settings = {"network": "allowlist", "allow_hosts": "hostile.test, *.test",
                "deny_hosts": "other.test"}  # fmt: skip
    hosts = ("other.test", "OTHER.test.", "inside.test", "93.184.216.34", "six.test")
    page = "".join(f"<img src='https://{host}/green'>" for host in hosts)
    seen = world.render(page, settings=settings)
    seen.assert_nothing_got_through()
    asked = {hit.split()[1].split("/")[0] for hit in seen.hits}
    assert asked == {"hostile.test", "six.test"}
    assert seen.warned("denied", "other.test", "host")
    assert seen.warned("denied", "93.184.216.34", "host")
    assert seen.warned("denied", "inside.test", "address")


# --- what a caller adds to a page ----------------------------------------------------------------


def added(urls: Sequence[str]) -> dict[str, Any]:
    """Style sheets and scripts that are at these addresses, or ask for them."""
    css = "".join(f"@import '{url}'; @font-face {{ font-family: f; src: url('{url}') }}"
                  f"b {{ background: url('{url}'); font-family: f }}" for url in urls)  # fmt: skip
    code = "".join(f"fetch('{url}').catch(() => {{}}); new Image().src = '{url}';" for url in urls)
    return {
        "styles": [{"content": css}, *({"url": url} for url in urls)],
        "scripts": [{"content": code}, *({"url": url} for url in urls)],
        "wait_for": {"expression": f"(() => {{ {code} return true }})()"},
        "wait_until": "networkidle2",
    }


@pytest.mark.parametrize("number", range(3))
def test_nothing_that_is_added_reaches_a_forbidden_address(
    either_world: World, number: int
) -> None:
    """By any spelling, and through a redirect of a hostile server."""
    urls = [one for one in (*URLS[number::6], *PLAIN[number + 3 :: 6]) if "'" not in one][:9]
    through = [f"https://hostile.test/go?to={url}" for url in urls]
    for some in (urls, through):
        seen = either_world.render("<b>x</b>", timeout_ms=60_000, **added(some))
        seen.assert_nothing_got_through()
        assert seen.status == 200, seen.body
        assert "denied" in seen.warnings


@pytest.mark.slow
def test_the_canaries_hear_of_what_is_added_where_the_policy_allows_it(world: World) -> None:
    """The check above can fail."""
    settings = {"allow_private": OPEN, "fetch_timeout_ms": 500}
    for name in ("styles", "scripts", "wait_for"):
        seen = world.render(
            "<b>x</b>", settings=settings, **{name: added(["https://10.0.0.1/x"])[name]}
        )
        assert "10.0.0.1 443" in seen.canaries, name


# --- what is reported --------------------------------------------------------------------------


def test_the_rest_of_the_page_is_painted(world: World) -> None:
    """And the picture of a page with a forbidden thing is that of one with a missing thing."""
    page = "<body style='margin:0'><img style='display:block' src='{}'><img src='{}'>"
    good, bad = "https://hostile.test/green", "https://10.0.0.1/"
    denied = world.render(page.format(good, bad))
    missing = world.render(page.format(good, "https://hostile.test/404"))
    assert denied.body == missing.body
    assert denied.warned("denied", "10.0.0.1", "address")
    assert missing.warned("failed", "hostile.test", "http_404")


def test_a_web_socket_is_reported_too(world: World) -> None:
    """Chrome has no network for one, and says so to us and not to the one it was meant for."""
    page = "<script>new WebSocket('wss://10.0.0.1/a'); new WebSocket('ws://h.test/')</script>"
    seen = world.render(page)
    seen.assert_nothing_got_through()
    assert seen.warned("denied", "10.0.0.1", "web_socket")
    assert seen.warned("denied", "h.test", "web_socket")


def test_a_page_cannot_say_much_in_the_name_of_chrome(world: World) -> None:
    """It may forge a report about itself, and gets a warning of its own for that."""
    page = """<script>for (const body of ['', '{', '[]', '{"csp-report": 1}', 'x'.repeat(1e5),
        '{"csp-report": {"blocked-uri": "wss://a\\r\\nb: c/", "effective-directive": 1}}'])
        fetch('/.poster/kept', {method: 'POST', body})</script>"""
    seen = world.render(page)
    assert seen.status == 200
    assert "reason=csp" in seen.warnings


@pytest.mark.parametrize(
    ("url", "status", "code"),
    [
        ("https://10.0.0.1/", 422, "fetch_denied"),
        ("https://inside.test/", 422, "fetch_denied"),
        ("https://hostile.test:22/", 422, "fetch_denied"),
        ("https://nowhere.test/", 502, "fetch_failed"),
        ("https://hostile.test:8443/", 502, "fetch_failed"),
        ("https://hostile.test/green", 200, ""),
    ],
)
def test_strict_fails_where_something_is_missing(
    world: World, url: str, status: int, code: str
) -> None:
    """With the hosts in the sentence and in the header; whole pages are as ever."""
    seen = world.render(f"<img src='{url}'>", hold=0, strict=True)
    assert seen.status == status
    if code:
        assert seen.problem["code"] == code
        host = url.split("/")[2].split(":", maxsplit=1)[0]
        assert host in seen.problem["detail"]
        assert f"//{host}" in seen.warnings


# --- Chrome itself -----------------------------------------------------------------------------


def look(world: World) -> None:
    """No Chrome listens anywhere, and none knows a secret."""
    world.render("<p>", hold=0)
    reported = world.command(do="look")
    assert reported["sockets"] == []
    assert reported["environments"]
    for environment in reported["environments"].values():
        assert "secret-of-the-service" not in environment
        assert "PROXY" not in environment


def test_no_chrome_has_a_port_or_a_secret(world: World) -> None:
    """No process can reach DevTools; Chrome has nothing of the service's environment."""
    look(world)


def test_nor_has_full_chromium(full_either: World) -> None:
    """Of all its processes, crash handlers included."""
    look(full_either)
