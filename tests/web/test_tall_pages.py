"""Pages larger than Chrome's surface, 16,384 device pixels: captured in pieces that fit together.

In headless-shell and full Chromium, with a Chrome for each render and with one for many. Every row
of a page has its own colour, so that a row that is missing, repeated or white is seen.
"""

import io
from typing import Any

import pytest
from PIL import Image, ImageChops

from tests.marks import some_in_quick
from tests.web.conftest import Service
from tests.web.modes import in_both_chromes, service_in_modes
from tests.web.pictures import BLUE, CLEAR, LIME, RED, at, decode

# Its renders are the largest: at a load of 30 one of them took more than a minute.
service = service_in_modes(timeout_ms=240_000, max_timeout_ms=240_000)


#: Height of a row in CSS pixels.
ROW = 10


def colour(row: int) -> tuple[int, int, int]:
    """That of a row; no two rows have the same."""
    return row >> 8, row & 255, row * 37 & 255


def rows(count: int, more: str = "") -> str:
    """A page of so many rows, each with its number."""
    style = (
        "<!doctype html><style>body { margin: 0; font: 8px sans-serif } i { display: block;"
        f" height: {ROW}px; overflow: hidden }}</style>{more}"
    )
    found = (f"<i style='background:rgb{colour(one)}'>row {one}</i>" for one in range(count))
    return style + "".join(found)


def wrong_rows(picture: Image.Image, scale: int, x: int, first: int = 0) -> list[int]:
    """The rows of pixels in a column that have not the colour of their place in the page."""
    column = picture.convert("RGB").crop((x, 0, x + 1, picture.height)).tobytes()
    return [
        y
        for y in range(picture.height)
        if tuple(column[3 * y : 3 * y + 3]) != colour((first * scale + y) // (ROW * scale))
    ]


async def tall(service: Service, page: str, **options: Any) -> Image.Image:
    """A full page of a viewport of 300 x 400."""
    given = {"width": 300, "height": 400, "full_page": True, **options}
    return decode(await service.picture(html=page, **given))


@pytest.mark.parametrize(
    ("scale", "count"), [(1, 4000), pytest.param(2, 2000, marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("how", some_in_quick(["full page", "selector", "clip"], 3))
async def test_every_row_is_where_it_belongs(
    service: Service, scale: int, count: int, how: str
) -> None:
    """None is missing, none comes twice, none is white."""
    page = rows(count, f"<div id=e style='position:absolute;width:300px;height:{count * ROW}px'>")
    given: dict[str, Any] = {"full_page": True}
    if how == "selector":
        given = {"full_page": False, "selector": "#e"}
    if how == "clip":
        clip = {"x": 0, "y": 0, "width": 300, "height": count * ROW}
        given = {"full_page": False, "clip": clip}
    picture = await tall(service, page, device_scale_factor=scale, **given)
    assert picture.size == (300 * scale, count * ROW * scale)
    assert wrong_rows(picture, scale, 295 * scale) == []
    assert wrong_rows(picture, scale, 150 * scale) == []


TEXT = (
    "<!doctype html><style>body { margin: 0; font: 15px serif; background: linear-gradient(170deg,"
    " red, blue, lime) }</style>"
    + "".join(f"<p>Paragraph {one}, with some gjpq under the line." for one in range(700))
    + "<div style='position:absolute;left:33.3px;top:3001.3px;width:77.7px;height:13003.7px;border:"
    "1.3px solid lime;border-radius:9px;transform:rotate(1deg);background:rgba(255, 255, 0, .5)'>"
)


@pytest.mark.slow
@pytest.mark.parametrize("scale", [1, 2, 1.37])
async def test_no_seam_is_seen(service: Service, scale: float) -> None:
    """Text, gradients and turned borders are those of a capture in one piece, to the pixel.

    Compared where the pieces meet, and in between.
    """
    whole = await tall(service, TEXT, device_scale_factor=scale)
    assert whole.height > 16_384
    tops = range(1000, int(whole.height / scale) - 5000, 4000)
    clips = [{"clip": {"x": 0, "y": top, "width": 300, "height": 4200}} for top in tops]
    viewport: dict[str, Any] = {"width": 300, "height": 400, "device_scale_factor": scale}
    parts = await service.pictures(clips, html=TEXT, **viewport)
    for top, one in zip(tops, map(decode, parts), strict=True):
        begin = int(top * scale + 1e-6)
        other = whole.crop((0, begin, whole.width, begin + one.height))
        assert other.size == one.size
        difference = ImageChops.difference(one.convert("RGB"), other.convert("RGB"))
        extrema = [difference.getchannel(one).getextrema() for one in "RGB"]
        assert all(high in (0, 1) for _, high in extrema), (top, difference.getbbox())


@pytest.mark.parametrize("scale", some_in_quick([1, 2], 2))
async def test_what_is_fixed_comes_once(service: Service, scale: int) -> None:
    """Where the viewport has it, as in any full page."""
    fixed = (
        "<div style='position:fixed;top:0;left:0;width:100px;height:50px;background:red'></div>"
        "<div style='position:fixed;bottom:0;left:0;width:100px;height:50px;background:blue'></div>"
        "<div style='position:sticky;top:0;height:20px;margin-left:200px;background:lime'></div>"
    )
    picture = await tall(service, fixed + rows(1800), device_scale_factor=scale)
    assert picture.size == (300 * scale, 18_020 * scale)
    column = [at(picture, 5 * scale, y) for y in range(0, picture.height, 10 * scale)]
    assert [column.count(one) for one in (RED, BLUE)] == [5, 5]
    assert (column.index(RED), column.index(BLUE)) == (0, 35)
    column = [at(picture, 295 * scale, y) for y in range(0, picture.height, 10 * scale)]
    assert column.count(LIME) == 2


@in_both_chromes
async def test_what_moves_fits_together(service: Service) -> None:
    """Animations stand still while the pieces are captured."""
    page = (
        "<!doctype html><style>body { margin: 0 } @keyframes go { to { transform:"
        " translateX(250px) } } div { height: 40000px; width: 50px; background: red; animation: go"
        " 2s linear infinite }</style><div></div>"
    )
    picture = await tall(service, page)
    assert picture.height == 40_000
    boxes = {picture.crop((0, y, 300, y + 1)).getbbox() for y in range(0, 40_000, 100)}
    assert len(boxes) == 1


WIDE = (
    "<!doctype html><style>html { width: 40000px; height: 400px; background: linear-gradient(90deg,"
    " red, lime) } body { margin: 0 } i { position: absolute; width: 100px; height: 100px;"
    " top: 100px; background: blue }</style>"
    + "".join(f"<i style='left:{x}px'></i>" for x in range(0, 40_000, 1000))
)


async def test_a_wide_page_is_joined_too(service: Service) -> None:
    """And one that is both."""
    picture = await tall(service, WIDE)
    assert picture.size == (40_000, 400)
    found = [x for x in range(0, 40_000, 100) if at(picture, x + 50, 150) == BLUE]
    assert found == list(range(0, 40_000, 1000))
    reds = [at(picture, x, 50)[0] for x in range(40_000)]
    falling = [round(255 - x / 40_000 * 255) for x in range(40_000)]
    assert max(abs(one - other) for one, other in zip(reds, falling, strict=True)) <= 4


@pytest.mark.slow
@pytest.mark.parametrize("form", ["png", "jpeg"])
async def test_each_format_that_can_be_so_tall(service: Service, form: str) -> None:
    """With the quality, the background and the transparency asked for."""
    page = (
        "<!doctype html><style>body { margin: 0 } div { height: 10000px; width: 150px }</style>"
        "<div style='background:red'></div><div style='background:blue'></div>"
    )
    body = await service.picture(html=page, width=300, height=400, full_page=True, format=form)
    with Image.open(io.BytesIO(body)) as picture:
        assert (picture.format, picture.size) == (form.upper(), (300, 20_000))
    found = decode(body)
    near = [at(found, 50, y)[:3] for y in (9_000, 11_000)]
    assert near[0][0] > 250
    assert near[1][2] > 250
    assert at(found, 250, 19_999) == (CLEAR if form == "png" else (255, 255, 255, 255))
    if form == "jpeg":
        low = await service.picture(
            html=TEXT, width=300, height=400, full_page=True, format=form, quality=20
        )
        high = await service.picture(
            html=TEXT, width=300, height=400, full_page=True, format=form, quality=95
        )
        assert len(low) < len(high) / 2


@pytest.mark.slow
@pytest.mark.parametrize("how", ["balanced", "small"])
async def test_a_joined_png_is_compressed_as_others_are(service: Service, how: str) -> None:
    """Fewer bytes, the same pixels."""
    given = {"html": rows(1700), "width": 300, "height": 400, "full_page": True}
    plain = await service.picture(**given)
    smaller = await service.picture(**given, png_compression=how)
    assert len(smaller) < len(plain)
    assert decode(smaller).tobytes() == decode(plain).tobytes()


@pytest.mark.parametrize(
    ("options", "height", "limit"),
    [
        ({"format": "webp"}, 16_384, "at most 16383 a side in this format"),
        ({"format": "jpeg"}, 65_501, "at most 65500 a side in this format"),
        ({"format": "avif"}, 32_769, "at most 32768 a side in this format"),
        ({}, 200_000, "50000000 in all"),
        ({"width": 1, "height": 1}, 1_000_001, "at most 1000000 a side in this format"),
    ],
)
async def test_what_a_format_cannot_hold_is_refused(
    service: Service, options: dict[str, Any], height: int, limit: str
) -> None:
    """With its own limit, and the service's."""
    page = f"<!doctype html><style>body {{ margin: 0 }}</style><div style='height:{height}px'>"
    answer = await service.render(
        html=page, **{"width": 300, "height": 400, "full_page": True, **options}
    )
    problem = await answer.json()
    assert (answer.status, problem["code"]) == (422, "picture_too_large")
    assert limit in problem["detail"]


SIDES = (("webp", 16_383), ("jpeg", 65_500), ("png", 100_000), ("avif", 32_768))


@pytest.mark.slow
async def test_the_tallest_of_each_format_is_made(service: Service) -> None:
    """At the limit itself."""
    for form, height in SIDES:
        page = (
            "<!doctype html><style>body { margin: 0; background: lime }</style>"
            f"<div style='height:{height - 8}px'></div><div style='height:8px;background:blue'>"
        )
        body = await service.picture(html=page, width=20, height=20, full_page=True, format=form)
        picture = decode(body)
        assert picture.size == (20, height)
        assert at(picture, 10, height - 1)[2] > 100
        assert at(picture, 10, height - 30)[1] > 240
