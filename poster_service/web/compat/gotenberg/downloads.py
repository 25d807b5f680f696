"""`downloadFrom`: files that this service fetches for a form, under the network policy of pages."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.message import Message
from http import HTTPStatus
from typing import Any
from urllib.parse import urljoin

from aiohttp import hdrs, web

from poster_service.browser.types import Reply, Request
from poster_service.errors import FetchDenied
from poster_service.fetch.client import Fetcher
from poster_service.fetch.errors import RequestDenied, RequestFailed
from poster_service.fetch.http_cache import header
from poster_service.fetch.outbound import Owner
from poster_service.fetch.own import Terms
from poster_service.origins import origin_of
from poster_service.quoting import quoted
from poster_service.render.network_options import check_headers
from poster_service.render.warnings import displayed
from poster_service.web import incoming, media_type
from poster_service.web.bodies import BODY_LIMITS, BodyLimits
from poster_service.web.caller import CALLER
from poster_service.web.compat.gotenberg import values
from poster_service.web.compat.gotenberg.engines import NotHere
from poster_service.web.compat.gotenberg.form import Form, form_of
from poster_service.web.compat.gotenberg.translation import refused
from poster_service.web.forms import Part
from poster_service.web.incoming import COST
from poster_service.web.service import SERVICE

NAME = "downloadFrom"
#: Files of one request, at most.
MAX_DOWNLOADS = 50
#: What this service calls itself.
USER_AGENT = "poster-service"


@dataclass(frozen=True)
class Download:
    """A file to fetch.

    Attributes:
        url: Its address, a secret as far as its query is.
        headers: Sent to the origin of the address and to no other.
    """

    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)


def wanted(form: Form, limits: BodyLimits) -> list[Download]:
    """The files that a form has fetched.

    Raises:
        InvalidField: The field has another form, or an entry has no address.
        NotHere: A file is for a PDF engine.
    """
    text = form.values.get(NAME, "")
    if not text:
        return []
    try:
        given = values.parsed(text, limits)
        if not isinstance(given, list) or not all(isinstance(one, dict) for one in given):
            raise ValueError("it is not a JSON list of objects")
        if len(given) > MAX_DOWNLOADS:
            raise ValueError(f"it has more than {MAX_DOWNLOADS} entries")
        return [_download(place, one) for place, one in enumerate(given)]
    except ValueError as error:
        raise refused("", f"Invalid '{NAME}' form field value: {error}") from error


def _download(place: int, given: Mapping[str, Any]) -> Download:
    url = given.get("url")
    if not isinstance(url, str) or not url.strip():
        raise refused("", f"Invalid '{NAME}' form field entry {place}: URL must be set")
    if given.get("embedded") or given.get("field"):
        raise NotHere.of(
            *refused(
                "",
                f"form field '{NAME}' entry {place} is for Gotenberg's PDF engines, which this"
                " service does not have",
            ).faults
        )
    return Download(url.strip(), check_headers(values.strings(given.get("extraHttpHeaders") or {})))


async def with_downloads(request: web.Request, form: Form, wanted: list[Download]) -> Form:
    """A form with the files that it has fetched; its own ones of the same names count.

    Raises:
        FetchDenied: The network policy forbids an address.
        InvalidField: A file cannot be fetched, or says no name.
        BodyTooLarge: All files together are larger than a body may be.
    """
    count = _counter(request, sum(len(one.body) for one in form.files.values()))
    fetcher, caller = request.app[SERVICE].engine.fetcher, Owner(request.get(CALLER, ""))
    tasks = [asyncio.ensure_future(_fetched(fetcher, caller, one, count)) for one in wanted]
    try:
        found = form_of(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return Form(form.values, {**found.files, **form.files}, form.fields)


def _counter(request: web.Request, size: int) -> Callable[[int], None]:
    """Counts bytes as they arrive, in the memory of all bodies too."""
    most, share = request.app[BODY_LIMITS].max_bytes, incoming.share_of(request)

    def count(more: int) -> None:
        nonlocal size
        size += more
        if size > most:
            raise incoming.too_large(most)
        share.require(COST * size)

    return count


async def _fetched(
    fetcher: Fetcher, owner: Owner, download: Download, count: Callable[[int], None]
) -> Part:
    where = displayed(download.url)
    try:
        reply = await _followed(fetcher, owner, download, count)
    except RequestDenied as error:
        raise FetchDenied.of(
            *refused(NAME, f"{where} is denied ({error.reason})").faults
        ) from error
    except RequestFailed as error:
        message = f"Unable to download file from '{where}': {error.reason}"
        raise refused("", message) from error
    if reply.status != HTTPStatus.OK:
        status = f"{reply.status} {_phrase(reply.status)}".strip()
        raise refused("", f"Unable to download file from '{where}': got status: '{status}'")
    return _part(reply, where)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


async def _followed(
    fetcher: Fetcher, owner: Owner, download: Download, count: Callable[[int], None]
) -> Reply:
    """What an address leads to; each redirect is checked as the first address is.

    Raises:
        FetchError: It is denied or fails.
    """
    url, own = download.url, tuple(download.headers.items())
    for _ in range(fetcher.limits.max_redirects + 1):
        terms = Terms(own, is_private=True, allows_plain=True)
        asked = Request(url, "GET", {hdrs.USER_AGENT: USER_AGENT}, None, "Other")
        reply = await fetcher.fetch(asked, count, owner, terms)
        if not reply.is_redirect:
            return reply
        target = header(reply.headers, "location") or ""
        try:
            following = urljoin(url, target)
        except ValueError as error:
            raise RequestDenied("scheme", "a redirect to no address") from error
        if origin_of(following) != origin_of(url):
            own = ()
        url = following
    raise RequestDenied("redirects", "too many redirects")


def _part(reply: Reply, where: str) -> Part:
    """A file as if it had come in the form.

    Raises:
        InvalidField: Its server says no name.
    """
    disposition = header(reply.headers, "content-disposition")
    if not disposition:
        raise refused("", f"No 'Content-Disposition' header from '{where}'")
    message = Message()
    message[hdrs.CONTENT_DISPOSITION] = " ".join(disposition.split())
    name = message.get_filename()
    if not name:
        shown = quoted(disposition)
        raise refused(
            "", f"Invalid 'Content-Disposition' header '{shown}' from '{where}': no filename"
        )
    kind = media_type.parse(header(reply.headers, "content-type") or "")
    return Part(name, True, kind.name, kind.parameters.get("charset"), reply.body, "files", name)
