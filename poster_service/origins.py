"""The origin of a web address: what decides who gets a page's own headers and cookies.

Parsed by the library that opens the connection, so that both find the same host in every address.
"""

from yarl import URL


def origin_of(url: str) -> str:
    """Scheme, host and port of an http or https address, as `https://host:443`; "" of another."""
    try:
        parsed = URL(url, encoded=True)
        host, port = parsed.host, parsed.port
    except ValueError:
        return ""
    if parsed.scheme not in ("http", "https") or not host or port is None:
        return ""
    return f"{parsed.scheme}://{host.lower()}:{port}"
