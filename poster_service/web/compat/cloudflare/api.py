"""Cloudflare Browser Run: its routes, tokens, errors and OpenAPI."""

from collections.abc import Awaitable, Callable, Mapping
from typing import ClassVar

from aiohttp import web

from poster_service import errors, problems
from poster_service.errors import PosterError, Unauthorized
from poster_service.quoting import quoted
from poster_service.render.json_schema import Json
from poster_service.web import tokens
from poster_service.web.auth import BEARER, bearer_token
from poster_service.web.compat.api import CompatibleApi, error_headers
from poster_service.web.compat.cloudflare import description, results
from poster_service.web.compat.cloudflare.markdown import Converter
from poster_service.web.compat.cloudflare.rendering import KINDS, Kind, render
from poster_service.web.incoming import expect_later
from poster_service.web.openapi_requests import Described

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

#: Any account id is taken: whose a request is, its token says.
PREFIX = "/client/v4/accounts/{account_id}/browser-rendering"
LANGUAGE_MODEL = "needs a language model, which this service does not have"
CRAWL = "visits more than one page, which this service does not"
TREE = "needs an accessibility tree, which this service does not make"
#: What is not there, and why: methods and path.
ABSENT: Mapping[tuple[str, str], str] = {
    ("POST", "/json"): LANGUAGE_MODEL,
    ("POST", "/crawl"): CRAWL,
    ("GET", "/crawl/{job_id}"): CRAWL,
    ("DELETE", "/crawl/{job_id}"): CRAWL,
    ("POST", "/accessibilityTree"): TREE,
}
#: Statuses where they differ from those of this service's own API; of the nearest ancestor.
STATUSES: Mapping[type[PosterError], int] = {errors.Overloaded: 429}
#: Cloudflare's own numbers of errors; of all others the number is the status.
AUTHENTICATION, RATE_LIMIT = 10_000, 2001


class Cloudflare(CompatibleApi):
    """Browser Run's HTTP API."""

    name: ClassVar[str] = "cloudflare"

    def __init__(self) -> None:
        self._converter = Converter()

    def routes(self) -> list[web.RouteDef]:
        """Those that render, and those that are not there and say so."""
        found = [
            web.post(f"{PREFIX}/{kind.path}", self._rendering(kind), expect_handler=expect_later)
            for kind in KINDS
        ]
        for (method, path), reason in ABSENT.items():
            found.append(web.route(method, PREFIX + path, _absent(path, reason)))
        return found

    def caller_of(self, request: web.Request) -> str:
        """By the bearer token."""
        return tokens.owner(request, bearer_token(request), BEARER)

    def answer(self, request: web.Request, error: PosterError, request_id: str) -> web.Response:
        """The error in the envelope."""
        status = status_of(error)
        headers = error_headers(error, status)
        if error.server_timing:
            headers["X-Browser-Ms-Used"] = str(results.browser_ms(error.server_timing))
        return results.failure(status, code_of(error, status), text_of(error), headers)

    def operation(self, path: str, method: str, described: Described) -> Json:
        """What it takes and answers, as far as JSON Schema can say it."""
        has_tokens = bool(described.service.tokens.entries)
        found: Json = {"tags": [self.name], "security": [{"bearer": []}] if has_tokens else []}
        last = path.rpartition("/")[2]
        kind = next((one for one in KINDS if one.path == last), None)
        if method == "post" and kind is not None:
            return found | description.rendering(path, kind)
        return found | description.absent(path)

    def _rendering(self, kind: Kind) -> Handler:
        async def handler(request: web.Request) -> web.StreamResponse:
            return await render(request, kind, self._converter)

        return handler


def status_of(error: PosterError) -> int:
    """The status for an error: 429 instead of 503 where the queue is full."""
    for kind in type(error).__mro__:
        if kind in STATUSES:
            return STATUSES[kind]
    return problems.status_of(error)[0]


def code_of(error: PosterError, status: int) -> int:
    """The number of an error."""
    if isinstance(error, Unauthorized):
        return AUTHENTICATION
    return RATE_LIMIT if status == 429 else status


def text_of(error: PosterError) -> str:
    """The text of an error."""
    if isinstance(error, errors.OperatorError):
        return problems.status_of(error)[1]
    text = quoted(str(error), problems.MOST_DETAIL)
    return f"Authentication error: {text}" if isinstance(error, Unauthorized) else text


def _absent(path: str, reason: str) -> Handler:
    async def absent(_: web.Request) -> web.StreamResponse:
        return results.failure(501, 501, f"{path.split('/')[1]} {reason}", {})

    return absent
