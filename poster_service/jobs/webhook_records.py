"""What is known of each message to a webhook, in the Redis of the jobs, until it expires.

A message is waiting for its next attempt, delivered, or a dead letter. Of a delivered one only its
id stays for a while: a job that is run again finds it, and nothing is sent a second time.
"""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from poster_service import telemetry
from poster_service.jobs.record_store import failures

#: Below it are all keys; docket's own are below the name of the queue.
PREFIX = "poster-webhook"
#: How long the id of a delivered message is remembered, in seconds: longer than a job that was
#: interrupted takes to be run again.
DELIVERED_SECONDS = 3_600
#: How long a waiting message is kept after its next attempt was due, in seconds.
OVERDUE_SECONDS = 259_200


@dataclass(frozen=True)
class Message:
    """A message to a webhook.

    Attributes:
        id: Sent as `webhook-id`.
        caller: Whose job it is about; empty without a name.
        kind: Of the event.
        subject: The id of the job or batch.
        url: Where it goes.
        headers: Sent with it; may be secret.
        body: Its text; empty where `object` is sent.
        object: The name of the stored result that is sent; empty for `body`.
        size: Of that result, in bytes.
        method: HTTP method.
        content_type: Of what is sent.
        follow: Messages, in the form of `as_json`, that are sent when this one was delivered
            ("delivered") or has become a dead letter ("dead").
        is_signed: Whether it must be signed, or is sent without a signature where no key is known.
        state: What becomes of it.
        attempts: That were made.
        turn: Number of the next run in the queue; runs that only waited for a turn count as well.
        due: When that run is to be, in seconds since the epoch.
        outcome: Of the last attempt.
        status: That the receiver answered then; 0 for none.
        ended: When it became a dead letter, in seconds since the epoch; 0 before.
        trace: The `traceparent` of the job that it reports; "" while nothing is traced.
    """

    id: str
    caller: str
    kind: str
    subject: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: str = ""
    object: str = ""
    size: int = 0
    method: str = "POST"
    content_type: str = "application/json"
    follow: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict, repr=False)
    is_signed: bool = True
    state: Literal["waiting", "delivered", "dead"] = "waiting"
    attempts: int = 0
    turn: int = 0
    due: float = 0.0
    outcome: str = ""
    status: int = 0
    ended: float = 0.0
    trace: str = field(default_factory=telemetry.traceparent)

    def as_json(self) -> dict[str, Any]:
        """All of it, for a message that has this one to follow it."""
        return asdict(self)


@dataclass(frozen=True)
class Bounds:
    """How much is kept of one caller.

    Attributes:
        waiting: Messages that wait for an attempt; further ones are dead letters at once.
        dead: Dead letters; the oldest go first.
        dead_seconds: How long those stay.
    """

    waiting: int = 20_000
    dead: int = 1_000
    dead_seconds: int = 604_800


class Records:
    """Messages in Redis, and the lists of each caller's waiting ones and dead letters.

    What Redis does not do in time is `QueueUnavailable`. Each change may be made twice.
    """

    def __init__(self, client: Any, bounds: Bounds) -> None:
        """Args are `redis.asyncio.Redis`, or docket's embedded one, and how much is kept."""
        self._client = client
        self._bounds = bounds

    async def add(self, message: Message) -> Message:
        """Store a new message; one of that id that is there already is left, and returned.

        Raises:
            QueueUnavailable: Redis did not do it in time; this holds for all methods.
        """
        key, seconds = _key(message.id), self._seconds(message)
        async with failures():
            await self._client.set(key, _text(message), nx=True, ex=seconds)
        return await self.get(message.id) or message

    async def waiting(self, caller: str) -> int:
        """How many messages of a caller wait for an attempt."""
        index = _index("waiting", caller)
        async with failures():
            await self._client.zremrangebyscore(index, 0, time.time() - OVERDUE_SECONDS)
            return int(await self._client.zcard(index))

    async def has_room(self, caller: str) -> bool:
        """Whether another message of a caller may wait."""
        return await self.waiting(caller) < self._bounds.waiting

    async def get(self, identity: str) -> Message | None:
        """The message of an id; None for an unknown or expired one."""
        async with failures():
            text = await self._client.get(_key(identity))
        return None if text is None else Message(**json.loads(text))

    async def save(self, message: Message) -> None:
        """Replace what is known of a waiting message."""
        index = _index("waiting", message.caller)
        async with failures():
            await self._client.zadd(index, {message.id: message.due})
            await self._client.expire(index, OVERDUE_SECONDS * 3)
            await self._set(message)

    async def delivered(self, message: Message) -> None:
        """Remember that it was delivered, and nothing else of it."""
        gone = replace(
            message, state="delivered", url="", headers={}, body="", object="", follow={}
        )
        async with failures():
            await self._set(gone)
            await self._client.zrem(_index("waiting", message.caller), message.id)

    async def bury(self, message: Message) -> None:
        """Make it a dead letter; the oldest ones of its caller go to make room."""
        dead = replace(message, state="dead", ended=time.time())
        index, bounds = _index("dead", message.caller), self._bounds
        async with failures():
            # The list first: one that is in it and not dead is not shown, and buried again.
            await self._client.zadd(index, {dead.id: dead.ended})
            await self._client.expire(index, bounds.dead_seconds)
            await self._set(dead)
            await self._client.zrem(_index("waiting", message.caller), message.id)
            await self._client.zremrangebyscore(index, 0, dead.ended - bounds.dead_seconds)
            excess = int(await self._client.zcard(index)) - bounds.dead
            for old in await self._client.zrange(index, 0, excess - 1) if excess > 0 else []:
                await self._client.zrem(index, old)
                await self._client.delete(_key(old.decode()))

    async def dead(self, caller: str, most: int) -> list[Message]:
        """A caller's dead letters, the newest first."""
        async with failures():
            names = await self._client.zrange(_index("dead", caller), -most, -1)
        found = [await self.get(name.decode()) for name in reversed(names)]
        return [one for one in found if one is not None and one.state == "dead"]

    async def revive(self, message: Message) -> Message:
        """Make a dead letter wait for a first attempt again, under the same id."""
        waiting = replace(
            message, state="waiting", attempts=0, turn=message.turn + 1, due=time.time(), ended=0.0
        )
        await self.save(waiting)
        async with failures():
            await self._client.zrem(_index("dead", message.caller), message.id)
        return waiting

    async def _set(self, message: Message) -> None:
        await self._client.set(_key(message.id), _text(message), ex=self._seconds(message))

    def _seconds(self, message: Message) -> int:
        """How long a message is kept from now on, in seconds."""
        if message.state == "delivered":
            return DELIVERED_SECONDS
        if message.state == "dead":
            return self._bounds.dead_seconds
        return round(max(0.0, message.due - time.time())) + OVERDUE_SECONDS


def _key(identity: str) -> str:
    return f"{PREFIX}:message:{identity}"


def _index(state: str, caller: str) -> str:
    return f"{PREFIX}:{state}:{caller}"


def _text(message: Message) -> str:
    return json.dumps(asdict(message), ensure_ascii=False, separators=(",", ":"))
