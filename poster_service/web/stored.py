"""The answer to a request with `store` or `destination`: where the result is, instead of its bytes.

The render itself is as for any other request, and may come out of the cache.
"""

import json
from typing import NotRequired

from aiohttp import hdrs, web
from typing_extensions import TypedDict

from poster_service.errors import Fault, InvalidField
from poster_service.jobs import delivery
from poster_service.jobs.storage import ObjectAddress
from poster_service.render.cache import Answer
from poster_service.render.options import RenderOptions
from poster_service.render.request import RenderRequest
from poster_service.render.result import Result
from poster_service.web import incoming
from poster_service.web.result import About
from poster_service.web.service import SERVICE


class StoredPicture(TypedDict):
    """A picture or PDF that is stored: what it is, and its address."""

    format: str
    content_type: str
    width: NotRequired[int]
    height: NotRequired[int]
    pages: NotRequired[int]
    bytes: int
    etag: str
    object: NotRequired[str]
    url: NotRequired[str]
    expires_seconds: NotRequired[int | None]
    is_new: NotRequired[bool]
    destination_status: NotRequired[int]


class StoredRender(StoredPicture, About):
    """A render whose result is stored."""


class StoredOutput(StoredPicture):
    """One of several outputs that are stored."""

    name: str


class StoredOutputs(About):
    """A render whose outputs are stored."""

    etag: str
    outputs: list[StoredOutput]


def is_wanted(options: RenderOptions) -> bool:
    """Whether a request wants its result stored or sent."""
    return options.store or options.destination is not None


def check(request: web.Request, options: RenderOptions) -> None:
    """Refuse before anything is rendered what could not be stored.

    Raises:
        InvalidField: There is no storage, or the request is a GET, which stores nothing.
    """
    if not is_wanted(options):
        return
    field = "store" if options.store else "destination"
    if request.method != hdrs.METH_POST:
        raise InvalidField.of(Fault(field, "has no meaning in a GET request", "POST /render"))
    if options.store and request.app[SERVICE].storage is None:
        raise InvalidField.of(
            Fault("store", "this service has no storage", "false, or POSTER_STORAGE set")
        )


async def answer(
    request: web.Request, answered: Answer, wanted: RenderRequest, caller: str
) -> web.Response:
    """Store and send a result, and say where it is.

    Raises:
        PosterError: It could not be stored or sent, or there is no memory for it.
    """
    service, options = request.app[SERVICE], wanted.options
    # The bytes stay in memory until they have been sent, as those of an answer do.
    incoming.share_of(request).require(answered.rendered.size)
    storage = service.storage if options.store else None
    delivered = await service.deliverer.deliver(
        answered.rendered.pictures, options, caller, storage
    )
    addresses: dict[str, ObjectAddress] = {one.name: one.address for one in delivered.stored}

    async def address(name: str) -> ObjectAddress:
        return addresses[name]

    found = delivery.known(await Result.of(answered, wanted), delivered)
    body = await delivery.with_addresses(found, address, str(request.url.origin()))
    headers = {
        "Server-Timing": answered.server_timing,
        "X-Cache": answered.cache_status,
        hdrs.CACHE_CONTROL: "no-store",
    }
    if answered.rendered.warnings:
        headers["X-Render-Warnings"] = answered.rendered.warnings
    if "url" in body:
        headers[hdrs.LOCATION] = body["url"]
    return web.json_response(body, status=201, headers=headers, dumps=_dumps)


def _dumps(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
