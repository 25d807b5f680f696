"""What a page lacks or does wrong fails a render that asks for that, and no other.

In headless-shell and full Chromium, with a Chrome for each render and with one for many.
"""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from poster_service.render.conditions import CONDITIONS
from tests.web.conftest import Service
from tests.web.modes import in_both_chromes, service_in_modes

SIZE = {"width": 60, "height": 40}
THROWS = "<script>\nnull.x</script>"
REJECTS = "<script>Promise.reject(new RangeError('secret'))</script>"
BOX = "<p>\u0378"


service = service_in_modes(allow_private="127.0.0.0/8", cache_bytes=1 << 20)


@pytest.fixture(scope="module")
async def remote() -> AsyncIterator[str]:
    """The address of a server that answers every path with the status in it, with CORS."""

    async def answer(request: web.Request) -> web.Response:
        return web.Response(
            status=int(request.path[1:]),
            text="x",
            headers={"Access-Control-Allow-Origin": "*"},
        )

    app = web.Application()
    app.router.add_get("/{status}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert site._server is not None
    yield f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"  # type: ignore[attr-defined]
    await runner.cleanup()


async def outcome(service: Service, html: str, *conditions: str) -> tuple[int, str, str]:
    """Status, code and sentence of a render with these conditions."""
    answer = await service.render(html=f"<!doctype html>{html}", fail_on=list(conditions), **SIZE)
    problem: dict[str, Any] = {}
    if answer.status != 200:
        assert answer.content_type == "application/problem+json"
        problem = await answer.json()
    return answer.status, problem.get("code", ""), problem.get("detail", "")


#: At once, since a page's load does not wait for what its scripts `fetch`.
ASKS = """<script>
const request = new XMLHttpRequest();
request.open('GET', '{remote}/500', false);
try { request.send(); } catch {}
</script>"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("html", "code", "status", "says", "failing"),
    [
        (THROWS, "script_error", 422, "TypeError at 2:6", {"script_error"}),
        (REJECTS, "script_error", 422, "RangeError in a promise", {"script_error"}),
        (BOX, "missing_glyph", 422, "U+0378", {"missing_glyph"}),
        ("<img src=http://127.0.0.1:49151/a.png>", "fetch_failed", 502, "127.0.0.1:49151",
         {"subresource", "not_fetched"}),
        ("<img src=data:image/png,x>", "fetch_failed", 502, "data:image/png", {"subresource"}),
        ("<img src={remote}/404>", "fetch_failed", 502, "/404", {"subresource", "http_4xx"}),
        ("<img src={remote}/410>", "fetch_failed", 502, "/410", {"subresource", "http_4xx"}),
        ("<img src=none.png>", "fetch_failed", 502, "none.png",
         {"subresource", "not_fetched", "http_4xx"}),
        ("<img src={remote}/503>", "fetch_failed", 502, "/503", {"subresource", "http_5xx"}),
        (ASKS, "fetch_failed", 502, "/500", {"subresource", "http_5xx"}),
        ("<img src=http://10.0.0.1/a.png>", "fetch_denied", 422, "10.0.0.1",
         {"subresource", "not_fetched"}),
        ("<p>whole", "", 200, "", set()),
    ],
)  # fmt: skip
async def test_a_condition_fails_what_it_names_and_nothing_else(
    service: Service, remote: str, html: str, code: str, status: int, says: str, failing: set[str]
) -> None:
    """With any of the others beside it; the sentence names place, address or character."""
    html = html.replace("{remote}", remote)
    others = [one for one in CONDITIONS if one not in failing]
    for condition in sorted(failing):
        found, named, detail = await outcome(service, html, condition, *others)
        assert (found, named) == (status, code), (condition, detail)
        assert says in detail
        assert "secret" not in detail
    assert (await outcome(service, html, *others))[0] == 200
    if len(failing) > 2:
        assert (await outcome(service, html, *CONDITIONS))[0] == status


async def test_strict_is_one_of_the_conditions(service: Service, remote: str) -> None:
    """`strict` beside `fail_on` fails on what either names."""
    missing, broken = f"<img src={remote}/404>", f"<p>{THROWS}"
    for html, status in ((missing, 502), (broken, 422), ("<p>whole", 200)):
        answer = await service.render(html=html, strict=True, fail_on=["script_error"], **SIZE)
        assert answer.status == status


async def test_a_picture_that_failed_is_not_cached_and_a_cached_one_does_not_hide_a_failure(
    service: Service,
) -> None:
    """A page without a glyph is cached with its warning, for those who did not ask to fail."""
    page = {"html": f"<!doctype html>{BOX} cached", **SIZE}
    for _ in range(2):
        plain = await service.render(**page)
        failed = await service.render(**page, fail_on=["missing_glyph"])
        assert (plain.status, failed.status) == (200, 422)
    assert plain.headers["X-Cache"] == "hit"
    assert "missing_glyph" in failed.headers["X-Render-Warnings"]


@in_both_chromes
async def test_a_failure_among_more_than_are_listed_is_found(service: Service, remote: str) -> None:
    """The warnings end at twenty; the conditions do not."""
    many = "".join(f"<img src=none-{at}.png>" for at in range(25))
    page = f"<!doctype html>{many}<img src={remote}/500>"
    answer = await service.render(html=page, fail_on=["http_5xx"], **SIZE)
    assert (answer.status, (await answer.json())["code"]) == (502, "fetch_failed")
    assert "http_500" not in answer.headers["X-Render-Warnings"]


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        (["nothing"], "fail_on.0"), ("subresource", "fail_on"), ([None], "fail_on.0"),
        (["subresource"] * 7, "fail_on"),
    ],
)  # fmt: skip
async def test_an_unknown_condition_is_refused_by_name(
    service: Service, wrong: Any, field: str
) -> None:
    """Before a Chrome is asked for."""
    answer = await service.render(html="x", fail_on=wrong, **SIZE)
    problem = await answer.json()
    assert (answer.status, problem["code"], problem["field"]) == (400, "invalid_field", field)
    assert "missing_glyph" in problem["allowed"]


async def test_conditions_in_a_query(service: Service) -> None:
    """As numbered names; their order makes no difference to the cache."""
    first = await service.client.post(
        f"{service.address}/render?fail_on.0=script_error&fail_on.1=missing_glyph",
        data="<p>query", headers={"Content-Type": "text/html"},
    )  # fmt: skip
    again = await service.client.post(
        f"{service.address}/render?fail_on.0=missing_glyph&fail_on.1=script_error",
        data="<p>query", headers={"Content-Type": "text/html"},
    )  # fmt: skip
    assert (first.status, again.headers["X-Cache"]) == (200, "hit")


@pytest.mark.parametrize(
    ("statuses", "fails"),
    [
        ({"resources": ["404"]}, True), ({"resources": ["4xx"]}, True),
        ({"resources": ["403", "5xx"]}, False), ({"resources": ["2xx"]}, True),
        ({"resources": ["404"], "except_hosts": ["127.0.0.1"]}, False),
        ({"resources": ["404"], "except_hosts": ["0.0.1", "localhost"]}, False),
        ({"resources": ["404"], "except_hosts": ["127.0.0.2"]}, True),
    ],
    ids=str,
)  # fmt: skip
async def test_statuses_fail_one_by_one(
    service: Service, remote: str, statuses: dict[str, Any], fails: bool
) -> None:
    """Of what a page loads from the web; never of a file of its own."""
    html = f"<img src={remote}/404><script>fetch('{remote}/201')</script><img src=none.png>"
    answer = await service.render(html=html, fail_on_status=statuses, **SIZE)
    assert answer.status == (502 if fails else 200), await answer.text()
    if fails:
        problem = await answer.json()
        assert problem["code"] == "resource_status"
        assert f"{remote}/" in problem["detail"]
        assert "none.png" not in problem["detail"]


@pytest.mark.parametrize(
    ("given", "status", "fails"),
    [
        ({}, 404, True), ({"allow_error_status": True}, 404, False),
        ({"allow_error_status": True, "fail_on_status": {"page": ["404"]}}, 404, True),
        ({"allow_error_status": True, "fail_on_status": {"page": ["4xx"]}}, 503, False),
        ({"fail_on_status": {"page": ["2xx"]}}, 200, True),
        ({"fail_on_status": {"page": ["404"]}}, 503, True),
    ],
    ids=str,
)  # fmt: skip
async def test_the_status_of_the_page_itself(
    service: Service, remote: str, given: dict[str, Any], status: int, fails: bool
) -> None:
    """Those of 400 or more fail unless they are allowed; those named fail in any case."""
    answer = await service.render(url=f"{remote}/{status}", **given, **SIZE)
    assert answer.status == (422 if fails else 200), await answer.text()
    if fails:
        assert (await answer.json())["code"] == "url_status"


async def test_a_page_of_the_callers_own_has_no_status(service: Service) -> None:
    """So none can fail it."""
    answer = await service.render(html="<p>x", fail_on_status={"page": ["404"]})
    assert (answer.status, (await answer.json())["field"]) == (400, "fail_on_status.page")
