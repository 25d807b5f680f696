"""Chaos for tests: what jobs need is killed, stopped, taken away or fails, one thing at a time."""

import asyncio
import contextlib
import random
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest
from aiohttp import hdrs, web
from yarl import URL

from tests.jobs.fleet import Fleet, clean_folder, fleet, kill, service_of
from tests.jobs.receiver import Answer, WebhookReceiver, new_secret, receiving
from tests.jobs.redis import DURABLE, redis_running
from tests.jobs.s3_server import BUCKET, S3Server
from tests.unit.fetching import serving
from tests.web.served import Served

WORKERS = 3
SECRET = new_secret()
#: Of an answer or a request that passes through; the other side's own.
CONNECTION = (hdrs.CONNECTION, hdrs.CONTENT_LENGTH, hdrs.TRANSFER_ENCODING, hdrs.EXPECT)
#: What a store under load, or a proxy before one, answers.
ERRORS = (500, 502, 503)


class Front:
    """What the store is reached through, so that it can answer with errors.

    Attributes:
        address: Of it.
        fails: Whether it does.
        failed: How many errors it has answered.
    """

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self.address = ""
        self.fails = False
        self.failed = 0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Pass a request on as it is, since it is signed; or answer with an error."""
        body = await request.read()
        if self.fails:
            self.failed += 1
            return web.Response(status=ERRORS[self.failed % len(ERRORS)])
        url = URL(f"{self._endpoint}{request.raw_path}", encoded=True)
        headers = {name: one for name, one in request.headers.items() if name not in CONNECTION}
        try:
            # A connection of its own: one that is kept would end with the store.
            async with (
                aiohttp.ClientSession(auto_decompress=False) as client,
                client.request(request.method, url, headers=headers, data=body or None) as found,
            ):
                return web.Response(
                    status=found.status,
                    headers={k: v for k, v in found.headers.items() if k not in CONNECTION},
                    body=await found.read(),
                )
        except (aiohttp.ClientError, OSError):
            return web.Response(status=502)


@dataclass
class Chaos:
    """Interrupts what jobs need.

    Attributes:
        fleet: Accepts the jobs.
        s3: Where results lie.
        front: What it is reached through.
        receiver: Takes webhooks.
        dice: Decides.
        done: What was done, for the report of a failure.
    """

    fleet: Fleet
    s3: S3Server
    front: Front
    receiver: WebhookReceiver
    dice: random.Random
    done: list[str] = field(default_factory=list)
    _left: list[Callable[[], Awaitable[None]]] = field(default_factory=list)
    _workers: list[tuple[contextlib.AsyncExitStack, Served]] = field(default_factory=list)

    @property
    def kinds(self) -> list[Callable[[], Awaitable[None]]]:
        """What it can do."""
        return [
            self.kill_worker, self.stop_worker, self.suspend_worker, self.restart_redis,
            self.suspend_storage, self.restart_storage, self.fail_storage, self.fail_receiver,
        ]  # fmt: skip

    async def strike(self) -> None:
        """Do the next thing; each of them once, in a random order, then each again."""
        if not self._left:
            self._left = self.dice.sample(self.kinds, len(self.kinds))
        kind = self._left.pop()
        self.done.append(kind.__name__)
        await kind()

    async def start_worker(self, folder: Path) -> None:
        """One more, in a work folder that no other has."""
        stack = contextlib.AsyncExitStack()
        worker = await stack.enter_async_context(self.fleet.worker_in(folder))
        self._workers.append((stack, worker))

    async def end(self) -> None:
        """End all workers; none may fail at that."""
        while self._workers:
            stack, worker = self._workers.pop()
            await stack.aclose()
            assert (worker.process.returncode, self.done) == (0, self.done)

    async def kill_worker(self) -> None:
        """Without a warning; another one begins in its folder."""
        stack, worker = self._workers.pop(self.dice.randrange(len(self._workers)))
        kill(worker)
        await worker.process.wait()
        await stack.aclose()
        await self.start_worker(worker.work_dir)

    async def stop_worker(self) -> None:
        """By TERM; another one begins in its folder."""
        stack, worker = self._workers.pop(self.dice.randrange(len(self._workers)))
        await stack.aclose()
        assert (worker.process.returncode, self.done) == (0, self.done)
        await self.start_worker(worker.work_dir)

    async def suspend_worker(self) -> None:
        """For longer than its jobs wait for a sign of life."""
        process = service_of(self.dice.choice(self._workers)[1])
        process.suspend()
        await asyncio.sleep(4)
        process.resume()

    async def restart_redis(self) -> None:
        """Killed, and started with its files."""
        self.fleet.redis.stop()
        await asyncio.sleep(self.dice.uniform(0, 3))
        await asyncio.to_thread(self.fleet.redis.start)

    async def suspend_storage(self) -> None:
        """It does not answer for a while."""
        self.s3.send(signal.SIGSTOP)
        await asyncio.sleep(self.dice.uniform(1, 3))
        self.s3.send(signal.SIGCONT)

    async def restart_storage(self) -> None:
        """Killed, and started with its files."""
        await asyncio.to_thread(self.s3.stop)
        await asyncio.to_thread(self.s3.start)

    async def fail_storage(self) -> None:
        """It answers with errors for a while."""
        self.front.fails = True
        await asyncio.sleep(self.dice.uniform(1, 3))
        self.front.fails = False

    async def fail_receiver(self) -> None:
        """The receiver of the webhooks answers the next ones with errors."""
        self.receiver.answers += [Answer(one) for one in ERRORS]


@contextlib.asynccontextmanager
async def chaotic(seed: int) -> AsyncIterator[Chaos]:
    """A fleet with three workers, a Redis, an S3 server and a receiver of its own."""
    with redis_running(*DURABLE) as redis, S3Server() as s3, contextlib.ExitStack() as folders:
        front = Front(s3.endpoint)
        more = {
            "isolation": "context", "storage_timeout_ms": 10_000, "jobs_per_caller": 10_000,
            "batches_per_caller": 1_000,
            # Of a loaded machine: init kills a worker that takes two seconds more than this.
            "stop_grace_seconds": 20,
            "webhook_secrets": f"all={SECRET}", "webhook_retry_seconds": "0" + ",1" * 19,
        }  # fmt: skip
        async with receiving() as receiver, serving(front.answer) as front.address:
            variables = {**s3.variables, "AWS_ENDPOINT_URL": front.address}
            with pytest.MonkeyPatch.context() as patch:
                for name, value in variables.items():  # the accepting service is in this process
                    patch.setenv(name, value)
                async with fleet(redis, f"s3://{BUCKET}/chaos", **more) as found:
                    found.variables = {**found.variables, **variables}
                    chaos = Chaos(found, s3, front, receiver, random.Random(seed))
                    try:
                        for _ in range(WORKERS):
                            await chaos.start_worker(folders.enter_context(clean_folder()))
                        yield chaos
                    finally:
                        await chaos.end()
