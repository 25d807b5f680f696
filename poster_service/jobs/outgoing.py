"""Sends requests to addresses that callers name: destinations of results, and webhooks.

Apart from what fetches for pages, and each user has one of its own, so that receivers of webhooks
that never answer hold up no result, and the other way round. One host can have half of the
connections, one caller three quarters (`fetch/outbound.py`).
"""

from yarl import URL

from poster_service.browser.types import Reply, Request
from poster_service.fetch.client import Fetcher, FetchLimits
from poster_service.fetch.errors import RequestFailed
from poster_service.fetch.outbound import Owner
from poster_service.fetch.policy import PlainPolicy, Policy, is_non_canonical_ipv4, literal

#: Of an answer nothing but its head is used; a larger one is not read to its end, in bytes.
MAX_ANSWER_BYTES = 1 << 16
#: Requests that are sent at once.
CONNECTIONS = 32


class Outgoing:
    """Sends requests within the network policy; close it when the service ends."""

    def __init__(self, policy: Policy, seconds: float) -> None:
        """Open nothing yet.

        Args:
            policy: Which addresses may be sent to: as for what pages fetch.
            seconds: Time for one request and its answer.
        """
        self._policy = policy
        limits = FetchLimits(timeout=seconds, max_bytes=MAX_ANSWER_BYTES, max_redirects=0)
        self._fetcher = Fetcher(policy, limits, connections=CONNECTIONS)

    async def exchange(self, request: Request, caller: str) -> Reply:
        """Send a request; redirects are not followed.

        Returns:
            The answer with any status. Its body is empty where it was too long to read.

        Raises:
            RequestDenied: The network policy forbids the address.
            RequestFailed: There was no answer in time.
        """
        try:
            return await self._fetcher.fetch(request, owner=Owner(caller))
        except RequestFailed as error:
            if error.head is None:
                raise
            return error.head

    def why_denied(self, url: str) -> str | None:
        """Why the policy forbids an address, as far as that is known without a name lookup."""
        parsed = URL(url, encoded=True)
        host = parsed.host or ""
        policy = PlainPolicy.of(self._policy) if parsed.scheme == "http" else self._policy
        if parsed.scheme == "http" and not policy.private:
            return "plain http"
        if is_non_canonical_ipv4(host):
            return "address"
        if policy.refuse_host(host, parsed.port) is not None:
            return "host"
        address = literal(host)
        return "address" if address is not None and policy.refuse(address) is not None else None

    async def close(self) -> None:
        """Close all connections."""
        await self._fetcher.close()
