"""Which host names this service accepts: the defence against DNS rebinding.

A web page may have its own host name resolve to loopback. For a browser its requests then have the
same origin, and only the name in `Host` distinguishes them from the visitor's own.
"""

import ipaddress
from functools import lru_cache

from aiohttp import hdrs, web

from poster_service.errors import Fault, UnknownHost
from poster_service.quoting import quoted
from poster_service.settings import Settings, canonical_host

#: Longest host name with a port (RFC 1035, 2.3.4).
MOST_CHARACTERS = 262


def check_host(request: web.Request, settings: Settings, *, guarded: bool) -> None:
    """Refuse a request whose `Host` is not a name of this service.

    Args:
        request: Its `Host` is checked; a request without one does not come from a browser.
        settings: Its `server_names` are accepted; on loopback also localhost and its addresses.
        guarded: Whether a token is needed, which a page of another origin does not have.

    Raises:
        UnknownHost: Names the setting.
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
    raise UnknownHost.of(
        Fault(
            "Host",
            f"unknown host name {quoted(given)}",
            "localhost, a loopback address, or a name in POSTER_SERVER_NAMES"
            if is_local
            else "a name in POSTER_SERVER_NAMES",
        )
    )


def name_of(given: str) -> str:
    """The host of a `Host` header in canonical form, without the port; empty if it is malformed."""
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
    """Whether it is `localhost`, a name below it (RFC 6761, 6.3), or a loopback address."""
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(name.strip("[]").partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)
