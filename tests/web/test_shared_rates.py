"""Replicas count the renders of a token together where they share a Redis: a real one, here."""

import asyncio
import logging
import signal
import time
from typing import Any

import pytest

from poster_service.errors import RateLimited
from poster_service.redis_client import COMMAND_SECONDS
from poster_service.settings import Settings
from poster_service.web import shared_rates
from poster_service.web.quotas import Quotas
from poster_service.web.shared_rates import SharedRates
from tests.web.conftest import StartService
from tests.web.redis_server import Server
from tests.web.tokens import TOKENS, WEB, bearer

BODY = {"html": "<p>x", "width": 10, "height": 10}


def quotas(redis: Server, per_minute: float, burst: int) -> Quotas:
    """The quotas of one replica."""
    return Quotas.of(
        Settings(redis_url=redis.address, token_renders_per_minute=per_minute, token_burst=burst)
    )


async def had(replica: Quotas, caller: str = "web") -> bool:
    """Whether a caller may have one more render of a replica."""
    try:
        async with replica.charge(caller):
            return True
    except RateLimited:
        return False


def pass_time(redis: Server, seconds: float) -> None:
    """Make the one bucket in Redis as old as if so much time had passed."""
    with redis.client() as client:
        [key] = redis.stored()
        client.hset(key, "at", float(client.hget(key, "at")) - seconds)


async def test_two_replicas_have_one_bucket_per_caller(redis: Server) -> None:
    """A burst of 4 is 4 over both; the next is there when Retry-After says so, for either."""
    one, other = quotas(redis, 1, 4), quotas(redis, 1, 4)
    assert [await had(replica) for replica in (one, other, one, other)] == [True] * 4
    assert not await had(one)
    with pytest.raises(RateLimited, match="allowed: 1 per minute") as refused:
        async with other.charge("web"):
            pass
    assert 1 <= refused.value.retry_after <= 60
    pass_time(redis, refused.value.retry_after)
    assert await had(other)
    assert not await had(one)
    assert await had(other, "app")  # another caller has its own
    await one.close()
    await other.close()


async def test_many_at_once_over_two_replicas_get_the_burst_and_no_more(redis: Server) -> None:
    """Nothing lies between looking and taking, in Redis neither."""
    replicas = [quotas(redis, 0.5, 7), quotas(redis, 0.5, 7)]
    answers = await asyncio.gather(*(had(replicas[n % 2]) for n in range(40)))
    assert sum(answers) == 7
    for replica in replicas:
        await replica.close()


async def test_a_bucket_is_forgotten_when_it_would_be_full(redis: Server) -> None:
    """Callers that do not come back leave nothing in Redis; a fraction of a render is kept."""
    replica = quotas(redis, 1, 2)
    assert await had(replica)
    with redis.client() as client:
        [key] = redis.stored()
        assert key == b"poster-service:rate:1:2:web"
        assert 60 < client.ttl(key) <= 121
    await replica.close()


async def test_a_redis_that_hangs_or_is_gone_refuses_no_caller_and_costs_one_wait(
    redis: Server, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The replica counts by itself meanwhile; logged once, and when it is over."""
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(shared_rates, "PAUSE_SECONDS", 3600.0)
    replica = quotas(redis, 6, 10)
    rates = replica._shared
    assert rates is not None
    real, asked = rates._take, 0

    async def counted(**given: Any) -> Any:
        nonlocal asked
        asked += 1
        return await real(**given)

    rates._take = counted
    assert await had(replica)
    with monkeypatch.context() as impatient:
        impatient.setattr(shared_rates, "COMMAND_SECONDS", COMMAND_SECONDS)
        redis.send(signal.SIGSTOP)
        assert [await had(replica) for _ in range(4)] == [True] * 4
        assert asked == 2, "one more wait, and then none until the pause is over"
        redis.stop()
        rates._paused_until = 0.0
        assert await had(replica)
        assert asked == 3
        alone = quotas(redis, 1, 2)
        assert [await had(alone) for _ in range(3)] == [True, True, False], "its own bucket"
        await alone.close()
    failures = [one for one in caplog.records if "each replica counts" in one.message]
    assert len(failures) == 2, "one of each replica"
    redis.start()
    rates._paused_until = 0.0
    assert await had(replica)
    assert [one.message for one in caplog.records if "answers again" in one.message]
    assert len(redis.stored()) == 1
    await replica.close()


async def test_a_bucket_of_the_future_goes_on_from_now(redis: Server) -> None:
    """Redis' clock was set back by an hour: its callers do not wait for that hour."""
    # Each time another replica, whose own bucket is full, so that the one in Redis decides.
    one, two, three = (quotas(redis, 1, 1) for _ in range(3))
    assert await had(one)
    pass_time(redis, -3600)
    assert not await had(two)
    with redis.client() as client:
        [key] = redis.stored()
        assert float(client.hget(key, "at")) <= time.time()
    pass_time(redis, 60)
    assert await had(three)
    for replica in (one, two, three):
        await replica.close()


@pytest.mark.parametrize("answer", [b"nan", b"inf", b"-5", b"61", b"1e300", b"soon", None])
async def test_an_answer_that_is_no_wait_refuses_no_caller(
    redis: Server, answer: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    """Something else than the script has answered, a proxy say: as without an answer."""
    rates = SharedRates(redis.address, per_minute=60, burst=1)

    async def lying(**_: object) -> bytes | None:
        return answer

    rates._take = lying
    replica = Quotas(1, 2, None, shared=rates)
    assert [await had(replica) for _ in range(3)] == [True, True, False], "its own bucket"
    assert [one for one in caplog.records if "each replica counts" in one.message]
    await replica.close()


@pytest.mark.slow
async def test_replicas_answer_429_over_both(start_service: StartService, redis: Server) -> None:
    """The whole way over HTTP, with the time after which to come back."""
    given = {"tokens": TOKENS, "token_renders_per_minute": 1, "token_burst": 2}
    one = await start_service(redis_url=redis.address, **given)
    other = await start_service(redis_url=redis.address, **given)
    answers = []
    for service in (one, other, one, other):
        async with service.client.post(
            f"{service.address}/render", json=BODY, headers=bearer(WEB)
        ) as response:
            answers.append((response.status, int(response.headers.get("Retry-After", 0))))
    assert [status for status, _ in answers] == [200, 200, 429, 429]
    assert all(1 <= after <= 60 for _, after in answers[2:])
