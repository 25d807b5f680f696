"""The APIs of other services that there are, and those that the settings switch on."""

from collections.abc import Iterable

from aiohttp import web

from poster_service.web.compat.api import COMPAT, VARIANTS, CompatibleApi, Variant
from poster_service.web.compat.browserless.api import Browserless
from poster_service.web.compat.cloudflare.api import Cloudflare
from poster_service.web.compat.gotenberg.api import Gotenberg

#: By the name in POSTER_COMPAT.
APIS: dict[str, type[CompatibleApi]] = {
    one.name: one for one in (Browserless, Cloudflare, Gotenberg)
}


def add_to(app: web.Application, names: Iterable[str]) -> None:
    """Add the routes of the APIs of these names, as POSTER_COMPAT has them, to an application."""
    found: dict[str, CompatibleApi] = {}
    variants: dict[str, Variant] = {}
    for name in names:
        api = APIS[name]()
        for route in app.add_routes(api.routes()):
            assert route.resource is not None
            found[route.resource.canonical] = api
        variants |= {path: Variant(api, handler) for path, handler in api.variants().items()}
    app[COMPAT] = found
    app[VARIANTS] = variants
