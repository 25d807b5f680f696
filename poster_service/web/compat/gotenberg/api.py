"""Gotenberg's routes: what they read, what they answer, who may use them."""

import asyncio
import base64
import binascii
import json
import uuid
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar, TypeVar

from aiohttp import hdrs, web

from poster_service.errors import Fault, InvalidField, PosterError, RenderTimeout, Unauthorized
from poster_service.render.cache import Answer
from poster_service.render.disposition import attachment
from poster_service.render.download_name import check_download_name
from poster_service.render.json_schema import Json
from poster_service.render.request import Asset
from poster_service.web import metrics, tokens
from poster_service.web.bodies import BODY_LIMITS
from poster_service.web.caller import CALLER
from poster_service.web.compat import rendering
from poster_service.web.compat.api import CompatibleApi
from poster_service.web.compat.gotenberg import (
    description,
    downloads,
    engines,
    faults,
    fields,
    markdown,
    translation,
    webhooks,
)
from poster_service.web.compat.gotenberg.engines import NotHere
from poster_service.web.compat.gotenberg.form import Form, base_name, read_form
from poster_service.web.incoming import expect_later
from poster_service.web.openapi_requests import Described
from poster_service.web.room import check_room
from poster_service.web.service import SERVICE

T = TypeVar("T")
#: The version whose interface this is; what follows the plus is no part of it (SemVer, 10).
VERSION = "8.36.0+poster-service"
PAGE, HEADER, FOOTER = "index.html", "header.html", "footer.html"
OUTPUT_NAME = "Gotenberg-Output-Filename"
BASIC = Fault("Authorization", "missing user and password", "Authorization: Basic <user:password>")
METRICS = "/prometheus/metrics"
ROUTES: Mapping[str, str] = {
    f"/forms/chromium/{action}/{kind}": kind
    for action in ("screenshot", "convert")
    for kind in ("html", "url", "markdown")
}


async def render(request: web.Request) -> web.Response:
    """A page as a picture or PDF: POST /forms/chromium/{screenshot,convert}/{html,url,markdown}."""
    service, caller = request.app[SERVICE], request.get(CALLER, "")
    check_room(request, service, caller)
    name, webhook = output_name(request), webhooks.wanted(request)
    form = await read_form(request)
    request[faults.VALUES] = form.values
    deadline = asyncio.get_running_loop().time() + service.engine.limits.timeout_ms / 1000
    path = path_of(request)
    kind, is_pdf = ROUTES[path], path.startswith("/forms/chromium/convert/")
    values = values_of(request, form, kind, is_pdf=is_pdf)
    if wanted := downloads.wanted(form, request.app[BODY_LIMITS]):
        form = await within(deadline, fetched(request, form, wanted))
    texts = await form.texts((PAGE, HEADER, FOOTER))
    options = translation.common(values, kind)
    options |= translation.pdf(values, texts) if is_pdf else translation.screenshot(values)
    files: tuple[Asset, ...] = ()
    if kind == "url":
        options["url"] = web_address(form.values["url"])
    else:
        files = form.assets((PAGE, HEADER, FOOTER), PAGE)
        options["html"] = await page_of(form, texts, kind, deadline) or " "
    if wanted or kind == "markdown":
        left = deadline - asyncio.get_running_loop().time()
        options["timeout_ms"] = max(100, round(left * 1000))
    if webhook is not None:
        webhook = webhooks.named(webhook, name, options)
        return await webhooks.accept(request, options, files, webhook)
    answer = await rendering.render(request, options, translation.NAMES, files)
    return file_of(answer, name)


def path_of(request: web.Request) -> str:
    """The path of the route that a request matched: as written it may have encoded letters."""
    resource = request.match_info.route.resource
    return "" if resource is None else resource.canonical


async def fetched(request: web.Request, form: Form, wanted: list[downloads.Download]) -> Form:
    """A form with the files that it has fetched, which is charged like a render.

    Raises:
        PosterError: There is no room, the quota is used up, or a file is not to be had.
    """
    service, caller = request.app[SERVICE], request.get(CALLER, "")
    service.engine.admission.check(caller)
    async with service.quotas.charge(caller, service.engine.admission.mean_seconds):
        return await downloads.with_downloads(request, form, wanted)


def values_of(request: web.Request, form: Form, kind: str, *, is_pdf: bool) -> Mapping[str, Any]:
    """The values of the fields, of which none is wrong.

    Raises:
        InvalidField: Fields have values that cannot be; each is named.
        NotHere: A field asks something of a PDF engine.
    """
    table = fields.PDF if is_pdf else fields.SCREENSHOT
    values, wrong = fields.read(form.values, (fields.COMMON, table), request.app[BODY_LIMITS])
    may_come = bool(form.values.get(downloads.NAME))
    if kind == "url" and not form.values.get("url"):
        wrong.append(Fault("", "form field 'url' is required"))
    if kind != "url" and PAGE not in form.files and not may_come:
        wrong.append(no_page())
    if wrong:
        raise InvalidField.of(*wrong)
    if is_pdf:
        engines.refuse(form)
    return values


def web_address(url: str) -> str:
    """An address that is not of a file.

    Raises:
        InvalidField: It is, which has a sentence of its own.
    """
    if url.strip().lower().startswith("file:"):
        raise translation.refused(
            "",
            "file:// URLs are not accepted on this route. Use the /convert/html or"
            " /convert/markdown routes to render local HTML",
        )
    return url


async def page_of(form: Form, texts: Mapping[str, str], kind: str, deadline: float) -> str:
    """The HTML of the page, which is one of the texts.

    Raises:
        InvalidField: There is none, or it names a file that is not there.
        RenderTimeout: Its Markdown was not read by the deadline.
    """
    page = texts.get(PAGE)
    if page is None:
        raise InvalidField.of(no_page())
    if kind == "html":
        return page
    return await within(deadline, markdown.filled(page, form))


def no_page() -> Fault:
    """A form without a page."""
    return Fault("", f"form file '{PAGE}' is required")


async def within(deadline: float, work: Awaitable[T]) -> T:
    """The result of what is awaited.

    Raises:
        RenderTimeout: It did not come by the deadline, on the event loop's clock.
    """
    try:
        async with asyncio.timeout_at(deadline):
            return await work
    except TimeoutError as error:
        raise RenderTimeout("the files of the page did not arrive in time") from error


def not_here(message: str) -> NotHere:
    """The error of something that Gotenberg has."""
    return NotHere.of(Fault("", message))


def output_name(request: web.Request) -> str:
    """The name of the file that is answered, without its ending; a new one by default.

    Raises:
        InvalidField: The header has a name that no file should have.
    """
    name = base_name(request.headers.get(OUTPUT_NAME, ""))
    if not name:
        return str(uuid.uuid4())
    try:
        return check_download_name(name)
    except ValueError as error:
        raise translation.refused("", f"{OUTPUT_NAME} {error}") from error


def file_of(answer: Answer, name: str) -> web.Response:
    """The response with the picture or PDF."""
    rendered = answer.rendered
    ending = rendered.content_type.rpartition("/")[2]
    headers = {
        hdrs.CONTENT_DISPOSITION: attachment(f"{name}.{ending}"),
        "Server-Timing": answer.server_timing,
        "X-Cache": answer.cache_status,
        "X-Isolation": rendered.isolation,
        hdrs.CACHE_CONTROL: "private, no-cache",
    }
    if rendered.warnings:
        headers["X-Render-Warnings"] = rendered.warnings
    return web.Response(body=rendered.body, content_type=rendered.content_type, headers=headers)


async def elsewhere(_: web.Request) -> web.Response:
    """Other routes of Gotenberg: not here."""
    return faults.text(
        404,
        "This service has Gotenberg's Chromium routes only:"
        " /forms/chromium/{screenshot,convert}/{html,url,markdown}. PDF engines and LibreOffice"
        " are not here.",
    )


async def health(request: web.Request) -> web.Response:
    """Whether this service can render: up or down."""
    is_up = all(request.app[SERVICE].engine.checks().values())
    status = "up" if is_up else "down"
    now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    body = {"status": status, "details": {"chromium": {"status": status, "timestamp": now}}}
    return web.Response(
        status=200 if is_up else 503,
        body=json.dumps(body).encode(),
        headers={"Content-Type": "application/json; charset=utf-8"},
    )


async def version(_: web.Request) -> web.Response:
    """The version of Gotenberg whose interface this is."""
    return faults.text(200, VERSION)


async def prometheus(request: web.Request) -> web.Response:
    """Gotenberg's two metrics of Chromium."""
    engine = request.app[SERVICE].engine
    started = engine.pool.statistics().started
    return metrics.text_of(
        (
            "gotenberg_chromium_requests_queue_size",
            "Current number of Chromium conversion requests waiting to be treated.",
            engine.admission.statistics().waiting,
        ),
        (
            "gotenberg_chromium_restarts_count",
            "Current number of Chromium restarts: Chromes started after the first one.",
            max(0, started - 1),
        ),
    )


class Gotenberg(CompatibleApi):
    """Gotenberg 8: its Chromium routes, health, version and metrics."""

    name: ClassVar = "gotenberg"
    open_paths: ClassVar = frozenset({"/health"})
    id_header: ClassVar = "Gotenberg-Trace"
    schemes: ClassVar[Mapping[str, Json]] = {"basic": {"type": "http", "scheme": "basic"}}

    def routes(self) -> list[web.RouteDef]:
        """Its routes."""
        return [
            *(web.post(path, render, expect_handler=expect_later) for path in ROUTES),
            web.post("/forms/{path:.+}", elsewhere),
            web.get("/health", health),
            web.get("/version", version),
            web.get(METRICS, prometheus),
        ]

    def caller_of(self, request: web.Request) -> str:
        """The caller: user is the name of a token, password the token (RFC 7617)."""
        is_open = request.app[SERVICE].settings.metrics_unauthenticated
        if is_open and path_of(request) == METRICS:
            return ""
        user, password = credentials(request)
        name = tokens.owner(request, password, BASIC)
        if name and name != user:
            refusal = Unauthorized.of(Fault(BASIC.field, "unknown user", BASIC.allowed))
            refusal.sent = True
            raise refusal
        return name

    def answer(self, request: web.Request, error: PosterError, request_id: str) -> web.Response:
        """Its plain text and statuses; the id is in `Gotenberg-Trace`."""
        return faults.answer(request, error)

    def operation(self, path: str, method: str, described: Described) -> Json:
        """What OpenAPI says of a route."""
        handlers: Mapping[str, Callable[..., Any]] = {
            "/health": health, "/version": version, METRICS: prometheus,
        }  # fmt: skip
        handler = render if path in ROUTES else handlers.get(path, elsewhere)
        return description.operation(path, handler.__doc__ or "", described)


def credentials(request: web.Request) -> tuple[str, str]:
    """User and password in the Authorization header; empty without exactly one."""
    given = request.headers.getall(hdrs.AUTHORIZATION, [])
    scheme, _, value = given[0].partition(" ") if len(given) == 1 else ("", "", "")
    if scheme.lower() != "basic":
        return "", ""
    try:
        user, _, password = base64.b64decode(value.strip(), validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return "", ""
    return user, password
