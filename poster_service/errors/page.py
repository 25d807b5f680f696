"""Errors of a render: the page is not what it was taken for, or it or its Chrome failed."""

from poster_service.errors.base import CallerError, PosterError


class PageUnfit(CallerError):
    """The page, once it is there, is not what the options take it for."""


class PictureTooLarge(PageUnfit):
    """The page turned out to be larger than a picture may be."""

    code = "picture_too_large"


class ContentTooLarge(PageUnfit):
    """The document, or what selectors match in it, is longer than an answer may be."""

    code = "content_too_large"


class PagesOutOfRange(PageUnfit):
    """The document turned out to have none of the pages of a PDF that were asked for."""

    code = "pages_out_of_range"


class SelectorNotFound(PageUnfit):
    """The selector matches no element of the page."""

    code = "selector_not_found"


class SelectorEmpty(PageUnfit):
    """The first element that the selector matches has no size, or is outside of the document."""

    code = "selector_empty"


class ClipOutside(PageUnfit):
    """The clip reaches beyond the document."""

    code = "clip_outside"


class WaitFailed(PageUnfit):
    """The expression of `wait_for` threw, or its promise was rejected."""

    code = "wait_failed"


class ScriptFailed(PageUnfit):
    """A render with `fail_on: script_error` in which a script of the page failed."""

    code = "script_error"


class MissingGlyph(PageUnfit):
    """A render with `fail_on: missing_glyph` whose page shows characters that no font has."""

    code = "missing_glyph"


class FetchDenied(PageUnfit):
    """The network policy denies the page's `url`, or a request of the page of a strict render."""

    code = "fetch_denied"


class UrlStatus(PageUnfit):
    """The page's `url` answered with a status of 400 or more, or of `fail_on_status`.

    Attributes:
        status: The status; 0 if it is not known.
    """

    code = "url_status"
    status = 0


#: What Chrome displays, for the caller whose `url` is something else.
DISPLAYED = "an address with HTML, XML, text or a picture"


class NotAPage(PageUnfit):
    """What the page's `url` answered with is not displayed: a PDF, a download, nothing."""

    code = "not_a_page"


class RenderFailed(PosterError):
    """The render began and failed."""

    code = "render_failed"


class PageCrashed(RenderFailed):
    """The page's renderer process died: out of memory, or killed."""

    code = "page_crashed"


class PageFailed(RenderFailed):
    """Chrome could not load or paint the page."""

    code = "page_failed"


class ChromeDied(RenderFailed):
    """The Chrome of this render died; it takes no other render with it."""

    code = "chrome_died"


class FetchFailed(RenderFailed):
    """A strict render in which a fetch of the page failed."""

    code = "fetch_failed"


class ResourceStatus(RenderFailed):
    """A render with `fail_on_status` whose page got such a status for something that it loads.

    Attributes:
        found: Addresses, as warnings show them, each with its status.
    """

    code = "resource_status"
    found: tuple[tuple[str, int], ...] = ()


class UrlUnreachable(RenderFailed):
    """The page's `url` cannot be fetched: no such host, no connection, no answer in time."""

    code = "url_unreachable"


class StorageFailed(RenderFailed):
    """The result could not be stored in the service's object storage.

    Attributes:
        may_pass: Whether the same may be stored later: the storage is away, and does not refuse it.
    """

    code = "storage_failed"
    may_pass = True


class DestinationFailed(RenderFailed):
    """The result could not be sent to its `destination`: no connection, or an error status."""

    code = "destination_failed"


class RenderTimeout(RenderFailed):
    """The render took longer than its timeout."""

    code = "render_timeout"
