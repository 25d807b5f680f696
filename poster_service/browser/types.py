"""What passes between a page and the code that answers its requests; imports no pyppeteer.

Its own file so that `fetch` and `render` can name these types without loading the browser driver.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Request:
    """A request that a page makes.

    Attributes:
        url: As Chrome normalised it.
        method: HTTP method.
        headers: Request headers Chrome would send.
        body: Request body, None when there is none.
        kind: CDP resource type, e.g. "Image".
        hops: Redirects that led to this request.
        first: URL of the first request of that redirect chain; "" without redirects.
    """

    url: str
    method: str
    headers: Mapping[str, str]
    body: bytes | None
    kind: str
    hops: int = 0
    first: str = ""


@dataclass(frozen=True)
class Reply:
    """The response that a page gets to a request."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


#: Answers the requests of a page; None means that the request is blocked.
Route = Callable[[Request], Awaitable[Reply | None]]
