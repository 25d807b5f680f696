"""The canary behind every option of Gotenberg's routes: no page reaches it through any of them.

The same two counts as in test_reach.py: no canary was connected to, and no packet was seen.
"""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import pytest

from tests.hostile.conftest import HOLD, World
from tests.marks import some_in_quick

SETTINGS = {"compat": "gotenberg"}
OPEN = {**SETTINGS, "allow_private": "0.0.0.0/0, ::/0", "fetch_timeout_ms": 500}
#: Some of each kind of spelling; all of them are tried through POST /render.
URLS = (
    "http://127.0.0.1:8080/x", "https://10.0.0.1/x", "http://169.254.169.254/latest/meta-data/",
    "http://0x7f000001/x", "http://[::1]/x", "http://[::ffff:10.0.0.1]/x", "https://inside.test/x",
    "http://localhost/x", "file:///etc/passwd", "https://metadata.test/x",
)  # fmt: skip
#: Through a redirect of a hostile server, too.
ALL = (*URLS, *(f"https://hostile.test/go?to={quote(url, safe='')}" for url in URLS))


def page_of(urls: tuple[str, ...]) -> str:
    """A page that asks for all of them in several ways."""
    return "<body>" + "".join(
        f"<img src='{url}'><link rel=stylesheet href='{url}'><iframe src='{url}'></iframe>"
        f"<script>fetch('{url}').catch(() => 0)</script>"
        for url in urls
    ) + HOLD.format(300)  # fmt: skip


def send(
    world: World,
    path: str,
    fields: Mapping[str, Any],
    files: Mapping[str, str] | None = None,
    settings: Mapping[str, Any] = SETTINGS,
) -> Any:
    """Send a form to a route of Chromium."""
    given = {name: value if isinstance(value, str) else json.dumps(value)
             for name, value in fields.items()}  # fmt: skip
    where = f"/forms/chromium/{path}"
    return world.send_form(where, given, dict(files or {}), dict(settings))


@pytest.mark.parametrize("action", some_in_quick(["screenshot", "convert"], 2))
def test_no_address_is_rendered(world: World, action: str) -> None:
    """By the url routes: 403 where the policy denies it, 400 for what is no address of the web."""
    for url in ALL[action == "convert" :: 2]:  # both have the address from the same field
        seen = send(world, f"{action}/url", {"url": url})
        seen.assert_nothing_got_through()
        assert seen.status in (400, 403), (url, seen.body)
        assert b"root:" not in seen.body


@pytest.mark.parametrize("path", ["screenshot/html", "convert/html"])
def test_no_page_reaches_one(world: World, path: str) -> None:
    """Nor its header and footer, nor what it is waited for with."""
    page = page_of(ALL)
    part = "".join(f"<img src='{url}'>" for url in URLS)
    files = {"index.html": page, "header.html": part, "footer.html": part}
    code = "".join(f"fetch('{url}').catch(() => 0);" for url in URLS)
    fields = {
        "waitForExpression": f"(() => {{ {code} return true }})()",
        "extraHttpHeaders": {"X-Secret": "s;scope=."},
    }
    if path.startswith("screenshot"):
        files = {"index.html": page}
    seen = send(world, path, fields, files)
    seen.assert_nothing_got_through()
    assert seen.status == 200, seen.body


@pytest.mark.parametrize("path", ["screenshot/markdown", "convert/markdown"])
def test_no_text_reaches_one(world: World, path: str) -> None:
    """What acts in it is left out, and its pictures are under the policy."""
    text = page_of(ALL) + "".join(f"\n\n![x]({url})" for url in URLS)
    seen = send(world, path, {}, {"index.html": '{{ toHTML "a.md" }}', "a.md": text})
    seen.assert_nothing_got_through()
    assert seen.status == 200, seen.body


def test_no_file_is_downloaded_from_one(world: World) -> None:
    """`downloadFrom` is under the same policy, at each redirect."""
    for url in ALL:
        entry = {"url": url, "extraHttpHeaders": {"X-Secret": "s"}}
        seen = send(world, "screenshot/html", {"downloadFrom": [entry]}, {"index.html": "x"})
        seen.assert_nothing_got_through()
        assert seen.status in (400, 403), (url, seen.body)


@pytest.mark.slow
def test_the_canaries_do_hear_of_it_where_the_policy_allows_it(world: World) -> None:
    """The checks can fail: with the door open, each way reaches them."""
    url = "http://10.0.0.1/x"
    for path, fields, files in (
        ("screenshot/url", {"url": url}, {}),
        ("screenshot/html", {}, {"index.html": page_of((url,))}),
        ("convert/html", {}, {"index.html": "x", "header.html": f"<img src='{url}'>"}),
        ("screenshot/markdown", {}, {"index.html": '{{ toHTML "a.md" }}', "a.md": f"![x]({url})"}),
        ("screenshot/html", {"downloadFrom": [{"url": url}]}, {"index.html": "x"}),
    ):  # fmt: skip
        seen = send(world, path, fields, files, OPEN)
        assert "10.0.0.1 80" in seen.canaries, (path, seen.body)
