"""POST /batches and what becomes of them: many renders of one kind in one request."""

import functools
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, NotRequired

from aiohttp import hdrs, web
from typing_extensions import TypedDict

from poster_service.errors import (
    MOST_FAULTS,
    CallerError,
    Fault,
    InvalidField,
)
from poster_service.jobs.batch_records import Batch, BatchState, job_id
from poster_service.jobs.batch_store import BatchStore
from poster_service.jobs.delivery import with_addresses
from poster_service.jobs.intake import Intake
from poster_service.jobs.items import (
    COMMON,
    NOT_COMMON,
    Common,
    Item,
    ItemBounds,
    ItemReader,
    Lines,
    WrongItem,
    common_of,
    parse_line,
)
from poster_service.jobs.records import Job, JobOptions, State
from poster_service.jobs.webhook_options import Webhook
from poster_service.jobs.webhooks import document_of as webhook_document
from poster_service.quoting import quoted
from poster_service.render.faults import unknown_option, validated
from poster_service.render.flat import nest
from poster_service.render.schema import check_data
from poster_service.render.source import SOURCE_FIELDS, Template
from poster_service.settings import Settings
from poster_service.web import incoming, media_type
from poster_service.web.bodies import JSON_TYPE, check_size_of_query, read_json, unsupported
from poster_service.web.caller import CALLER
from poster_service.web.incoming import LARGE, beside, expect_later
from poster_service.web.jobs import key_of, moment
from poster_service.web.problems import Problem
from poster_service.web.room import check_room
from poster_service.web.service import SERVICE, Service

PATH = "/batches"
ONE = f"{PATH}/{{id}}"
ITEMS = f"{ONE}/items"
RETRY = f"{ONE}/retry"
NDJSON_TYPE = "application/x-ndjson"
#: Media types of a line of JSON for each item; none of them is registered.
NDJSON_TYPES = (NDJSON_TYPE, "application/ndjson", "application/jsonl")
#: Time for a batch to arrive, in seconds.
ARRIVE_SECONDS = 600.0
#: The member of what the items share that is the batch's own.
WEBHOOK = "webhook"
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
    receive = _receiver(request)
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
        raise InvalidField.of(Fault("state", f'"{quoted(wanted)}" is no state of an item', allowed))
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


class Receiver:
    """Takes the items of one batch; wrong ones are collected, until there are too many.

    Attributes:
        bounds: What an item may cost.
        webhook: Where the end of the batch is reported; known with what the items share.
    """

    def __init__(self, service: Service, intake: Intake, caller: str) -> None:
        self._service, self._intake, self._caller = service, intake, caller
        self.webhook: Webhook | None = None
        self._templates: dict[str, Any] = {}
        self._faults: list[Fault] = []
        self._kind: type[CallerError] = InvalidField
        self.bounds = bounds_of(service.settings)

    async def common(self, given: object) -> Common:
        """What the items share; checked in a thread, which reads its template's files.

        Raises:
            CallerError: It is wrong, or its template is unknown.
        """
        self.webhook = webhook_of(given)
        self._service.webhooks.check(self.webhook, self._caller)
        rest = given
        if isinstance(given, Mapping):
            rest = {name: value for name, value in given.items() if name != WEBHOOK}

        def made() -> Common:
            common = Common(rest, self._service.engine.limits)
            if (name := common.given.get(Template.kind)) is not None:
                self._template(name)
            return common

        return await beside(LARGE, made)

    async def take(self, made: Callable[[], Sequence[Item | WrongItem]]) -> None:
        """Take some items.

        Args:
            made: Makes them, in a thread.

        Raises:
            CallerError: There are as many faults as an error lists, or too many items.
            QueueUnavailable: Redis does not answer.
        """
        found = await beside(LARGE, lambda: [self._checked(one) for one in made()])
        for one in found:
            if isinstance(one, WrongItem):
                self._kind = type(one.error) if not self._faults else self._kind
                self._faults += one.error.faults
        if len(self._faults) >= MOST_FAULTS:
            self.check()
        if not self._faults:
            await self._intake.add(one for one in found if isinstance(one, Item))

    def check(self) -> None:
        """Refuse the batch if an item of it is wrong.

        Raises:
            CallerError: With the first faults.
        """
        if self._faults:
            raise self._kind.of(*self._faults)

    def _checked(self, item: Item | WrongItem) -> Item | WrongItem:
        """The item, or what is wrong with the data for its template."""
        if isinstance(item, WrongItem) or not isinstance(item.request.source, Template):
            return item
        source = item.request.source
        try:
            template = self._template(source.template)
            check_data(template.schema, source.data or {}, self._service.settings.max_data_values)
        except CallerError as error:
            return item.wrong(error)
        return item

    def _template(self, name: str) -> Any:
        if name not in self._templates:
            self._templates[name] = self._service.engine.templates.find(name)
        return self._templates[name]


async def _receive_lines(request: web.Request, receiver: Receiver) -> Mapping[str, Any]:
    """Take a body of NDJSON, line by line as it arrives; what the items share."""
    settings, bounds = request.app[SERVICE].settings, receiver.bounds
    common: object = common_of_query(request)
    reader: ItemReader | None = None
    if common is not None:
        reader = ItemReader(await receiver.common(common), bounds)
    lines, share = Lines(bounds.max_line_bytes), incoming.share_of(request)

    async def take(found: list[tuple[int, bytes | None]]) -> None:
        nonlocal common, reader
        if reader is None and found:
            shared = _first(found[0], bounds)
            if shared is not None:
                del found[0]
            common = {} if shared is None else shared
            reader = ItemReader(await receiver.common(common), bounds)
        if reader is not None and found:
            await receiver.take(functools.partial(_items_of_lines, reader, found))

    async with incoming.arriving(request, settings.batch_bytes, ARRIVE_SECONDS) as parts:
        async for part in parts:
            share.require(incoming.COST * (lines.pending + len(part)))
            await take(list(lines.feed(part)))
        await take(list(lines.end()))
    receiver.check()
    return common if isinstance(common, Mapping) else {}


async def _receive_json(request: web.Request, receiver: Receiver) -> Mapping[str, Any]:
    """Take a body of JSON; what the items share."""
    if request.query:
        first = next(iter(request.query))
        raise InvalidField.of(
            Fault(first, "options belong into the JSON body, not the query", "no query")
        )
    given = await read_json(request)
    if not isinstance(given, Mapping):
        raise InvalidField.of(Fault("", "must be an object with items", "an object"))
    found = given.get("items")
    if not isinstance(found, list):
        what = "is missing" if found is None else "is not a list"
        raise InvalidField.of(Fault("items", what, "a list of items"))
    if COMMON in given:
        raise InvalidField.of(Fault(COMMON, *NOT_COMMON))
    shared = {name: value for name, value in given.items() if name != "items"}
    reader = ItemReader(await receiver.common(shared), receiver.bounds, ItemReader.PLACE)
    for at in range(0, len(found), PIECE_ITEMS):
        some = list(enumerate(found[at : at + PIECE_ITEMS], at + 1))
        await receiver.take(functools.partial(_items_of_values, reader, some))
    receiver.check()
    return shared


#: Items of a body of JSON that are checked at once.
PIECE_ITEMS = 200
Receive = Callable[[web.Request, Receiver], Any]


def _receiver(request: web.Request) -> Receive:
    """What takes the body of a request.

    Raises:
        UnsupportedMediaType: Nothing does.
    """
    given = request.headers.getall(hdrs.CONTENT_TYPE, ())
    name = media_type.parse(given[0]).name if len(given) == 1 else ""
    if name == JSON_TYPE:
        return _receive_json
    if name in NDJSON_TYPES:
        return _receive_lines
    raise unsupported(given, (JSON_TYPE, *NDJSON_TYPES))


def _items_of_lines(
    reader: ItemReader, lines: Iterable[tuple[int, bytes | None]]
) -> list[Item | WrongItem]:
    return [reader.of_line(number, raw) for number, raw in lines]


def _items_of_values(
    reader: ItemReader, values: Iterable[tuple[int, object]]
) -> list[Item | WrongItem]:
    return [reader.of_value(number, value) for number, value in values]


def common_of_query(request: web.Request) -> dict[str, Any] | None:
    """What the items share, as the query says; None if it says nothing.

    Raises:
        InvalidField: An option is wrong.
    """
    if not request.query:
        return None
    given = nest(request.query.items(), JobOptions)
    source = {name: given.pop(name) for name in SOURCE_FIELDS if name in given}
    unknown = [name for name in given if name not in JobOptions.model_fields]
    options, faults = validated(
        JobOptions,
        {name: value for name, value in given.items() if name not in unknown},
        strict=False,
    )
    names = (*SOURCE_FIELDS, *JobOptions.model_fields)
    faults += [unknown_option(name, JobOptions, names) for name in unknown[:MOST_FAULTS]]
    if options is None or faults:
        raise InvalidField.of(*faults)
    return {**source, **options.model_dump(mode="json", exclude_unset=True)}


def webhook_of(common: object) -> Webhook | None:
    """The webhook in what the items share; None without one.

    Raises:
        InvalidField: It is wrong.
    """
    given = common.get(WEBHOOK) if isinstance(common, Mapping) else None
    if given is None:
        return None
    options, faults = validated(JobOptions, {WEBHOOK: given}, strict=True)
    if options is None:
        raise InvalidField.of(*faults)
    return options.webhook


def bounds_of(settings: Settings) -> ItemBounds:
    """What the settings let a batch cost."""
    return ItemBounds(
        settings.batch_items,
        min(settings.max_body_bytes, settings.batch_bytes),
        settings.max_json_depth,
        settings.max_json_items,
    )


def _first(line: tuple[int, bytes | None], bounds: ItemBounds) -> object | None:
    """The common part, if the first line is one."""
    try:
        return common_of(parse_line(line[1], bounds))
    except CallerError:  # reported as an item, with its line
        return None


def _named(request: web.Request) -> tuple[str, str]:
    """The batch that a request names, and whose it has to be."""
    return request.match_info["id"], request.get(CALLER, "")


async def _lines(
    service: Service, store: BatchStore, batch: Batch, number: int, origin: str
) -> list[ItemAnswer]:
    """The items of a block."""
    block = await store.block(batch.id, number)
    found = [one async for one in store.jobs(batch.id, [place for place, _, _ in block])]
    return [
        await _item(service, job, (place, name), number < batch.fed, batch, origin)
        for (place, name, _), job in zip(block, found, strict=True)
    ]


async def _item(
    service: Service,
    job: Job | None,
    named: tuple[int, str],
    is_fed: bool,
    batch: Batch,
    origin: str,
) -> ItemAnswer:
    number, name = named
    begun: State | Literal["expired"] = job.state if job else "expired"
    not_begun: Any = "cancelled" if batch.state == "cancelled" else "waiting"
    answer: ItemAnswer = {
        "id": name,
        "number": number,
        "job": job_id(batch.id, number),
        "state": ("waiting" if begun == "queued" else begun) if is_fed else not_begun,
        "url": None,
        "problem": None if job is None else job.problem,  # type: ignore[typeddict-item]
    }
    if job is not None and job.result is not None:
        address = functools.partial(service.results.address, seconds=None)
        result = await with_addresses(job.result, address, origin)
        if "outputs" in result:
            answer["outputs"] = [
                {"name": one["name"], "url": one["url"]} for one in result["outputs"]
            ]
        else:
            answer["url"] = result.get("url")
    return answer


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
