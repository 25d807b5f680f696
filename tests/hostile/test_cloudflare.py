"""The canary through every door of Browser Run's API: what its bodies can name.

The same two counts as in test_reach.py: no canary was connected to, and no packet was seen.
"""

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import pytest

from tests.hostile.conftest import HOLD, World
from tests.hostile.elements import PAGES, SCHEMES, SOME_HOSTS
from tests.marks import some_in_quick

PREFIX = "/client/v4/accounts/a/browser-rendering"
ROUTES = ("screenshot", "pdf", "content", "snapshot", "scrape", "links", "markdown")
COMPAT: dict[str, Any] = {"compat": "cloudflare", "concurrency": 1, "max_ready_chromes": 1}
URLS = [f"https://{host}/x" for host in SOME_HOSTS]
OPEN = "0.0.0.0/0, ::/0"


def body_of(route: str, **body: Any) -> dict[str, Any]:
    """A body that a route takes."""
    more: dict[str, Any] = {"elements": [{"selector": "html"}]} if route == "scrape" else {}
    if route == "snapshot":
        more = {"formats": ["content", "screenshot", "markdown"]}
    return {"viewport": {"width": 200, "height": 100}, **more, **body}


def asking(urls: Sequence[str]) -> dict[str, Any]:
    """A page of which everything that a body can add asks for these addresses."""
    plain = [url for url in urls if "'" not in url]
    code = "".join(f"fetch('{url}').catch(() => 0); new Image().src = '{url}';" for url in plain)
    css = "".join(f"@import '{url}'; b {{ background: url('{url}') }}" for url in plain)
    links = "".join(f"<a href='{url}'>x</a><base href='{url}'>" for url in plain)
    return {
        "html": f"<b>x</b>{links}" + HOLD.format(200),
        "addScriptTag": [{"content": code}, *({"url": url} for url in plain[:9])],
        "addStyleTag": [{"content": css}, *({"url": url} for url in plain[:9])],
        "gotoOptions": {"waitUntil": ["load", "networkidle2"], "timeout": 30_000},
    }


@pytest.mark.parametrize("route", some_in_quick(ROUTES, 2))
def test_no_page_reaches_a_forbidden_address(world: World, route: str) -> None:
    """By its elements, by what is added, and when it becomes text."""
    page = "<body>" + "".join(one.page(URLS) for one in PAGES[0]) + HOLD.format(200)
    for body in ({"html": page}, asking(URLS)):
        seen = world.post(f"{PREFIX}/{route}", body_of(route, **body), **COMPAT)
        seen.assert_nothing_got_through()
        assert seen.status == 200, seen.body
        assert "denied" in seen.warnings


@pytest.mark.parametrize("route", some_in_quick(ROUTES, 2))
def test_no_url_is_a_forbidden_address(world: World, route: str) -> None:
    """Neither as it is given, nor after a redirect; a file is none at all.

    Each route is given other spellings; together they are given all.
    """
    place = ROUTES.index(route)
    for host in SOME_HOSTS[place :: len(ROUTES)]:
        for url in (f"http://{host}/x", f"https://hostile.test/go?to={quote(f'https://{host}/x')}"):
            seen = world.post(f"{PREFIX}/{route}", body_of(route, url=url), **COMPAT)
            seen.assert_nothing_got_through()
            assert seen.status in (400, 422, 502), (url, seen.body)
    for url in SCHEMES[place :: len(ROUTES)]:
        seen = world.post(f"{PREFIX}/{route}", body_of(route, url=url), **COMPAT)
        seen.assert_nothing_got_through()
        assert seen.status == 400
        assert b"root:" not in seen.body


def test_no_header_and_footer_of_a_pdf_reaches_anything(world: World) -> None:
    """Of which pictures are fetched as those of the page."""
    images = "".join(f"<img src='{url}'>" for url in URLS if "'" not in url)
    options = {"displayHeaderFooter": True, "headerTemplate": images, "footerTemplate": images}
    seen = world.post(f"{PREFIX}/pdf", {"html": "<p>x", "pdfOptions": options}, **COMPAT)
    seen.assert_nothing_got_through()
    assert seen.status == 200, seen.body


@pytest.mark.slow
def test_the_canaries_do_hear_of_it_where_the_policy_allows_it(world: World) -> None:
    """The check can fail: with the door open, the same bodies reach them."""
    settings = {**COMPAT, "allow_private": OPEN, "fetch_timeout_ms": 500}
    seen = world.post(f"{PREFIX}/content", asking(["https://10.0.0.1/x"]), **settings)
    assert "10.0.0.1 443" in seen.canaries
    seen = world.post(f"{PREFIX}/markdown", {"url": "http://10.0.0.1/x"}, **settings)
    assert "10.0.0.1 80" in seen.canaries
