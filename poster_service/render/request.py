"""A render job: checked on creation, frozen, no I/O.

Whatever can be wrong with a request on its own is found here, before a slot or a Chrome is asked
for; what it needs of the settings comes in as `Limits`.
"""

import hashlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    InstanceOf,
    PlainSerializer,
    ValidationError,
    ValidationInfo,
    model_validator,
)
from pydantic.json_schema import SkipJsonSchema
from pydantic_core import PydanticCustomError

from poster_service.browser.types import MAX_SIDE, Format, max_side
from poster_service.errors import MOST_FAULTS, Fault, InvalidField

#: How PNGs are compressed (encode.py).
PngCompression = Literal["fast", "balanced", "small"]

CONTENT_TYPES: Mapping[Format, str] = {
    "png": "image/png",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "pdf": "application/pdf",
}
DEFAULT_WIDTH = 750
DEFAULT_HEIGHT = 1334
DEFAULT_QUALITY = 80
#: A year, in seconds.
MAX_TTL = 31_536_000
WHITE = (255, 255, 255, 255)
CLEAR = (0, 0, 0, 0)
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}\Z")


@dataclass(frozen=True)
class Limits:
    """What the settings allow a job.

    Attributes:
        timeout_ms: Time for a render whose job does not say.
        max_timeout_ms: The most a job may ask for.
        max_pixels: Largest picture in device pixels.
        max_messages: What Chrome may tell of one page unasked, in messages.
        max_message_bytes: The same, in bytes.
        memory: Bytes of memory of one Chrome's processes during a render.
    """

    timeout_ms: int = 15_000
    max_timeout_ms: int = 60_000
    max_pixels: int = 50_000_000
    max_messages: int = 20_000
    max_message_bytes: int = 32 << 20
    memory: int = 2 << 30


@dataclass(frozen=True)
class Asset:
    """A file that came with a page.

    Attributes:
        name: Its path below the page, as in `img/logo.png`.
        content_type: What the page is told that it is.
        body: Its bytes.
    """

    name: str
    content_type: str
    body: bytes

    def digest(self) -> tuple[str, str, str]:
        """Itself in JSON: its name, its type, and the SHA-256 of its bytes."""
        return self.name, self.content_type, hashlib.sha256(self.body).hexdigest()


#: A file in a job; made before, never read from what a caller wrote.
_Asset = Annotated[InstanceOf[Asset], PlainSerializer(Asset.digest, when_used="json")]


#: `_check_source` and `_check_look` as JSON Schema says them; a test holds them together.
RULES: dict[str, Any] = {
    "oneOf": [
        {
            "required": ["html"],
            "properties": {
                "html": {"type": "string"}, "template": {"type": "null"}, "data": {"type": "null"},
            },
        },
        {
            "required": ["template"],
            "properties": {"template": {"type": "string"}, "html": {"type": "null"}},
        },
    ],
    "allOf": [
        {
            "if": {"required": ["quality"], "properties": {"quality": {"type": "integer"}}},
            "then": {
                "required": ["format"],
                "properties": {"format": {"enum": ["jpeg", "webp"]}},
            },
        },
        {
            "if": {
                "required": ["png_compression"],
                "properties": {"png_compression": {"not": {"const": "fast"}}},
            },
            "then": {"properties": {"format": {"const": "png"}}},
        },
        {
            "if": {"required": ["format"], "properties": {"format": {"const": "jpeg"}}},
            "then": {"properties": {"background": {"not": {"const": "transparent"}}}},
        },
    ],
}  # fmt: skip


class RenderRequest(BaseModel):
    """What one render is asked for; made by `parse`."""

    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_extra=RULES)

    html: str | None = Field(
        None, min_length=1, description="The page itself; this or `template`, not both."
    )
    template: str | None = Field(
        None,
        pattern=r"^[a-z0-9][a-z0-9-]{0,63}$",
        description="Name of a template; see GET /templates.",
    )
    data: dict[str, Any] | None = Field(
        None, description="The template's data; must fit its schema."
    )
    width: Annotated[int, Field(ge=1, le=MAX_SIDE)] | None = Field(
        None, description="Viewport width in CSS pixels; default 750, or the template's own."
    )
    height: Annotated[int, Field(ge=1, le=MAX_SIDE)] | None = Field(
        None, description="Viewport height in CSS pixels; default 1334, or the template's own."
    )
    device_scale_factor: float = Field(
        1.0, ge=0.1, le=5.0, description="Device pixels per CSS pixel."
    )
    format: Format = Field("png", description="Encoding of the answer.")
    quality: Annotated[int, Field(ge=1, le=100)] | None = Field(
        None, description="Encoder quality of jpeg and webp; default 80."
    )
    png_compression: PngCompression = Field(
        "fast",
        description="How a png is compressed: `fast` (up to twice the bytes of the others),"
        " `balanced`, or `small` (the most CPU). The pixels are the same.",
    )
    full_page: bool = Field(
        False, description="The whole document instead of the viewport; a PDF gets one tall page."
    )
    background: str | None = Field(
        None,
        json_schema_extra={"pattern": "^(transparent|#[0-9a-fA-F]{6})$"},
        description="Under the page: `transparent`, or `#rrggbb`. Default: transparent for png and"
        " webp, white for jpeg and pdf.",
    )
    timeout_ms: int | None = Field(
        None, ge=100, description="Time for the whole render, waiting included, in milliseconds."
    )
    strict: bool = Field(
        False,
        description="Fail the render if the page does not get something it asks for; without it the"
        " picture is made and X-Render-Warnings tells.",
    )
    #: No option: nothing but `parse` puts it in. A part of the job all the same, so that two jobs
    #: with different files are never equal.
    assets: SkipJsonSchema[tuple[_Asset, ...]] = Field(
        (), repr=False, description="Files that came with the page."
    )

    cache_ttl: Annotated[int, Field(ge=0, le=MAX_TTL)] | None = Field(
        None,
        description="Seconds for which the picture may be given again to equal requests, whatever"
        " runs on the page or was fetched; 0 is never. Default: as long as it cannot come out"
        " differently.",
    )

    @classmethod
    def parse(
        cls, given: object, limits: Limits, *, strict: bool = True, assets: tuple[Asset, ...] = ()
    ) -> Self:
        """Check what a caller sent; lenient (`strict=False`) reads numbers out of query strings.

        Raises:
            InvalidField: With a fault for each thing that is wrong.
        """
        if not isinstance(given, Mapping):
            raise InvalidField.of(Fault("", "must be a JSON object of options", "an object"))
        if "assets" in given:
            raise InvalidField.of(Fault("assets", "files are parts of a form", allowed("assets")))
        check_names(given)
        try:
            return cls.model_validate({**given, "assets": assets}, strict=strict, context=limits)
        except ValidationError as error:
            found = error.errors(include_url=False, include_input=False)
            raise InvalidField.of(*map(_fault, found)) from None

    @model_validator(mode="after")
    def _consistent(self, info: ValidationInfo) -> Self:
        """What no field can tell on its own."""
        limits = info.context if isinstance(info.context, Limits) else Limits()
        self._check_source()
        self._check_look()
        if (self.timeout_ms or 0) > limits.max_timeout_ms:
            raise _wrong(
                "timeout_ms", "is more than may be asked for", f"100 to {limits.max_timeout_ms}"
            )
        return self

    def _check_source(self) -> None:
        if (self.html is None) == (self.template is None):
            both = "not both" if self.html is not None else "one is missing"
            raise _wrong(
                "html", f"exactly one of html and template is needed, {both}", "html or template"
            )
        if self.data is not None and self.template is None:
            raise _wrong("data", "is only of use with a template", "nothing, without template")

    def _check_look(self) -> None:
        if self.quality is not None and self.format not in ("jpeg", "webp"):
            raise _wrong("quality", f"has no meaning for {self.format}", "jpeg or webp as format")
        if self.png_compression != "fast" and self.format != "png":
            raise _wrong("png_compression", f"has no meaning for {self.format}", "png as format")
        if self.background is None:
            return
        if self.background != "transparent" and not _COLOUR.match(self.background):
            raise _wrong("background", "is no colour that is understood", "transparent or #rrggbb")
        if self.background == "transparent" and self.format == "jpeg":
            raise _wrong("background", "jpeg cannot be transparent", "#rrggbb")

    def colour(self) -> tuple[int, int, int, int]:
        """The background as RGBA."""
        if self.background is None:
            return CLEAR if self.format in ("png", "webp") else WHITE
        if self.background == "transparent":
            return CLEAR
        red, green, blue = bytes.fromhex(self.background[1:])
        return red, green, blue, 255


def check_pixels(job: RenderRequest, width: int, height: int, limits: Limits) -> None:
    """Refuse a viewport with more device pixels than allowed; the template may have chosen it.

    Raises:
        InvalidField: Telling the size and the bound.
    """
    across = math.ceil(width * job.device_scale_factor)
    down = math.ceil(height * job.device_scale_factor)
    if min(width, height) * job.device_scale_factor < 1:
        raise InvalidField.of(
            Fault(
                "device_scale_factor",
                f"the picture would be less than one device pixel of {width} x {height}",
                "at least 1 device pixel a side",
            )
        )
    most = max_side(job.format)
    if max(across, down) > most or across * down > limits.max_pixels:
        raise InvalidField.of(
            Fault(
                "width",
                f"the picture would be {across} x {down} device pixels",
                f"width x height x device_scale_factor squared up to {limits.max_pixels}, a side"
                f" up to {most}",
            )
        )


def check_names(given: Mapping[Any, Any]) -> None:
    """Refuse more unknown options than are listed, before anything is made of each of them.

    Raises:
        InvalidField: Naming the first of them.
    """
    unknown = [name for name in given if name not in OPTIONS]
    if len(unknown) > MOST_FAULTS:
        faults = [_unknown_option(str(name)) for name in unknown[:MOST_FAULTS]]
        raise InvalidField.of(*faults, unlisted=len(unknown) - MOST_FAULTS)


def _unknown_option(name: str) -> Fault:
    return Fault(name, "no such option", ", ".join(OPTIONS))


def _wrong(field: str, message: str, allowed: str) -> PydanticCustomError:
    return PydanticCustomError(
        "poster", "{message}", {"message": message, "field": field, "allowed": allowed}
    )


def _fault(entry: Any) -> Fault:
    """One of pydantic's findings in our words."""
    context = entry.get("ctx", {})
    if entry["type"] == "poster":
        return Fault(context["field"], context["message"], context["allowed"])
    field = ".".join(str(part) for part in entry["loc"])
    if entry["type"] == "extra_forbidden":
        return _unknown_option(field)
    message = entry["msg"][:1].lower() + entry["msg"][1:]
    return Fault(field, message.replace("input should", "must"), allowed(field))


def allowed(field: str) -> str | None:
    """The values of a field in words, from the same declaration that checks them."""
    return _ALLOWED.get(field.split(".", maxsplit=1)[0])


_ALLOWED = {
    "html": "a string that is not empty",
    "template": "the name of a template, see GET /templates",
    "data": "an object that fits the template's schema",
    "width": f"a whole number from 1 to {MAX_SIDE}",
    "height": f"a whole number from 1 to {MAX_SIDE}",
    "device_scale_factor": "a number from 0.1 to 5",
    "format": "png, jpeg, webp or pdf",
    "quality": "a whole number from 1 to 100, for jpeg and webp",
    "png_compression": "fast, balanced or small",
    "full_page": "true or false",
    "background": "transparent or #rrggbb",
    "timeout_ms": "a whole number of milliseconds, from 100",
    "strict": "true or false",
    "cache_ttl": f"a whole number of seconds, from 0 to {MAX_TTL}",
    "assets": "files of a multipart/form-data body",
}
#: What a caller may write, by name.
OPTIONS = tuple(name for name in RenderRequest.model_fields if name != "assets")
