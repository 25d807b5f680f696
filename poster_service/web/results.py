"""GET /results/NAME: a stored result, where the storage is the memory of the service or a folder.

Without a storage of its own, a service has results of jobs in its memory.

Objects in buckets are not served here: their addresses are of the bucket, or of what is before it.
"""

from aiohttp import hdrs, web

from poster_service.errors import UnknownResult
from poster_service.jobs.results import IMMUTABLE, is_readable
from poster_service.jobs.storage import RESULTS
from poster_service.render.formats import CONTENT_TYPES
from poster_service.render.picture import EXTENSIONS
from poster_service.settings import Settings
from poster_service.web import incoming
from poster_service.web.caller import CALLER
from poster_service.web.service import SERVICE

PATH = f"{RESULTS}/{{name:.+}}"
#: The media type by the end of an object's name: a folder has no other place for it.
TYPES = {EXTENSIONS.get(name, name): kind for name, kind in CONTENT_TYPES.items()}
#: A result may be a page of a caller's, so a browser must not run anything of it with the rights
#: of this service's own pages.
CSP = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox"


async def result(request: web.Request) -> web.Response:
    """GET /results/{name}: a stored result."""
    service, name = request.app[SERVICE], request.match_info["name"]
    is_known = is_readable(name, request.get(CALLER, ""))
    found = await service.results.get(name) if is_known else None
    if found is None:
        raise UnknownResult("there is no result of that name, or it has expired")
    incoming.share_of(request).require(len(found.body))
    media_type = found.content_type or TYPES.get(name.rpartition(".")[2])
    headers = {
        hdrs.CONTENT_TYPE: media_type or "application/octet-stream",
        hdrs.CACHE_CONTROL: found.cache_control or ("" if "/" in name else IMMUTABLE),
        hdrs.CONTENT_DISPOSITION: found.disposition,
        "Content-Security-Policy": CSP,
    }
    return web.Response(
        body=found.body, headers={key: value for key, value in headers.items() if value}
    )


def is_served(settings: Settings) -> bool:
    """Whether a service with these settings serves results itself."""
    kind = (settings.storage or "memory:").partition(":")[0]
    return kind in ("memory", "file") and (kind == "memory" or not settings.storage_public_url)
