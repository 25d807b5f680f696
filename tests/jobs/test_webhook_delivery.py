"""Deliveries of webhooks over memory and over a real Redis, to a receiver that verifies them."""

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from poster_service.errors import QueueUnavailable
from poster_service.fetch.policy import Policy
from poster_service.jobs.outgoing import Outgoing
from poster_service.jobs.webhook_delivery import OF_CALLER, OF_HOST
from poster_service.jobs.webhook_records import Bounds, Message
from tests.conftest import settled, short_folder
from tests.jobs.deliveries import SECRET, Sent, numbers, sending
from tests.jobs.receiver import Answer, WebhookReceiver, new_secret, receiving
from tests.unit.fetching import LOOPBACK
from tests.web.redis_server import Server


@pytest.fixture(scope="module")
def redis() -> Iterator[Server]:
    """A real Redis."""
    with short_folder() as folder:
        server = Server(folder)
        yield server
        server.stop()


@pytest.fixture(params=["memory", "redis"])
async def sent(request: pytest.FixtureRequest) -> AsyncIterator[Sent]:
    """Deliveries over each kind of queue."""
    url = None
    if request.param == "redis":
        url = request.getfixturevalue("redis").address
    async with sending(url) as found:
        yield found


@pytest.fixture
async def receiver() -> AsyncIterator[WebhookReceiver]:
    """One that accepts."""
    async with receiving() as found:
        yield found


async def test_a_message_is_delivered_once_and_verifies(
    sent: Sent, receiver: WebhookReceiver
) -> None:
    """However often it is published; with the caller's headers and those of the message."""
    hook = f"{receiver.address}/hook?a=%2F"
    message = await sent.publish(hook, headers={"Authorization": "Bearer x"})
    await sent.ended(message)
    await sent.deliveries.publish(message)
    await sent.ended(await sent.publish(f"{receiver.address}/next"))
    [got, _] = receiver.got
    assert got.line == "POST /hook?a=%2F"
    assert got.id == message.id
    assert got.verified(SECRET) == {"type": "render.succeeded", "data": {}}
    assert got.headers["authorization"] == "Bearer x"
    assert got.headers["content-type"] == "application/json"
    assert got.headers["user-agent"] == "poster-service"
    assert sent.count("ok") == 2


async def test_a_failed_attempt_is_made_again_with_the_same_id(
    sent: Sent, receiver: WebhookReceiver
) -> None:
    """And a time and a signature of its own."""
    receiver.answers = [Answer(500), Answer(302, {"Location": "/elsewhere"})]
    message = await sent.publish(receiver.address)
    assert (await sent.ended(message)).attempts == 3
    assert {one.id for one in receiver.got} == {message.id}
    assert {one.line for one in receiver.got} == {"POST /"}
    assert all(one.is_signed_with(SECRET) for one in receiver.got)
    assert abs(receiver.got[-1].seconds - time.time()) < 300
    assert (sent.count("refused"), sent.count("ok")) == (2, 1)


async def test_the_time_is_that_of_the_attempt(receiver: WebhookReceiver) -> None:
    """A retry is signed for its own time."""
    receiver.answers = [Answer(503)]
    async with sending(retry_seconds=(0.0, 1.1)) as sent:
        await sent.ended(await sent.publish(receiver.address))
    first, second = receiver.got
    assert second.seconds > first.seconds
    assert first.headers["webhook-signature"] != second.headers["webhook-signature"]


async def test_both_keys_sign_while_they_rotate(receiver: WebhookReceiver) -> None:
    """A key that is set later signs the next attempt of an older message too."""
    old, new = new_secret("o"), new_secret("n")
    async with sending() as sent:
        sent.secrets = [old, new]
        await sent.ended(await sent.publish(receiver.address))
        sent.secrets = [new]
        await sent.ended(await sent.publish(receiver.address))
    both, only = receiver.got
    assert (both.is_signed_with(old), both.is_signed_with(new)) == (True, True)
    assert (only.is_signed_with(old), only.is_signed_with(new)) == (False, True)


async def test_410_ends_it(sent: Sent, receiver: WebhookReceiver) -> None:
    """After one attempt, and the dead letter says why."""
    receiver.answers = [Answer(410)]
    found = await sent.ended(await sent.publish(receiver.address))
    assert (found.state, found.attempts, found.outcome, found.status) == ("dead", 1, "gone", 410)
    assert len(receiver.got) == 1
    assert sent.count("gone") == 1


async def test_retry_after_is_heeded(sent: Sent, receiver: WebhookReceiver) -> None:
    """The next attempt is not before it, although the schedule has it at once."""
    receiver.answers = [Answer(429, {"Retry-After": "3600"})]
    message = await sent.publish(receiver.address)
    await receiver.wait_for(1)
    found = message
    async with asyncio.timeout(30):
        while not found.attempts:
            await asyncio.sleep(0.01)
            found = await sent.get(message) or message
    assert found.due - time.time() > 3_500
    assert len(receiver.got) == 1


async def test_a_dead_letter_is_listed_and_replayed(sent: Sent, receiver: WebhookReceiver) -> None:
    """With the same id, for its own caller; the newest stands first."""
    receiver.answers = [Answer(500)] * 3
    message = await sent.publish(receiver.address, caller="web")
    dead = await sent.ended(message)
    assert (dead.state, dead.attempts, dead.status) == ("dead", 3, 500)
    assert await sent.dead("web") == [message.id]
    assert await sent.dead("app") == []
    await sent.deliveries.replay(dead)
    assert (await sent.ended(message)).state == "delivered"
    assert len({one.id for one in receiver.got}) == 1
    assert receiver.got[-1].is_signed_with(SECRET)
    assert await sent.dead("web") == []
    assert sent.registry.get_sample_value("poster_webhooks_dead_total") == 1.0


async def test_what_a_receiver_answers_is_bounded(sent: Sent, receiver: WebhookReceiver) -> None:
    """Its status counts; the rest is not read."""
    receiver.answers = [Answer(200, {}, b"x" * 1_000_000)]
    found = await sent.ended(await sent.publish(receiver.address))
    assert (found.state, found.attempts) == ("delivered", 1)


async def test_dead_letters_of_a_caller_are_bounded(receiver: WebhookReceiver) -> None:
    """The oldest go first, with all that is known of them."""
    receiver.answers = [Answer(410)] * 4
    async with sending(bounds=Bounds(dead=2)) as sent:
        messages = []
        for _ in range(4):
            messages.append(await sent.publish(receiver.address))
            await sent.ended(messages[-1])
        assert await sent.dead("") == [messages[3].id, messages[2].id]
        assert [await sent.state(one) for one in messages[:2]] == ["", ""]


async def test_waiting_messages_of_a_caller_are_bounded(receiver: WebhookReceiver) -> None:
    """Further ones are dead letters at once; another caller's are not."""
    receiver.answers = [Answer(500)]
    async with sending(retry_seconds=(0.0, 3600.0), bounds=Bounds(waiting=1)) as sent:
        await sent.publish(receiver.address, caller="web")
        await receiver.wait_for(1)
        second = await sent.ended(await sent.publish(receiver.address, caller="web"))
        assert (second.state, second.outcome, second.attempts) == ("dead", "too_many", 0)
        other = await sent.ended(await sent.publish(receiver.address, caller="app"))
        assert other.state == "delivered"


@pytest.mark.parametrize(
    "url",
    [
        "https://10.0.0.1/", "https://169.254.169.254/latest", "https://[::1]/", "https://localhost/",
        "http://93.184.216.34/", "https://127.1/", "https://[::ffff:10.0.0.1]/",
    ],
)  # fmt: skip
async def test_the_network_policy_holds(url: str) -> None:
    """There is one attempt, which connects to nothing; most are refused beforehand."""
    async with sending(policy=Policy(public=True)) as sent:
        found = await sent.ended(await sent.publish(url))
        assert (found.state, found.outcome, found.attempts) == ("dead", "denied", 1)
        assert (sent.why_denied(url) is None) == ("localhost" in url)


async def test_plain_http_goes_to_private_networks_only() -> None:
    """Which the operator allows."""
    private = Outgoing(LOOPBACK, 1.0)
    assert private.why_denied("http://127.0.0.1:8000/") is None
    assert private.why_denied("http://93.184.216.34/") == "address"
    assert private.why_denied("http://example.com:25/") == "host"
    assert private.why_denied("https://93.184.216.34/") is None
    await private.close()


async def test_without_a_secret_nothing_is_sent(receiver: WebhookReceiver) -> None:
    """Unless the message need not be signed."""
    async with sending(retry_seconds=(0.0, 0.0)) as sent:
        sent.secrets = []
        found = await sent.ended(await sent.publish(receiver.address))
        assert (found.state, found.outcome) == ("dead", "unsigned")
        assert receiver.got == []
        message = await sent.publish(receiver.address, is_signed=False, method="PUT")
        assert (await sent.ended(message)).state == "delivered"
    assert "webhook-signature" not in receiver.got[0].headers
    assert receiver.got[0].line == "PUT /"


async def test_a_stored_result_itself_can_be_sent(receiver: WebhookReceiver) -> None:
    """Signed as it is; when it has expired there is nothing to send."""
    async with sending() as sent:
        sent.objects["a.png"] = b"\x89PNG"
        given: dict[str, Any] = {"body": "", "content_type": "image/png"}
        await sent.ended(await sent.publish(receiver.address, object="a.png", size=4, **given))
        gone = await sent.ended(await sent.publish(receiver.address, object="b.png", **given))
    assert receiver.got[0].body == b"\x89PNG"
    assert receiver.got[0].headers["content-type"] == "image/png"
    assert (gone.state, gone.outcome) == ("dead", "missing")


async def test_a_slow_receiver_holds_up_no_other(sent: Sent, receiver: WebhookReceiver) -> None:
    """However many messages wait for it."""
    async with receiving() as slow:
        slow.held.clear()
        waiting = [await sent.publish(slow.address) for _ in range(3 * OF_HOST)]
        await slow.wait_for(OF_HOST)
        # The same machine by another name is another host.
        quick = await sent.publish(receiver.address.replace("127.0.0.1", "localhost"))
        assert (await sent.ended(quick)).state == "delivered"
        assert len(slow.got) == OF_HOST
        slow.held.set()
        for one in waiting:
            assert (await sent.ended(one)).attempts == 1
        assert len(slow.got) == len(waiting)


async def test_many_slow_receivers_of_a_caller_hold_up_no_other_caller(
    receiver: WebhookReceiver,
) -> None:
    """Names are free: each of them is a host of its own."""
    held, connections = asyncio.Event(), 0

    async def hold(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await held.wait()
        writer.close()

    slow = await asyncio.start_server(hold, "0.0.0.0", 0)
    port = slow.sockets[0].getsockname()[1]
    async with slow, sending(retry_seconds=(0.0,)) as sent:
        for number in range(3 * OF_CALLER):
            await sent.publish(f"http://127.0.1.{number % 8 + 1}:{port}/", caller="greedy")
        assert await settled(lambda: connections == OF_CALLER, 60)
        other = await sent.ended(await sent.publish(receiver.address, caller="other"))
        assert other.state == "delivered"
        assert connections == OF_CALLER
        held.set()


async def test_a_restart_loses_nothing(redis: Server, receiver: WebhookReceiver) -> None:
    """What waited, what was under way when the service stopped, and what was being sent."""
    receiver.answers = [Answer(500)]
    name = f"restart-{next(numbers)}"
    given: dict[str, Any] = {"name": name, "retry_seconds": (0.0, 0.5, 0.0)}
    async with sending(redis.address, **given) as sent:
        refused = await sent.publish(receiver.address)
        await receiver.wait_for(1)
        receiver.held.clear()
        broken_off = await sent.publish(receiver.address)
        await receiver.wait_for(2)
    receiver.held.set()
    async with sending(redis.address, **given) as sent:
        assert (await sent.ended(refused)).attempts == 2
        assert (await sent.ended(broken_off)).attempts == 1
    assert {one.id for one in receiver.got} == {refused.id, broken_off.id}


#: A process that delivers until it is killed.
PROGRAM = """
import asyncio, sys
from tests.jobs.deliveries import sending
async def main():
    async with sending(sys.argv[1], name=sys.argv[2]) as sent:
        await sent.publish(sys.argv[3], id="msg_of_the_killed")
        await asyncio.Event().wait()
asyncio.run(main())
"""


@pytest.mark.slow
async def test_a_service_that_was_killed_is_replaced(
    redis: Server, receiver: WebhookReceiver
) -> None:
    """Its attempt is made again by another, under the same id, as soon as its lease has ended."""
    name = f"killed-{next(numbers)}"
    receiver.held.clear()
    command = [sys.executable, "-c", PROGRAM, redis.address, name, receiver.address]
    killed = subprocess.Popen(command, cwd=Path(__file__).parents[2])
    try:
        await receiver.wait_for(1)
    finally:
        killed.kill()
        killed.wait()
    receiver.held.set()
    async with sending(redis.address, name=name) as sent:
        message = Message("msg_of_the_killed", "", "", "", "")
        assert (await sent.ended(message)).state == "delivered"
    assert [one.id for one in receiver.got] == [message.id] * 2


@pytest.mark.slow
async def test_an_outage_of_redis_loses_no_attempt(
    redis: Server, receiver: WebhookReceiver
) -> None:
    """It is away when an attempt ends: what followed is written as soon as it is back."""
    receiver.held.clear()
    receiver.answers = [Answer(500)]
    async with sending(redis.address) as sent:
        message = await sent.publish(receiver.address)
        await receiver.wait_for(1)
        redis.send(signal.SIGSTOP)
        try:
            receiver.held.set()
            with pytest.raises(QueueUnavailable):
                await sent.publish(receiver.address)
        finally:
            redis.send(signal.SIGCONT)
        assert (await sent.ended(message)).state == "delivered"
    assert [one.id for one in receiver.got[:2]] == [message.id] * 2


async def test_nothing_is_left_in_redis(redis: Server, receiver: WebhookReceiver) -> None:
    """But what expires, of a size that does not grow with the messages that were delivered."""
    with redis.client() as client:
        client.flushall()
    async with sending(redis.address, name="left") as sent:
        for _ in range(20):
            await sent.ended(await sent.publish(receiver.address))
    with redis.client() as client:
        lasting = {key for key in client.scan_iter() if client.ttl(key) == -1}
    assert len(lasting) <= 3, lasting
    assert all(b"msg_" not in key for key in lasting)
