"""The attributes of a request that is sent for a caller, by OpenTelemetry's HTTP conventions."""

from collections.abc import Mapping
from urllib.parse import urlsplit

from poster_service.telemetry.spans import Span, Value

#: What stands for the path and the query of an address: either may be a secret, as in presigned
#: addresses and in those of many webhooks.
REDACTED = "REDACTED"
_PORTS = {"http": 80, "https": 443}


def span_of(method: str, url: str) -> dict[str, Value]:
    """What is known of such a request before it is sent; of its address only scheme, host, port.

    Args:
        method: Its method.
        url: An http or https address.
    """
    split = urlsplit(url)
    host = split.hostname or ""
    port = split.port or _PORTS.get(split.scheme, 0)
    shown = f"[{host}]" if ":" in host else host
    return {
        "http.request.method": method,
        "server.address": host,
        "server.port": port,
        "url.full": f"{split.scheme}://{shown}:{port}/{REDACTED}",
    }


def headers_of(span: Span, own: Mapping[str, str]) -> dict[str, str]:
    """The headers that make a request a part of a span's trace; those of the caller's own win.

    Args:
        span: Of the request; {} for one that is not traced.
        own: What the caller has sent with it.
    """
    named = {name.lower() for name in own}
    return {name: value for name, value in span.headers().items() if name not in named}
