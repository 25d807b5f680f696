"""The canary for `url`: no address, redirect or name reaches it.

The same two counts as in test_reach.py: no canary was connected to, and no packet was seen.
"""

from urllib.parse import quote

import pytest

from tests.hostile.conftest import World, in_both_chromes
from tests.hostile.elements import HOSTS, PAGES, SCHEMES, SOME_HOSTS, Element, names_of
from tests.marks import some_in_make_test, some_in_quick

WAYS = {"directly": 0, "by a redirect": 1, "by two": 2}


def marks_of(host: str, way: str) -> list[pytest.MarkDecorator]:
    """Where a spelling is tried: all of them in all ways in `make endurance`.

    One of each kind is tried directly, a third of them in the quick suite, and in turns by one
    redirect or by two.
    """
    place = SOME_HOSTS.index(host) if host in SOME_HOSTS else None
    if place is None or WAYS[way] == 1 + place % 2:
        return [pytest.mark.endurance]
    return [] if way == "directly" and place % 3 == 0 else [pytest.mark.slow]


@pytest.mark.parametrize(
    ("way", "host"),
    [pytest.param(way, host, marks=marks_of(host, way)) for way in WAYS for host in HOSTS],
)
def test_no_address_is_reached_however_it_is_written(
    either_world: World, host: str, way: str
) -> None:
    """Over https and http; refused by the option's check, or by the policy with the field."""
    for scheme in ("https", "http"):
        url = f"{scheme}://{host}/x"
        for _ in range(WAYS[way]):
            url = f"https://hostile.test/go?to={quote(url, safe='')}"
        seen = either_world.visit(url)
        seen.assert_nothing_got_through()
        assert seen.status in (400, 422, 502), (url, seen.body)
        assert seen.problem["code"] in ("invalid_field", "fetch_denied", "url_unreachable")


@pytest.mark.parametrize("url", some_in_quick(SCHEMES, 4))
def test_no_scheme_but_the_webs_is_visited(either_world: World, url: str) -> None:
    """Neither as it is given, nor after a redirect."""
    seen = either_world.visit(url)
    seen.assert_nothing_got_through()
    assert (seen.status, seen.problem["field"]) == (400, "url")
    seen = either_world.visit(f"https://hostile.test/go?to={quote(url, safe='')}")
    seen.assert_nothing_got_through()
    assert seen.status in (422, 502), seen.body
    assert b"root:" not in seen.body


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_the_public_web_is_visited_by_http_too(any_world: World, scheme: str) -> None:
    """A page that comes by http has its pictures by http; one that comes by https has not.

    That is mixed content, which an option of `fetch` would let through.
    """
    body = (
        "<img src=/green><img src=http://other.test/green><script>"
        "fetch('http://other.test/green', {targetAddressSpace: 'public'}).catch(() => 0)</script>"
    )
    seen = any_world.visit_page(body, at=f"{scheme}://hostile.test")
    seen.assert_nothing_got_through()
    assert seen.status == 200, seen.body
    assert "GET hostile.test/green" in seen.hits
    ours = {"GET hostile.test/page", "GET hostile.test/green", "GET other.test/green"}
    assert set(seen.plain) == (ours if scheme == "http" else set())


@pytest.mark.parametrize("name", ["rebind.test", "rebind-at-once.test"])
def test_a_name_that_changes_its_mind_gets_nowhere(any_world: World, name: str) -> None:
    """A page at that name asks its own origin, which now leads inside."""
    script = (
        "<script>(async () => { for (let i = 0; i < 6; i++) await fetch('/green?n=' + i)"
        ".catch(() => 0) })()</script>"
    )
    seen = any_world.visit_page(script, at=f"https://{name}", hold=600, Connection="close")
    seen.assert_nothing_got_through()
    assert seen.status == 200, seen.body
    assert seen.warned("denied", name, "address")


@pytest.mark.parametrize("elements", some_in_quick(PAGES, 4), ids=names_of)
def test_no_element_of_a_page_on_the_web_reaches_anything(
    either_world: World, elements: list[Element]
) -> None:
    """A page that is its own origin, with its own headers, gets no further than one of ours."""
    urls = [f"https://{host}/x" for host in SOME_HOSTS]
    body = "<body>" + "".join(one.page(urls) for one in elements)
    seen = either_world.visit_page(body)
    seen.assert_nothing_got_through()
    assert seen.status == 200, seen.body
    assert "denied" in seen.warnings


@in_both_chromes
def test_headers_of_the_document_reach_nothing_either(any_world: World) -> None:
    """Preloads, reports, refreshes, service workers, alternative services."""
    inside = "https://10.0.0.1/x"
    seen = any_world.visit_page(
        "<body>x<script>navigator.serviceWorker?.register('https://10.0.0.1/w.js')"
        ".catch(() => 0)</script><iframe src=https://10.0.0.1/></iframe>",
        Link=f"<{inside}>; rel=preload; as=image, <https://10.0.0.1>; rel=preconnect",
        Refresh=f"0; url={inside}",
        Alt_Svc='h2="10.0.0.1:443"; ma=60',
        Reporting_Endpoints=f'main="{inside}", default="{inside}"',
        Report_To=f'{{"group":"x","max_age":60,"endpoints":[{{"url":"{inside}"}}]}}',
        NEL='{"report_to":"x","max_age":60,"success_fraction":1}',
        Content_Security_Policy=f"img-src 'none'; report-uri {inside}; report-to main",
        Cross_Origin_Opener_Policy="same-origin; report-to=main",
        Strict_Transport_Security="max-age=60; includeSubDomains; preload",
    )
    seen.assert_nothing_got_through()
    assert seen.status == 200, seen.body


@pytest.mark.parametrize("elements", some_in_make_test(PAGES, 4), ids=names_of)
def test_nor_does_markdown(either_world: World, elements: list[Element]) -> None:
    """By its own syntax and by HTML inside."""
    urls = [f"https://{host}/x" for host in SOME_HOSTS]
    own = "".join(
        f"![a]({url}) [b]({url}) <{url}>\n\n[r{number}]: {url}\n\n![c][r{number}]\n\n"
        for number, url in enumerate(urls)
    )
    inside = "".join(one.page(urls) for one in elements)
    seen = either_world.paint(markdown=f"{own}<div>{inside}</div>")
    seen.assert_nothing_got_through()
    assert seen.status == 200, seen.body
    assert "denied" in seen.warnings


def test_secrets_reach_no_other_host(any_world: World) -> None:
    """Neither the hosts that a page names nor one that it redirects to, and no canary."""
    secrets = {
        "headers": {"X-Tenant": "secret"},
        "cookies": [{"name": "s", "value": "secret"}],
        "credentials": {"username": "u", "password": "secret"},
    }
    for url in ("https://10.0.0.1/x", "https://inside.test/x", "http://169.254.169.254/x"):
        seen = any_world.visit(url, **secrets)
        seen.assert_nothing_got_through()
        assert (seen.status, seen.problem["code"]) == (422, "fetch_denied")
        seen = any_world.visit(f"https://hostile.test/go?to={url}", **secrets)
        seen.assert_nothing_got_through()
        assert (seen.status, seen.problem["code"]) == (422, "fetch_denied")
        assert b"secret" not in seen.body
