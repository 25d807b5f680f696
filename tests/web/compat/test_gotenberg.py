"""Gotenberg's routes: what cannot be, addresses, headers, callers."""

import asyncio
import base64
import io
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from tests.conftest import settled
from tests.web.compat.forms import post
from tests.web.compat.gotenberg import CONVERT, PAGE, SHOT, shot
from tests.web.local_web import LocalServer, local_server
from tests.web.pdf_files import texts
from tests.web.pictures import decode
from tests.web.service import Service, running_in_own_folder
from tests.web.tokens import TOKENS, WEB


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


def wrong(name: str, value: str, why: str) -> str:
    """A line for one field."""
    return f"form field '{name}' is invalid (got '{value}', resulting to {why})"


async def test_all_fields_that_are_wrong_are_named(service: Service) -> None:
    """In one answer, in Gotenberg's order, and the file that is missing."""
    flag, number = "it is neither true nor false", "it is not a number"
    expected = {
        "skipNetworkIdleEvent": flag, "skipNetworkAlmostIdleEvent": flag,
        "failOnHttpStatusCodes": "it is not JSON", "failOnResourceHttpStatusCodes":
        "it is not JSON", "failOnResourceLoadingFailed": flag, "failOnConsoleExceptions": flag,
        "waitDelay": 'it is not a duration like "500ms", "2.5s" or "1m30s"',
        "emulatedMediaType": "wrong value, expected either 'screen', 'print' or empty",
        "omitBackground": flag, "landscape": flag, "printBackground": flag, "scale": number,
        "singlePage": flag, "preferCssPageSize": flag, "generateDocumentOutline": flag,
        "generateTaggedPdf": flag,
    }  # fmt: skip
    found = await post(service, CONVERT, **dict.fromkeys(expected, "foo"))
    lines = [wrong(name, "foo", why) for name, why in expected.items()]
    assert found.status == 400
    assert found.kind == "text/plain; charset=UTF-8"
    required = "form file 'index.html' is required"
    assert found.text == "Invalid form data: " + "\n".join([*lines, required])


@pytest.mark.parametrize(
    ("fields", "status", "text"),
    [
        ({"width": "foo"}, 400, "it is not a whole number"),
        ({"width": "0"}, 400, "'width' is invalid (got '0'"),
        ({"width": "20000"}, 400, "16384"),
        ({"format": "bar"}, 400, "wrong value, expected either 'png', 'jpeg' or 'webp'"),
        ({"quality": "-1"}, 400, "value is negative"),
        ({"quality": "101"}, 400, "value is superior to 100"),
        ({"deviceScaleFactor": "9"}, 400, "'deviceScaleFactor' is invalid (got '9'"),
        ({"cookies": "foo"}, 400, wrong("cookies", "foo", "it is not JSON")),
        ({"cookies": '[{"name": "a", "value": "b"}]'}, 400,
         "cookie 0 must have its name, value and domain set"),
        ({"cookies": '[{"name": "a", "value": "b", "domain": "c"}]'}, 400, "'cookies'"),
        ({"extraHttpHeaders": '{"a": 1}'}, 400, "whose values are strings"),
        ({"extraHttpHeaders": '{"foo":"bar;scope;;"}'}, 400, "invalid scope '' for header 'foo'"),
        ({"extraHttpHeaders": '{"foo":"bar;scope=*."}'}, 400, "not a valid RE2 expression"),
        ({"extraHttpHeaders": '{"Host":"a;scope=b"}'}, 400, "Host cannot be set"),
        ({"emulatedMediaFeatures": "foo"}, 400, "it is not JSON"),
        ({"emulatedMediaFeatures": '{"a": "b"}'}, 400, "is not a supported media feature"),
        ({"waitForExpression": "undefined.x"}, 400, "The expression 'undefined.x'"
         " (waitForExpression) returned an exception or undefined"),
        ({"waitForSelector": ">>"}, 400,
         "The selector '>>' (waitForSelector) returned an exception or undefined"),
        ({"selector": "#none"}, 400,
         "The selector '#none' (selector) matched no element with a visible box"),
        ({"selector": ">>"}, 400,
         "The selector '>>' (selector) matched no element with a visible box"),
        ({"waitDelay": "1h"}, 400, "'waitDelay'"),
        ({"height": "9000", "width": "9000"}, 400, "'width'"),
    ],
    ids=str,
)  # fmt: skip
async def test_one_field_that_is_wrong(
    service: Service, fields: dict[str, str], status: int, text: str
) -> None:
    """The status, and what the answer says of it."""
    found = await post(service, SHOT, {"index.html": PAGE}, **fields)
    assert found.status == status, found.text
    assert text in found.text
    assert found.kind == "text/plain; charset=UTF-8"


@pytest.mark.parametrize(
    ("name", "value", "least"), [("paperWidth", "-1", "0.1"), ("marginTop", "300", "0")]
)
async def test_a_length_that_cannot_be_is_refused_in_inches(
    service: Service, name: str, value: str, least: str
) -> None:
    """As it was sent, and not in the pixels that it became."""
    found = await post(service, CONVERT, {"index.html": PAGE}, **{name: value})
    why = f"it is out of range; allowed: {least} to 200 inches"
    assert found.text == "Invalid form data: " + wrong(name, value, why)


async def test_a_field_that_is_not_known_is_ignored(service: Service) -> None:
    """As Gotenberg does; of a field that is there twice the first counts."""
    assert (await shot(service, nothing="x", landscape="foo")).size == (800, 600)


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"pdfa": "PDF/A-1b"}, 501), ({"pdfua": "true"}, 501), ({"pdfua": "foo"}, 400),
        ({"pdfua": "false", "userPassword": "", "allowPrinting": "true"}, 200),
        ({"splitMode": "pages", "splitSpan": "1"}, 501), ({"userPassword": "x"}, 501),
        ({"allowCopying": "false"}, 501), ({"rotateAngle": "90"}, 501),
        ({"watermarkSource": "text"}, 501), ({"stampExpression": "x"}, 501),
        ({"optimizeImages": "true"}, 501), ({"flatten": "true"}, 200),
        ({"facturxConformanceLevel": "BASIC"}, 501),
    ],
    ids=str,
)  # fmt: skip
async def test_what_needs_a_pdf_engine_is_refused(
    service: Service, fields: dict[str, str], status: int
) -> None:
    """Never left out silently, unless it asks for nothing."""
    found = await post(service, CONVERT, {"index.html": PAGE}, **fields)
    assert found.status == status, found.text
    if status == 501:
        assert f"form field '{next(iter(fields))}' needs Gotenberg's PDF engines" in found.text


async def test_a_file_for_an_engine_is_refused(service: Service) -> None:
    """By the field that it came in."""
    form = aiohttp.FormData(default_to_multipart=True)
    form.add_field("files", PAGE, filename="index.html")
    form.add_field("embeds", "x", filename="a.xml")
    async with service.client.post(service.address + CONVERT, data=form) as answer:
        assert (answer.status, "'embeds' needs" in await answer.text()) == (501, True)


@pytest.mark.parametrize(
    ("url", "status", "text"),
    [
        ("http://10.0.0.1/", 403, "Forbidden"),
        ("http://127.0.0.1:49151/", 400, "Chromium returned net::ERR_CONNECTION_REFUSED"),
        ("http://nowhere.invalid/", 400, "Chromium returned net::ERR_NAME_NOT_RESOLVED"),
        ("file:///etc/passwd", 400, "file:// URLs are not accepted on this route. Use the"
         " /convert/html or /convert/markdown routes to render local HTML"),
        ("", 400, "Invalid form data: form field 'url' is required"),
        ("ftp://x/", 400, "'url' is invalid (got 'ftp://x/'"),
    ],
)  # fmt: skip
async def test_an_address_that_cannot_be(
    service: Service, url: str, status: int, text: str
) -> None:
    """For a picture and for a PDF."""
    for action in ("screenshot", "convert"):
        found = await post(service, f"/forms/chromium/{action}/url", url=url)
        assert found.status == status, found.text
        assert text in found.text


async def test_a_page_of_the_web(service: Service, web: LocalServer) -> None:
    """As a picture and as a PDF."""
    url = web.page("/web", "<p>Words of the web")
    found = await post(service, "/forms/chromium/screenshot/url", url=url)
    assert decode(found.body).size == (800, 600)
    found = await post(service, "/forms/chromium/convert/url", url=url)
    assert texts(found.body) == ["Words of the web"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("foo", 'attachment; filename="foo.pdf"'),
        ("foo.pdf", 'attachment; filename="foo.pdf.pdf"'),
        ("/tmp/foo", 'attachment; filename="foo.pdf"'),
        ("C:\\Windows\\Temp\\foo", 'attachment; filename="foo.pdf"'),
        ("ünï", "attachment; filename=\"uni.pdf\"; filename*=UTF-8''%C3%BCn%C3%AF.pdf"),
    ],
)
async def test_the_name_of_the_file(service: Service, name: str, expected: str) -> None:
    """From the header, without folders; else it is new each time."""
    given = {"Gotenberg-Output-Filename": name}
    found = await post(service, CONVERT, {"index.html": PAGE}, given)
    assert found.headers["Content-Disposition"] == expected


async def test_a_name_that_no_file_has(service: Service) -> None:
    """Is refused before anything is rendered."""
    given = {"Gotenberg-Output-Filename": "..."}
    found = await post(service, CONVERT, {"index.html": PAGE}, given)
    assert (found.status, "Gotenberg-Output-Filename" in found.text) == (400, True)


async def test_the_trace_comes_back(service: Service) -> None:
    """On every route, also of errors, and as this service's own id; without one it is new."""
    given = {"Gotenberg-Trace": "my_trace.1"}
    for answer in (
        await post(service, SHOT, {"index.html": PAGE}, given),
        await post(service, SHOT, {}, given),
        await post(service, "/forms/pdfengines/merge", {}, given),
    ):
        assert answer.headers["Gotenberg-Trace"] == answer.headers["X-Request-Id"] == "my_trace.1"
    async with service.client.get(f"{service.address}/health", headers=given) as health:
        assert health.headers["Gotenberg-Trace"] == "my_trace.1"
    found = await post(service, SHOT, {}, {"Gotenberg-Trace": "a b"})
    assert len(found.headers["Gotenberg-Trace"]) == 16
    async with service.client.get(f"{service.address}/healthz", headers=given) as own:
        assert "Gotenberg-Trace" not in own.headers


@pytest.mark.parametrize(
    ("content_type", "body", "status", "text"),
    [
        ("application/json", b"{}", 415,
         "Invalid 'Content-Type' header value: want 'multipart/form-data'"),
        ("multipart/form-data", b"x", 415, "Invalid 'Content-Type' header value: no boundary"),
        ("multipart/form-data; boundary=a", b"x", 400, "the body is not a form"),
        ("multipart/form-data; boundary=a", b"x" * (51 << 20), 413, "too large"),
    ],
    ids=["json", "no boundary", "no form", "large"],
)  # fmt: skip
async def test_a_body_that_is_no_form(
    service: Service, content_type: str, body: bytes, status: int, text: str
) -> None:
    """With Gotenberg's statuses."""
    headers = {"Content-Type": content_type}
    async with service.client.post(
        service.address + SHOT, data=io.BytesIO(body), headers=headers
    ) as answer:
        assert (answer.status, answer.content_type) == (status, "text/plain")
        assert text in await answer.text()


async def test_a_page_of_another_origin_sends_no_form(service: Service) -> None:
    """As for this service's own forms: a browser would send them without asking."""
    found = await post(service, SHOT, {"index.html": PAGE}, {"Origin": "https://evil.example"})
    assert (found.status, found.kind) == (403, "text/plain; charset=UTF-8")
    assert found.text.startswith("Origin: is of") or "POSTER_CORS_ORIGINS" in found.text
    assert "form field" not in found.text


@pytest.mark.parametrize(
    "path", ["/forms/pdfengines/merge", "/forms/libreoffice/convert", "/forms/chromium/x"]
)
async def test_other_routes_are_not_here(service: Service, path: str) -> None:
    """A clear 404."""
    found = await post(service, path, {"a.pdf": b"x"})
    assert (found.status, "PDF engines and LibreOffice are not here" in found.text) == (404, True)


async def test_health_version_and_metrics(service: Service) -> None:
    """In the forms that Gotenberg's clients read."""
    async with service.client.get(f"{service.address}/health") as answer:
        assert answer.status == 200
        body = await answer.json()
        assert body["status"] == body["details"]["chromium"]["status"] == "up"
        assert body["details"]["chromium"]["timestamp"].endswith("Z")
    async with service.client.head(f"{service.address}/health") as answer:
        assert answer.status == 200
    async with service.client.get(f"{service.address}/version") as answer:
        assert answer.headers["Content-Type"] == "text/plain; charset=UTF-8"
        assert (await answer.text()).startswith("8.36.0+")
    async with service.client.get(f"{service.address}/prometheus/metrics") as answer:
        assert answer.content_type == "text/plain"
        text = await answer.text()
    assert "# TYPE gotenberg_chromium_requests_queue_size gauge\n" in text
    assert "\ngotenberg_chromium_requests_queue_size 0\n" in text
    assert "\ngotenberg_chromium_restarts_count " in text
    async with service.client.get(f"{service.address}/debug") as answer:
        assert answer.status == 404
    async with service.client.get(f"{service.address}/") as answer:
        assert answer.status == 200


async def test_its_routes_are_there_only_if_they_are_switched_on(
    start_service: Any,
) -> None:
    """By POSTER_COMPAT."""
    service = await start_service()
    for path in ("/health", "/version", "/prometheus/metrics"):
        async with service.client.get(service.address + path) as answer:
            assert answer.status == 404
    assert (await post(service, SHOT, {"index.html": PAGE})).status == 404


async def test_user_and_password_are_a_token(start_service: Any) -> None:
    """The user is its name; health needs none, as in Gotenberg."""
    service = await start_service(compat="gotenberg", tokens=TOKENS)

    def basic(user: str, password: str) -> dict[str, str]:
        both = base64.b64encode(f"{user}:{password}".encode()).decode()
        return {"Authorization": f"Basic {both}"}

    small = {"width": "10", "height": "10"}
    for headers, status in (
        (basic("web", WEB), 200), ({}, 401), (basic("app", WEB), 401),
        (basic("web", "x" * 20), 401),
        ({"Authorization": f"Bearer {WEB}"}, 401), ({"Authorization": "Basic ?"}, 401),
        (basic("", WEB), 401), (basic("web", ""), 401),
    ):  # fmt: skip
        found = await post(service, SHOT, {"index.html": "<p>x"}, headers, **small)
        assert found.status == status, headers
        if status == 401:
            assert found.text == "Unauthorized"
            assert found.headers["WWW-Authenticate"].startswith("Basic realm=")
    for path, status in (("/health", 200), ("/version", 401), ("/prometheus/metrics", 401)):
        async with service.client.get(service.address + path) as answer:
            assert answer.status == status
    document = json.loads(await (await service.client.get(
        f"{service.address}/openapi.json", headers={"Authorization": f"Bearer {WEB}"}
    )).text())  # fmt: skip
    assert document["paths"][SHOT]["post"]["security"] == [{"basic": []}]
    assert document["paths"]["/health"]["get"]["security"] == []
    assert document["components"]["securitySchemes"]["basic"]["scheme"] == "basic"


async def test_a_full_queue_and_a_page_that_takes_too_long(start_service: Any) -> None:
    """429 with Retry-After, which Gotenberg does not send, and 503."""
    service = await start_service(
        compat="gotenberg", concurrency=1, queue_size=0, timeout_ms=6_000, max_timeout_ms=6_000
    )
    for _ in range(3):  # so that it is known how long a render takes
        await post(service, SHOT, {"index.html": "<p>x"})
    assert await service.at_rest()
    slow = asyncio.ensure_future(
        post(service, SHOT, {"index.html": "<p>x"}, waitForExpression="false")
    )
    assert await settled(lambda: service.engine.admission.statistics().running == 1)
    found = await post(service, SHOT, {"index.html": "<p>y"})
    assert found.status == 429
    assert found.text.startswith("The request queue is full.")
    assert int(found.headers["Retry-After"]) >= 1
    late = await slow
    assert late.status == 503
    assert late.text.startswith("The request exceeded the time limit.")
