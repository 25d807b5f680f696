"""How an option is declared, and what is derived from a declaration.

An option is a field of an `OptionGroup` with an `Option` in its annotation:

    quality: Annotated[
        Annotated[int, Field(ge=1, le=100)] | None,
        Option("Encoder quality.", formats=("jpeg", "webp"), default="80"),
    ] = None

Type, bounds and default are pydantic's; `Option` adds what pydantic cannot know. `option_list.py`
lists the options of a group, nested ones too. An option may be a group itself (`clip.width`), a map
(`dict[str, X]`), a list (`Items[X]`), or a union of these and a plain value.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Annotated, Any, ClassVar, TypeVar, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, GetJsonSchemaHandler
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema, to_jsonable_python

from poster_service.render.formats import OutputFormat
from poster_service.render.json_schema import (
    NULL,
    Json,
    listed,
)

#: The format of an answer whose request names none.
DEFAULT_FORMAT: OutputFormat = "png"

T = TypeVar("T")
#: A list in JSON. A tuple here, which is frozen as all of a request is.
Items = Annotated[
    tuple[T, ...], BeforeValidator(lambda given: tuple(given) if type(given) is list else given)
]


@dataclass(frozen=True)
class Option:
    """What a declaration says beside type, bounds and default.

    Attributes:
        description: What the option does, in sentences.
        allowed: The values in words, where type and bounds do not say it, as for a pattern.
        default: The default in words, where it is not a constant.
        unit: Of a number, in the plural: "milliseconds".
        formats: Those in which it has a meaning; empty for all. Only for options of a group that
            has a `format` of its own, which is the one that counts; of options nested below those
            of their group count.
        value_formats: The same for single values of it.
        value_needs: Options of the same group that must be given with single values of it.
        sources: Kinds of source with which it has a meaning; empty for all. Only of an outermost
            option.
        excludes: Options of the same group that must be left at their defaults beside it.
        needs: Options of the same group that must be given with it.
        needs_one_of: Options of the same group of which one must be given with it.
        around_excludes: Of a nested option: options of the group around its own that must be left
            at their defaults beside it.
        around_sources: Of an option of a group in the outermost: as `sources`.
        replaces: Options of the same group that each of its items has instead: beside it they must
            be left at their defaults.
        limit: The attribute of `Limits` that it must not exceed, if any.
        changes_output: Whether two requests that differ in it only get different pictures. Such an
            option is part of the cache key.
        is_content: Whether its value is the page or its data, which no error text shows: error
            texts are logged.
        is_secret: Whether its value may be a credential, which no link to a request has. Only of an
            outermost option.
        begins: Heading of a section of options, if one begins here: it has this option and those
            that are declared after it, up to the next. Only of an outermost option.
    """

    description: str
    allowed: str = ""
    default: str = ""
    unit: str = ""
    formats: tuple[OutputFormat, ...] = ()
    value_formats: Mapping[str, tuple[OutputFormat, ...]] = field(default_factory=dict)
    value_needs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    sources: tuple[str, ...] = ()
    excludes: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    needs_one_of: tuple[str, ...] = ()
    around_excludes: tuple[str, ...] = ()
    around_sources: tuple[str, ...] = ()
    replaces: tuple[str, ...] = ()
    limit: str = ""
    changes_output: bool = True
    is_content: bool = False
    is_secret: bool = False
    begins: str = ""

    def text(self) -> str:
        """The description, with formats, sources and default as sentences."""
        formats = f" Only for {listed(self.formats, 'and')}." if self.formats else ""
        sources = f" Only with {listed(self.sources, 'or')}." if self.sources else ""
        default = f" Default: {self.default}." if self.default else ""
        return f"{self.description}{formats}{sources}{default}"

    def __get_pydantic_json_schema__(
        self, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> Json:
        """The option's schema with its description, beside a reference if there is one."""
        return {**handler(core_schema), "description": self.text()}


class OptionGroup(BaseModel):
    """Options that stand together: all of a render, or those of a nested option.

    Attributes:
        at_least_one: Options of which one must be given; empty for no such rule.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    at_least_one: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        """Refuse a field that is not declared as an option.

        Raises:
            TypeError: A field has no `Option`; its `Option` names a field that does not exist, or
                has formats where the group has no `format`.
        """
        for name, one in cls.model_fields.items():
            option = option_of(one)
            if (option.formats or option.value_formats) and "format" not in cls.model_fields:
                raise TypeError(
                    f"{cls.__name__}.{name} has formats, but no format stands beside it"
                )
            named = {*option.excludes, *option.needs, *option.needs_one_of, *option.replaces}
            named |= {other for needed in option.value_needs.values() for other in needed}
            if unknown := named - set(cls.model_fields):
                raise TypeError(f"{cls.__name__}.{name} names unknown options: {unknown}")

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> Json:
        """The schema with the rules between options, which pydantic does not know."""
        schema = handler(core_schema)
        found = handler.resolve_ref_schema(schema)
        if rules := list(_rules(cls)):
            found["allOf"] = rules
        return schema

    def is_given(self, name: str) -> bool:
        """Whether an option has another value than its default."""
        _, default = declared_options(type(self))[name]
        return bool(getattr(self, name) != default)

    def output_options(self) -> Json:
        """The options, defaults included, that change the output: their part of a cache key."""
        options = declared_options(type(self)).items()
        others = {name for name, (option, _) in options if not option.changes_output}
        return self.model_dump(mode="json", exclude=others)


def option_of(declared: FieldInfo) -> Option:
    """The `Option` of a field.

    Raises:
        TypeError: It has none.
    """
    for one in declared.metadata:
        if isinstance(one, Option):
            return one
    raise TypeError(f"a field of an OptionGroup needs an Option(...) in its annotation: {declared}")


def default_of(declared: FieldInfo) -> Any:
    """The constant that an option has when it is not given; None for one that must be given."""
    return None if declared.is_required() else declared.get_default(call_default_factory=True)


@lru_cache(maxsize=64)
def declared_options(group: type[OptionGroup]) -> Mapping[str, tuple[Option, Any]]:
    """The options of a group by name, each with its default; every request reads them."""
    fields = group.model_fields.items()
    return {name: (option_of(declared), default_of(declared)) for name, declared in fields}


# --- the rules between options, as JSON Schema has them -----------------------------------------


def _rules(group: type[OptionGroup]) -> Iterator[Json]:
    if group.at_least_one:
        yield {"anyOf": [_given(group, name) for name in group.at_least_one]}
    for name, declared in group.model_fields.items():
        option = option_of(declared)
        given = _given(group, name)
        if option.formats:
            yield {"if": given, "then": _format_is(option.formats)}
        for value, formats in option.value_formats.items():
            same = {"required": [name], "properties": {name: {"const": value}}}
            yield {"if": same, "then": _format_is(formats)}
        for value, needed in option.value_needs.items():
            same = {"required": [name], "properties": {name: {"const": value}}}
            yield from ({"if": same, "then": _given(group, other)} for other in needed)
        if option.sources:
            yield {"if": given, "then": _source_is(option.sources)}
        for other in (*option.excludes, *option.replaces):
            yield {"if": given, "then": {"not": _given(group, other)}}
        for other in option.needs:
            yield {"if": given, "then": _given(group, other)}
        if option.needs_one_of:
            one_of = [_given(group, other) for other in option.needs_one_of]
            yield {"if": given, "then": {"anyOf": one_of}}
        yield from _rules_around(group, name, group_in(declared.annotation))


def _rules_around(
    group: type[OptionGroup], name: str, inner: type[OptionGroup] | None
) -> Iterator[Json]:
    """The rules between the options of a nested group and those of the group around it."""
    for option in inner.model_fields if inner is not None else ():
        assert inner is not None
        nested = {"type": "object", **_given(inner, option)}
        inside = {"required": [name], "properties": {name: nested}}
        declared = option_of(inner.model_fields[option])
        if declared.around_sources:
            yield {"if": inside, "then": _source_is(declared.around_sources)}
        for other in declared.around_excludes:
            if other in group.model_fields:
                yield {"if": inside, "then": {"not": _given(group, other)}}


def _source_is(kinds: Sequence[str]) -> Json:
    return {"anyOf": [{"required": [kind], "properties": {kind: {"not": NULL}}} for kind in kinds]}


def _given(group: type[OptionGroup], name: str) -> Json:
    default = to_jsonable_python(default_of(group.model_fields[name]))
    return {"required": [name], "properties": {name: {"not": {"const": default}}}}


def _format_is(formats: Sequence[OutputFormat]) -> Json:
    required = {} if DEFAULT_FORMAT in formats else {"required": ["format"]}
    return {**required, "properties": {"format": {"enum": list(formats)}}}


def group_in(annotation: Any) -> type[OptionGroup] | None:
    """The group that a type is, or has as a member or an item; None if there is none."""
    if isinstance(annotation, type) and issubclass(annotation, OptionGroup):
        return annotation
    found = (group_in(one) for one in get_args(annotation))
    return next((one for one in found if one is not None), None)
