"""What answers the requests of one page: its own document, files that came with it, the network."""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from pathlib import Path

from yarl import URL

from poster_service.browser.types import ADDRESS, Reply, Request, Route
from poster_service.fetch.budget import PageBudget
from poster_service.fetch.client import Fetcher
from poster_service.fetch.errors import FetchError, RequestDenied, RequestFailed
from poster_service.fetch.http_cache import CacheLifetime
from poster_service.fetch.outbound import Owner
from poster_service.fetch.own import Scopes, Sending
from poster_service.logs import event
from poster_service.render.file_names import FileNames
from poster_service.render.folder import Snapshot
from poster_service.render.missing import (
    check_reply,
    is_background,
    is_icon,
    settle,
    similar_name,
)
from poster_service.render.page_files import (
    MEDIA_TYPES,
    NO_STORE,
    local_file,
    path_of,
    template_file,
)
from poster_service.render.request import Asset
from poster_service.render.request_rules import RequestRules
from poster_service.render.status_options import NO_STATUSES, Statuses
from poster_service.render.template_lint import CONTENT_SECURITY_POLICY
from poster_service.render.visit import Visit
from poster_service.render.warnings import Warnings

logger = logging.getLogger(__name__)

#: Where Chrome reports violations of the page's Content-Security-Policy; a request like any other.
CSP_REPORTS = ADDRESS + ".poster/kept"
#: For a page of a caller. Chrome has no network that a web socket or a peer connection could use;
#: this makes the attempt fail at once, and be reported.
NO_SOCKETS = "connect-src http: https: data: blob:; webrtc 'block'"
#: Keeps Chrome from using a file that was sent as an image as anything else.
NO_SNIFFING = ("X-Content-Type-Options", "nosniff")
#: Resource types (CDP) as which a template's page may load a caller's file.
MEDIA_KINDS = ("Image", "Media")


@dataclass(frozen=True)
class PageSources:
    """What a page is composed of, apart from the network.

    Attributes:
        html: The document.
        files: Files that the caller sent with it.
        template_folder: The folder of its template; None for a caller's own HTML.
        template_files: The files of that folder as of when the template was read.
        local_folder: The folder of a page that is a local file; no caller over HTTP has one.
        visit: Of a page on the web, which has no document here; None of any other.
        rules: What the caller blocks, and answers itself.
        scopes: Headers that the caller sends with some requests.
        failing: Statuses of what it loads that fail the render.
    """

    html: str
    files: Sequence[Asset] = ()
    template_folder: Path | None = None
    template_files: Snapshot | None = None
    local_folder: Path | None = None
    visit: Visit | None = None
    rules: RequestRules = field(default_factory=RequestRules)
    scopes: Scopes | None = None
    failing: Statuses = NO_STATUSES


def page_route(
    sources: PageSources,
    fetcher: Fetcher,
    warnings: Warnings,
    lifetime: CacheLifetime | None = None,
    caller: str = "",
) -> Route:
    """The route of one render.

    Args:
        sources: The page's document and the files beside it.
        fetcher: Fetches all else, within its limits for one page.
        warnings: Gets what the page requested in vain.
        lifetime: Gets every part of the page, to find out how long the image may be cached.
        caller: Who the page is rendered for, for a fair share of the connections.
    """
    lifetime = lifetime or CacheLifetime()
    sending = Sending(sources.visit.own if sources.visit else None, sources.scopes)
    budget = PageBudget(fetcher, lifetime, Owner(caller), sending)
    return _PageRoute(sources, budget, warnings, lifetime).answer


class _PageRoute:
    """Answers the requests of one page."""

    def __init__(
        self,
        sources: PageSources,
        budget: PageBudget,
        warnings: Warnings,
        lifetime: CacheLifetime,
    ) -> None:
        self._sources, self._budget = sources, budget
        self._warnings, self._lifetime = warnings, lifetime
        self._files = FileNames(sources.files)
        is_template = sources.template_folder is not None
        policy = CONTENT_SECURITY_POLICY if is_template else NO_SOCKETS
        self._policy = ("Content-Security-Policy", f"{policy}; report-uri {CSP_REPORTS}")
        headers = (("Content-Type", "text/html; charset=utf-8"), self._policy)
        self._document = Reply(200, headers, sources.html.encode())

    async def answer(self, request: Request) -> Reply | None:
        """The reply to a request; None where the page may not have it, or it cannot be fetched."""
        if await self._blocks(request):
            settle(self._warnings, request)
            return None
        if (canned := await self._canned(request)) is not None:
            settle(self._warnings, request)
            self._lifetime.add_part(request.kind, canned)
            return canned
        if self._sources.visit is not None:
            if request.is_main:
                return await self._visited(request, self._sources.visit)
            if is_icon(request):  # full Chromium asks for it; it is no part of the picture
                settle(self._warnings, request)
                return None
        elif request.url == ADDRESS:
            return self._document
        try:
            reply = await self._reply(request)
        except FetchError as error:
            settle(self._warnings, request)
            if await self._blocks_socket(error):
                return None
            is_optional = is_background(request) and error.verb == "failed"
            if not (is_icon(request) or is_optional):
                self._warn(request, error)
            return None
        if (reason := check_reply(self._warnings, request, reply)) is not None:
            similar = similar_name(path_of(request.url.removeprefix(ADDRESS)), self._files)
            self._warn(request, RequestFailed(reason), similar)
        return reply

    async def _blocks(self, request: Request) -> bool:
        """Whether the caller has blocked a request."""
        return request.url != CSP_REPORTS and await self._sources.rules.blocks(request)

    async def _canned(self, request: Request) -> Reply | None:
        """What the caller answers to a request; None for one that is fetched, or is here."""
        is_document = request.url in (CSP_REPORTS, ADDRESS)
        return None if is_document else await self._sources.rules.answer(request)

    async def _blocks_socket(self, error: FetchError) -> bool:
        """Whether Chrome reports a web socket that the caller has blocked: it never gets here."""
        url = error.url
        if not url or error.reason != "web_socket":
            return False
        if is_blocked := await self._sources.rules.blocks_address("WebSocket", url):
            self._warnings.settled.add(url)
        return is_blocked

    async def _visited(self, request: Request, visit: Visit) -> Reply:
        """The document of a page on the web, or a redirect on the way to it.

        Raises:
            PosterError: It is not to be had, or not to be displayed; the class says why.
        """
        visit.own.arrive(request.url)
        try:
            reply = await self._budget.fetch(request)
        except RequestDenied as error:
            raise visit.refused(request, error) from error
        except RequestFailed as error:
            raise visit.failed(request, error) from error
        reply = await visit.take(request, reply, self._lifetime)
        return reply if reply.is_redirect else with_header(reply, self._policy)

    async def _reply(self, request: Request) -> Reply:
        if request.url == CSP_REPORTS:
            raise csp_violation(request)
        if not request.url.startswith(ADDRESS):
            reply = await self._budget.fetch(request)
            is_end = not reply.is_redirect
            if is_end and self._sources.failing.fails(request.url, reply.status):
                self._warnings.note_status(request.url, reply.status)
            return reply
        reply = self._own_file(request, request.url[len(ADDRESS) :])
        self._lifetime.add_part(request.kind, reply)
        return reply

    def _own_file(self, request: Request, address: str) -> Reply:
        """A file that came with the page, else one of its template or local folder, else 404."""
        sources = self._sources
        folder = sources.template_folder
        sent = self._files.find(path_of(address))
        if sent is not None and folder is None:
            return Reply(200, (("Content-Type", sent.content_type),), sent.body)
        if sent is not None and folder is not None and is_displayable(sent, request.kind):
            # By the address: a caller's file may be found by several spellings of its name.
            is_own = template_file(folder, address).status == HTTPStatus.OK
            if not is_own:  # the template's own file has precedence
                return Reply(200, (("Content-Type", sent.content_type), NO_SNIFFING), sent.body)
        if sources.local_folder is not None:
            return local_file(sources.local_folder, address, request.kind)
        reply = template_file(folder, address, sources.template_files)
        # A newer file than the page: no image of this render may be cached, with any `cache_ttl`.
        self._lifetime.is_broken |= NO_STORE in reply.headers
        return reply

    def _warn(self, request: Request, error: FetchError, similar: str = "") -> None:
        """Add a warning with the address for the caller, and log its host; each once, bounded."""
        url = error.url if error.url is not None else request.url
        self._warnings.settled.add(url)
        if self._warnings.add(error.verb, url, error.reason, similar):
            event(
                logger, logging.INFO, "subresource omitted", verb=error.verb,
                host=_host(url)[:100], reason=error.reason, kind=request.kind,
                detail=str(error)[:200],
            )  # fmt: skip


def with_header(reply: Reply, line: tuple[str, str]) -> Reply:
    """A reply with one header more; each Content-Security-Policy counts for itself."""
    return replace(reply, headers=(*reply.headers, line))


def is_displayable(file: Asset, kind: str) -> bool:
    """Whether a caller's file may be given to a template's page for this request.

    Only as an image, a video or audio: a caller's file that the page loaded as its script or style
    sheet would do what data must not.

    Args:
        file: The file that came with the data.
        kind: The resource type (CDP's Network.ResourceType) that Chrome requests.
    """
    return file.content_type.startswith(MEDIA_TYPES) and kind in MEDIA_KINDS


def csp_violation(request: Request) -> RequestDenied:
    """What Chrome blocked by the page's Content-Security-Policy, as its report has it."""
    try:
        report = json.loads(request.body or b"")["csp-report"]
        blocked, directive = str(report["blocked-uri"]), str(report["effective-directive"])
        is_socket = blocked.startswith(("ws:", "wss:"))
    except (ValueError, LookupError, TypeError):  # the page wrote it itself
        return RequestDenied("csp", "a malformed CSP report", url="")
    reason = "web_socket" if is_socket else "csp"
    return RequestDenied(reason, f"{directive} of the page's policy", url=blocked)


def _host(url: str) -> str:
    """The host for the log; "" where a page made up something that is no URL."""
    try:
        return URL(url).host or ""
    except ValueError:
        return ""
