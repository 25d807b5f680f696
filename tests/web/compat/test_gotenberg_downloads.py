"""Gotenberg's `downloadFrom`: what is fetched, with which headers, and what is refused."""

import base64
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.web.compat.forms import Answered, post
from tests.web.conftest import StartService
from tests.web.local_web import LIME_SVG, LocalServer, local_server
from tests.web.pdf_files import texts
from tests.web.pictures import LIME, at, decode
from tests.web.service import Service, running_in_own_folder
from tests.web.tokens import TOKENS, WEB

SHOT = "/forms/chromium/screenshot/html"
PAGE = "<style>body { margin: 0 } img { width: 50px }</style><img src=dot.svg>"
NAMED = "attachment%3B+filename%3D%22{}%22"


@pytest.fixture(scope="module")
async def service() -> AsyncIterator[Service]:
    """One service for all tests of this file."""
    async with running_in_own_folder(
        compat="gotenberg", allow_private="127.0.0.0/8", timeout_ms=20_000, max_body_bytes=100_000
    ) as found:
        yield found


@pytest.fixture(scope="module")
async def web() -> AsyncIterator[LocalServer]:
    """A web server that has the files."""
    async with local_server() as found:
        yield found


def file_at(web: LocalServer, name: str, body: str, kind: str = "text/html") -> str:
    """The address of a file that says its name."""
    query = f"type={kind}&disposition={NAMED.format(name)}&body={body}"
    return f"{web.address}/typed?{query}".replace(" ", "%20").replace("#", "%23")


async def fetched(service: Service, entries: Any, **files: str) -> Answered:
    """A picture of a page whose files are fetched."""
    given = {name.replace("_", "."): text for name, text in files.items()}
    return await post(service, SHOT, given, downloadFrom=entries)


async def test_files_are_fetched(service: Service, web: LocalServer) -> None:
    """With their own headers; they are files of the page like others."""
    url = file_at(web, "dot.svg", LIME_SVG, "image/svg%2Bxml")
    web.received.clear()
    entries = [{"url": url, "extraHttpHeaders": {"X-Secret": "s"}}]
    found = await fetched(service, entries, index_html=PAGE)
    assert found.status == 200, found.text
    assert at(decode(found.body), 20, 20) == LIME
    (request,) = web.received
    assert request.headers["x-secret"] == "s"
    assert request.headers["user-agent"] == "poster-service"


async def test_the_page_itself_may_be_fetched(service: Service, web: LocalServer) -> None:
    """And a file of the form counts where both have the same name."""
    page = {"url": file_at(web, "some/where/index.html", "<p>Fetched page")}
    path = "/forms/chromium/convert/html"
    found = await post(service, path, {}, downloadFrom=[page])
    assert (found.status, texts(found.body)) == (200, ["Fetched page"])
    found = await post(service, path, {"index.html": "<p>Own"}, downloadFrom=[page])
    assert texts(found.body) == ["Own"]
    header = {"url": file_at(web, "header.html", "<p style='font-size:9px'>Head")}
    found = await post(service, path, {"index.html": "<p>Own"}, downloadFrom=[header])
    assert texts(found.body) in (["Own Head"], ["Head Own"])
    markdown = {"url": file_at(web, "a.md", "**bold**", "text/markdown")}
    files = {"index.html": '{{ toHTML "a.md" }}'}
    found = await post(service, "/forms/chromium/convert/markdown", files, downloadFrom=[markdown])
    assert texts(found.body) == ["bold"]


async def test_a_redirect_is_followed_without_the_headers(
    service: Service, web: LocalServer
) -> None:
    """Where it leads to another origin."""
    async with local_server() as other:
        target = file_at(other, "dot.svg", LIME_SVG, "image/svg%2Bxml")
        web.redirects["/away"], web.redirects["/near"] = target, "/away"
        entries = [{"url": f"{web.address}/near", "extraHttpHeaders": {"X-Secret": "s"}}]
        web.received.clear()
        found = await fetched(service, entries, index_html=PAGE)
        assert found.status == 200, found.text
        assert at(decode(found.body), 20, 20) == LIME
        assert ["x-secret" in one.headers for one in web.received] == [True, True]
        assert ["x-secret" in one.headers for one in other.received] == [False]


@pytest.mark.parametrize(
    ("entry", "status", "text"),
    [
        ({"url": "http://10.0.0.1/a?key=secret"}, 403, "Forbidden"),
        ({"url": "file:///etc/passwd"}, 403, "Forbidden"),
        ({"url": "{web}/go?to=http://10.0.0.1/"}, 403, "Forbidden"),
        ({"url": "{web}/go?to=file:///etc/passwd"}, 403, "Forbidden"),
        ({"url": "{web}/loop"}, 403, "Forbidden"),
        ({"url": "{web}/status?code=404"}, 400,
         "Unable to download file from '{web}/status': got status: '404 Not Found'"),
        ({"url": "http://127.0.0.1:49151/"}, 400,
         "Unable to download file from 'http://127.0.0.1:49151/': unreachable"),
        ({"url": "{web}/typed"}, 400, "No 'Content-Disposition' header from '{web}/typed'"),
        ({"url": "{web}/typed?disposition=attachment"}, 400,
         "Invalid 'Content-Disposition' header 'attachment' from '{web}/typed': no filename"),
        ({"url": " "}, 400, "Invalid 'downloadFrom' form field entry 0: URL must be set"),
        ({}, 400, "Invalid 'downloadFrom' form field entry 0: URL must be set"),
        ("x", 400, "Invalid 'downloadFrom' form field value: it is not a JSON list of objects"),
        ({"url": "{web}/", "extraHttpHeaders": {"Host": "x"}}, 400, "Host cannot be set"),
        ({"url": "{web}/", "extraHttpHeaders": {"X": 1}}, 400, "whose values are strings"),
        ({"url": "{web}/", "embedded": True}, 501, "'downloadFrom' entry 0 is for Gotenberg's"),
        ({"url": "{web}/", "field": "stamp"}, 501, "'downloadFrom' entry 0 is for Gotenberg's"),
    ],
    ids=str,
)  # fmt: skip
async def test_what_cannot_be_fetched(
    service: Service, web: LocalServer, entry: Any, status: int, text: str
) -> None:
    """The policy decides on each address and each redirect; no answer has a query of one."""
    web.redirects["/loop"] = "/loop"
    if isinstance(entry, dict) and "url" in entry:
        entry = {**entry, "url": entry["url"].replace("{web}", web.address)}
    found = await fetched(service, [entry], index_html=PAGE)
    assert found.status == status, found.text
    assert text.replace("{web}", web.address) in found.text
    assert "secret" not in found.text


async def test_files_are_bounded(service: Service, web: LocalServer) -> None:
    """All of them together like a body, and in number."""
    large = {"url": file_at(web, "a.txt", "x" * 4000, "text/plain")}
    found = await fetched(service, [large] * 20, index_html=PAGE)
    assert found.status == 200, found.text
    found = await fetched(service, [large] * 30, index_html=PAGE)
    assert found.status == 413
    found = await fetched(service, [{"url": "http://a/"}] * 51, index_html=PAGE)
    assert (found.status, "more than 50 entries" in found.text) == (400, True)
    found = await fetched(service, "{", index_html=PAGE)
    assert (found.status, found.text) == (
        400, "Invalid 'downloadFrom' form field value: it is not JSON",
    )  # fmt: skip
    assert service.engine.fetcher.outbound.statistics().running == 0


async def test_nothing_is_fetched_for_a_form_that_is_wrong(
    service: Service, web: LocalServer
) -> None:
    """Its fields are checked before."""
    web.received.clear()
    entries = [{"url": file_at(web, "a.txt", "x")}]
    found = await post(service, SHOT, {"index.html": PAGE}, downloadFrom=entries, width="foo")
    assert (found.status, web.received) == (400, [])


async def test_fetching_is_charged_like_a_render(
    start_service: StartService, web: LocalServer
) -> None:
    """So that a caller cannot have more fetched than its quota says, even if it fails."""
    service = await start_service(
        compat="gotenberg", tokens=TOKENS, allow_private="127.0.0.0/8",
        token_renders_per_minute=2, token_burst=2,
    )  # fmt: skip
    both = base64.b64encode(f"web:{WEB}".encode()).decode()
    headers = {"Authorization": f"Basic {both}"}
    entries = [{"url": f"{web.address}/status?code=404"}]
    answers = [
        await post(service, SHOT, {"index.html": "x"}, headers, downloadFrom=entries)
        for _ in range(3)
    ]
    assert [one.status for one in answers] == [400, 400, 429]
    assert int(answers[2].headers["Retry-After"]) >= 1
    assert len(web.got("/status")) >= 2
