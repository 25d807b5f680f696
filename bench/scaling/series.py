"""What grows: each series is a service's settings and a row of points, plain data."""

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bench.render.posters import REFERENCE, jpeg

#: Side of the pictures in a page, in pixels.
SIDE = 120
VIEWPORT = {"width": 750, "height": 1334}
CARD = "<!doctype html><body style='background: #0a0; font: 20px sans-serif'>A card"
PATIENT = {
    "POSTER_TIMEOUT_MS": "600000", "POSTER_MAX_TIMEOUT_MS": "600000",
    "POSTER_MAX_CONNECTIONS": "4096", "POSTER_QUEUE_SIZE": "2000",
}  # fmt: skip


@dataclass(frozen=True)
class Point:
    """One size.

    Attributes:
        x: The size, in the unit of its series.
        body: Of the request.
        callers: At once.
        renders: Renders of one window.
    """

    x: float
    body: Mapping[str, Any]
    callers: int = 1
    renders: int = 6


@dataclass(frozen=True)
class Series:
    """How one thing grows.

    Attributes:
        name: For --only.
        title: For tables and plots.
        unit: Of x.
        points: The row, from a function of the address where pictures are served.
        few: The points of --quick, by index.
        env: Settings of the service.
        by_load: The load grows and not the render: the rate shows the knee.
        most_rounds: It takes too long, and averages over too many renders, to need more.
    """

    name: str
    title: str
    unit: str
    points: Callable[[str], list[Point]]
    few: tuple[int, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    by_load: bool = False
    most_rounds: int = 100


def area(_: str) -> list[Point]:
    """The reference poster's look on ever larger squares."""
    sizes = (0.1, 0.25, 0.5, 1, 2, 4, 8, 16)
    return [Point(size, square(size)) for size in sizes]


def square(megapixels: float) -> dict[str, Any]:
    """A request for a square picture of that size, all of it painted."""
    side = round((megapixels * 1e6) ** 0.5)
    page = REFERENCE.body["html"].replace("width: 750px; height: 1334px", "min-height: 100vh")
    return {"html": page, "width": side, "height": side}


def markup(_: str) -> list[Point]:
    """Text, of which all is laid out and the first screen painted."""
    line = (
        "<p>Up before the light, along the wall, over the pass and down to the water again.</p>\n"
    )
    sizes = (1, 4, 16, 64, 256, 1024, 5120)
    pages = (CARD + line * max(1, (size * 1024 - len(CARD)) // len(line)) for size in sizes)
    return [
        Point(size, {"html": page, **VIEWPORT}, renders=6 if size < 1024 else 4)
        for size, page in zip(sizes, pages, strict=True)
    ]


COUNTS = (1, 2, 5, 10, 20, 50, 100, 200)


def gallery(sources: list[str]) -> dict[str, Any]:
    """A page of pictures, all of them in sight."""
    style = "<style>body { margin: 0 } img { width: 46px; height: 46px }</style>"
    images = "".join(f'<img alt="" src="{source}">' for source in sources)
    return {"html": f"<!doctype html>{style}{images}", **VIEWPORT}


def inline(_: str) -> list[Point]:
    """Pictures in the page itself, each another."""
    sources = [
        "data:image/jpeg;base64," + base64.b64encode(jpeg(n, SIDE, SIDE)).decode()
        for n in range(max(COUNTS))
    ]
    return [Point(count, gallery(sources[:count])) for count in COUNTS]


def fetched(address: str) -> list[Point]:
    """The same pictures, fetched from a server on this machine."""
    sources = [f"{address}/{n}.jpg" for n in range(max(COUNTS))]
    return [Point(count, gallery(sources[:count])) for count in COUNTS]


def callers(_: str) -> list[Point]:
    """The reference poster for ever more callers, each asking again when it has its picture."""
    return [
        Point(count, REFERENCE.body, count, max(12, 2 * count))
        for count in (1, 2, 4, 8, 16, 32, 64)
    ]


def queue(_: str) -> list[Point]:
    """So many at one instant, each once: all but the running ones wait."""
    body = {"html": CARD, "width": 200, "height": 200, "timeout_ms": 600_000}
    return [Point(count, body, count, count) for count in (10, 100, 1000)]


SERIES = (
    Series("area", "picture area", "megapixels", area, (0, 3, 5)),
    Series("html", "HTML", "KiB", markup, (0, 3, 5)),
    Series("inline", "pictures in the page", "pictures", inline, (0, 3, 7)),
    Series(
        "fetched", "pictures fetched", "pictures", fetched, (0, 3, 7),
        {"POSTER_ALLOW_PRIVATE": "127.0.0.0/8"},
    ),
    Series("callers", "callers at once", "callers", callers, (0, 1, 3), PATIENT, by_load=True),
    Series(
        "queue", "waiting at once", "requests", queue, (0, 1), PATIENT, by_load=True, most_rounds=1
    ),
)  # fmt: skip
