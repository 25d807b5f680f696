"""Gotenberg's webhooks: the headers that ask for the file by a request of this service's own."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from aiohttp import hdrs, web

from poster_service import errors
from poster_service.jobs.file_webhooks import FileWebhook
from poster_service.jobs.records import JobRequest
from poster_service.jobs.webhook_options import check_webhook_headers
from poster_service.logs import request_id
from poster_service.render.declaration import DEFAULT_FORMAT
from poster_service.render.disposition import attachment
from poster_service.render.network_options import check_headers
from poster_service.render.request import Asset
from poster_service.render.storage_options import sendable
from poster_service.web import jobs
from poster_service.web.bodies import hold
from poster_service.web.compat import rendering
from poster_service.web.compat.gotenberg import faults, translation
from poster_service.web.service import SERVICE

PREFIX = "Gotenberg-Webhook-"
URL, ERROR_URL, EVENTS_URL = f"{PREFIX}Url", f"{PREFIX}Error-Url", f"{PREFIX}Events-Url"
METHOD, ERROR_METHOD = f"{PREFIX}Method", f"{PREFIX}Error-Method"
EXTRA = f"{PREFIX}Extra-Http-Headers"
METHODS = ("POST", "PATCH", "PUT")
#: Extra headers that Gotenberg replaces by its own.
REPLACED = frozenset({"content-type", "content-length"})
#: Gotenberg's own status by the code of an error, or by its code and field.
STATUSES: Mapping[str, int] = {
    **{kind.code: status for kind, status in faults.STATUSES.items() if "code" in vars(kind)},
    # The page itself, or where it redirects; what the page asks for has no field.
    f"{errors.FetchDenied.code} url": faults.FILTERED,
}


def wanted(request: web.Request) -> FileWebhook | None:
    """Where the file is to be sent instead of being answered; None if it is to be answered.

    Raises:
        InvalidField: A header is wrong.
        DestinationDenied: The network policy forbids an address.
    """
    url = request.headers.get(URL, "")
    if not url:
        return None
    error_url, events_url = (request.headers.get(one, "") for one in (ERROR_URL, EVENTS_URL))
    if not error_url and not events_url:
        raise translation.refused(
            "", f"At least one of '{ERROR_URL}' or '{EVENTS_URL}' headers must be provided"
        )
    for header, address in ((URL, url), (ERROR_URL, error_url), (EVENTS_URL, events_url)):
        if address:
            check_address(request, header, address)
    trace = {"Gotenberg-Trace": request_id.get()}
    return FileWebhook(
        url=url,
        method=method_of(request, METHOD),
        error_url=error_url,
        error_method=method_of(request, ERROR_METHOD),
        events_url=events_url,
        headers={**extra_of(request), **trace},
        correlation=request_id.get(),
        statuses=STATUSES,
    )


def named(webhook: FileWebhook, name: str, options: Mapping[str, Any]) -> FileWebhook:
    """The webhook, with the name of the file as a header, unless the caller sends another.

    Args:
        webhook: As `wanted` gives it.
        name: Of the file, without its ending.
        options: Of the render.
    """
    if any(one.lower() == hdrs.CONTENT_DISPOSITION.lower() for one in webhook.headers):
        return webhook
    shown = attachment(f"{name}.{options.get('format', DEFAULT_FORMAT)}")
    return replace(webhook, file_headers={hdrs.CONTENT_DISPOSITION: shown})


async def accept(
    request: web.Request,
    options: Mapping[str, Any],
    files: tuple[Asset, ...],
    webhook: FileWebhook,
) -> web.Response:
    """Accept a render as a job whose result is sent; the answer is empty.

    Raises:
        PosterError: The request is wrong, the caller has too many jobs, or there is no queue.
    """
    with rendering.naming(translation.NAMES):
        limits = request.app[SERVICE].engine.limits
        wanted = hold(request, JobRequest.parse(options, limits, files=files))
        await jobs.accept(request, wanted, webhook.document())
    return web.Response(status=204)


def check_address(request: web.Request, header: str, address: str) -> None:
    """Refuse an address that nothing can be sent to.

    Raises:
        InvalidField: It is not an address of the web, or plain http where that is not allowed.
        DestinationDenied: The network policy forbids it.
    """
    try:
        sendable(address)
    except ValueError as error:
        raise translation.refused("", f"Invalid '{header}' header value: {error}") from None
    request.app[SERVICE].webhooks.check_address(header, address)


def method_of(request: web.Request, header: str) -> str:
    """The method by which something is sent.

    Raises:
        InvalidField: It is another one than Gotenberg has.
    """
    method = request.headers.get(header, "").upper() or METHODS[0]
    if method not in METHODS:
        first, *_, last = (f"'{one}'" for one in METHODS)
        raise translation.refused(
            "",
            f"Invalid '{header}' header value: expected {first}, 'PATCH' or {last}, but got"
            f" '{method}'",
        )
    return method


def extra_of(request: web.Request) -> dict[str, str]:
    """The headers that are sent with the file.

    Raises:
        InvalidField: They are no JSON object of texts, or cannot be sent.
    """
    given = request.headers.get(EXTRA, "")
    if not given:
        return {}
    try:
        found = json.loads(given)
        if not isinstance(found, dict) or not all(isinstance(one, str) for one in found.values()):
            raise ValueError("must be a JSON object of texts")
        plain = {name: text for name, text in found.items() if name.lower() not in REPLACED}
        return check_webhook_headers(check_headers(plain))
    except (ValueError, RecursionError) as error:
        raise translation.refused("", f"Invalid '{EXTRA}' header value: {error}") from None
