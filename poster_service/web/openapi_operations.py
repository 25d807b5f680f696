"""What each address of our own reads and answers: the table that GET /openapi.json is made of.

Here is what neither the routes nor the declared options know: which body a handler reads, which
errors it may end in, and what it answers otherwise.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from typing_extensions import TypedDict

from poster_service import errors
from poster_service.render.formats import CONTENT_TYPES
from poster_service.render.json_schema import Json
from poster_service.web import (
    api_page,
    batches,
    built,
    fonts,
    get_render,
    handlers,
    jobs,
    metrics,
    results,
    signed,
    status,
    studio,
    webhooks,
)
from poster_service.web.batch_intake import NDJSON_TYPE
from poster_service.web.bodies import HTML_TYPE, JSON_TYPE
from poster_service.web.bundles import MULTIPART, ZIP
from poster_service.web.openapi_requests import (
    TEXT,
    Described,
    asset_name,
    batch_body,
    batch_id,
    batch_query,
    dead_id,
    dead_query,
    item_query,
    job_body,
    job_id,
    job_query,
    query_parameters,
    render_body,
    render_query,
    result_name,
    signed_parameters,
    status_query,
)
from poster_service.web.result import ElementsResult, OutputsResult, RenderResult
from poster_service.web.stored import StoredOutputs, StoredRender

Errors = tuple[type[errors.PosterError], ...]
RENDERING: Errors = (errors.LoadError, errors.RenderFailed, errors.OperatorError)


class NamedSize(TypedDict):
    """A further size that a template is made for, in CSS pixels."""

    name: str
    width: int
    height: int


class Listing(TypedDict):
    """A template, as GET /templates lists it; the version changes with its files, here only."""

    name: str
    title: str
    description: str
    width: int | None
    height: int | None
    sizes: list[NamedSize]
    version: int
    schema: Json
    sample: Json


class FaultyFolder(TypedDict):
    """A template folder with mistakes; `in_use` if its version before them still serves."""

    name: str
    in_use: bool
    mistakes: list[str]


class Listings(TypedDict):
    """Every template, and every folder of one that has mistakes."""

    templates: list[Listing]
    faults: list[FaultyFolder]


@dataclass(frozen=True)
class Operation:
    """What a handler reads and answers.

    Attributes:
        answers: Content by status, where all is well: a schema for each media type.
        raises: Branches of the error tree that it may end in, beside those of any address.
        never: Leaves or branches of those that it cannot end in.
        headers: Headers of the answer where all is well, beside those of any answer.
        headers_of: The same for statuses that have others.
        parameters: Of the address.
        body: What may be sent.
        tag: The group of operations that it belongs to.
    """

    answers: Mapping[int, Mapping[str, Any]]
    raises: Errors = ()
    never: Errors = ()
    headers: tuple[str, ...] = ()
    headers_of: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    parameters: Callable[[Described], list[Json]] = lambda _: []
    body: Callable[[Described], Json | None] = lambda _: None
    tag: str = "Render"


def ok(schemas: Mapping[str, Any]) -> dict[int, Mapping[str, Any]]:
    """Answered with 200, and nothing else."""
    return {200: schemas}


#: A picture is bytes: OpenAPI 3.1 says so by saying nothing.
PICTURE: Mapping[str, Any] = {kind: {} for kind in CONTENT_TYPES.values()}
PICTURE_HEADERS = (
    "Server-Timing", "X-Render-Warnings", "ETag", "X-Cache", "X-Isolation", "Age", "Cache-Control",
    "Content-Disposition", "Vary", "X-Page-Url", "X-Page-Status", "X-Page-Title",
)  # fmt: skip
#: 304 to whom has it already, by `If-None-Match`.
PICTURES: Mapping[int, Mapping[str, Any]] = {
    200: {
        **PICTURE,
        JSON_TYPE: {
            "anyOf": [
                {"$ref": f"#/components/schemas/{kind.__name__}"}
                for kind in (RenderResult, OutputsResult, ElementsResult)
            ]
        },
        MULTIPART: {},
        ZIP: {},
    },
    304: {},
}
SIGNED = Operation(
    PICTURES,
    (errors.CallerError, *RENDERING),
    never=(
        errors.Unauthorized,
        errors.CrossOriginRequest,
        errors.DestinationDenied,
        errors.DestinationFailed,
        errors.StorageFailed,
        errors.BodyRefused,
        errors.JobRefused,
        errors.RecordRefused,
    ),
    headers=PICTURE_HEADERS,
    parameters=signed_parameters,
)
#: GET /render, signed or not.
BY_QUERY = replace(
    SIGNED,
    never=tuple(one for one in SIGNED.never if one is not errors.CrossOriginRequest),
    parameters=query_parameters,
)


def reference(kind: type) -> Json:
    """A schema that `components` has."""
    return {"$ref": f"#/components/schemas/{kind.__name__}"}


#: What is answered instead of the bytes of a result that is stored.
STORED = {JSON_TYPE: {"anyOf": [reference(StoredRender), reference(StoredOutputs)]}}

JOB = {JSON_TYPE: reference(jobs.JobAnswer)}
BATCH = {JSON_TYPE: reference(batches.BatchAnswer)}
BATCH_ITEMS = {NDJSON_TYPE: reference(batches.ItemAnswer)}
#: How the queue may fail a request.
JOBS_FAIL: Errors = (errors.QueueUnavailable, errors.JobsMissing)
#: What a request that creates a job or batch never ends in: it has a token and names no record, and
#: its page is not there yet.
SUBMITTING: Errors = (
    errors.Unauthorized,
    errors.Forbidden,
    errors.CrossOriginRequest,
    errors.RecordRefused,
    errors.PageUnfit,
    errors.NotAcceptable,
)

#: Groups of operations beside "Render" and other services' APIs.
JOBS, TEMPLATES, OPERATE, PAGES = "Jobs", "Templates and fonts", "Operate", "Pages"
READINESS = {JSON_TYPE: reference(handlers.Readiness)}
ABOUT: dict[Any, Operation] = {
    handlers.render: Operation(
        {**PICTURES, 201: STORED},
        (errors.CallerError, *RENDERING),
        never=(
            errors.Unauthorized,
            errors.Forbidden,
            errors.CrossOriginRequest,
            errors.JobRefused,
            errors.RecordRefused,
        ),
        headers=PICTURE_HEADERS,
        headers_of={201: ("Server-Timing", "X-Render-Warnings", "X-Cache", "Cache-Control")},
        parameters=render_query,
        body=render_body,
    ),
    signed.render: SIGNED,
    get_render.render: BY_QUERY,
    results.result: Operation(
        ok(PICTURE),
        (errors.UnknownResult, errors.StorageFailed),
        parameters=result_name,
    ),
    jobs.submit: Operation(
        {202: JOB},
        (errors.CallerError, errors.LoadError, errors.PageFailed, *JOBS_FAIL),
        never=(*SUBMITTING, errors.TooManyBatches),
        headers=("Cache-Control", "Retry-After", "Location"),
        parameters=job_query,
        body=job_body,
        tag=JOBS,
    ),
    jobs.state: Operation(
        ok(JOB),
        (errors.UnknownJob, errors.QueueUnavailable, errors.StorageFailed),
        headers=("Cache-Control",),
        parameters=job_id,
        tag=JOBS,
    ),
    jobs.cancel: Operation(
        ok(JOB),
        (errors.UnknownJob, errors.JobEnded, *JOBS_FAIL),
        headers=("Cache-Control",),
        parameters=job_id,
        tag=JOBS,
    ),
    batches.submit: Operation(
        {202: BATCH},
        (errors.CallerError, errors.LoadError, errors.PageFailed, *JOBS_FAIL),
        never=(*SUBMITTING, errors.FormRefused, errors.TooManyJobs),
        headers=("Cache-Control", "Retry-After", "Location"),
        parameters=batch_query,
        body=batch_body,
        tag=JOBS,
    ),
    batches.state: Operation(
        ok(BATCH),
        (errors.UnknownBatch, *JOBS_FAIL),
        headers=("Cache-Control",),
        parameters=batch_id,
        tag=JOBS,
    ),
    batches.items: Operation(
        ok(BATCH_ITEMS),
        (errors.UnknownBatch, errors.InvalidField, errors.StorageFailed, *JOBS_FAIL),
        headers=("Cache-Control",),
        parameters=item_query,
        tag=JOBS,
    ),
    batches.cancel: Operation(
        ok(BATCH),
        (errors.UnknownBatch, errors.BatchEnded, *JOBS_FAIL),
        headers=("Cache-Control",),
        parameters=batch_id,
        tag=JOBS,
    ),
    batches.retry: Operation(
        {202: BATCH},
        (errors.UnknownBatch, errors.BatchEnded, *JOBS_FAIL),
        headers=("Cache-Control", "Retry-After"),
        parameters=batch_id,
        tag=JOBS,
    ),
    webhooks.dead: Operation(
        ok({JSON_TYPE: reference(webhooks.DeadLetters)}),
        (errors.InvalidField, *JOBS_FAIL),
        headers=("Cache-Control",),
        parameters=dead_query,
        tag=JOBS,
    ),
    webhooks.replay: Operation(
        {202: {JSON_TYPE: reference(webhooks.DeadLetter)}},
        (errors.UnknownDeadLetter, *JOBS_FAIL),
        headers=("Cache-Control",),
        parameters=dead_id,
        tag=JOBS,
    ),
    handlers.templates: Operation(ok({JSON_TYPE: reference(Listings)}), tag=TEMPLATES),
    fonts.fonts: Operation(
        ok({JSON_TYPE: reference(fonts.FontListing), HTML_TYPE: TEXT}),
        parameters=status_query,
        tag=TEMPLATES,
    ),
    handlers.healthz: Operation(ok({JSON_TYPE: reference(handlers.Health)}), tag=OPERATE),
    handlers.readyz: Operation({200: READINESS, 503: READINESS}, tag=OPERATE),
    built.asset: Operation(
        ok(dict.fromkeys(built.TEXTS.values(), TEXT)),
        headers=("Cache-Control", "Vary"),
        parameters=asset_name,
        tag=PAGES,
    ),
    studio.index: Operation(ok({"text/plain": TEXT, HTML_TYPE: TEXT}), tag=PAGES),
    status.status: Operation(
        ok({JSON_TYPE: {"type": "object"}, HTML_TYPE: TEXT}), parameters=status_query, tag=OPERATE
    ),
    api_page.docs: Operation(ok({HTML_TYPE: TEXT}), tag=PAGES),
    metrics.metrics: Operation(ok({"text/plain": TEXT}), tag=OPERATE),
}
