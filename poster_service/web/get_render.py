"""GET /render: a picture of the source that the query names, where the operator allows it.

Without POSTER_GET_RENDER only signed URLs are answered. Of all ways to ask, this is the one that a
web page can use without being asked first, by an `<img>`: so a request that a browser makes for a
page of another origin is refused unless it is signed.
"""

from urllib.parse import urlsplit

from aiohttp import web

from poster_service.errors import CrossOriginRequest, Fault
from poster_service.quoting import quoted
from poster_service.render.request import RenderRequest
from poster_service.settings import Settings
from poster_service.web import signed
from poster_service.web.bodies import BODY_LIMITS, FROM_WHERE, check_size_of_query
from poster_service.web.caller import CALLER
from poster_service.web.pictures import picture
from poster_service.web.service import SERVICE

#: The route's name, by which `auth` knows that a signature may stand for a token.
NAME = "get_render"
PATH = "/render"


async def render(request: web.Request) -> web.StreamResponse:
    """GET /render: the picture of what the query names; signed, or where the settings allow it."""
    service = request.app[SERVICE]
    check_size_of_query(request)
    if needs_signature(request):
        return await signed.answer(request, None)
    check_page(request, service.settings.cors_origins)
    given = signed.query_options(list(request.query.items()), request.app[BODY_LIMITS])
    wanted = RenderRequest.parse(given, service.engine.limits, strict=False)
    return await picture(request, wanted, request.get(CALLER, ""))


def signs(settings: Settings) -> bool:
    """Whether a service with these settings has keys, and so serves signed URLs."""
    return bool(settings.signing_keys or settings.signing_keys_file)


def needs_signature(request: web.Request) -> bool:
    """Whether the signature decides: one is given, or nothing else is allowed."""
    settings = request.app[SERVICE].settings
    is_given = signs(settings) and "signature" in request.query
    return is_given or not settings.get_render


def check_page(request: web.Request, origins: tuple[str, ...]) -> None:
    """Refuse what a browser fetches for a page of another origin, as `bodies.check_origin` does.

    A GET has no `Origin`. Browsers send `Sec-Fetch-Site` over https and to loopback; elsewhere only
    `Referer` is left, which the page can suppress: there a token must protect the service.

    Raises:
        CrossOriginRequest: The page is neither of this service nor of an origin in the settings.
    """
    referer = urlsplit(request.headers.get("Referer", ""))
    page = f"{referer.scheme}://{referer.netloc}" if referer.netloc else ""
    if page and page in origins:
        return
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None and site not in ("same-origin", "none"):
        raise CrossOriginRequest.of(Fault("Sec-Fetch-Site", f"is {quoted(site)}", FROM_WHERE))
    if site is None and page and referer.netloc != request.headers.get("Host", ""):
        raise CrossOriginRequest.of(Fault("Referer", f"is of {quoted(page)}", FROM_WHERE))
