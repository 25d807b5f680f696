"""Sends a result to an address of the caller's own, within the network policy."""

import logging

from poster_service import telemetry
from poster_service.browser.types import Request
from poster_service.errors import DestinationDenied, DestinationFailed
from poster_service.fetch.errors import RequestDenied, RequestFailed
from poster_service.jobs.outgoing import Outgoing
from poster_service.logs import event
from poster_service.render.picture import Picture
from poster_service.render.storage_options import Destination
from poster_service.telemetry.http import headers_of, span_of

logger = logging.getLogger(__name__)


class Sender(Outgoing):
    """Sends results; close it when the service ends."""

    async def send(self, picture: Picture, to: Destination, caller: str) -> int:
        """Send a picture by PUT; redirects are not followed.

        Returns:
            The status of the answer, 200 to 299.

        Raises:
            DestinationDenied: The network policy forbids it.
            DestinationFailed: There was no answer, or one with another status.
        """
        with telemetry.span("PUT", kind="client", attributes=span_of("PUT", to.url)) as span:
            span.set("http.request.body.size", len(picture.body))
            traced = headers_of(span, to.headers)
            headers = {"Content-Type": picture.content_type, **traced, **to.headers}
            request = Request(to.url, "PUT", headers, picture.body, "Other", 0, to.url)
            status = await self._status(request, caller)
            span.set("http.response.status_code", status)
            if not 200 <= status < 300:
                raise DestinationFailed(f"the destination answered with status {status}")
            return status

    async def _status(self, request: Request, caller: str) -> int:
        """Send a request; the status of its answer.

        Raises:
            DestinationDenied: The network policy forbids it.
            DestinationFailed: There was no answer.
        """
        try:
            reply = await self.exchange(request, caller)
        except RequestDenied as error:
            event(logger, logging.INFO, "destination denied", reason=error.reason)
            raise DestinationDenied(
                f"the network policy forbids the destination ({error.reason})"
            ) from None
        except RequestFailed as error:
            event(logger, logging.INFO, "destination failed", reason=error.reason)
            raise DestinationFailed(f"the destination did not answer ({error.reason})") from None
        return reply.status
