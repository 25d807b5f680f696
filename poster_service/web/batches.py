"""POST /batches and what becomes of them: many renders of one kind in one request."""

import contextlib
import functools
import json
import time
from collections.abc import Mapping
from typing import Any, Literal, NotRequired

from aiohttp import hdrs, web
from typing_extensions import TypedDict

from poster_service.errors import Fault, InvalidField, QueueUnavailable
from poster_service.jobs.batch_records import Batch, BatchState, job_id
from poster_service.jobs.batch_store import BatchStore
from poster_service.jobs.delivery import with_addresses
from poster_service.jobs.records import Job, State
from poster_service.jobs.webhooks import document_of as webhook_document
from poster_service.quoting import quoted
from poster_service.web.batch_intake import NDJSON_TYPE, WEBHOOK, Receiver, receive_of
from poster_service.web.bodies import check_size_of_query
from poster_service.web.caller import CALLER
from poster_service.web.incoming import expect_later
from poster_service.web.jobs import key_of, moment
from poster_service.web.problems import Problem
from poster_service.web.room import check_room
from poster_service.web.service import SERVICE, Service

PATH = "/batches"
ONE = f"{PATH}/{{id}}"
ITEMS = f"{ONE}/items"
RETRY = f"{ONE}/retry"
#: When to ask again for a batch that has not ended, in seconds.
POLL_SECONDS = 2
#: The states of items that may be asked for alone.
ITEM_STATES = ("waiting", "running", "done", "failed", "cancelled")


class Counts(TypedDict):
    """Items of a batch by state."""

    waiting: int
    running: int
    done: int
    failed: int
    cancelled: int


class BatchAnswer(TypedDict):
    """A batch: its state, its items by state, and how fast they end."""

    id: str
    state: BatchState
    created: str
    finished: str | None
    items: int
    counts: Counts
    left: int
    rate_per_second: float
    eta_seconds: int | None
    retried: NotRequired[int]


class NamedAddress(TypedDict):
    """The address of one of several outputs."""

    name: str
    url: str


class ItemAnswer(TypedDict):
    """An item of a batch, as a line of NDJSON.

    `expired` is an item whose job is not known any more.
    """

    id: str
    number: int
    job: str
    state: Literal["waiting", "running", "done", "failed", "cancelled", "expired"]
    url: str | None
    outputs: NotRequired[list[NamedAddress]]
    problem: Problem | None


#: All that is answered, for GET /openapi.json.
ANSWERS = (BatchAnswer, ItemAnswer)


async def submit(request: web.Request) -> web.Response:
    """POST /batches: accepts many renders of one kind, checked item by item as they arrive."""
    service, caller = request.app[SERVICE], request.get(CALLER, "")
    key = key_of(request)
    check_size_of_query(request)
    receive = receive_of(request)
    check_room(request, service, caller)
    async with service.quotas.charge(caller, service.engine.admission.mean_seconds):
        intake = await service.batches.receive(caller)
        is_received = False
        try:
            receiver = Receiver(service, intake, caller)
            common = dict(await receive(request, receiver))
            common.pop(WEBHOOK, None)
            webhook = webhook_document(receiver.webhook, str(request.url.origin()))
            batch, is_new = await intake.commit(common, webhook, key)
            is_received = True
        finally:
            if not is_received:
                with contextlib.suppress(QueueUnavailable):  # what has come expires by itself then
                    await intake.abort()
    if is_new:
        await service.batches.accepted(batch)
    answer = await _answer(service, batch)
    answer.set_status(202)
    answer.headers[hdrs.LOCATION] = f"{PATH}/{batch.id}"
    return answer


async def state(request: web.Request) -> web.Response:
    """GET /batches/{id}: how far it is, how fast, and how long the rest will take."""
    service = request.app[SERVICE]
    return await _answer(service, await service.batches.get(*_named(request)))


async def cancel(request: web.Request) -> web.Response:
    """DELETE /batches/{id}: cancels it; items that run are stopped, all others never begin."""
    service = request.app[SERVICE]
    return await _answer(service, await service.batches.cancel(*_named(request)))


async def retry(request: web.Request) -> web.Response:
    """POST /batches/{id}/retry: tries the items again that have failed, and no others."""
    service = request.app[SERVICE]
    batch, number = await service.batches.retry(*_named(request))
    answer = await _answer(service, batch, retried=number)
    answer.set_status(202)
    return answer


async def items(request: web.Request) -> web.StreamResponse:
    """GET /batches/{id}/items: a line of JSON for each item, in their order."""
    service = request.app[SERVICE]
    wanted = request.query.get("state")
    if wanted is not None and wanted not in ITEM_STATES:
        allowed = ", ".join(ITEM_STATES)
        raise InvalidField.of(
            Fault("state", f'"{quoted(wanted)}" is not a state of items', allowed)
        )
    batch = await service.batches.get(*_named(request))
    store, origin = await service.batches.store(), str(request.url.origin())
    response = web.StreamResponse(headers={hdrs.CACHE_CONTROL: "no-store"})
    response.content_type = NDJSON_TYPE
    await response.prepare(request)
    for number in range(batch.blocks):
        lines = [
            json.dumps(line, ensure_ascii=False)
            for line in await _lines(service, store, batch, number, origin)
            if wanted is None or line["state"] == wanted
        ]
        if lines:
            await response.write(("\n".join(lines) + "\n").encode())
    await response.write_eof()
    return response


def routes() -> list[web.RouteDef]:
    """The routes of batches."""
    return [
        web.post(PATH, submit, expect_handler=expect_later),
        web.get(ONE, state),
        web.delete(ONE, cancel),
        web.get(ITEMS, items),
        web.post(RETRY, retry),
    ]


def _named(request: web.Request) -> tuple[str, str]:
    """The batch that a request names, and whose it has to be."""
    return request.match_info["id"], request.get(CALLER, "")


async def _lines(
    service: Service, store: BatchStore, batch: Batch, number: int, origin: str
) -> list[ItemAnswer]:
    """The items of a block."""
    block = await store.block(batch.id, number)
    found = [one async for one in store.jobs(batch.id, [place for place, _, _ in block])]
    lines = []
    for (place, name, _), job in zip(block, found, strict=True):
        line = _line(batch, job, place, name)
        if number >= batch.fed:  # no job of the block has begun
            line["state"] = "cancelled" if batch.state == "cancelled" else "waiting"
        if job is not None and job.result is not None:
            address = functools.partial(service.results.address, seconds=None)
            _add_addresses(line, await with_addresses(job.result, address, origin))
        lines.append(line)
    return lines


def _line(batch: Batch, job: Job | None, number: int, name: str) -> ItemAnswer:
    """An item of a batch by its job, without the addresses of its result."""
    begun: State | Literal["expired"] = job.state if job else "expired"
    return {
        "id": name,
        "number": number,
        "job": job_id(batch.id, number),
        "state": "waiting" if begun == "queued" else begun,
        "url": None,
        "problem": None if job is None else job.problem,  # type: ignore[typeddict-item]
    }


def _add_addresses(line: ItemAnswer, result: Mapping[str, Any]) -> None:
    if "outputs" in result:
        line["outputs"] = [{"name": one["name"], "url": one["url"]} for one in result["outputs"]]
    else:
        line["url"] = result.get("url")


async def _answer(service: Service, batch: Batch, **more: int) -> web.Response:
    running = await service.batches.running(batch)
    rate = batch.rate(time.time())
    body: dict[str, Any] = {
        "id": batch.id,
        "state": batch.state,
        "created": moment(batch.created),
        "finished": moment(batch.finished),
        "items": batch.total,
        "counts": {
            "waiting": max(0, batch.left - running),
            "running": min(running, batch.left),
            "done": batch.done,
            "failed": batch.failed,
            "cancelled": batch.cancelled,
        },
        "left": batch.left,
        "rate_per_second": round(rate, 2),
        "eta_seconds": round(batch.left / rate) if rate and not batch.has_ended else None,
        **more,
    }
    headers = {hdrs.CACHE_CONTROL: "no-store"}
    if not batch.has_ended:
        headers[hdrs.RETRY_AFTER] = str(POLL_SECONDS)
    return web.json_response(body, headers=headers)
