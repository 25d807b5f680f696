"""Plain http: only to networks that the operator has opened, however a page asks for it."""

import pytest

from tests.hostile.conftest import World, in_both_chromes
from tests.hostile.elements import ELEMENTS, PAGES, TOGETHER, Element, names_of

#: What a page may say of where an address is; it lifts Chrome's own check of mixed content.
SPACES = ("local", "private", "loopback", "public", "unknown")
#: Everything that asks for `url`, in every way that takes the option.
ASKING = """<body><script>
    const asks = [(url, more) => fetch(url, more),
        (url, more) => fetch(url, {mode: 'no-cors', ...more}),
        (url, more) => fetch(url, {method: 'PUT', headers: {'X-A': '1'}, body: 'x', ...more}),
        (url, more) => fetch(new Request(url, {keepalive: true, mode: 'no-cors', ...more}))];
    const all = (url, space) => asks.forEach((ask) => { try {
        ask(url, {targetAddressSpace: space}).catch(() => {}) } catch {} });
    for (const url of URLS) for (const space of SPACES) {
        all(url, space);
        new Worker(URL.createObjectURL(new Blob([`const asks = [${asks.join()}];
            (${all})('${url}', '${space}')`.replace('const all =', '')])));
    }</script>"""
HOSTS = ("hostile.test", "93.184.216.34", "[2606:2800:220:1::1]", "six.test:80", "10.0.0.1",
         "inside.test", "127.0.0.1", "localhost", "169.254.169.254")  # fmt: skip


def asking(*hosts: str) -> str:
    """A page that asks these hosts in plain http, with every address space."""
    urls = [f"http://{host}/green" for host in hosts]
    return ASKING.replace("of URLS", f"of {urls}").replace("of SPACES", f"of {list(SPACES)}")


@in_both_chromes
def test_no_address_space_lets_plain_http_out(any_world: World) -> None:
    """`fetch(url, {targetAddressSpace})` skips Chrome's check, and comes to ours."""
    seen = any_world.render(asking(*HOSTS), hold=800)
    seen.assert_nothing_got_through()
    assert seen.status == 200
    assert seen.plain == []
    assert "denied" in seen.warnings
    assert "reason=scheme" in seen.warnings


@pytest.mark.slow
@pytest.mark.parametrize(
    "elements",
    [
        *PAGES,
        *([one] for one in ELEMENTS if one.alone),
        *(pytest.param([one], marks=pytest.mark.endurance) for one in TOGETHER),
    ],
    ids=names_of,
)
def test_no_element_asks_in_plain_http(shared_world: World, elements: list[Element]) -> None:
    """Each to a name and to addresses that are public: over https or not at all."""
    urls = ["http://hostile.test/green", "http://93.184.216.34/green", "http://six.test/green"]
    page = "<body>" + "".join(one.page(urls) for one in elements)
    seen = shared_world.render(page, hold=400)
    seen.assert_nothing_got_through()
    assert seen.plain == []


def test_no_redirect_leads_to_plain_http(any_world: World) -> None:
    """A hostile server's redirect is a request of its own."""
    page = "".join(
        f"<img src='https://hostile.test/go?to=http://{host}/green&status={status}'>"
        for host in ("other.test", "93.184.216.34")
        for status in (301, 302, 303, 307, 308)
    )
    page += page.replace("<img", "<iframe") + page.replace("<img", "<script")
    seen = any_world.render(page, hold=400)
    seen.assert_nothing_got_through()
    assert seen.plain == []


@pytest.mark.slow
def test_networks_opened_on_purpose_are_reached_in_plain_http(world: World) -> None:
    """What stands there may have no certificate; the public web stays closed all the same."""
    settings = {"allow_private": "10.0.0.0/8", "fetch_timeout_ms": 500}
    seen = world.render(asking("10.0.0.1", "hostile.test"), settings=settings)
    assert "10.0.0.1 80" in seen.canaries
    assert seen.plain == []
