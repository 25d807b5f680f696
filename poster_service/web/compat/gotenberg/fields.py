"""The fields of Gotenberg's forms for Chromium: each with how it is read and its default.

Everything that lists them reads these tables: the translation, OpenAPI and the docs.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from poster_service.errors import Fault
from poster_service.render.json_schema import Json
from poster_service.web.bodies import BodyLimits
from poster_service.web.compat.gotenberg import values

BOOLEAN: Json = {"type": "string", "enum": ["true", "false"]}
NUMBER: Json = {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?$"}
WHOLE: Json = {"type": "string", "pattern": "^[0-9]{1,9}$"}
TEXT: Json = {"type": "string"}
LENGTH: Json = {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?(pt|px|in|mm|cm|pc)?$"}
DURATION: Json = {"type": "string", "pattern": r"^([0-9]+(\.[0-9]+)?(ns|us|ms|s|m|h))+$"}
JSON: Json = {"type": "string", "contentMediaType": "application/json"}


@dataclass(frozen=True)
class Field:
    """One field.

    Attributes:
        about: What it does, for the docs and OpenAPI.
        read: Its value from text; raises ValueError with a sentence for the caller.
        default: The value without it.
        shown: The default as the docs show it.
        schema: JSON Schema of the text.
        is_json: Whether `read` gets the value of a JSON text, and not the text.
    """

    about: str
    read: Callable[[Any], Any] = str
    default: Any = ""
    shown: str = ""
    schema: Json = field(default_factory=lambda: TEXT)
    is_json: bool = False


def _flag(about: str, default: bool = False) -> Field:
    return Field(about, values.boolean, default, str(default).lower(), BOOLEAN)


def _length(about: str, inches: float) -> Field:
    return Field(about, values.length, inches * values.PIXELS_PER_INCH, f"{inches}in", LENGTH)


def _json(about: str, read: Callable[[Any], Any], default: Any, shown: str = "") -> Field:
    return Field(about, read, default, shown, JSON, is_json=True)


def statuses(value: Any) -> tuple[str, ...]:
    """Statuses as `fail_on_status` has them: X99 stands for all of a class."""
    is_list = isinstance(value, list) and all(type(one) is int for one in value)
    if not is_list:
        raise ValueError("it is not a JSON list of whole numbers")
    known = [one for one in value if 100 <= one <= 599]
    return tuple(dict.fromkeys(f"{one // 100}xx" if one % 100 == 99 else str(one) for one in known))


def _texts(value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise ValueError("it is not a JSON list of strings")
    return value


def _objects(value: Any) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise ValueError("it is not a JSON list of objects")
    return value


def _cookies(value: Any) -> list[dict[str, Any]]:
    for place, cookie in enumerate(_objects(value)):
        needed = [cookie.get(name) for name in ("name", "value", "domain")]
        if not all(isinstance(one, str) and one.strip() for one in needed):
            raise ValueError(f"cookie {place} must have its name, value and domain set")
    return _objects(value)


def _features(value: Any) -> dict[str, str]:
    """Media features from an object, or from a list of names and values, which clients send."""
    if isinstance(value, list):
        found = [(one.get("name"), one.get("value")) for one in _objects(value)]
        if not all(isinstance(name, str) for name, _ in found):
            raise ValueError("it has a media feature without a name")
        value = dict(found)
    return values.strings(value)


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("it is not a JSON object")
    return value


def _one_of(*allowed: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in allowed:
            named = ", ".join(f"'{one}'" for one in allowed[:-1])
            raise ValueError(f"wrong value, expected either {named} or '{allowed[-1]}'")
        return text

    return read


def _media(text: str) -> str:
    if text not in ("screen", "print"):
        raise ValueError("wrong value, expected either 'screen', 'print' or empty")
    return text


def _quality(text: str) -> int:
    found = values.whole(text)
    if found < 0:
        raise ValueError("value is negative")
    if found > 100:
        raise ValueError("value is superior to 100")
    return found


COMMON: Mapping[str, Field] = {
    "skipNetworkIdleEvent": _flag(
        "If false, waits until no request has been under way for 500 ms.", True
    ),
    "skipNetworkAlmostIdleEvent": _flag(
        "If false, waits until at most two requests have been under way for 500 ms.", True
    ),
    "failOnHttpStatusCodes": _json(
        "409 if the page itself has one of these statuses; X99 stands for all of a class.",
        statuses, ("4xx", "5xx"), "[499,599]",
    ),
    "failOnResourceHttpStatusCodes": _json(
        "409 if something that the page loads has one of these statuses.", statuses, (), "[]"
    ),
    "ignoreResourceHttpStatusDomains": _json(
        "Hosts, with all below them, whose statuses do not count there.", _texts, [], "[]"
    ),
    "failOnResourceLoadingFailed": _flag("409 if something that the page loads does not come."),
    "failOnConsoleExceptions": _flag("409 if a script of the page fails."),
    "waitDelay": Field("Time to wait after all else.", values.milliseconds, 0, "0s", DURATION),
    "waitWindowStatus": Field("Waits until `window.status` has this value."),
    "waitForExpression": Field("Waits until this JavaScript gives a true value."),
    "waitForSelector": Field("Waits until an element that this CSS selector matches is visible."),
    "cookies": _json("Cookies of the page at `url`.", _cookies, []),
    "userAgent": Field("What the browser calls itself."),
    "extraHttpHeaders": _json(
        "Headers; `;scope=` and a regular expression in a value say for which addresses.",
        values.strings, {},
    ),
    "emulatedMediaType": Field(
        "Media type of CSS.", _media, "", "", {"type": "string", "enum": ["screen", "print"]}
    ),
    "emulatedMediaFeatures": _json("Media features of CSS, by name.", _features, {}),
    "omitBackground": _flag("Leaves the background transparent."),
}  # fmt: skip

SCREENSHOT: Mapping[str, Field] = {
    "width": Field("Width of the viewport in CSS pixels.", values.whole, 800, "800", WHOLE),
    "height": Field("Height of the viewport in CSS pixels.", values.whole, 600, "600", WHOLE),
    "clip": _flag("The viewport instead of the whole page."),
    "selector": Field("The first element that this CSS selector matches, instead of the page."),
    "format": Field(
        "Encoding.", _one_of("png", "jpeg", "webp"), "png", "png",
        {"type": "string", "enum": ["png", "jpeg", "webp"]},
    ),
    "quality": Field("Of a jpeg, 0 to 100.", _quality, 100, "100", WHOLE),
    "optimizeForSpeed": _flag("A png in less time, with up to twice the bytes."),
    "deviceScaleFactor": Field(
        "Device pixels to a CSS pixel.", values.number, 1.0, "1", NUMBER
    ),
}  # fmt: skip

PDF: Mapping[str, Field] = {
    "landscape": _flag("Turns the sheets."),
    "printBackground": _flag("Prints the background of the page."),
    "scale": Field("Size of what is printed.", values.number, 1.0, "1", NUMBER),
    "singlePage": _flag("All of the page on one sheet."),
    "paperWidth": _length("Width of the sheets.", 8.5),
    "paperHeight": _length("Height of the sheets.", 11),
    "marginTop": _length("Top margin.", 0.39),
    "marginBottom": _length("Bottom margin.", 0.39),
    "marginLeft": _length("Left margin.", 0.39),
    "marginRight": _length("Right margin.", 0.39),
    "nativePageRanges": Field("The pages to print, as in `1-3,5`.", str, "", "all"),
    "preferCssPageSize": _flag("The page's own `@page { size: ... }` has precedence."),
    "generateDocumentOutline": _flag("An outline of the page's headings."),
    "generateTaggedPdf": _flag("Tags for screen readers."),
    "metadata": _json(
        "`Title`, `Author`, `Subject`, `Keywords`, `Creator`, `Producer`, `CreationDate`.",
        _object, {},
    ),
}  # fmt: skip


def read(
    given: Mapping[str, str], tables: Iterable[Mapping[str, Field]], limits: BodyLimits
) -> tuple[dict[str, Any], list[Fault]]:
    """The value of each field, and a fault for each that has none; an empty field is not given."""
    found: dict[str, Any] = {}
    faults = []
    for name, one in ((name, one) for table in tables for name, one in table.items()):
        found[name] = one.default
        text = given.get(name, "")
        if text:
            try:
                found[name] = one.read(values.parsed(text, limits) if one.is_json else text)
            except ValueError as error:
                faults.append(Fault(name, str(error)))
    return found, faults
