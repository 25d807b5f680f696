"""Warm pages: the picture of a Chrome of its own, and nothing of one render in the next.

What a poisoned page can do to others is in test_poisoned_pages.py. Full Chromium takes a second of
CPU for each Chrome of its own: `make test` has each kind of test in it, with one template or two.
"""

import contextlib
import json
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from poster_service.settings import default_templates
from tests.bundled import NAMES, filled, longest, sample_of, schema_of
from tests.chrome.conftest import PROGRAMS, installed
from tests.unit.template_folders import make
from tests.web.service import Service, running_in_own_folder

SAMPLES = {name: sample_of(name) for name in NAMES}
RED, BLUE = (
    f"<svg xmlns='http://www.w3.org/2000/svg' width='40' height='40'>"
    f"<rect width='40' height='40' fill='{colour}'/></svg>"
    for colour in ("red", "blue")
)
PAGE = """<!doctype html><html lang="en"><head><title>{{ title }}</title>
<link rel="stylesheet" href="style.css"></head><body class="{{ name }}">
<p dir="auto">{{ title }}{% if author is defined %}<img src="{{ author.name }}" alt="">{% endif %}
<img src="own.svg" alt=""></body></html>"""
CSS = (
    "body { margin: 0; font: 20px sans-serif } .N { background: url(back.svg) } img { float: left }"
)


CHROMES = dict(zip(("headless-shell", "chromium"), PROGRAMS, strict=True))


@pytest.fixture(scope="module")
async def services() -> AsyncIterator[Callable[[str], Awaitable[Service]]]:
    """The service of each Chrome, started when it is first asked for and stopped after the file.

    All templates at level `page`; the bundled ones and a small one.
    """
    started: dict[str, Service] = {}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for name in SAMPLES:
            (root / name).symlink_to(default_templates() / name)
        make(root, page=PAGE, style__css=CSS, own__svg=BLUE, back__svg=RED)
        async with contextlib.AsyncExitStack() as stack:

            async def service_of(program: str) -> Service:
                if program not in started:
                    started[program] = await stack.enter_async_context(running_in_own_folder(
                        templates=root, template_isolation="page", concurrency=1,
                        timeout_ms=60_000, allow_private="127.0.0.0/8",
                        chrome=installed(program), warm_pages=2,
                    ))  # fmt: skip
                return started[program]

            yield service_of


@pytest.fixture(
    params=[
        pytest.param(CHROMES["headless-shell"], id="headless-shell"),
        pytest.param(CHROMES["chromium"], id="chromium", marks=pytest.mark.slow),
    ],
)
async def service(
    request: pytest.FixtureRequest, services: Callable[[str], Awaitable[Service]]
) -> Service:
    """That of one of both Chromes.

    It is no fixture of the file itself: each row of `with_each` would start another.
    """
    return await services(request.param)


def with_each(name: str, values: Sequence[Any], quick: int, full: int) -> pytest.MarkDecorator:
    """An argument of a test that has each of these values, in both Chromes.

    Args:
        name: Of the argument.
        values: In headless-shell `make test` has all of them.
        quick: Every so many of these are in the quick suite.
        full: Every so many are in full Chromium; the rest of them are for `make endurance`.
    """
    marks = {
        "headless-shell": (quick, pytest.mark.slow),
        "chromium": (full, pytest.mark.endurance),
    }
    rows = [
        pytest.param(
            CHROMES[chrome],
            value,
            id=f"{chrome}-{value}",
            marks=[rest] * (place % step > 0) + [pytest.mark.slow] * (chrome == "chromium"),
        )
        for chrome, (step, rest) in marks.items()
        for place, value in enumerate(values)
    ]
    return pytest.mark.parametrize(("service", name), rows, indirect=["service"])


async def rendered(service: Service, level: str, **options: Any) -> tuple[bytes, str]:
    """The picture of a render that must have had this level, and its warnings."""
    wanted = {} if level == "page" else {"isolation": level}
    answer = await service.render(**wanted, **options)
    assert answer.status == 200, await answer.text()
    assert answer.headers["X-Isolation"] == level
    return await answer.read(), answer.headers.get("X-Render-Warnings", "")


async def page_level(service: Service, **options: Any) -> tuple[bytes, str]:
    """The same at level `page`."""
    return await rendered(service, "page", **options)


async def same(service: Service, **options: Any) -> None:
    """A render has the same bytes and the same warnings in a warm page and in its own Chrome."""
    warm = await page_level(service, **options)
    own = await rendered(service, "process", **options)
    assert warm == own, {key: str(value)[:80] for key, value in options.items()}


def variants(name: str) -> dict[str, dict[str, Any]]:
    """Data of a bundled template: its sample, and such that breaks layouts."""
    sample, schema = SAMPLES[name], schema_of(name)
    return {
        "sample": sample,
        "least": {field: sample[field] for field in schema["required"]},
        "long": longest(name, "latin"),
        "one word": filled(name, "W"),
        "rtl": longest(name, "mixed"),
        "emoji": filled(name, "👩‍👩‍👧‍👦🏳️‍🌈 e\u0301\u0323 \u200d\u202e abc 𠀀 ﷽"),
        "markup": filled(name, "</h1></main><script>1</script>&amp;<b>'\"{{ x }}"),
    }


@with_each("name", NAMES, quick=3, full=len(NAMES))
async def test_every_data_gives_the_picture_of_a_chrome_of_its_own(
    service: Service, name: str
) -> None:
    """In one warm page, one after the other, so that each follows another; and the first again."""
    every = list(variants(name).values())
    first = await page_level(service, template=name, data=every[0])
    for data in (*every[1:], every[0]):
        await same(service, template=name, data=data)
    assert await page_level(service, template=name, data=every[0]) == first


OPTIONS: tuple[dict[str, Any], ...] = (
    {"format": "jpeg", "quality": 70}, {"format": "webp"}, {"png_compression": "small"},
    {"device_scale_factor": 2}, {"device_scale_factor": 1.5, "format": "jpeg"},
    {"width": 320, "height": 480}, {"width": 1600, "height": 200, "full_page": True},
    {"background": "#ff00ff"}, {"background": "transparent", "selector": "p", "padding": 5},
    {"media_features": {"prefers-color-scheme": "dark"}}, {"mobile": True, "touch": True},
    {"clip": {"x": 10, "y": 10, "width": 200, "height": 100}, "locale": "de-DE"},
)  # fmt: skip
TEMPLATES = ("share-poster", "article-card", "quote-card")


async def same_with_options(service: Service, name: str, some: Sequence[dict[str, Any]]) -> None:
    """Twice each, since the first render of a size makes the page that the second finds."""
    data = variants(name)
    for options in some:
        await page_level(service, template=name, data=data["rtl"], **options)
        await same(service, template=name, data=data["sample"], **options)


@with_each("share", [0, 1, 2], quick=3, full=3)
async def test_every_format_size_and_scale_gives_the_picture_of_a_chrome_of_its_own(
    service: Service, share: int
) -> None:
    """A third of the options with each of three templates."""
    await same_with_options(service, TEMPLATES[share], OPTIONS[share :: len(TEMPLATES)])


@pytest.mark.endurance
@pytest.mark.parametrize("name", TEMPLATES)
async def test_every_option_with_each_of_these_templates(service: Service, name: str) -> None:
    """In both Chromes."""
    await same_with_options(service, name, OPTIONS)


@with_each("scale", [2, 1], quick=1, full=2)
async def test_parts_of_a_page_are_captured_in_any_order(service: Service, scale: int) -> None:
    """All in the same warm page, each after another part of it, and the viewport in between."""
    parts: list[dict[str, Any]] = [
        {}, {"clip": {"x": 3, "y": 5, "width": 200, "height": 100}}, {"full_page": True},
        {"selector": "h1"}, {"clip": {"width": 300, "height": 300, "scale": 2}}, {},
        {"format": "jpeg"},
    ]  # fmt: skip
    name = "share-poster"
    for part in parts:
        await same(service, template=name, data=SAMPLES[name], device_scale_factor=scale, **part)


async def test_several_outputs_of_a_warm_page_are_those_of_a_chrome_of_its_own(
    service: Service,
) -> None:
    """With backgrounds of their own, which the next render does not find."""
    outputs = [
        {"name": "a", "background": "#00ff00"}, {"name": "b", "format": "jpeg"},
        {"name": "c", "device_scale_factor": 2, "background": "#0000ff"},
    ]  # fmt: skip
    data = {"template": "card", "data": {"title": "T", "name": "x"}, "width": 200, "height": 100}
    for _ in range(2):
        answers = [
            await service.render(**data, outputs=outputs, **more)
            for more in ({}, {"isolation": "process"})
        ]
        assert [one.headers["X-Isolation"] for one in answers] == ["page", "process"]
        assert len({one.headers["ETag"] for one in answers}) == 1
        await same(service, **data)


async def test_a_callers_file_is_not_found_by_the_next_caller(service: Service) -> None:
    """Whose file has the same name, or who sends none."""

    async def shown(body: str | None) -> tuple[bytes, str]:
        form = aiohttp.FormData(default_to_multipart=True)
        data = {"title": "T", "name": "x", "author": {"name": "sent.svg"}}
        fields = {"template": "card", "data": json.dumps(data), "width": "90", "height": "60"}
        for name, value in fields.items():
            form.add_field(name, value)
        if body:
            form.add_field("sent.svg", body, filename="sent.svg", content_type="image/svg+xml")
        async with service.client.post(f"{service.address}/render", data=form) as answer:
            assert answer.status == 200, await answer.text()
            assert answer.headers["X-Isolation"] == "page"
            return await answer.read(), answer.headers.get("X-Render-Warnings", "")

    red, blue, none = [await shown(body) for body in (RED, BLUE, None)]
    assert len({red[0], blue[0], none[0]}) == 3
    assert (red[1], blue[1]) == ("", "")
    assert "sent.svg" in none[1]
    assert await shown(RED) == red


async def test_warnings_are_of_the_render_that_they_belong_to(service: Service) -> None:
    """Chrome's log of the page is emptied as well."""
    given = {"template": "card", "width": 90, "height": 60}
    data = {"title": "T", "name": "x"}
    for name in ("file:///etc/passwd", "http://a.invalid/b.png", "none.png"):
        broken = await page_level(service, **given, data={**data, "author": {"name": name}})
        assert name.rpartition("/")[2] in broken[1]
        assert (await page_level(service, **given, data=data))[1] == ""


@with_each(
    "picture",
    [
        "https://10.0.0.1/a.png", "https://169.254.169.254/latest/meta-data/", "https://[::1]/a.png",
        "file:///etc/passwd", "//a.invalid/a.png", "../share-poster/a.png",
        "data:text/html,<script>1</script>", "blob:https://poster.invalid/1",
        "data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg'><script>1</script>"
        "<image href='https://10.0.0.1/a.png'/></svg>",
    ],
    quick=1, full=4,
)  # fmt: skip
async def test_what_a_page_may_not_have_it_has_at_no_level(service: Service, picture: str) -> None:
    """The same picture and the same warnings, and the next render has none of them."""
    given = {"template": "card", "width": 90, "height": 60}
    data = {"title": "T", "name": "x"}
    clean = await page_level(service, **given, data=data)
    await same(service, **given, data={**data, "author": {"name": picture}})
    assert await page_level(service, **given, data=data) == clean
    assert clean[1] == ""


async def test_what_a_warm_page_cannot_paint_has_a_stricter_level(service: Service) -> None:
    """And so has what a caller asks for."""
    given = {"template": "card", "data": {"title": "T", "name": "x"}, "width": 90, "height": 60}
    for more in (
        {"format": "pdf"}, {"wait_for": {"selector": "p"}}, {"hide": ["p"]}, {"freeze": True},
        {"on_timeout": "capture"}, {"wait_until": "networkidle2"}, {"delay_ms": 1},
        {"scroll_page": True}, {"block": {"types": ["font"]}},
    ):  # fmt: skip
        answer = await service.render(**given, **more)
        assert (answer.status, answer.headers["X-Isolation"]) == (200, "context"), more
    script = {"title": "T", "name": "x", "author": {"name": "javascript:alert(1)"}}
    answer = await service.render(**{**given, "data": script})
    assert (answer.status, answer.headers["X-Isolation"]) == (200, "context")


async def test_a_page_is_used_again_and_a_template_that_changes_gets_another(
    service: Service,
) -> None:
    """At once, and the old one is ended."""
    given = {"template": "card", "data": {"title": "T", "name": "x"}, "width": 91, "height": 61}
    await page_level(service, **given)
    started = service.engine.pool.statistics().started
    first = await page_level(service, **given)
    assert service.engine.pool.statistics().started == started
    sheet = service.server.settings.templates / "card/style.css"
    try:
        sheet.write_text(f"{CSS} p {{ color: red }}")
        changed = await page_level(service, **given)
        assert changed != first
    finally:
        sheet.write_text(CSS)
    assert await page_level(service, **given) == first
