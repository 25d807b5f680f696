"""How a render that has succeeded is answered as JSON."""

import json
from typing import NotRequired

from typing_extensions import TypedDict

from poster_service.render.result import Result
from poster_service.web.pieces import Base64, Piece


class PageResult(TypedDict):
    """A page of the web: its final address, its HTTP status, its title."""

    url: str
    status: int
    title: str


class EncodedResult(TypedDict):
    """A picture, with `width` and `height` in device pixels, a PDF, with its `pages`, or text."""

    format: str
    content_type: str
    width: NotRequired[int]
    height: NotRequired[int]
    pages: NotRequired[int]
    bytes: int
    etag: str
    data: str


class About(TypedDict):
    """What is known of a render beside its bytes."""

    cache: str
    age: int
    isolation: str
    filename: str | None
    warnings: list[dict[str, str | int]]
    timing_ms: dict[str, float]
    page: NotRequired[PageResult]


class RenderResult(EncodedResult, About):
    """A render as JSON."""


class ElementResult(TypedDict):
    """An element: its name, what it displays, the HTML inside, and its place in CSS pixels."""

    name: str
    text: str
    html: str
    attributes: dict[str, str]
    x: float
    y: float
    width: float
    height: float


class SelectorResult(TypedDict):
    """What a selector matches: how many there are, and the first of them."""

    selector: str
    count: int
    elements: list[ElementResult]


class ElementsResult(TypedDict):
    """What the format `elements` answers, for each selector in the order asked for."""

    selectors: list[SelectorResult]


class OutputResult(EncodedResult):
    """One of several outputs."""

    name: str


class OutputsResult(About):
    """A render with several outputs as JSON."""

    etag: str
    outputs: list[OutputResult]


def pieces_of(result: Result) -> list[Piece]:
    """The result as a JSON object, with bytes in base64 as the `data` at an object's end."""
    if result.names == ("",):
        known = {**result.encoded[0].known(), **result.about()}
        return _with_data(known, result.encoded[0].body)
    known = {"etag": result.etag.strip('"'), **result.about()}
    found: list[Piece] = []
    for name, one in zip(result.names, result.encoded, strict=True):
        found += [b", " if found else b"", *_with_data({**one.known(), "name": name}, one.body)]
    return [f'{_dumps(known)[:-1]}, "outputs": ['.encode(), *found, b"]}"]


def _with_data(known: dict[str, object], body: bytes) -> list[Piece]:
    """A JSON object of what is known, and of the bytes as `data`."""
    return [f'{_dumps(known)[:-1]}, "data": "'.encode(), Base64(body), b'"}']


def _dumps(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
