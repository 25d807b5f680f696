"""What a caller asks for: a source, options and files; checked as a whole, frozen, no I/O.

All that can be wrong with a request on its own is found here, before a slot or a Chrome is asked
for; what it needs of the settings comes in as `Limits`.
"""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from poster_service.browser.types import max_side
from poster_service.errors import MOST_FAULTS, Fault, InvalidField
from poster_service.isolation import HtmlIsolation, Isolation
from poster_service.render.declaration import option_of
from poster_service.render.faults import (
    broken_rules,
    kind_of_value,
    unknown_option,
    validated,
    wrong_sources,
)
from poster_service.render.formats import most_pixels
from poster_service.render.json_schema import NULL, Json, branches, plain_schema
from poster_service.render.network_options import authorized_twice, wrong_cookies
from poster_service.render.options import RenderOptions
from poster_service.render.output_sizes import check_outputs
from poster_service.render.source import (
    SOURCE_FIELDS,
    Source,
    Url,
    kind_of,
    misplaced,
    source_schema,
)


@dataclass(frozen=True)
class Limits:
    """What the settings allow a request.

    Attributes:
        timeout_ms: Time for a render whose request names none, in milliseconds.
        max_timeout_ms: The most that a request may ask for, in milliseconds.
        max_pixels: Largest picture in device pixels.
        max_messages: Messages that Chrome may send of one page unasked.
        max_message_bytes: The same, in bytes.
        memory: Bytes of memory of one Chrome's processes during a render.
        isolation: What renders of HTML, Markdown and URLs may share at most.
        template_isolation: The same of templates that do not say.
    """

    timeout_ms: int = 15_000
    max_timeout_ms: int = 60_000
    max_pixels: int = 50_000_000
    max_messages: int = 20_000
    max_message_bytes: int = 32 << 20
    memory: int = 2 << 30
    isolation: HtmlIsolation = "process"
    template_isolation: Isolation = "process"


@dataclass(frozen=True)
class Asset:
    """A file that came with a page.

    Attributes:
        name: Its path below the page, as in `img/logo.png`.
        content_type: The media type with which the page gets it.
        body: Its bytes.
    """

    name: str
    content_type: str
    body: bytes

    def digest(self) -> tuple[str, str, str]:
        """Its name, its type, and the SHA-256 of its bytes in hexadecimal."""
        return self.name, self.content_type, hashlib.sha256(self.body).hexdigest()


@dataclass(frozen=True)
class RenderRequest:
    """A source, options and files that were checked; made by `parse`.

    Attributes:
        source: The page, or the template and its data.
        options: How the picture is made of it.
        files: Came with the page, by name; never part of the options.
        declared: The group that declares the options.
    """

    declared: ClassVar[type[RenderOptions]] = RenderOptions

    source: Source
    options: RenderOptions
    files: tuple[Asset, ...] = ()

    @classmethod
    def parse(
        cls, given: object, limits: Limits, *, strict: bool = True, files: tuple[Asset, ...] = ()
    ) -> Self:
        """Check what a caller sent: source and options by name, side by side.

        Args:
            given: Nested options are objects.
            limits: Of the settings.
            strict: Whether values must have their types, as in JSON; otherwise numbers are read
                from text, as in a query.
            files: That came with it.

        Raises:
            InvalidField: With a fault for each thing that is wrong.
        """
        if not isinstance(given, Mapping):
            raise InvalidField.of(
                Fault(
                    "", f"must be a JSON object of options, not {kind_of_value(given)}", "an object"
                )
            )
        unknown = cls._unknown(given)
        kind = kind_of(given)
        faults = [kind] if isinstance(kind, Fault) else list(misplaced(given, kind))
        source = None
        if not isinstance(kind, Fault):
            own = {name: given[name] for name in kind.model_fields if name in given}
            source, wrong = validated(kind, own, strict=strict)
            faults += wrong
        known = {name: given[name] for name in cls.declared.model_fields if name in given}
        options, wrong = validated(cls.declared, known, strict=strict)
        faults += wrong + unknown
        if options is not None:
            faults += broken_rules(options, limits)
            if not isinstance(kind, Fault):
                faults += wrong_sources(options, kind.kind)
                faults += misplaced_files(kind.kind, files)
        if isinstance(source, Url) and options is not None:
            faults += wrong_cookies(options.cookies, source.url)
            faults += authorized_twice(options.headers, options.credentials)
        if source is None or options is None or faults:
            raise InvalidField.of(*faults)
        return cls(source, options, files)

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """What may stand in a JSON body: the fields of a source, and the outermost options."""
        return (*SOURCE_FIELDS, *cls.declared.model_fields)

    @classmethod
    def json_schema(cls, limits: Limits) -> Json:
        """JSON Schema (2020-12) of what `parse` takes, with the bounds of `limits`."""
        source, options = source_schema(), plain_schema(cls.declared)
        for name, declared in cls.declared.model_fields.items():
            if limit := option_of(declared).limit:
                for kind in branches(options["properties"][name]):
                    if kind != NULL:
                        kind["maximum"] = getattr(limits, limit)
        return {
            "type": "object",
            "additionalProperties": False,
            "properties": source["properties"] | options["properties"],
            "oneOf": source["oneOf"],
            "allOf": options["allOf"],
        }

    @classmethod
    def _unknown(cls, given: Mapping[Any, Any]) -> list[Fault]:
        """A fault for each unknown option.

        Raises:
            InvalidField: There are more than an error lists.
        """
        names = cls.names()
        known = set(names)
        unknown = [name for name in given if name not in known]
        some = map(str, unknown[:MOST_FAULTS])
        faults = [unknown_option(name, cls.declared, names) for name in some]
        if len(unknown) > MOST_FAULTS:
            raise InvalidField.of(*faults, unlisted=len(unknown) - MOST_FAULTS)
        return faults


def misplaced_files(kind: str, files: tuple[Asset, ...]) -> list[Fault]:
    """A fault for files beside a source that cannot use them."""
    if kind == Url.kind and files:
        return [Fault(files[0].name[:100], "has no meaning with url", "files with a page")]
    return []


def check_pixels(options: RenderOptions, width: int, height: int, limits: Limits) -> None:
    """Refuse a viewport with more device pixels than allowed; the template may have chosen it.

    Raises:
        InvalidField: With the size and the bound.
    """
    scale = options.device_scale_factor
    across, down = math.ceil(width * scale), math.ceil(height * scale)
    if min(width, height) * scale < 1:
        raise InvalidField.of(
            Fault(
                "device_scale_factor",
                f"the picture would be less than one device pixel of {width} x {height}",
                "at least 1 device pixel a side",
            )
        )
    most, pixels = max_side(options.format), most_pixels(options.format, limits.max_pixels)
    if max(across, down) > most or across * down > pixels:
        raise InvalidField.of(
            Fault(
                "width",
                f"the picture would be {across} x {down} device pixels",
                f"width x height x device_scale_factor squared up to {pixels}, a side up to {most}",
            )
        )
    check_outputs(options, (width, height), limits.max_pixels)


def check_delay(options: RenderOptions, limits: Limits) -> None:
    """Refuse a delay that leaves no time for the render.

    Raises:
        InvalidField: With both times.
    """
    most = options.timeout_ms or limits.timeout_ms
    if options.delay_ms >= most:
        raise InvalidField.of(
            Fault(
                "delay_ms",
                f"{options.delay_ms} is not less than the time for the whole render, {most}",
                "less than timeout_ms",
            )
        )


#: What may stand in a JSON body.
OPTIONS = RenderRequest.names()
