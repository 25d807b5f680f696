"""What one page may fetch in all: requests, bytes and redirects."""

from poster_service.browser.types import Reply, Request
from poster_service.fetch.client import Fetcher
from poster_service.fetch.errors import RequestDenied
from poster_service.fetch.http_cache import CacheLifetime
from poster_service.fetch.outbound import Owner
from poster_service.fetch.own import Sending


class PageBudget:
    """Fetches for one page, up to the limits of `FetchLimits`."""

    def __init__(
        self,
        fetcher: Fetcher,
        lifetime: CacheLifetime,
        owner: Owner,
        sending: Sending | None = None,
    ) -> None:
        """Start with nothing spent.

        Args:
            fetcher: Fetches for all pages.
            lifetime: Gets every response, to find out how long the page's image may be cached.
            owner: The page and its caller, for a fair share of the connections.
            sending: What is special about how its requests are sent; None for nothing.
        """
        self._fetcher, self._lifetime, self._owner = fetcher, lifetime, owner
        self._sending = sending or Sending()
        self._bytes = self._requests = 0

    async def fetch(self, request: Request) -> Reply:
        """Fetch one resource with what is left of the budget.

        Raises:
            RequestDenied: The budget is spent, or the policy forbids the request.
            RequestFailed: As `Fetcher.fetch`.
        """
        limits = self._fetcher.limits
        self._requests += 1
        if self._requests > limits.max_requests:
            raise RequestDenied(
                "requests", f"the page made more than {limits.max_requests} requests"
            )
        if self._bytes >= limits.max_total_bytes:
            raise self._bytes_spent()
        if request.hops > limits.max_redirects:
            raise RequestDenied("redirects", f"more than {limits.max_redirects} redirects")
        if request.kind == "Document" and request.method != "GET":
            raise RequestDenied("form", f"a form was submitted with {request.method[:20]}")
        terms = await self._sending.terms(request)
        reply = await self._fetcher.fetch(request, self._count, self._owner, terms)
        self._lifetime.add_fetched(request.kind, request.method, reply)
        return reply

    def _count(self, size: int) -> None:
        """Count bytes as they arrive, so that parallel downloads cannot exceed the limit."""
        self._bytes += size
        if self._bytes > self._fetcher.limits.max_total_bytes:
            raise self._bytes_spent()

    def _bytes_spent(self) -> RequestDenied:
        limit = self._fetcher.limits.max_total_bytes
        return RequestDenied("bytes", f"the page fetched more than {limit} bytes")
