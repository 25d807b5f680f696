"""Which names this service answers to: the defence against DNS rebinding.

A page on the web may have its own name lead to the loopback; its requests are then of the same
origin for a browser, and nothing but the name in `Host` tells them from the visitor's own.
"""

import ipaddress
from functools import lru_cache

from aiohttp import hdrs, web

from poster_service.errors import Fault, ForeignHost
from poster_service.quoting import quoted
from poster_service.settings import Settings, canonical_host

#: Longest name there is, with a port (RFC 1035, 2.3.4).
MOST_CHARACTERS = 262


def check_host(request: web.Request, settings: Settings, *, guarded: bool) -> None:
    """Refuse a request that is addressed to a name which is none of ours.

    Args:
        request: Whose `Host` is looked at; one without that header comes from no browser.
        settings: Names the hosts; on loopback its own names are always among them.
        guarded: Whether there are tokens, which no page has.

    Raises:
        ForeignHost: With the setting that names hosts.
    """
    given = request.headers.get(hdrs.HOST, "")
    is_local = _is_loopback(settings.host)
    if not given or not (settings.server_names or (is_local and not guarded)):
        return
    name = name_of(given)
    if name in settings.server_names or any(_matches(name, one) for one in settings.server_names):
        return
    if is_local and _is_loopback(name):
        return
    raise ForeignHost.of(
        Fault(
            "Host",
            f"{quoted(given)} is no name of this service",
            "localhost or a loopback address, or a name that POSTER_SERVER_NAMES has"
            if is_local
            else "a name that POSTER_SERVER_NAMES has",
        )
    )


def name_of(given: str) -> str:
    """The host of a `Host` header in its one form, without the port; empty where it is none."""
    if len(given) > MOST_CHARACTERS:
        return ""
    host, colon, port = given.rpartition(":")
    if not colon or "]" in port:
        host, port = given, ""
    if (port and not (port.isascii() and port.isdigit())) or "@" in host or "/" in host:
        return ""
    try:
        return canonical_host(host)
    except ValueError:
        return ""


def _matches(name: str, pattern: str) -> bool:
    return pattern.startswith("*.") and name.endswith(pattern[1:])


@lru_cache(maxsize=256)
def _is_loopback(name: str) -> bool:
    """Whether it is `localhost`, a name below it (RFC 6761, 6.3), or an address of the loopback."""
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(name.strip("[]").partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)
