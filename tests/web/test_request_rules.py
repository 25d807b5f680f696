"""`block.expressions`, `allow`, `respond` and `scoped_headers`, by what the servers received."""

import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.web.caching import ask, cache_status, renders
from tests.web.conftest import Service
from tests.web.local_web import LIME_SVG, LocalServer, local_server
from tests.web.modes import in_both_chromes, service_in_modes
from tests.web.shown import SIZE, colour, shown

LIME, RED = (0, 255, 0, 255), (255, 0, 0, 255)
RED_SVG = LIME_SVG.replace("#00ff00", "#ff0000")
IMAGE = "<img style='display:block' src=/a.svg>"
CANNED: dict[str, Any] = {
    "expression": r"/a\.svg$", "content_type": "image/svg+xml", "body": RED_SVG,
}  # fmt: skip

service = service_in_modes(
    allow_private="127.0.0.0/8", timeout_ms=30_000, cache_bytes=1 << 20, asset_cache_bytes=1 << 20
)


@pytest.fixture
async def server() -> AsyncIterator[LocalServer]:
    """The page's own origin."""
    async with local_server() as found:
        yield found


@pytest.fixture
async def other() -> AsyncIterator[LocalServer]:
    """Another origin."""
    async with local_server() as found:
        yield found


@pytest.mark.parametrize(
    ("rules", "loaded"),
    [
        ({"block": {"expressions": [r"\.js$"]}}, {"/a.svg", "/s.css", "/frame"}),
        ({"block": {"expressions": ["(?i)A[.]SVG", "^x"]}}, {"/s.js", "/s.css", "/frame"}),
        ({"block": {"expressions": ["."]}}, set()),
        ({"allow": {"types": ["image"]}}, {"/a.svg"}),
        ({"allow": {"patterns": ["*/s.*"]}}, {"/s.js", "/s.css"}),
        ({"allow": {"expressions": [r"/(a|s)\.(svg|css)$"]}}, {"/a.svg", "/s.css"}),
        ({"allow": {"types": ["image", "document"], "expressions": ["frame|js"]}}, {"/frame"}),
        ({"allow": {"types": ["image"]}, "block": {"patterns": ["*.svg"]}}, set()),
    ],
)
async def test_what_is_blocked_or_not_allowed_is_not_asked_for(
    service: Service, server: LocalServer, rules: dict[str, Any], loaded: set[str]
) -> None:
    """The page itself always is; what is missing makes no warning and fails nothing."""
    page = server.page(
        "/page",
        f"<link rel=stylesheet href=/s.css>{IMAGE}<script src=/s.js></script>"
        "<iframe src=/frame></iframe>",
    )
    server.page("/frame", "x")
    answer = await shown(service, page, strict=True, **rules)
    assert {one.path for one in server.received} == {"/page"} | loaded
    assert "url=" not in answer.headers.get("X-Render-Warnings", "")


async def test_what_the_caller_answers_is_not_fetched(
    service: Service, server: LocalServer
) -> None:
    """The page gets the response as it is; the next render, without it, gets what is there."""
    page = server.page("/page", IMAGE)
    assert await colour(await shown(service, page, respond=[CANNED])) == RED
    assert not server.got("/a.svg")
    assert await colour(await shown(service, page)) == LIME
    blocked = await shown(service, page, respond=[CANNED], block={"types": ["image"]})
    assert await colour(blocked) not in (RED, LIME)


async def test_a_response_has_its_status_its_headers_and_no_warning(
    service: Service, server: LocalServer
) -> None:
    """Read by a script of the page, also from an origin that there is not."""
    page = server.page(
        "/page",
        "<body><script>fetch('https://nowhere.invalid/data.json').then(async got => {"
        "const red = got.status == 404 && got.headers.get('x-a') == '1' && await got.text() == 'ä';"
        "document.body.style.background = red ? '#f00' : '#00f'; window.done = true"
        "})</script>",
    )
    canned = {
        "expression": "^https://nowhere[.]invalid/", "status": 404, "body": "ä",
        "headers": {"Access-Control-Allow-Origin": "*", "Access-Control-Expose-Headers": "*",
                    "X-A": "1"},
    }  # fmt: skip
    wait = {"wait_for": {"expression": "window.done"}}
    answer = await shown(service, page, respond=[canned], strict=True, **wait)
    assert await colour(answer) == RED
    assert "url=" not in answer.headers.get("X-Render-Warnings", "")


async def test_a_response_that_redirects_leads_to_what_the_policy_allows(
    service: Service, server: LocalServer
) -> None:
    """The target is asked for like any other: a private address stays closed."""
    page = server.page("/page", "<img src=/one.svg><img src=/two.svg>")
    answer = await shown(
        service,
        page,
        respond=[
            {"expression": "one", "status": 302, "headers": {"Location": "http://10.0.0.1/x.svg"}},
            {"expression": "two", "status": 302, "headers": {"Location": "/three.svg"}},
        ],
    )
    assert "http://10.0.0.1/x.svg" in answer.headers["X-Render-Warnings"]
    assert {one.path for one in server.received} == {"/page", "/three.svg"}


async def test_rules_are_part_of_the_cache_key(service: Service, server: LocalServer) -> None:
    """Each of them: pictures with and without differ, and so do those of two bodies."""
    job = {"url": server.page("/page", IMAGE), **SIZE, "cache_ttl": 60}
    blue = {**CANNED, "body": LIME_SVG.replace("#00ff00", "#0000ff")}
    rules: list[dict[str, Any]] = [
        {}, {"respond": [CANNED]}, {"respond": [blue]}, {"block": {"expressions": ["svg"]}},
        {"allow": {"types": ["font"]}},
        {"scoped_headers": [{"expression": ".", "headers": {"X-A": "1"}}]},
    ]  # fmt: skip
    for rule in rules:
        assert cache_status(await ask(service, {**job, **rule})) == "miss", rule
    for rule in rules:
        assert cache_status(await ask(service, {**job, **rule})) == "hit", rule


async def test_a_response_is_never_cached_for_another_page(
    service: Service, server: LocalServer
) -> None:
    """Even if its headers say so: another render of the same address fetches it."""
    page = server.page("/page", IMAGE)
    headers = {"Cache-Control": "public, max-age=3600"}
    assert await colour(await shown(service, page, respond=[{**CANNED, "headers": headers}])) == RED
    html = f"<body style='margin:0'>{IMAGE.replace('/a.svg', server.address + '/a.svg')}"
    answer = await service.render(html=html, **SIZE)
    assert await colour(answer) == LIME


@in_both_chromes
async def test_scoped_headers_go_where_their_expression_leads(
    service: Service, server: LocalServer, other: LocalServer
) -> None:
    """To another origin, and to nothing else; beside those of the own origin; of any source."""
    body = f"<img src=/a.svg><img src='{other.address}/x.svg'><img src='{other.address}/y.svg'>"
    page = server.page("/page", body)
    scope = {"expression": f"^{other.address}/x", "headers": {"X-Token": "secret-1"}}
    await shown(service, page, headers={"X-Own": "secret-2"}, scoped_headers=[scope])
    await service.render(html=body, **SIZE, scoped_headers=[scope])
    assert [one.headers.get("x-token") for one in other.got("/x.svg")] == ["secret-1"] * 2
    assert not any("secret" in json.dumps(one.headers) for one in other.got("/y.svg"))
    assert {one.headers.get("x-own") for one in server.received} == {"secret-2"}
    assert not any("x-token" in one.headers for one in server.received)


async def test_a_page_has_the_referrer_that_its_caller_names(
    service: Service, server: LocalServer
) -> None:
    """Whole, in the request and for scripts, although it is of another origin."""
    page = server.page(
        "/page",
        "<script>document.documentElement.style.background ="
        "document.referrer == 'https://a.test/from?x=1' ? '#f00' : '#00f'</script>",
    )
    assert await colour(await shown(service, page, referrer="https://a.test/from?x=1")) == RED
    assert server.got("/page")[0].headers["referer"] == "https://a.test/from?x=1"
    server.received.clear()
    assert await colour(await shown(service, page)) != RED
    assert "referer" not in server.got("/page")[0].headers


async def test_a_template_knows_no_response_and_no_header_of_a_caller(service: Service) -> None:
    """Its page is the operator's; what it loads may be less, and never other."""
    job = {"template": "share-poster", "data": {}}
    for field, given in (
        ("respond", [CANNED]),
        ("scoped_headers", [{"expression": ".", "headers": {"X-A": "1"}}]),
    ):
        answer = await service.render(**job, **{field: given})
        assert answer.status == 400
        assert (await answer.json())["field"] == field


@pytest.mark.parametrize(
    ("options", "field", "message"),
    [
        ({"block": {"expressions": ["("]}}, "block.expressions.0", "missing )"),
        ({"block": {"expressions": ["a"] * 51}}, "block.expressions", "too many"),
        ({"block": {"expressions": ["a" * 1001]}}, "block.expressions.0", "too long"),
        ({"allow": {}}, "allow", "needs types"),
        ({"allow": {"types": ["images"]}}, "allow.types.0", "not allowed"),
        ({"allow": {"expressions": ["(?=a)"]}}, "allow.expressions.0", "invalid perl operator"),
        ({"respond": [{"body": "x"}]}, "respond.0.expression", "missing"),
        ({"respond": [{"expression": "a", "status": 101}]}, "respond.0.status", "out of range"),
        ({"respond": [{"expression": "a", "headers": {"Content-Length": "1"}}]},
         "respond.0.headers", "cannot be set"),
        ({"respond": [{"expression": "a", "headers": {"X-A": "\r\n"}}]}, "respond.0.headers",
         "printable"),
        ({"respond": [{"expression": "a", "body": "x" * 300_000}]}, "respond", "300000 bytes"),
        ({"respond": [{"expression": "a", "body": "secret!", "encoding": "base64"}]}, "respond",
         "response 0 is not base64"),
        ({"referrer": "ftp://a.test/"}, "referrer", "not an http or https"),
        ({"referrer": "http://u:secret@a.test/"}, "referrer", "has a user"),
        ({"respond": [{"expression": "a"}] * 21}, "respond", "too many"),
        ({"scoped_headers": [{"expression": "a", "headers": {"Host": "secret"}}]},
         "scoped_headers.0.headers", "Host cannot be set"),
        ({"scoped_headers": [{"expression": "a", "headers": {}}]}, "scoped_headers.0.headers",
         "too few"),
        ({"scoped_headers": [{"expression": "\\1", "headers": {"X-A": "secret"}}]},
         "scoped_headers.0.expression", "invalid escape"),
    ],
)  # fmt: skip
async def test_what_is_no_rule_is_refused_with_its_field_and_the_reason(
    service: Service, options: dict[str, Any], field: str, message: str
) -> None:
    """Before anything is rendered, and without a secret."""
    before = renders(service)
    answer = await service.render(url="http://127.0.0.1:1/", **SIZE, **options)
    assert answer.status == 400, await answer.text()
    [found] = [one for one in (await answer.json())["errors"] if one["field"] == field]
    assert message in found["message"]
    assert "secret" not in await answer.text()
    assert renders(service) == before


async def test_no_log_line_has_a_scoped_header_or_a_body(
    service: Service, server: LocalServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Of a render that succeeds, and of one that does not."""
    caplog.set_level(logging.DEBUG)
    options = {
        "scoped_headers": [{"expression": ".", "headers": {"X-A": "secret"}}],
        "respond": [{"expression": "a.svg", "body": "secret"}],
    }
    await shown(service, server.page("/page", IMAGE), **options)
    await service.render(url=f"{server.address}/status?code=500", **SIZE, **options)
    ours = [one for one in caplog.records if one.name.startswith("poster_service")]
    assert ours
    assert not any("secret" in f"{one.getMessage()}{vars(one)}" for one in ours)
