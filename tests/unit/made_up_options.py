"""Options of every shape, and a good value of each option there is."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from poster_service.render.declaration import Items, Option, OptionGroup, option_of
from poster_service.render.options import RenderOptions
from poster_service.render.output_options import OutputOptions
from poster_service.render.request import RenderRequest

Length = Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)?(mm|cm|in|px)$")]


class Clip(OptionGroup):
    """A part of the page."""

    x: Annotated[float, Option("Left edge in CSS pixels.")] = 0.0
    width: Annotated[float, Field(gt=0), Option("Width in CSS pixels.")]
    height: Annotated[float, Field(gt=0), Option("Height in CSS pixels.")]
    scale: Annotated[float | None, Option("Scale.", needs=("x",))] = None


class Margin(OptionGroup):
    """Of a sheet."""

    top: Annotated[Length, Option("Top margin.", allowed="a length like 10mm")] = "0px"


class Stamp(OptionGroup):
    """Sent with the requests of a page."""

    name: Annotated[str, Field(min_length=1), Option("Its name.")]
    secure: Annotated[bool, Option("Whether it is sent over https only.")] = False


class Sheet(OutputOptions):
    """One of several; its own format is the one that counts for its options."""

    size: Annotated[int, Option("Of its sheets.", formats=("pdf",), needs=("cut",))] = 0
    cut: Annotated[Clip | None, Option("A part.", formats=("png", "pdf"))] = None


class MadeUp(RenderOptions):
    """What is coming: options of every shape."""

    clip: Annotated[
        Clip | None,
        Option("A part of the page.", formats=("png", "jpeg", "webp"), excludes=("full_page",)),
    ] = None  # type: ignore[assignment]  # has a rule of its own, as no real group has
    margin: Annotated[
        Length | Margin,
        Option("Of the sheets.", allowed="a length like 10mm, or one for each side",
               formats=("pdf",)),
    ] = "0px"  # fmt: skip
    labels: Annotated[
        dict[str, Annotated[str, Field(max_length=20)]], Option("Sent with requests of the page.")
    ] = Field(default_factory=dict)
    events: Annotated[
        Items[Literal["load", "networkidle0"]], Field(max_length=2), Option("All of these events.")
    ] = ()
    stamps: Annotated[Items[Stamp], Field(max_length=2), Option("Of the page.")] = ()
    padding: Annotated[int, Field(ge=0, le=200), Option("Around it.", needs=("clip",))] = 0
    sheets: Annotated[Items[Sheet], Field(max_length=3), Option("Several.")] = ()


class MadeUpRequest(RenderRequest):
    """A request that has them."""

    declared: ClassVar[type[RenderOptions]] = MadeUp


#: A good value of each option, as JSON has it; of some the format, too.
GOOD: dict[str, Any] = {
    "allow_error_status": True, "headers": {"X-Tenant": "7"},
    "cookies": [{"name": "a", "value": "1", "domain": "example.com"}, {"name": "b", "value": "2"}],
    "credentials": {"username": "u", "password": "p"},
    "block": {"types": ["media", "font"], "patterns": ["*://ads.example/*"],
              "expressions": [r"^https?://ads\."]},
    "allow": {"types": ["image"], "expressions": [r"\.png$", "a,b"]},
    "respond": [{"expression": r"\.js$", "status": 204},
                {"expression": "x", "headers": {"X-A": "1"}, "content_type": "text/css",
                 "body": "YnVn", "encoding": "base64"}],
    "referrer": "https://a.example/from?x=1",
    "scoped_headers": [{"expression": "^https://a[.]example/", "headers": {"X-A": "1"}}],
    "width": 300, "height": 200, "device_scale_factor": 2.0, "format": "webp",
    "elements": {"elements": ["#a > b", "p"], "format": "elements"},
    "quality": {"quality": 70, "format": "jpeg"}, "png_compression": "small", "full_page": True,
    "mobile": True, "touch": True, "media": "print", "timezone": "Asia/Tokyo", "locale": "de-DE",
    "media_features": {"prefers-color-scheme": "dark", "forced-colors": "none"},
    "user_agent": "Mozilla/5.0 (x; y) z", "javascript": False,
    "pdf": {
        "format": "pdf",
        "pdf": {
            "paper": {"width": "10cm", "height": 500.5},
            "landscape": True, "margin": {"top": "2cm", "left": 12.5}, "scale": 0.5,
            "print_background": False, "pages": "1-3,5", "prefer_css_page_size": False,
            "outline": True, "header": "<b class=title></b>", "skip_first": True,
            "metadata": {"title": "Tü", "creation_date": "2026-01-31"},
        },
    },
    "styles": [{"content": "p { color: red }"}, {"url": "https://a.example/b.css"}],
    "scripts": [{"content": "1"}, {"url": "a.js"}], "hide": ["#a > b", ".c"], "freeze": True,
    "wait_until": "networkidle2", "on_timeout": "capture",
    "wait_for": {"selector": "svg", "state": "hidden", "event": "app:ready",
                 "timeout_ms": 900},
    "outputs": [{"name": "a", "format": "jpeg", "quality": 5}, {"device_scale_factor": 0.5}],
    "background": "#00ff00", "timeout_ms": 900, "strict": True, "cache_ttl": 60,
    "fail_on": ["http_5xx", "script_error"],
    "fail_on_status": {"resources": ["404", "5xx"], "except_hosts": ["cdn.example"]},
    "filename": "Bericht ü.png",
    "isolation": "process", "scroll_page": True, "selector": "#a > b[c='d']",
    "delay_ms": 10, "clip": {"x": 1.0, "width": 30.0, "height": 20.5},
    "margin": {"margin": {"top": "10mm"}, "format": "pdf"},
    "labels": {"X-A.b": "c=d", "Accept": "x"}, "events": ["networkidle0", "load"],
    "stamps": [{"name": "a", "secure": True}, {"name": "b"}],
    "store": True,
    "object": {"store": True, "object": {"name": "a/{digest}.png", "url_seconds": 60}},
    "destination": {
        "destination": {"url": "https://b.example/x?y=1", "headers": {"X-A.b": "c=d"}}
    },
    "padding": {"padding": 3, "clip": {"width": 1.0, "height": 1.0}},
    "sheets": [{"format": "jpeg", "quality": 5}, {"cut": {"width": 1.0, "height": 2.0}}],
}  # fmt: skip


def good(name: str) -> dict[str, Any]:
    """A body with that option and what it needs."""
    value = GOOD[name]
    return value if isinstance(value, dict) and name in value else {name: value}


def with_source(given_: dict[str, Any]) -> dict[str, Any]:
    """The same with a source that suits all of them."""
    named = [name for name in given_ if needs_url(name)]
    return {**({"url": "https://example.com/"} if named else {"html": "x"}), **given_}


def needs_url(name: str) -> bool:
    """Whether an option has a meaning with a page on the web only."""
    field = MadeUp.model_fields.get(name.partition(".")[0])
    return field is not None and option_of(field).sources == ("url",)
