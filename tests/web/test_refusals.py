"""Every refusal is problem+json that names the field and the values allowed, and nothing inside."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.web.conftest import Service, StartService
from tests.web.service import running_in_own_folder

INSIDE = ("Traceback", "poster_service", "/usr/", "/tmp", "/home", "pyppeteer", "net::", "Protocol")


async def problem_of(service: Service, **request: Any) -> tuple[int, dict[str, Any]]:
    """POST /render with a raw request; the problem it must answer with."""
    path = request.pop("path", "/render")
    response = await service.client.post(f"{service.address}{path}", **request)
    body = await response.text()
    assert response.content_type == "application/problem+json", body
    assert not any(word in body for word in INSIDE), body
    problem: dict[str, Any] = json.loads(body)
    assert problem["status"] == response.status
    assert problem["request_id"] == response.headers["X-Request-Id"]
    assert problem["title"]
    return response.status, problem


@pytest.fixture(scope="module")
async def shared() -> AsyncIterator[Service]:
    """One service for a whole list of bad requests."""
    async with running_in_own_folder(max_body_bytes=20_000, max_pixels=4_000_000) as found:
        yield found


BAD_OPTIONS: list[tuple[dict[str, Any], str]] = [
    ({}, "html"),
    ({"html": "<p>", "template": "share-poster"}, "html"),
    ({"html": ""}, "html"),
    ({"html": 7}, "html"),
    ({"html": "<p>", "data": {}}, "data"),
    ({"template": "share-poster", "data": []}, "data"),
    ({"template": "../etc"}, "template"),
    ({"html": "<p>", "colour": "red"}, "colour"),
    ({"html": "<p>", "width": "750"}, "width"),
    ({"html": "<p>", "width": 0}, "width"),
    ({"html": "<p>", "width": 16_385}, "width"),
    ({"html": "<p>", "width": 10_000, "height": 10_000}, "width"),
    ({"html": "<p>", "width": 1.5}, "width"),
    ({"html": "<p>", "width": 16_384, "height": 9, "format": "webp"}, "width"),
    ({"html": "<p>", "width": 1, "height": 1, "device_scale_factor": 0.5}, "device_scale_factor"),
    ({"html": "<p>", "width": True}, "width"),
    ({"html": "<p>", "height": -1}, "height"),
    ({"html": "<p>", "device_scale_factor": 0}, "device_scale_factor"),
    ({"html": "<p>", "device_scale_factor": 9}, "device_scale_factor"),
    ({"html": "<p>", "format": "gif"}, "format"),
    ({"html": "<p>", "format": "PNG"}, "format"),
    ({"html": "<p>", "quality": 80}, "quality"),
    ({"html": "<p>", "quality": 80, "format": "pdf"}, "quality"),
    ({"html": "<p>", "quality": 101, "format": "jpeg"}, "quality"),
    ({"html": "<p>", "full_page": "yes"}, "full_page"),
    ({"html": "<p>", "background": "red"}, "background"),
    ({"html": "<p>", "background": "transparent", "format": "jpeg"}, "background"),
    ({"html": "<p>", "timeout_ms": 1}, "timeout_ms"),
    ({"html": "<p>", "timeout_ms": 10_000_000}, "timeout_ms"),
]


async def test_each_bad_option_is_named_with_what_is_allowed(shared: Service) -> None:
    """400, the stable code, the field, the values; one list of all that is wrong."""
    for options, field in BAD_OPTIONS:
        status, problem = await problem_of(shared, json=options)
        assert status == 400, options
        assert problem["code"] == "invalid_field", options
        assert problem["field"] == field, (options, problem)
        assert problem["allowed"], options
        assert field in problem["detail"]


async def test_all_that_is_wrong_is_reported_together(shared: Service) -> None:
    """Three bad options, three entries."""
    _, problem = await problem_of(shared, json={"html": "<p>", "width": 0, "height": 0, "x": 1})
    assert {entry["field"] for entry in problem["errors"]} == {"width", "height", "x"}


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"\xff\xfe", b'{"html": NaN}', b'{"html": "\\ud800"}', b"nonsense"],
)
async def test_a_body_that_is_not_json_is_a_bad_request(shared: Service, body: bytes) -> None:
    """400 for each way of not being JSON."""
    status, problem = await problem_of(
        shared, data=body, headers={"Content-Type": "application/json"}
    )
    assert (status, problem["code"]) == (400, "bad_request")


@pytest.mark.parametrize("value", [[], "text", 7, None])
async def test_json_that_is_no_object_is_refused(shared: Service, value: object) -> None:
    """Options come as an object."""
    headers = {"Content-Type": "application/json"}
    status, problem = await problem_of(shared, data=json.dumps(value), headers=headers)
    assert (status, problem["code"]) == (400, "invalid_field")


async def test_an_unknown_template_is_reported_with_those_there_are(shared: Service) -> None:
    """404 and the names."""
    status, problem = await problem_of(shared, json={"template": "no-such", "data": {}})
    assert (status, problem["code"], problem["field"]) == (404, "unknown_template", "template")
    assert problem["allowed"] == "article-card, share-poster"


async def test_data_that_does_not_fit_is_reported_by_its_place(shared: Service) -> None:
    """422 with the dotted path into the data, for each place."""
    data = {"title": "t", "price": 5, "seller": {}, "link": "javascript:alert(1)", "extra": 1}
    status, problem = await problem_of(shared, json={"template": "share-poster", "data": data})
    assert (status, problem["code"]) == (422, "invalid_data")
    fields = {entry["field"] for entry in problem["errors"]}
    assert {"data", "data.price", "data.seller", "data.link"} <= fields
    assert all(entry["allowed"] for entry in problem["errors"])


async def test_a_body_too_large_is_reported_with_the_bound(shared: Service) -> None:
    """413, whether the length is announced or the body is sent in chunks."""

    async def chunks() -> Any:
        for _ in range(30):
            yield b"x" * 1000

    for data in (b"x" * 30_000, chunks()):
        status, problem = await problem_of(shared, data=data, headers={"Content-Type": "text/html"})
        assert (status, problem["code"]) == (413, "body_too_large")
        assert "20000" in problem["allowed"]


@pytest.mark.parametrize("kind", ["text/plain", "image/png", "application/xml"])
async def test_an_unsupported_media_type_is_reported_with_those_supported(
    shared: Service, kind: str
) -> None:
    """415 and what would do."""
    status, problem = await problem_of(shared, data=b"<p>", headers={"Content-Type": kind})
    assert (status, problem["code"]) == (415, "unsupported_media_type")
    assert problem["allowed"] == "application/json, text/html, multipart/form-data"


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("width=abc", "width"),
        ("width=0", "width"),
        ("width=5&width=6", "width"),
        ("full_page=perhaps", "full_page"),
        ("quality=80", "quality"),
        ("html=x", "html"),
        ("template=share-poster", "template"),
        ("nonsense=1", "nonsense"),
    ],
)
async def test_options_in_the_query_are_checked_alike(
    shared: Service, query: str, field: str
) -> None:
    """text/html in: the same faults, read from the query."""
    status, problem = await problem_of(
        shared, path=f"/render?{query}", data=b"<p>", headers={"Content-Type": "text/html"}
    )
    assert (status, problem["field"]) == (400, field)


async def test_options_in_both_places_are_refused(shared: Service) -> None:
    """JSON with a query would leave open which one counts."""
    status, problem = await problem_of(shared, path="/render?width=9", json={"html": "<p>"})
    assert (status, problem["field"]) == (400, "width")


async def test_a_body_that_is_not_as_encoded_as_it_says_is_refused(shared: Service) -> None:
    """Content-Encoding: gzip over something else."""
    headers = {"Content-Type": "text/html", "Content-Encoding": "gzip"}
    status, problem = await problem_of(shared, data=b"plain", headers=headers)
    assert (status, problem["code"]) == (400, "bad_request")


async def test_html_in_a_wrong_charset_is_refused(shared: Service) -> None:
    """Bytes that are not what the charset says, and a charset that is unknown."""
    for kind in ("text/html", "text/html; charset=klingon"):
        status, problem = await problem_of(
            shared, data=b"\xff\xfe\x00", headers={"Content-Type": kind}
        )
        assert (status, problem["code"]) == (400, "bad_request")


async def test_other_addresses_and_methods_are_problems_too(shared: Service) -> None:
    """404 and 405 look like every other error; 405 names the methods."""
    response = await shared.get("/nothing")
    assert (response.status, response.content_type) == (404, "application/problem+json")
    response = await shared.get("/render")
    assert (response.status, response.headers["Allow"]) == (405, "POST")
    assert (await response.json())["code"] == "http_405"


async def test_the_log_has_what_the_caller_is_not_reported(
    shared: Service, caplog: pytest.LogCaptureFixture
) -> None:
    """The cause of a failed render stands in the log; the answer has the public sentence."""
    caplog.set_level("INFO")
    page = "<!doctype html><script>for (;;) {}</script>"
    status, problem = await problem_of(shared, json={"html": page, "timeout_ms": 300})
    assert status == 504
    assert "timeout_ms" in problem["detail"]
    assert any("render_timeout" in record.getMessage() for record in caplog.records)


async def test_bounds_that_the_operator_set_are_kept(start_service: StartService) -> None:
    """Values of a template's data, and bytes that a page has Chrome tell."""
    service = await start_service(max_data_values=300, page_max_message_bytes=1 << 20)
    data = {"title": "x", "tags": ["t"] * 400}
    status, problem = await problem_of(service, json={"template": "article-card", "data": data})
    assert (status, problem["code"]) == (422, "invalid_data")
    assert "more than 300 values" in problem["detail"]
    post = "<script>fetch('/x', {method: 'POST', body: 'x'.repeat(3e6)}).catch(() => {})</script>"
    page = {"html": f"{post}<p>x", "width": 50, "height": 50}
    status, problem = await problem_of(service, json=page)
    assert (status, problem["code"]) == (502, "page_failed")
    assert "too busy" in problem["detail"]
