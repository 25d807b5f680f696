"""The canary through every door of browserless' API: what its bodies and its queries can name.

The same two counts as in test_reach.py: no canary was connected to, and no packet was seen.
"""

import base64
import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import pytest

from tests.hostile.conftest import HOLD, World
from tests.hostile.elements import PAGES, SCHEMES, SOME_HOSTS
from tests.marks import some_in_quick

ROUTES = ("/screenshot", "/chromium/pdf", "/chrome/content", "/scrape")
COMPAT: dict[str, Any] = {"compat": "browserless", "concurrency": 1, "max_ready_chromes": 1}
URLS = [f"https://{host}/x" for host in SOME_HOSTS]
OPEN = "0.0.0.0/0, ::/0"


def body_of(route: str, **body: Any) -> dict[str, Any]:
    """A body that a route takes."""
    more = {"elements": [{"selector": "html"}]} if route == "/scrape" else {}
    return {"viewport": {"width": 200, "height": 100}, **more, **body}


def asking(urls: Sequence[str]) -> dict[str, Any]:
    """A page of which everything that a body can add asks for these addresses."""
    plain = [url for url in urls if "'" not in url]
    code = "".join(f"fetch('{url}').catch(() => 0); new Image().src = '{url}';" for url in plain)
    css = "".join(f"@import '{url}'; b {{ background: url('{url}') }}" for url in plain)
    redirect = {"status": 302, "headers": {"Location": plain[0]}}
    return {
        "html": "<b>x</b><img src=https://hostile.test/canned>" + HOLD.format(200),
        "addScriptTag": [{"content": code}, *({"url": url} for url in plain[:9])],
        "addStyleTag": [{"content": css}, *({"url": url} for url in plain[:9])],
        "waitForFunction": {"fn": f"(() => {{ {code} return true }})()"},
        "requestInterceptors": [{"pattern": "canned", "response": redirect}],
        "gotoOptions": {"waitUntil": ["load", "networkidle2"], "timeout": 30_000},
    }


@pytest.mark.parametrize("route", some_in_quick(ROUTES, 2))
def test_no_page_reaches_a_forbidden_address(world: World, route: str) -> None:
    """By its elements, by what is added, and by a canned redirect."""
    page = "<body>" + "".join(one.page(URLS) for one in PAGES[0]) + HOLD.format(200)
    for body in ({"html": page}, asking(URLS)):
        seen = world.post(route, body_of(route, **body), **COMPAT)
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
            seen = world.post(route, body_of(route, url=url), **COMPAT)
            seen.assert_nothing_got_through()
            assert seen.status in (400, 403, 500), (url, seen.body)
    for url in SCHEMES[place :: len(ROUTES)]:
        seen = world.post(route, body_of(route, url=url), **COMPAT)
        seen.assert_nothing_got_through()
        assert seen.status == 400
        assert b"root:" not in seen.body


def test_no_header_and_footer_of_a_pdf_reaches_anything(world: World) -> None:
    """Of which pictures are fetched as those of the page."""
    images = "".join(f"<img src='{url}'>" for url in URLS if "'" not in url)
    options = {"displayHeaderFooter": True, "headerTemplate": images, "footerTemplate": images}
    seen = world.post("/pdf", {"html": "<p>x", "options": options}, **COMPAT)
    seen.assert_nothing_got_through()
    assert seen.status == 200, seen.body


def test_no_answer_of_the_caller_opens_what_the_policy_closes(world: World) -> None:
    """A canned page at a forbidden address is as far as it gets; its own requests are denied."""
    frame = "<img src=/inner><script>fetch('/data').catch(() => 0)</script>"
    canned = {"pattern": "^https://10[.]0[.]0[.]1/frame", "response": {
        "body": base64.b64encode(frame.encode()).decode(), "contentType": "text/html"}}  # fmt: skip
    page = "<iframe src=https://10.0.0.1/frame></iframe>" + HOLD.format(300)
    seen = world.post("/screenshot", {"html": page, "requestInterceptors": [canned]}, **COMPAT)
    seen.assert_nothing_got_through()
    assert seen.status == 200, seen.body
    assert seen.warned("denied", "10.0.0.1", "address")


@pytest.mark.parametrize(
    "switch", ["--proxy-server=10.0.0.1:8080", "--host-resolver-rules=MAP * 10.0.0.1",
               "--remote-debugging-port=9222", "--proxy-pac-url=http://10.0.0.1/"],
)  # fmt: skip
def test_no_launch_option_reaches_chrome(world: World, switch: str) -> None:
    """Those that lead elsewhere are refused."""
    launch = quote(json.dumps({"args": [switch]}))
    page = {"html": "<img src=https://hostile.test/green>"}
    seen = world.post(f"/screenshot?launch={launch}", page, **COMPAT)
    seen.assert_nothing_got_through()
    assert (seen.status, seen.hits) == (400, [])


@pytest.mark.slow
def test_the_canaries_do_hear_of_it_where_the_policy_allows_it(world: World) -> None:
    """The check can fail: with the door open, the same bodies reach them."""
    settings = {**COMPAT, "allow_private": OPEN, "fetch_timeout_ms": 500}
    seen = world.post("/screenshot", asking(["https://10.0.0.1/x"]), **settings)
    assert "10.0.0.1 443" in seen.canaries
    seen = world.post("/screenshot", {"url": "http://10.0.0.1/x"}, **settings)
    assert "10.0.0.1 80" in seen.canaries
