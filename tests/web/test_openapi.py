"""GET /openapi.json says what the service does, all of it, and nothing else."""

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from poster_service import errors
from poster_service.errors import InvalidField
from poster_service.problems import status_of
from poster_service.render.json_schema import plain_schema
from poster_service.render.network_options import CookieOptions
from poster_service.render.option_list import entries
from poster_service.render.options import RenderOptions
from poster_service.render.request import OPTIONS, Limits, RenderRequest
from poster_service.settings import Settings
from poster_service.web import openapi, problems
from poster_service.web.app import make_app
from poster_service.web.compat.registry import APIS
from poster_service.web.service import Service
from tests.unit.public_errors import PUBLIC
from tests.web.conftest import StartService
from tests.web.signing import KEYS

TOKEN = "web-token-0123456789"


def application(work_dir: Path, **given: Any) -> web.Application:
    """An application that is not started, with everything that there can be."""
    given = {
        "signing_keys": KEYS, "tokens": f"web={TOKEN}", "storage": "memory://", **given,
    }  # fmt: skip
    return make_app(Service.build(Settings(work_dir=work_dir, **given)))


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> web.Application:
    """One that asks for tokens, and signs."""
    return application(tmp_path_factory.mktemp("w"))


@pytest.fixture(scope="module")
def document(app: web.Application) -> dict[str, Any]:
    """Its document, as a caller reads it."""
    reported: dict[str, Any] = json.loads(json.dumps(openapi.document(app)))
    return reported


def reported(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every operation."""
    for path in document["paths"].values():
        yield from path.values()


def test_it_is_openapi(tmp_path: Path) -> None:
    """As an existing validator sees it, with the routes of all other services' APIs."""
    app = application(tmp_path, compat=tuple(APIS))
    document = json.loads(json.dumps(openapi.document(app)))
    assert document["openapi"].startswith("3.1")
    assert len(document["paths"]) > 40
    OpenAPIV31SpecValidator(document).validate()


def test_every_route_is_in_it_and_nothing_else(
    app: web.Application, document: dict[str, Any]
) -> None:
    """Path by path and method by method; HEAD goes with GET."""
    routes = {
        (route.resource.canonical, route.method.lower())
        for route in app.router.routes()
        if route.resource is not None and route.method != "HEAD"
    }
    assert len(routes) >= 9
    assert {(path, method) for path, one in document["paths"].items() for method in one} == routes
    assert all(one["summary"] for one in reported(document))
    assert len({one["operationId"] for one in reported(document)}) == len(routes)


def test_every_error_that_a_caller_can_get_is_in_it(document: dict[str, Any]) -> None:
    """By status and code, for every leaf of the tree."""
    found = {
        (int(status), code)
        for one in reported(document)
        for status, answer in one["responses"].items()
        for rule in answer["content"]
        .get(openapi.PROBLEM_TYPE, {})
        .get("schema", {})
        .get("allOf", ())
        for code in rule.get("properties", {}).get("code", {}).get("enum", ())
    }
    wanted = {(status_of(kind("x"))[0], kind.code) for kind in PUBLIC}
    ours = {(500, "internal_error"), (503, "cannot_render"), (404, "http_404")}
    in_jobs_only = {(502, "job_lost")}  # the `problem` of a job, never an answer
    assert found == (wanted | ours) - in_jobs_only


@pytest.mark.parametrize("kind", PUBLIC, ids=lambda kind: kind.__name__)
def test_a_problem_looks_as_it_says(
    document: dict[str, Any], kind: type[errors.PosterError]
) -> None:
    """The whole body of it, for every leaf."""
    error = kind("words")
    if isinstance(error, errors.CallerError):
        error.faults = (errors.Fault("width", "is wrong", None),)
    body = json.loads(problems.answer(error, "id").text or "")
    schema = {"$ref": "#/components/schemas/Problem", "components": document["components"]}
    schema["unevaluatedProperties"] = False
    Draft202012Validator(schema).validate(body)


#: Options that have no meaning with a template, as a query names them.
NOT_OF_TEMPLATES = {
    "allow_error_status", "headers.NAME", "credentials.username", "credentials.password",
    *(f"cookies.0.{name}" for name in CookieOptions.model_fields),
    "styles.0.content", "styles.0.url", "scripts.0.content", "scripts.0.url",
    "wait_for.expression", "fail_on_status.page.0",
    "scoped_headers.0.expression", "scoped_headers.0.headers.NAME",
    *(f"respond.0.{name}" for name in ("expression", "status", "headers.NAME", "content_type")),
    "respond.0.body", "respond.0.encoding", "referrer",
}  # fmt: skip


def test_every_option_is_in_it_in_all_three_ways(document: dict[str, Any]) -> None:
    """In JSON; in the query and in a form all but what the page itself is."""
    render = document["paths"]["/render"]["post"]
    content = render["requestBody"]["content"]
    assert set(content) == {"application/json", "text/html", "multipart/form-data"}
    assert set(document["components"]["schemas"]["RenderRequest"]["properties"]) == set(OPTIONS)
    # Each that can be written as one text: nested ones by their dotted names, of a list the first
    # item, and a value of a map with a name that the caller completes.
    others = {entry.name for entry in entries(RenderOptions) if entry.is_value}
    assert {"pdf.margin.top", "fail_on.0", "media_features.NAME"} < others
    assert {one["name"] for one in render["parameters"]} == others
    form = content["multipart/form-data"]["schema"]
    sources = {"index.html", "index.md", "markdown", "template", "data", "url"}
    assert set(form["properties"]) == others | sources
    signed = document["paths"]["/render/{template}"]["get"]["parameters"]
    named = {"template", "data", "key", "expires"}
    assert {one["name"] for one in signed} == (others - NOT_OF_TEMPLATES) | named


def test_it_says_where_a_token_is_needed(work_dir: Path) -> None:
    """Everywhere but where health is asked for; nowhere, if there are none."""

    def guarded(**given: Any) -> set[str]:
        document = openapi.document(application(work_dir, **given))
        found = {
            path
            for path, methods in document["paths"].items()
            for one in methods.values()
            if {"bearer": []} in one["security"]
        }
        refusing = {
            path
            for path, methods in document["paths"].items()
            for one in methods.values()
            if "401" in one["responses"]
        }
        assert found == refusing
        return found

    closed = {"/render", "/templates", "/openapi.json", "/fonts", "/results/{name}"}
    closed |= {"/jobs", "/jobs/{id}", "/batches", "/batches/{id}"}
    closed |= {"/batches/{id}/items", "/batches/{id}/retry"}
    closed |= {"/webhooks/dead", "/webhooks/dead/{id}/replay"}
    assert guarded() == closed | {"/status", "/metrics"}
    assert guarded(metrics_unauthenticated=True) == closed
    assert guarded(tokens="") == set()


def test_it_has_the_bounds_of_this_service(work_dir: Path) -> None:
    """Those that the settings make."""
    document = openapi.document(application(work_dir, timeout_ms=500, max_timeout_ms=700))
    schema = document["components"]["schemas"]["RenderRequest"]["properties"]["timeout_ms"]
    assert schema["anyOf"][0]["maximum"] == 700


NEAR = st.fixed_dictionaries(
    {},
    optional={
        "html": st.sampled_from(["<p>", "", None, 1]),
        "template": st.sampled_from(["article-card", "A", None]),
        "data": st.sampled_from([{}, {"a": 1}, [], None]),
        "width": st.sampled_from([0, 1, 16_384, 16_385, True, "5", None]),
        "height": st.sampled_from([1, 2.5, None]),
        "device_scale_factor": st.sampled_from([0.1, 1, 5.0, 5.1, "1", None]),
        "format": st.sampled_from(["png", "jpeg", "webp", "pdf", "gif", None]),
        "quality": st.sampled_from([0, 1, 100, 101, None]),
        "full_page": st.sampled_from([True, 1, None]),
        "scroll_page": st.sampled_from([True, None]),
        "javascript": st.sampled_from([True, False]),
        "selector": st.sampled_from(["p", "", None]),
        "padding": st.sampled_from([0, 1, 201]),
        "clip": st.sampled_from([None, {"width": 1, "height": 2}, {"width": 0, "height": 1}]),
        "background": st.sampled_from(["transparent", "#00ff00", "#00ff0", "red", None]),
        "timeout_ms": st.sampled_from([99, 100, 60_000, None]),
        "strict": st.sampled_from([False, "yes"]),
        "assets": st.just([]),
        "other": st.just(1),
    },
)


SCHEMA = Draft202012Validator(RenderRequest.json_schema(Limits()))


@pytest.mark.slow
@given(NEAR)
def test_the_schema_of_a_job_takes_what_the_service_takes(options: dict[str, Any]) -> None:
    """And refuses what it refuses: rules between options, nulls, types that are nearly right."""
    try:
        RenderRequest.parse(options, Limits())
        taken = True
    except InvalidField:
        taken = False
    assert SCHEMA.is_valid(options) == taken


async def test_who_has_a_token_reads_it(start_service: StartService) -> None:
    """It names the templates, as GET /templates does, which is for them too."""
    service = await start_service(tokens=f"web={TOKEN}")
    assert (await service.get("/openapi.json")).status == 401
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with service.client.get(f"{service.address}/openapi.json", headers=headers) as answer:
        assert (answer.status, answer.content_type) == (200, "application/json")
        assert "/render/{template}" not in (await answer.json())["paths"]


async def test_renders_do_not_wait_until_it_is_made(
    start_service: StartService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes half a second of CPU: requests at the same time share one call in a thread."""
    threads: list[threading.Thread] = []
    make = openapi.document

    def made_and_noted(app: web.Application) -> dict[str, Any]:
        threads.append(threading.current_thread())
        return make(app)

    monkeypatch.setattr(openapi, "document", made_and_noted)
    service = await start_service(tokens="")
    answers = await asyncio.gather(*(service.get("/openapi.json") for _ in range(4)))
    found = {await answer.text() for answer in answers}
    assert len(found) == 1
    assert "/render" in json.loads(found.pop())["paths"]
    assert len(threads) == 1
    assert threading.main_thread() not in threads


def test_a_schema_is_the_callers_own() -> None:
    """It is made once, and what one caller makes of it is not seen by the next."""
    plain_schema(RenderOptions)["properties"].clear()
    assert plain_schema(RenderOptions)["properties"]
