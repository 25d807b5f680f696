"""The items of a batch: a common part, and what is each item's own, checked one by one.

As JSON, an object of the common part with `items`, a list. As NDJSON, one item a line; the first
line may be `{"common": {...}}`. The common part is a request as of POST /render: a template or a
page with `{{ placeholders }}` (`html`), and options. An item is an object of `data`, of options,
which replace the common ones of the same name, and of `id`, its name in results and reports. An
item that has a source of its own does without the common one.

Items are looked at one at a time, so a batch needs the memory of one line.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from poster_service import strict_json
from poster_service.errors import (
    MOST_FAULTS,
    BadRequest,
    BodyTooLarge,
    CallerError,
    Fault,
    InvalidField,
)
from poster_service.jobs.records import StoredOptions, StoredRequest
from poster_service.jobs.used_names import UsedNames
from poster_service.render.faults import kind_of_value, unknown_option, validated
from poster_service.render.placeholders import PlaceholderPage
from poster_service.render.request import OPTIONS, Limits, RenderRequest
from poster_service.render.source import KINDS, Html

#: Items of one batch over HTTP.
MAX_ITEMS = 100_000
#: The first line of NDJSON, if it is the common part.
COMMON = "common"
ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.=@-]{0,99}")
ID_ALLOWED = "up to 100 letters, digits and _.=@-, the first a letter, a digit or _"
_SOURCES = tuple(kind.kind for kind in KINDS)


@dataclass(frozen=True)
class ItemBounds:
    """What a batch may cost.

    Attributes:
        max_items: Its items; None for any number.
        max_line_bytes: One line.
        max_depth: Nesting of JSON.
        max_values: Values of JSON in one line.
    """

    max_items: int | None = MAX_ITEMS
    max_line_bytes: int = 1 << 20
    max_depth: int = 50
    max_values: int = 100_000


@dataclass(frozen=True)
class ItemData:
    """What is stored of an item.

    Attributes:
        number: Its line, or its place in the list, from 1.
        id: Its name; the number, if it has none.
        own: What it gives itself, without its id.
    """

    number: int
    id: str
    own: Mapping[str, Any]


@dataclass(frozen=True)
class Item(ItemData):
    """One item, checked.

    Attributes:
        request: The whole request, which takes some kilobytes.
        where: How faults name it.
    """

    request: RenderRequest
    where: str = ""

    def wrong(self, error: CallerError) -> "WrongItem":
        """The item with what is found to be wrong later, such as its data."""
        return WrongItem(self.number, self.id, placed(error, self.where, self.number))


@dataclass(frozen=True)
class WrongItem:
    """An item that cannot be rendered.

    Attributes:
        number: Its line, or its place in the list, from 1.
        id: Its name, if it is known; else the number.
        error: What is wrong; its faults begin with the line or the place.
    """

    number: int
    id: str
    error: CallerError


class Common:
    """What the items of a batch share: a source, or none, and options."""

    def __init__(self, given: object, limits: Limits) -> None:
        """Check it on its own, so that what is wrong with it is not wrong with each item.

        Args:
            given: As a request of POST /render has it; `data` is for the items.
            limits: Of the settings.

        Raises:
            InvalidField: With a fault for each thing that is wrong.
        """
        if not isinstance(given, Mapping):
            message = f"must be an object of options, not {kind_of_value(given)}"
            raise InvalidField.of(Fault(COMMON, message, "an object"))
        self.given: Mapping[str, Any] = {
            name: value for name, value in given.items() if value is not None
        }
        self.limits = limits
        self._page: PlaceholderPage | None = None
        self._check()

    @property
    def has_placeholders(self) -> bool:
        """Whether it is a page that each item's data is put into."""
        return self._page is not None

    def request(self, own: Mapping[str, Any]) -> RenderRequest:
        """The request of an item.

        Raises:
            InvalidField: With a fault for each thing that is wrong.
        """
        merged = {**self.given, **own}
        if any(own.get(name) is not None for name in _SOURCES):
            for name in _SOURCES:
                if name not in own:
                    merged.pop(name, None)
        elif self._page is not None:
            data = merged.pop("data", None)
            data = {} if data is None else data
            if not isinstance(data, Mapping):
                message = f"must be an object, not {kind_of_value(data)}"
                raise InvalidField.of(Fault("data", message, "an object"))
            merged[Html.kind] = self._page.fill(data)
        return StoredRequest.parse(merged, self.limits)

    def _check(self) -> None:
        given = dict(self.given)
        for name in ("data", "id"):
            if name in given:
                belongs = Fault(name, "belongs to the items", f"{name} in each item")
                raise InvalidField.of(belongs)
        if any(name in given for name in _SOURCES):
            StoredRequest.parse(given, self.limits)
            if isinstance(page := given.get(Html.kind), str):
                self._page = PlaceholderPage(page)
            return
        known = {name: given[name] for name in given if name in StoredOptions.model_fields}
        _, faults = validated(StoredOptions, known, strict=True)
        unknown = [str(name) for name in given if name not in OPTIONS]
        some = unknown[:MOST_FAULTS]
        faults += [unknown_option(name, StoredOptions, OPTIONS) for name in some]
        if faults:
            raise InvalidField.of(*faults)


class ItemReader:
    """Makes items of lines or of JSON values; it knows which names have been used."""

    #: How a fault names an item of NDJSON, one of a list, and one whose line stands beside it.
    LINE, PLACE, ALONE = "line {number}: {field}", "items.{index}.{field}", "{field}"

    def __init__(self, common: Common, bounds: ItemBounds, where: str = LINE) -> None:
        """Begin a batch.

        Args:
            common: What all items share.
            bounds: What the batch may cost.
            where: `LINE`, `PLACE` or `ALONE`.
        """
        self._common, self._bounds, self._where = common, bounds, where
        self._used = UsedNames()
        self.count = 0

    def of_line(self, number: int, raw: bytes | None) -> Item | WrongItem:
        """The item of a line that is not blank.

        Args:
            number: Of the line, from 1.
            raw: Without the end of the line; None for one that is too long.

        Raises:
            InvalidField: The batch has too many items.
        """
        self._count_one()
        try:
            return self._item(number, parse_line(raw, self._bounds))
        except CallerError as error:
            return self._wrong(number, str(number), error)

    def of_value(self, number: int, value: object) -> Item | WrongItem:
        """The item of a JSON value.

        Args:
            number: Its line, or its place, from 1.
            value: Should be an object.

        Raises:
            InvalidField: The batch has too many items.
        """
        self._count_one()
        return self._item(number, value)

    def of_fault(self, number: int, fault: Fault) -> WrongItem:
        """An item that is wrong already where it is read.

        Raises:
            InvalidField: The batch has too many items.
        """
        self._count_one()
        return self._wrong(number, str(number), InvalidField.of(fault))

    def _count_one(self) -> None:
        self.count += 1
        most = self._bounds.max_items
        if most is not None and self.count > most:
            raise InvalidField.of(Fault("items", f"are more than {most}", f"up to {most}"))

    def _item(self, number: int, value: object) -> Item | WrongItem:
        name = str(number)
        try:
            if not isinstance(value, Mapping):
                message = f"must be an object, not {kind_of_value(value)}"
                raise InvalidField.of(Fault("", message, "an object with data or options"))
            own = dict(value)
            check_place(own, self._where)
            name = self._name(own.pop("id", None), number)
            return Item(number, name, own, self._common.request(own), self._where)
        except CallerError as error:
            return self._wrong(number, name, error)

    def _name(self, given: object, number: int) -> str:
        """The item's name.

        Raises:
            InvalidField: It is not a name, or another item has it.
        """
        name = str(number) if given is None else given
        if type(name) is int:
            name = str(name)
        if not isinstance(name, str) or not ID.fullmatch(name):
            shown = json.dumps(given, ensure_ascii=False)[:40]
            raise InvalidField.of(Fault("id", f"{shown} is not a valid id", ID_ALLOWED))
        if not self._used.add(name):
            raise InvalidField.of(Fault("id", f"{name} is the id of an earlier item", "a new id"))
        return name

    def _wrong(self, number: int, name: str, error: CallerError) -> WrongItem:
        return WrongItem(number, name, placed(error, self._where, number))


def check_place(own: Mapping[str, Any], where: str) -> None:
    """Refuse what belongs to the whole batch in an item of it.

    Args:
        own: The item.
        where: As `ItemReader` has it.

    Raises:
        InvalidField: With the place where it belongs.
    """
    if where != ItemReader.PLACE:
        places = {
            COMMON: ("stands alone, in the first line", '{"common": {...}} as the first line'),
            "items": ("is for a body of application/json", "an item a line"),
        }
    else:
        places = {COMMON: NOT_COMMON, "items": ("stands at the top of the body", "one list")}
    if wrong := [Fault(name, *place) for name, place in places.items() if name in own]:
        raise InvalidField.of(*wrong)


#: What is wrong with `common` in a body of JSON, and what is allowed.
NOT_COMMON = (
    "is for NDJSON: in a body of JSON, what the items share stands beside items",
    '{"template": ..., "items": [...]}',
)


def placed(error: CallerError, where: str, number: int) -> CallerError:
    """An error of an item, with the line or the place in its faults.

    Args:
        error: As if the item were a request of its own.
        where: As `ItemReader` has it.
        number: Of the item.
    """
    faults = error.faults or (Fault("", str(error)),)
    return type(error).of(
        *(
            replace(
                fault,
                field=where.format(number=number, index=number - 1, field=fault.field).rstrip(
                    ": ."
                ),
                message=fault.message.removeprefix("the body "),
            )
            for fault in faults
        )
    )


def parse_line(raw: bytes | None, bounds: ItemBounds) -> object:
    """The JSON value of a line; None stands for a line that is too long.

    Raises:
        CallerError: It is not JSON, too long or too complex.
    """
    if raw is None:
        most = bounds.max_line_bytes
        raise BodyTooLarge.of(Fault("", f"is longer than {most} bytes", f"up to {most} bytes"))
    try:
        return strict_json.parse(raw, bounds.max_depth, bounds.max_values)
    except RecursionError as error:
        raise BadRequest.of(Fault("", "is nested too deeply", "JSON")) from error


def common_of(value: object) -> object | None:
    """The common part, if the value of the first line is one: an object of `common` alone."""
    is_common = isinstance(value, Mapping) and value.keys() == {COMMON}
    return value[COMMON] if isinstance(value, Mapping) and is_common else None


class Lines:
    """Cuts chunks of bytes into numbered lines; blank ones are counted and left out."""

    def __init__(self, max_bytes: int) -> None:
        """Begin a text.

        Args:
            max_bytes: Of one line; a longer one is given as None.
        """
        self._max = max_bytes
        self._pieces: list[bytes] = []
        self._size = self._number = 0

    @property
    def pending(self) -> int:
        """Bytes of the line that has not ended yet."""
        return min(self._size, self._max)

    def feed(self, chunk: bytes) -> Iterator[tuple[int, bytes | None]]:
        """The lines that end in a chunk: the number of each, from 1, and its bytes."""
        at = 0
        while (end := chunk.find(b"\n", at)) >= 0:
            self._keep(chunk[at:end])
            yield from self._line()
            at = end + 1
        self._keep(chunk[at:])

    def end(self) -> Iterator[tuple[int, bytes | None]]:
        """The last line, if the text does not end with the end of a line."""
        if self._size:
            yield from self._line()

    def _keep(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size > self._max:
            self._pieces.clear()
        elif piece:
            self._pieces.append(piece)

    def _line(self) -> Iterable[tuple[int, bytes | None]]:
        self._number += 1
        line = None if self._size > self._max else b"".join(self._pieces).strip(b" \t\r")
        self._pieces, self._size = [], 0
        return () if line == b"" else ((self._number, line),)
