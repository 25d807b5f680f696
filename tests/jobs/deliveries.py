"""Deliveries of webhooks without a service around them, for tests."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

from prometheus_client import CollectorRegistry

from poster_service import credentials
from poster_service.buffers import Buffers
from poster_service.jobs.outgoing import Outgoing
from poster_service.jobs.webhook_attempts import Attempts, Supplies, WebhookCounters
from poster_service.jobs.webhook_delivery import Deliveries, DeliveryPlan
from poster_service.jobs.webhook_records import Bounds, Message
from tests.jobs.receiver import new_secret
from tests.unit.fetching import LOOPBACK

SECRET = new_secret()
numbers = itertools.count()


class Sent:
    """Deliveries of one service, and what they count."""

    def __init__(self, url: str | None, **changes: Any) -> None:
        self.registry = CollectorRegistry()
        self.secrets = [SECRET]
        self.objects: dict[str, bytes] = {}
        outgoing = Outgoing(changes.pop("policy", LOOPBACK), changes.pop("seconds", 20.0))
        plan = DeliveryPlan(url, (0.0, 0.0, 0.0), Bounds(), 1.0, f"hooks-{next(numbers)}")
        supplies = Supplies(outgoing, self.keys_of, self.read, Buffers(1 << 24))
        attempts = Attempts(supplies, WebhookCounters(self.registry))
        self.why_denied = outgoing.why_denied
        self.deliveries = Deliveries(replace(plan, **changes), attempts)

    async def read(self, name: str) -> bytes | None:
        """A stored result."""
        return self.objects.get(name)

    def keys_of(self, _: str) -> tuple[bytes, ...]:
        """The keys of every caller."""
        return tuple(credentials.webhook_secret("all", one).key for one in self.secrets)

    async def publish(self, url: str, **more: Any) -> Message:
        """A message to an address."""
        number = next(numbers)
        given: dict[str, Any] = {
            "id": f"msg_{number}", "caller": "", "kind": "render.succeeded", "subject": str(number),
            "url": url, "body": '{"type":"render.succeeded","data":{}}',
        }  # fmt: skip
        message = Message(**{**given, **more})
        await self.deliveries.publish(message)
        return message

    async def state(self, message: Message) -> str:
        """What has become of a message."""
        found = await self.get(message)
        return found.state if found else ""

    async def get(self, message: Message) -> Message | None:
        """What is known of a message."""
        return await (await self.deliveries.records()).get(message.id)

    async def dead(self, caller: str) -> list[str]:
        """The ids of a caller's dead letters."""
        return [one.id for one in await (await self.deliveries.records()).dead(caller, 10)]

    async def ended(self, message: Message) -> Message:
        """Wait until there is no further attempt."""
        async with asyncio.timeout(60):
            while True:
                found = await self.get(message)
                if found is not None and found.state != "waiting":
                    return found
                await asyncio.sleep(0.01)

    def count(self, outcome: str) -> float:
        """Attempts with an outcome."""
        name = "poster_webhook_attempts_total"
        return self.registry.get_sample_value(name, {"outcome": outcome}) or 0.0


@contextlib.asynccontextmanager
async def sending(url: str | None = None, **changes: Any) -> AsyncIterator[Sent]:
    """Deliveries that run while inside."""
    sent = Sent(url, **changes)
    await sent.deliveries.start()
    try:
        yield sent
    finally:
        await sent.deliveries.stop()
