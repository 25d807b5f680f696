"""A batch by way of a service: items are sent as they are read, results fetched when they are done.

What has a result already is not sent, and a line that is wrong is reported and not sent either, as
where the command renders itself. A batch that is interrupted is cancelled at the service.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urljoin

import aiohttp

from poster_service.errors import CallerError, OperatorError
from poster_service.jobs.items import Common, WrongItem
from poster_service.jobs.local_batch import BatchRun, check_local, digest_of, names_of
from poster_service.problems import problem_of
from poster_service.render.picture import Picture

#: How often the service is asked how far the batch is, in seconds.
POLL_SECONDS = 1.0
#: Results that are fetched at once.
FETCHES = 8
#: Time for one answer, in seconds, and to send all items.
ANSWER_SECONDS, SEND_SECONDS = 60.0, 600.0


@dataclass(frozen=True)
class Sent:
    """An item that the service has.

    Attributes:
        line: Of the item.
        results: Name and format of each result.
    """

    line: int
    results: tuple[tuple[str, Any], ...]


@dataclass(kw_only=True)
class RemoteBatch(BatchRun):
    """One run of a batch at a service.

    Attributes:
        url: Of the service.
        token: Of this caller; "" for none.
        common: What the items share.
    """

    url: str
    token: str
    common: Common
    _sent: dict[str, Sent] = field(default_factory=dict)

    async def run(self) -> None:
        """Have all items rendered, and fetch their results.

        Raises:
            OperatorError: The service refuses the batch, or does not answer.
        """
        limit = aiohttp.ClientTimeout(total=SEND_SECONDS, sock_read=SEND_SECONDS)
        try:
            async with aiohttp.ClientSession(timeout=limit) as client:
                if (first := await self._next()) is not None:
                    await self._run(client, first)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise OperatorError(f"{self.url} does not answer: {error}") from error

    async def _run(self, client: aiohttp.ClientSession, first: bytes) -> None:
        headers = {"Content-Type": "application/x-ndjson"}
        found = await self._ask(
            client, "POST", "/batches", data=self._lines(first), headers=headers
        )
        path, is_done = f"/batches/{found['id']}", False
        before = self.tally.failed
        try:
            while found["finished"] is None:
                await asyncio.sleep(POLL_SECONDS)
                found = await self._ask(client, "GET", path)
                self.tally.rendered = found["counts"]["done"]
                self.tally.failed = before + found["counts"]["failed"]
            is_done = True
        finally:
            if not is_done:
                with contextlib.suppress(OperatorError, aiohttp.ClientError, TimeoutError):
                    await asyncio.shield(self._ask(client, "DELETE", path))
        self.tally.rendered, self.tally.failed = 0, before
        await self._fetch_all(client, f"{path}/items")

    async def _lines(self, first: bytes) -> AsyncIterator[bytes]:
        """The body: what all share, then the items."""
        yield json.dumps({"common": self.common.given}).encode() + b"\n"
        line: bytes | None = first
        while line is not None:
            yield line
            line = await self._next()

    async def _next(self) -> bytes | None:
        """The next item that has to be rendered, as a line; None after the last."""
        while (item := await self.feed.next()) is not None:
            try:
                if isinstance(item, WrongItem):
                    raise item.error
                check_local(item.request)
                names = names_of(item, self.name, digest_of(item.request))
            except CallerError as error:
                self.tally.failed += 1
                self.report({"line": item.number, "id": item.id, "problem": problem_of(error)})
                continue
            if not self.again and all([await self.target.has(name) for name in names]):
                self.tally.present += 1
                continue
            formats = [one.format for one in item.request.options.captured]
            self._sent[item.id] = Sent(item.number, tuple(zip(names, formats, strict=True)))
            return json.dumps({"id": item.id, **item.own}).encode() + b"\n"
        return None

    async def _fetch_all(self, client: aiohttp.ClientSession, path: str) -> None:
        """Fetch each result, a few at once; report each failure."""
        room = asyncio.Semaphore(FETCHES)

        async def one(found: dict[str, Any]) -> None:
            try:
                await self._fetched(client, found)
            finally:
                room.release()

        async with client.get(self._at(path), headers=self._authorized(path)) as answer:
            if answer.status != 200:
                raise OperatorError(f"{self.url}{path} answered {answer.status}")
            async with asyncio.TaskGroup() as group:
                async for line in answer.content:
                    await room.acquire()
                    group.create_task(one(json.loads(line)))

    async def _fetched(self, client: aiohttp.ClientSession, found: dict[str, Any]) -> None:
        sent = self._sent[found["id"]]
        if found["state"] != "done":
            problem = found["problem"] or {"code": found["state"], "detail": found["state"]}
            self.tally.failed += 1
            self.report({"line": sent.line, "id": found["id"], "problem": problem})
            return
        urls = [one["url"] for one in found.get("outputs", ())] or [found["url"]]
        for url, (name, format_) in zip(urls, sent.results, strict=True):
            async with client.get(self._at(url), headers=self._authorized(url)) as answer:
                body = await answer.read()
                if answer.status != 200:
                    raise OperatorError(f"a result cannot be fetched: status {answer.status}")
            await self.target.put(name, Picture(format_, body, ""))
            self.tally.bytes += len(body)
        self.tally.rendered += 1

    async def _ask(
        self, client: aiohttp.ClientSession, method: str, path: str, **more: Any
    ) -> dict[str, Any]:
        """An answer of the service as JSON.

        Raises:
            OperatorError: It is an error; with its words.
        """
        headers = {**self._authorized(path), **more.pop("headers", {})}
        async with client.request(method, self._at(path), headers=headers, **more) as answer:
            found: dict[str, Any] = await answer.json(content_type=None)
            if answer.status >= 400:
                raise OperatorError(f"{self.url} refuses the batch: {found.get('detail', found)}")
            return found

    def _at(self, path: str) -> str:
        return urljoin(f"{self.url}/", path)

    def _authorized(self, path: str) -> dict[str, str]:
        """The token, for the service itself and for no other address."""
        is_own = self._at(path).startswith(f"{self.url}/")
        return {"Authorization": f"Bearer {self.token}"} if self.token and is_own else {}
