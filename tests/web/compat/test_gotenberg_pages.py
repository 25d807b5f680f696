"""Gotenberg's fields of the page: what is waited for, sent, loaded, and what fails it."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.web.compat.forms import Answered, post
from tests.web.compat.gotenberg import BLUE, RED, SHOT, WHITE, shot
from tests.web.local_web import LIME_SVG, LocalServer, local_server
from tests.web.pdf_files import picture, texts
from tests.web.pictures import at, decode
from tests.web.service import Service, running_in_own_folder


@pytest.fixture(scope="module")
async def service() -> AsyncIterator[Service]:
    """One service for all tests of this file."""
    async with running_in_own_folder(
        compat="gotenberg", allow_private="127.0.0.0/8", timeout_ms=20_000, max_pixels=5_000_000
    ) as found:
        yield found


@pytest.fixture(scope="module")
async def web() -> AsyncIterator[LocalServer]:
    """A web server whose pages and files are fetched."""
    async with local_server() as found:
        yield found


#: A script that has the page be red and says so after 300 ms, in all ways.
LATER = """<body><p id=later hidden>x</p><script>setTimeout(() => {
    document.body.style.background = 'red'; window.status = 'it"s'; window.done = true;
    later.hidden = false }, 300)</script>"""


@pytest.mark.parametrize(
    "fields",
    [
        {"waitDelay": "600ms"}, {"waitForExpression": "window.done === true"},
        {"waitForExpression": "new Promise((done) => setTimeout(() => done(window.done), 500))"},
        {"waitForSelector": "#later"}, {"waitWindowStatus": 'it"s'},
        {"waitWindowStatus": 'it"s', "waitForExpression": "window.done", "waitForSelector": "p"},
    ],
    ids=str,
)  # fmt: skip
async def test_a_page_is_waited_for(service: Service, fields: dict[str, str]) -> None:
    """By a time, an expression, an element, or the status of its window."""
    assert at(await shot(service, LATER, **fields), 400, 300) == (*RED, 255)


async def test_a_page_is_not_waited_for_by_default(service: Service) -> None:
    """What comes after it has loaded is not there."""
    assert at(await shot(service, LATER.replace("300)", "9000)")), 400, 300) == (*WHITE, 255)


@pytest.mark.parametrize("field", ["skipNetworkIdleEvent", "skipNetworkAlmostIdleEvent"])
async def test_a_page_whose_network_is_waited_for(
    service: Service, web: LocalServer, field: str
) -> None:
    """Requests that begin after it has loaded are waited for if the field is false."""
    chain = f"""<body><script>onload = () => setTimeout(async () => {{
        for (let i = 0; i < 3; i++) await fetch('{web.address}/slow' + i);
        document.body.style.background = 'red' }}, 0)</script>"""
    if field == "skipNetworkAlmostIdleEvent":  # two at the same time are idle enough
        for i in range(2):
            chain += f"<script>onload2{i} = fetch('{web.address}/slower{i}')</script>"
    seen = at(await shot(service, chain, **{field: "false"}), 400, 300)
    assert (seen == (*RED, 255)) == (field == "skipNetworkIdleEvent")


async def test_media(service: Service) -> None:
    """Its type and its features, in both forms in which clients send them."""
    page = """<style>body { background: white } @media print { body { background: blue } }
        @media (prefers-color-scheme: dark) { body { background: red } }</style>"""
    dark = {"prefers-color-scheme": "dark"}
    listed = [{"name": "prefers-color-scheme", "value": "dark"}]
    for fields, colour in (
        ({}, WHITE), ({"emulatedMediaType": "print"}, BLUE), ({"emulatedMediaType": "screen"},
        WHITE), ({"emulatedMediaFeatures": dark}, RED), ({"emulatedMediaFeatures": listed}, RED),
    ):  # fmt: skip
        assert at(await shot(service, page, **fields), 400, 300) == (*colour, 255), fields


async def test_what_is_sent_for_a_url(service: Service, web: LocalServer) -> None:
    """User agent, headers and cookies; a scope says for which addresses a header is."""
    inner = f"<img src=/a.svg><img src={web.address}/b.svg>".replace("127.0.0.1", "localhost")
    url = web.page("/sent", inner)
    answer = await post(
        service, "/forms/chromium/screenshot/url", url=url, userAgent="Robot 1",
        extraHttpHeaders={"X-All": "1; 2", "X-A": "a;scope=/a\\.svg$", "X-B": "b ;SCOPE = b.svg"},
        cookies=[{"name": "k", "value": "v", "domain": "127.0.0.1", "sameSite": "lAX"}],
    )  # fmt: skip
    assert answer.status == 200, answer.text
    (page,), (first,), (other,) = web.got("/sent"), web.got("/a.svg"), web.got("/b.svg")
    assert page.headers["user-agent"] == "Robot 1"
    assert (page.headers["x-all"], page.headers["cookie"]) == ("1;  2", "k=v")
    assert (first.headers["x-all"], first.headers["x-a"]) == ("1;  2", "a")
    assert "x-b" not in first.headers
    assert other.headers["x-b"] == "b"
    assert not {"x-all", "x-a", "cookie"} & set(other.headers), "it is of another origin"


async def test_a_header_of_a_form_needs_a_scope(service: Service, web: LocalServer) -> None:
    """Without one it would go to every host that the page names."""
    page = f"<img src={web.address}/scoped.svg>"
    found = await post(service, SHOT, {"index.html": page}, extraHttpHeaders={"X-A": "b"})
    assert (found.status, "has no scope" in found.text) == (400, True)
    scope = {"X-A": f"b;scope=^{web.address}/"}
    found = await post(service, SHOT, {"index.html": page}, extraHttpHeaders=scope)
    assert (found.status, web.got("/scoped.svg")[-1].headers["x-a"]) == (200, "b")


async def test_files_of_a_page(service: Service) -> None:
    """By their file names, in any field, without folders; header and footer are not among them."""
    page = "<style>img { width: 50px }</style><img src=a.svg><link rel=stylesheet href=style.css>"
    files: dict[str, str | bytes] = {
        "index.html": page, "some/where/a.svg": LIME_SVG, "style.css": "body { background: red }",
    }  # fmt: skip
    found = await post(service, SHOT, files)
    assert found.status == 200, found.text
    assert "X-Render-Warnings" not in found.headers
    seen = decode(found.body)
    assert (at(seen, 20, 20), at(seen, 400, 300)) == ((0, 255, 0, 255), (*RED, 255))
    del files["some/where/a.svg"]
    found = await post(service, SHOT, files)
    assert 'url="a.svg";reason=not_found' in found.headers["X-Render-Warnings"]


@pytest.mark.parametrize("action", ["screenshot", "convert"])
async def test_markdown(service: Service, action: str) -> None:
    """The texts that a page names, without what acts in them."""
    page = '<body style="background: red"><h1>Title</h1>{{ toHTML "a.md" }}<img src="dot.svg">'
    files: dict[str, str | bytes] = {
        "index.html": page, "dot.svg": LIME_SVG,
        "a.md": "**Bold**\n\n<script>document.body.style.background = 'blue'</script>",
    }  # fmt: skip
    path = f"/forms/chromium/{action}/markdown"
    found = await post(service, path, files, printBackground="true")
    assert found.status == 200, found.text
    if action == "convert":
        assert texts(found.body) == ["Title Bold"]
        assert picture(found.body).getpixel((400, 600)) == RED
    else:
        assert at(decode(found.body), 400, 500) == (*RED, 255)
    missing = await post(service, path, {"index.html": page, "b.md": "x"})
    assert (missing.status, missing.text) == (400, "Markdown file(s) not found: 'a.md'")
    none = await post(service, path, {"index.html": page})
    assert none.text == "Invalid form data: no form file found for extensions: [.md]"


@pytest.mark.parametrize(
    ("status", "fields", "answered"),
    [
        (404, {}, 409), (503, {}, 409), (200, {}, 200),
        (404, {"failOnHttpStatusCodes": "[]"}, 200),
        (404, {"failOnHttpStatusCodes": "[599]"}, 200),
        (404, {"failOnHttpStatusCodes": "[404]"}, 409),
        (200, {"failOnHttpStatusCodes": "[299]"}, 409),
    ],
)  # fmt: skip
async def test_the_status_of_the_page(
    service: Service, web: LocalServer, status: int, fields: dict[str, str], answered: int
) -> None:
    """Of 400 and more by default; X99 stands for all of a class."""
    url = f"{web.address}/status?code={status}"
    found = await post(service, "/forms/chromium/screenshot/url", url=url, **fields)
    assert found.status == answered, found.text
    if answered == 409:
        phrase = {404: "Not Found", 503: "Service Unavailable", 200: "OK"}[status]
        words = f"Invalid HTTP status code from the main page: {status}: {phrase}"
        assert found.text == words


async def test_the_status_of_what_a_page_loads(service: Service, web: LocalServer) -> None:
    """Unless it is of a domain that is ignored; the lines are Gotenberg's."""
    page = f"<img src={web.address}/status?code=404>"

    async def found(**fields: Any) -> Answered:
        return await post(service, SHOT, {"index.html": page}, **fields)

    assert (await found()).status == 200
    failed = await found(failOnResourceHttpStatusCodes=[499])
    assert failed.status == 409
    assert failed.text == (
        f"Invalid HTTP status code from resources:\n{web.address}/status - 404: Not Found"
    )
    for codes, hosts, status in (
        ([404], [], 409), ([403, 599], [], 200), ([404], ["127.0.0.1"], 200),
        ([404], ["https://127.0.0.1:80/x"], 200), ([404], ["*.0.0.1"], 200),
        ([404], ["example.com", ""], 409),
    ):  # fmt: skip
        fields = {"failOnResourceHttpStatusCodes": codes, "ignoreResourceHttpStatusDomains": hosts}
        assert (await found(**fields)).status == status, (codes, hosts)


async def test_what_a_page_does_not_get(service: Service, web: LocalServer) -> None:
    """Fails with the field: what was not fetched at all, not what has an error status."""
    failing = {"failOnResourceLoadingFailed": "true"}
    page = "<img src=none.png><img src=http://127.0.0.1:49151/x><img src=http://10.0.0.1/>"
    assert (await post(service, SHOT, {"index.html": page})).status == 200
    found = await post(service, SHOT, {"index.html": page}, **failing)
    assert found.status == 409
    first, *lines = found.text.splitlines()
    assert first == "Chromium failed to load resources:"
    assert set(lines) == {
        "resource none.png: net::ERR_FILE_NOT_FOUND",
        "resource http://127.0.0.1:49151/x: net::ERR_CONNECTION_FAILED",
        "resource http://10.0.0.1/: net::ERR_ACCESS_DENIED",
    }
    page = f"<img src={web.address}/status?code=404>"
    assert (await post(service, SHOT, {"index.html": page}, **failing)).status == 200


async def test_what_a_script_fails_with(service: Service) -> None:
    """Its kind and place; a page's own words are in no log and no answer."""
    page = "<script>\nthrow new Error('secret')</script>"
    assert (await post(service, SHOT, {"index.html": page})).status == 200
    found = await post(service, SHOT, {"index.html": page}, failOnConsoleExceptions="true")
    assert (found.status, found.text) == (409, "Chromium console exceptions:\nError at 2:1")
