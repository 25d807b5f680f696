"""AVIF, which Chrome does not write: made of Chrome's own picture, alike in all but the bytes.

In headless-shell and full Chromium, with a Chrome for each render and with one for many.
"""

import asyncio
import base64
from typing import Any

import pytest
from PIL import Image, ImageChops, ImageStat

from tests.conftest import settled
from tests.web.conftest import Service
from tests.web.modes import in_both_chromes, service_in_modes
from tests.web.pictures import BLUE, CLEAR, RED, WHITE, at, decode, near

PAGE: dict[str, Any] = {
    "html": "<!doctype html><body style='margin:0;background:linear-gradient(red,blue)'>"
    "<p style='margin:0;font:20px sans-serif;color:white'>Some words</p>",
    "width": 401,
    "height": 300,
}


service = service_in_modes(cache_bytes=4 << 20)


def distance(one: Image.Image, other: Image.Image) -> float:
    """The mean difference of two pictures' channels."""
    return max(ImageStat.Stat(ImageChops.difference(one, other)).mean)


@pytest.mark.slow
@pytest.mark.parametrize("scale", [1, 2])
@pytest.mark.parametrize("full_page", [False, True])
async def test_it_is_the_picture_of_the_png(service: Service, scale: int, full_page: bool) -> None:
    """In the same size, as alike as Chrome's own WebP, and in fewer bytes."""
    page = {**PAGE, "device_scale_factor": scale, "full_page": full_page}
    png = await service.picture(**page)
    answer = await service.render(**page, format="avif")
    body = await answer.read()
    assert (answer.status, answer.content_type) == (200, "image/avif")
    assert body[4:12] == b"ftypavif"
    assert "encode;dur=" in answer.headers["Server-Timing"]
    assert decode(body).size == decode(png).size == (401 * scale, 300 * scale)
    webp = await service.picture(**page, format="webp")
    assert distance(decode(body), decode(png)) < 1.1 * distance(decode(webp), decode(png))
    assert len(body) < len(png)


async def test_quality_buys_likeness_with_bytes(service: Service) -> None:
    """From 1 to 100; without it 80."""
    png = decode(await service.picture(**PAGE))
    made = [
        await service.picture(**PAGE, format="avif", quality=quality) for quality in (1, 60, 100)
    ]
    assert len(made[0]) < len(made[1]) < len(made[2])
    far = [distance(decode(one), png) for one in made]
    assert far[0] > far[1] > far[2]
    assert await service.picture(**PAGE, format="avif", quality=80) == await service.picture(
        **PAGE, format="avif"
    )


@in_both_chromes
async def test_what_a_page_does_not_paint_is_transparent_as_in_a_png(service: Service) -> None:
    """Unless a colour is asked for."""
    page = {"html": "<body style='margin:0'><div style='width:40px;height:40px;background:red'>",
            "width": 80, "height": 40, "format": "avif"}  # fmt: skip
    for background, colour in ((None, CLEAR), ("transparent", CLEAR), ("#ffffff", WHITE),
                               ("#0000ff", BLUE)):  # fmt: skip
        picture = decode(await service.picture(**page, background=background))
        assert near(at(picture, 10, 10), RED)
        if colour == CLEAR:
            assert at(picture, 70, 20)[3] == 0
        else:
            assert near(at(picture, 70, 20), colour)


async def test_it_is_cached_and_described_like_the_others(service: Service) -> None:
    """The cache has it apart from the PNG of the same page."""
    page = {**PAGE, "html": PAGE["html"] + "cached"}
    await service.picture(**page)
    first = await service.render(**page, format="avif")
    where, headers = f"{service.address}/render", {"Accept": "application/json"}
    async with service.client.post(
        where, json={**page, "format": "avif"}, headers=headers
    ) as answer:
        found = await answer.json()
    assert (first.headers["X-Cache"], found["cache"]) == ("miss", "hit")
    assert (found["width"], found["height"], found["format"]) == (401, 300, "avif")
    assert base64.b64decode(found["data"]) == await first.read()


async def test_smallest_and_largest(service: Service) -> None:
    """One pixel is a picture; more than 4096 x 4096 are refused, before or after the layout."""
    one = decode(await service.picture(html="x", width=1, height=1, format="avif"))
    assert one.size == (1, 1)
    for options in ({"width": 4097, "height": 4096},
                    {"width": 2049, "height": 2048, "device_scale_factor": 2}):  # fmt: skip
        answer = await service.render(html="x", format="avif", **options)
        problem = await answer.json()
        assert (answer.status, problem["field"]) == (400, "width")
        assert "16777216" in problem["allowed"]
    tall = "<div style='height:16000px'>"
    answer = await service.render(html=tall, width=1100, height=10, full_page=True, format="avif")
    problem = await answer.json()
    assert (answer.status, problem["code"]) == (422, "picture_too_large")
    assert "16777216" in problem["detail"]


async def test_its_memory_is_counted_while_it_is_encoded(service: Service) -> None:
    """40 bytes for each pixel; afterwards nothing is."""
    budget, most = service.engine.buffers, 0
    page = {**PAGE, "width": 1000, "height": 1000, "html": PAGE["html"] + "counted"}
    render = asyncio.ensure_future(service.picture(**page, format="avif"))
    while not render.done():
        await asyncio.sleep(0.002)
        most = max(most, budget.used)
    assert decode(await render).size == (1000, 1000)
    assert most >= 40_000_000
    assert await settled(lambda: budget.used == 0)


@pytest.mark.parametrize(
    ("options", "field"),
    [({"quality": 0}, "quality"), ({"quality": 101}, "quality"),
     ({"png_compression": "small"}, "png_compression")],
)  # fmt: skip
async def test_what_has_no_meaning_is_refused(
    service: Service, options: dict[str, Any], field: str
) -> None:
    """As for every format."""
    answer = await service.render(html="x", format="avif", **options)
    assert (answer.status, (await answer.json())["field"]) == (400, field)
