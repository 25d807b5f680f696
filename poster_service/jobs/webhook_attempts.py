"""One attempt to deliver a message: signed, sent within the network policy, and what came of it."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Literal

from prometheus_client import CollectorRegistry, Counter

from poster_service import telemetry
from poster_service.browser.types import Reply, Request
from poster_service.buffers import Buffers
from poster_service.errors import LoadError, StorageFailed
from poster_service.fetch.errors import RequestDenied, RequestFailed
from poster_service.jobs.outgoing import Outgoing
from poster_service.jobs.webhook_message import signed_headers
from poster_service.jobs.webhook_records import Message
from poster_service.telemetry.http import headers_of, span_of

#: The longest that a receiver can put an attempt off, in seconds.
LONGEST_RETRY_AFTER = 86_400
#: Of what is sent with each message, unless its own headers have it.
USER_AGENT = "poster-service"

#: `ok`: 2xx; `gone`: 410; `refused`: another status; `failed`: no answer; `denied`: by the network
#: policy; `unsigned`: no key is known; `missing`: the result to be sent has expired; `too_many`: as
#: many messages of the caller wait as may.
Outcome = Literal["ok", "gone", "refused", "failed", "denied", "unsigned", "missing", "too_many"]

#: Gives the bytes of a stored result; None if it is not there.
ReadObject = Callable[[str], Awaitable[bytes | None]]


class WebhookCounters:
    """Counts of attempts and of dead letters."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._attempts = Counter(
            "poster_webhook_attempts",
            'Attempts to deliver webhooks, by outcome: "ok", "refused" by another status than 2xx,'
            ' "gone" by status 410, "failed" without an answer, "denied" by the network policy,'
            ' "unsigned" without a secret, "missing" if the result has expired.',
            ["outcome"],
            registry=registry,
        )
        for outcome in ("ok", "refused", "gone", "failed", "denied", "unsigned", "missing"):
            self._attempts.labels(outcome)
        self._dead = Counter(
            "poster_webhooks_dead",
            "Webhooks that became dead letters: no further attempt is made unless they are"
            " replayed.",
            registry=registry,
        )

    def attempt(self, outcome: Outcome) -> None:
        """Count one attempt."""
        self._attempts.labels(outcome).inc()

    def dead(self) -> None:
        """Count one dead letter."""
        self._dead.inc()


@dataclass(frozen=True)
class Result:
    """How one attempt ended.

    Attributes:
        outcome: In one word.
        status: That the receiver answered; 0 for none.
        retry_after: Seconds that it wants to be left alone.
    """

    outcome: Outcome
    status: int = 0
    retry_after: float = 0.0


@dataclass(frozen=True)
class Supplies:
    """What attempts are made with.

    Attributes:
        outgoing: Sends within the network policy.
        keys_of: The keys that sign for a caller.
        read_object: Reads results that are sent themselves.
        buffers: The memory for these.
    """

    outgoing: Outgoing
    keys_of: Callable[[str], tuple[bytes, ...]]
    read_object: ReadObject
    buffers: Buffers


class Attempts:
    """Makes attempts, and breaks off those that run when the service stops.

    Attributes:
        counters: Count what happens.
        broken_off: Whether no attempt is made any more.
    """

    def __init__(self, supplies: Supplies, counters: WebhookCounters) -> None:
        self._supplies = supplies
        self.counters = counters
        self.broken_off = False
        self._exchanges: set[asyncio.Task[Reply]] = set()

    def break_off(self) -> None:
        """Make no more attempts, and end those that run; `make` returns None for them."""
        self.broken_off = True
        for exchange in self._exchanges:
            exchange.cancel()

    async def close(self) -> None:
        """Close all connections."""
        await self._supplies.outgoing.close()

    async def make(self, message: Message) -> Result | None:
        """Send a message once; None if this process stops before it is answered, or is too busy."""
        keys = self._supplies.keys_of(message.caller)
        if message.is_signed and not keys:
            return Result("unsigned")
        try:
            with self._supplies.buffers.open() as share:
                share.require(message.size)
                body = await self._body(message)
                if body is None:
                    return Result("missing")
                reply = await self._exchange(message, body, keys)
        except RequestDenied:
            return Result("denied")
        except (RequestFailed, StorageFailed):
            return Result("failed")
        except LoadError:
            return None
        return None if reply is None else result_of(reply)

    async def _body(self, message: Message) -> bytes | None:
        if not message.object:
            return message.body.encode()
        return await self._supplies.read_object(message.object)

    async def _exchange(
        self, message: Message, body: bytes, keys: tuple[bytes, ...]
    ) -> Reply | None:
        """Send it and wait for the answer; None if that is broken off."""
        if self.broken_off:
            return None
        with span_of_attempt(message) as span:
            headers = {
                "User-Agent": USER_AGENT,
                "Content-Type": message.content_type,
                **headers_of(span, message.headers),
                **message.headers,
                **signed_headers(message.id, int(time.time()), body, keys),
            }
            request = Request(message.url, message.method, headers, body, "Other", 0, message.url)
            reply = await self._answer(request, message.caller)
            if reply is not None:
                span.set("http.response.status_code", reply.status)
                if reply.status >= 400:
                    span.fail(str(reply.status))
            return reply

    async def _answer(self, request: Request, caller: str) -> Reply | None:
        """The answer to a request; None if it is broken off."""
        exchange = asyncio.create_task(self._supplies.outgoing.exchange(request, caller))
        self._exchanges.add(exchange)
        try:
            await asyncio.wait({exchange})
            return None if exchange.cancelled() else exchange.result()
        finally:
            exchange.cancel()
            self._exchanges.discard(exchange)


def span_of_attempt(message: Message) -> AbstractContextManager[telemetry.Span]:
    """The span of an attempt: a trace of its own, with a link to the job that it reports."""
    return telemetry.span(
        message.method,
        kind="client",
        parent="none",
        links=[telemetry.TraceContext.parse(message.trace)],
        attributes={
            **span_of(message.method, message.url),
            "poster.webhook_id": message.id,
            "poster.attempt": message.attempts + 1,
        },
    )


def result_of(reply: Reply) -> Result:
    """What a receiver's answer means: any 2xx is acceptance, 410 the end, all else a failure."""
    if 200 <= reply.status < 300:
        return Result("ok", reply.status)
    if reply.status == 410:
        return Result("gone", reply.status)
    headers = {name.lower(): value for name, value in reply.headers}
    return Result("refused", reply.status, seconds_of(headers))


def seconds_of(headers: Mapping[str, str]) -> float:
    """The seconds of Retry-After (RFC 9110, 10.2.3), within bounds; 0 without a valid one."""
    given = headers.get("retry-after", "").strip()
    if given.isascii() and given.isdigit():
        found = float(given[:9])
    else:
        try:
            found = parsedate_to_datetime(given).timestamp() - time.time()
        except (ValueError, OverflowError):
            return 0.0
    return min(max(0.0, found), LONGEST_RETRY_AFTER)
