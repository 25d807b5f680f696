"""The APIs of other services that there are, and those that the settings switch on."""

from collections.abc import Callable, Iterable, Mapping

from aiohttp import web

from poster_service.web.compat.api import COMPAT, VARIANTS, CompatibleApi, Variant

# Each is imported when the settings name it, before the service is ready: the models of their
# bodies took 0.1 s of CPU of each start, and most services have none of them.


def _browserless() -> CompatibleApi:
    from poster_service.web.compat.browserless.api import Browserless

    return Browserless()


def _cloudflare() -> CompatibleApi:
    from poster_service.web.compat.cloudflare.api import Cloudflare

    return Cloudflare()


def _gotenberg() -> CompatibleApi:
    from poster_service.web.compat.gotenberg.api import Gotenberg

    return Gotenberg()


#: What makes each, by the name in POSTER_COMPAT.
APIS: Mapping[str, Callable[[], CompatibleApi]] = {
    "browserless": _browserless,
    "cloudflare": _cloudflare,
    "gotenberg": _gotenberg,
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
