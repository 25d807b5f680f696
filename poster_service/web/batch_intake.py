"""Bodies of POST /batches: JSON, or a line of JSON for each item, which are checked as they arrive.

Its own file because a batch may be larger than memory: an item is read, checked and stored before
those behind it have come.
"""

import functools
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from typing import Any

from aiohttp import hdrs, web

from poster_service.errors import (
    MOST_FAULTS,
    CallerError,
    Fault,
    InvalidField,
)
from poster_service.jobs.intake import Intake
from poster_service.jobs.items import (
    COMMON,
    NOT_COMMON,
    Common,
    Item,
    ItemBounds,
    ItemData,
    ItemReader,
    Lines,
    WrongItem,
    common_of,
    parse_line,
)
from poster_service.jobs.records import JobOptions
from poster_service.jobs.webhook_options import Webhook
from poster_service.render.faults import unknown_option, validated
from poster_service.render.flat import nest
from poster_service.render.schema import check_data
from poster_service.render.source import SOURCE_FIELDS, Template
from poster_service.settings import Settings
from poster_service.web import incoming, media_type
from poster_service.web.bodies import JSON_TYPE, read_json, unsupported
from poster_service.web.incoming import LARGE, beside
from poster_service.web.service import SERVICE, Service

NDJSON_TYPE = "application/x-ndjson"
#: Media types of a line of JSON for each item; none of them is registered.
NDJSON_TYPES = (NDJSON_TYPE, "application/ndjson", "application/jsonl")
#: Time for a batch to arrive, in seconds.
ARRIVE_SECONDS = 600.0
#: The member of what the items share that is the batch's own.
WEBHOOK = "webhook"
#: Items of a body of JSON that are checked at once.
PIECE_ITEMS = 200


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

    async def take(self, made: Callable[[], Iterable[Item | WrongItem]]) -> None:
        """Take some items.

        Args:
            made: Makes them one by one, in a thread.

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
            await self._intake.add(one for one in found if isinstance(one, ItemData))

    def check(self) -> None:
        """Refuse the batch if an item of it is wrong.

        Raises:
            CallerError: With the first faults.
        """
        if self._faults:
            raise self._kind.of(*self._faults)

    def _checked(self, item: Item | WrongItem) -> ItemData | WrongItem:
        """What is stored of the item, or what is wrong with the data for its template."""
        if isinstance(item, WrongItem):
            return item
        data, source = ItemData(item.number, item.id, item.own), item.request.source
        if not isinstance(source, Template):
            return data
        try:
            template = self._template(source.template)
            check_data(template.schema, source.data or {}, self._service.settings.max_data_values)
        except CallerError as error:
            return item.wrong(error)
        return data

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


#: Takes the body of a request; what its items share.
Receive = Callable[[web.Request, Receiver], Awaitable[Mapping[str, Any]]]


def receive_of(request: web.Request) -> Receive:
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
) -> Iterator[Item | WrongItem]:
    return (reader.of_line(number, raw) for number, raw in lines)


def _items_of_values(
    reader: ItemReader, values: Iterable[tuple[int, object]]
) -> Iterator[Item | WrongItem]:
    return (reader.of_value(number, value) for number, value in values)


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
