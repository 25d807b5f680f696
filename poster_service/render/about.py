"""What a template says of itself in its schema's `x-poster`: size, further sizes, isolation."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from poster_service.browser.types import MAX_SIDE
from poster_service.isolation import LEVELS
from poster_service.render.json_schema import listed

#: What a template may say of itself.
KEYS = ("title", "description", "width", "height", "sizes", "isolation")
#: The name of a further size, and how many there may be.
_SIZE_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}\Z")
MAX_SIZES = 20


def faults_of(about: object) -> Iterator[str]:
    """What is wrong with the value of `x-poster`, with what is allowed; nothing if all is well."""
    if not isinstance(about, Mapping):
        yield f"x-poster: must be an object with width and height, but is {kind(about)}"
        return
    for side in ("width", "height"):
        if about.get(side) is not None:
            yield from _side(side, about[side])
    level = about.get("isolation")
    if level is not None and level not in LEVELS:
        yield f"x-poster: isolation is {_shown(level)}; allowed: {listed(LEVELS, 'or')}"
    yield from _sizes(about.get("sizes", []))


def sizes_of(about: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The further sizes that a template is made for, as GET /templates lists them."""
    names = ("name", "width", "height")
    return [{name: one[name] for name in names} for one in about.get("sizes", ())]


def kind(value: object) -> str:
    """A JSON value's type for a message, e.g. "a list"."""
    names = {list: "a list", str: "a string", bool: "true or false", type(None): "null"}
    return names.get(type(value), "an object" if isinstance(value, dict) else "a number")


def _sizes(sizes: object) -> Iterator[str]:
    form = '{"name": "square", "width": 1080, "height": 1080}'
    if not isinstance(sizes, list) or len(sizes) > MAX_SIZES:
        what = f"{len(sizes)} long" if isinstance(sizes, list) else kind(sizes)
        yield f"x-poster: sizes is {what}; allowed: a list of up to {MAX_SIZES} like {form}"
        return
    names = []
    for place, one in enumerate(sizes):
        if not isinstance(one, dict) or set(one) != {"name", "width", "height"}:
            yield f"x-poster: sizes.{place} is {_shown(one)}; allowed: an object like {form}"
            continue
        if not isinstance(one["name"], str) or not _SIZE_NAME.match(one["name"]):
            allowed = "a-z, 0-9 and -, up to 64 characters"
            yield f"x-poster: sizes.{place}.name is {_shown(one['name'])}; allowed: {allowed}"
        for side in ("width", "height"):
            yield from _side(f"sizes.{place}.{side}", one[side])
        names.append(one["name"])
    if twice := [name for name in names if names.count(name) > 1]:
        yield f"x-poster: two sizes have the name {_shown(twice[0])}"


def _side(name: str, value: object) -> Iterator[str]:
    if type(value) is not int or not 1 <= value <= MAX_SIDE:
        yield f"x-poster: {name} is {_shown(value)}; allowed: an integer from 1 to {MAX_SIDE}"


def _shown(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)[:40]
