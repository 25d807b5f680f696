"""Every option of a group, nested ones too, one by one.

For all that must show them: OpenAPI, the command line, error texts, the table in the docs.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from poster_service.render.declaration import Option, OptionGroup, default_of, group_in, option_of
from poster_service.render.formats import FORMATS, OutputFormat
from poster_service.render.json_schema import (
    Json,
    allowed_words,
    branches,
    listed,
    plain_schema,
    present,
    type_words,
    value_words,
)


@dataclass(frozen=True)
class Entry:
    """One option, nested or not, with all that a list of options shows.

    Attributes:
        name: Dotted: `clip.width`. `headers.NAME` stands for a value of a map, `cookies.0.name`
            for an option of an item of a list.
        option: What its declaration says.
        schema: JSON Schema of a value that is given: without null, without references.
        default: The constant that it has when it is not given; None if there is none.
        formats: Those in which it has a meaning.
        sources: Kinds of source with which it has a meaning; empty for all.
        is_item: Whether it stands for a value of a map or list, which has no declaration of its
            own.
    """

    name: str
    option: Option
    schema: Json
    default: Any
    formats: tuple[OutputFormat, ...]
    sources: tuple[str, ...] = ()
    is_item: bool = False

    def fits(self, source: str) -> bool:
        """Whether it has a meaning with this kind of source; "" is any."""
        return not (source and self.sources) or source in self.sources

    @property
    def type(self) -> str:
        """Its type in a word or two: "whole number"."""
        return listed([type_words(one) for one in branches(self.schema)], "or")

    @property
    def allowed(self) -> str:
        """The values that it may have, in words."""
        formats = self.formats if self.formats != FORMATS else ()
        words = self.option.allowed or allowed_words(self.schema, self.option.unit)
        return words + (f", for {listed(formats, 'and')}" if formats else "")

    @property
    def default_text(self) -> str:
        """Its default in words; empty if there is none."""
        is_constant = isinstance(self.default, str | int | float)
        return self.option.default or (value_words(self.default) if is_constant else "")

    @property
    def is_value(self) -> bool:
        """Whether it can be written as one text, as in a query."""
        return any(one.get("type") not in ("object", "array") for one in branches(self.schema))

    @property
    def is_list(self) -> bool:
        """Whether it is a list."""
        return any(one.get("type") == "array" for one in branches(self.schema))

    @property
    def is_map(self) -> bool:
        """Whether it is an object whose names the caller chooses."""
        return any(
            one.get("type") == "object" and "properties" not in one for one in branches(self.schema)
        )


@dataclass(frozen=True)
class Row:
    """An option in the docs' table.

    Attributes:
        name: Dotted, as in `Entry`.
        type: In a word or two.
        allowed: Values in words.
        default: In words; empty if there is none.
        formats: Those in which it has a meaning.
        description: Sentences.
    """

    name: str
    type: str
    allowed: str
    default: str
    formats: tuple[OutputFormat, ...]
    description: str


def options_table(group: type[OptionGroup]) -> Iterator[Row]:
    """Every option of a group in the order of declaration, for the docs.

    One of an item that the group has itself, such as `outputs.0.format`, is there once.
    """
    known = entries_by_name(group)
    for one in entries(group):
        own = known.get(one.name.partition(".0.")[2])
        if not one.is_item and (own is None or own.option is not one.option):
            words = one.option.allowed or allowed_words(one.schema, one.option.unit)
            sources = (
                f" Only with {listed(one.option.sources, 'or')}." if one.option.sources else ""
            )
            yield Row(
                one.name, one.type, words, one.default_text, one.formats,
                one.option.description + sources,
            )  # fmt: skip


@lru_cache(maxsize=32)
def entries(group: type[OptionGroup]) -> tuple[Entry, ...]:
    """Every option of a group in the order of declaration; a nested one follows its group."""
    properties = plain_schema(group)["properties"]
    return tuple(_walk(group, properties, None))


@lru_cache(maxsize=32)
def entries_by_name(group: type[OptionGroup]) -> Mapping[str, Entry]:
    """`entries` by dotted name."""
    return {entry.name: entry for entry in entries(group)}


def _walk(group: type[OptionGroup], properties: Json, above: Entry | None) -> Iterator[Entry]:
    for name, declared in group.model_fields.items():
        option = option_of(declared)
        if above is not None and option.sources:
            raise TypeError(f"{group.__name__}.{name}: only an outermost option can have sources")
        entry = Entry(
            name=name if above is None else f"{above.name}.{name}",
            option=option,
            schema=present(properties[name]),
            default=default_of(declared),
            formats=option.formats or (above.formats if above else FORMATS),
            sources=option.sources if above is None else above.sources or option.around_sources,
        )
        yield entry
        yield from _below(entry, group_in(declared.annotation))


def _below(entry: Entry, group: type[OptionGroup] | None) -> Iterator[Entry]:
    """The options of a nested one."""
    for branch in branches(entry.schema):
        if "properties" in branch and group is not None:
            yield from _walk(group, branch["properties"], entry)
            continue
        inner = branch.get("items") or branch.get("additionalProperties")
        if isinstance(inner, dict) and inner:
            name = f"{entry.name}.{'0' if 'items' in branch else 'NAME'}"
            item = replace(entry, name=name, schema=inner, default=None, is_item=True)
            yield item
            yield from _below(item, group)
