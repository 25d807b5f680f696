"""What answers the requests of one page: its own document, files that came with it, the network."""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from yarl import URL

from poster_service.browser.types import ADDRESS, Reply, Request, Route
from poster_service.fetch.budget import PageBudget
from poster_service.fetch.client import Fetcher
from poster_service.fetch.errors import FetchError, RequestDenied, RequestFailed
from poster_service.fetch.http_cache import CacheLifetime
from poster_service.fetch.outbound import Owner
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
from poster_service.render.template_lint import CONTENT_SECURITY_POLICY
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
    """

    html: str
    files: Sequence[Asset] = ()
    template_folder: Path | None = None
    template_files: Snapshot | None = None
    local_folder: Path | None = None


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
    budget = PageBudget(fetcher, lifetime, Owner(caller))
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
        headers = (
            ("Content-Type", "text/html; charset=utf-8"),
            ("Content-Security-Policy", f"{policy}; report-uri {CSP_REPORTS}"),
        )
        self._document = Reply(200, headers, sources.html.encode())

    async def answer(self, request: Request) -> Reply | None:
        """The reply to a request; None where the page may not have it, or it cannot be fetched."""
        if request.url == ADDRESS:
            return self._document
        try:
            reply = await self._reply(request)
        except FetchError as error:
            settle(self._warnings, request)
            is_optional = is_background(request) and error.verb == "failed"
            if not (is_icon(request) or is_optional):
                self._warn(request, error)
            return None
        if (reason := check_reply(self._warnings, request, reply)) is not None:
            similar = similar_name(path_of(request.url.removeprefix(ADDRESS)), self._files)
            self._warn(request, RequestFailed(reason), similar)
        return reply

    async def _reply(self, request: Request) -> Reply:
        if request.url == CSP_REPORTS:
            raise csp_violation(request)
        if not request.url.startswith(ADDRESS):
            return await self._budget.fetch(request)
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
        # A newer file than the page: no image of this render may be cached, whatever `cache_ttl`.
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
