"""The picture that comes back is the page that went in."""

import asyncio
import html
import io
import json
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zxingcpp
from aiohttp import web
from PIL import Image
from pypdf import PdfReader

from tests.web.conftest import Service, StartService
from tests.web.pictures import BLUE, CLEAR, GREEN, RED, WHITE, at, decode, ink, near

QUARTERS = """<!doctype html><style>
    body { margin: 0 } div { position: absolute; width: 50px; height: 50px }
</style>
<div style="background: red"></div>
<div style="background: green; left: 50px"></div>
<div style="background: blue; top: 50px"></div>"""

BLUE_SQUARE = (
    "<svg xmlns='http://www.w3.org/2000/svg' width='50' height='50'>"
    "<rect width='50' height='50' fill='blue'/></svg>"
)


async def test_each_colour_is_where_the_page_put_it_and_the_rest_is_clear(service: Service) -> None:
    """Colours at given points, and transparency where nothing was painted."""
    picture = decode(await service.picture(html=QUARTERS, width=100, height=100))
    assert picture.size == (100, 100)
    assert at(picture, 25, 25) == RED
    assert at(picture, 75, 25) == GREEN
    assert at(picture, 25, 75) == BLUE
    assert at(picture, 75, 75) == CLEAR


async def test_a_png_can_be_compressed_more_and_is_the_same_picture(service: Service) -> None:
    """Fewer bytes each time, not a pixel less; Chrome is not kept for it."""
    page = (
        "<!doctype html><body style='margin:0;font:40px serif;background:"
        "linear-gradient(20deg, #f80, transparent 70%)'>春 Compressed"
    )
    pictures = []
    for how in ("fast", "balanced", "small"):
        response = await service.render(html=page, width=300, height=300, png_compression=how)
        assert response.status == 200
        assert ("encode;" in response.headers["Server-Timing"]) is (how != "fast")
        pictures.append(await response.read())
    assert len(pictures[0]) > len(pictures[1]) > len(pictures[2])
    first, *others = map(decode, pictures)
    assert all(other.tobytes() == first.tobytes() for other in others)
    assert at(first, 299, 299) == CLEAR


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"format": "png"}, CLEAR),
        ({"format": "webp"}, CLEAR),
        ({"format": "jpeg"}, WHITE),
        ({"format": "png", "background": "#0000ff"}, BLUE),
        ({"format": "jpeg", "background": "#0000ff"}, BLUE),
    ],
)
async def test_the_unpainted_has_the_background_asked_for(
    service: Service, options: dict[str, Any], expected: tuple[int, ...]
) -> None:
    """Clear where the encoding can, white where it cannot, a colour where one is named."""
    body = await service.picture(html="<!doctype html><p>", width=60, height=60, **options)
    assert near(at(decode(body), 50, 50), expected)


@pytest.mark.parametrize("encoding", ["png", "jpeg", "webp"])
async def test_the_answer_is_of_the_format_asked_for(service: Service, encoding: str) -> None:
    """The content type says what the bytes are, by the decoder's judgement."""
    response = await service.render(html=QUARTERS, width=100, height=100, format=encoding)
    assert response.content_type == f"image/{encoding}"
    with Image.open(io.BytesIO(await response.read())) as picture:
        assert picture.format == encoding.upper()
        assert picture.size == (100, 100)


async def test_quality_decides_the_size_of_a_jpeg(service: Service) -> None:
    """A lower quality gives fewer bytes of the same picture."""
    page = "<!doctype html><body style='background: linear-gradient(45deg, red, blue, lime)'>"
    sizes = [
        len(await service.picture(html=page, width=400, height=400, format="jpeg", quality=quality))
        for quality in (5, 95)
    ]
    assert sizes[0] < sizes[1]


async def test_the_default_is_a_png_of_750_by_1334(service: Service) -> None:
    """What the caller leaves out is a phone screen."""
    response = await service.render(html="<!doctype html>")
    assert response.content_type == "image/png"
    assert decode(await response.read()).size == (750, 1334)


async def test_the_scale_multiplies_pixels_and_is_seen_by_the_page(service: Service) -> None:
    """Device pixels grow, CSS pixels stay."""
    page = """<!doctype html><style>body { margin: 0 } div { width: 10px; height: 10px }
        @media (resolution: 3dppx) { div { background: red } }</style><div></div>"""
    body = await service.picture(html=page, width=40, height=20, device_scale_factor=3)
    picture = decode(body)
    assert picture.size == (120, 60)
    assert at(picture, 29, 29) == RED
    assert at(picture, 31, 31) == CLEAR


async def test_the_viewport_is_there_before_the_page_loads(service: Service) -> None:
    """Media queries and innerWidth are right in the first script that runs."""
    page = """<!doctype html><style>body { margin: 0; background: red }
        @media (width: 321px) and (height: 123px) { body { background: green } }</style>
        <script>
        const right = innerWidth === 321 && innerHeight === 123;
        const square = document.createElement('div');
        square.style.cssText = `width: 10px; height: 10px; background: ${right ? 'blue' : 'red'}`;
        addEventListener('DOMContentLoaded', () => document.body.append(square));
        </script>"""
    picture = decode(await service.picture(html=page, width=321, height=123))
    assert at(picture, 300, 100) == GREEN
    assert at(picture, 5, 5) == BLUE


async def test_a_full_page_is_as_tall_as_its_content(service: Service) -> None:
    """What is below the viewport is in the picture, lazy pictures too."""
    dot = f"data:image/svg+xml,{BLUE_SQUARE}"
    page = f"""<!doctype html><body style="margin: 0"><div style="height: 5000px"></div>
        <img loading="lazy" style="display: block" width="9" height="9" src="{dot}">"""
    picture = decode(await service.picture(html=page, width=100, height=100, full_page=True))
    assert picture.size == (100, 5009)
    assert at(picture, 4, 5004) == BLUE


async def test_text_comes_out_as_glyphs_and_not_as_boxes(service: Service) -> None:
    """Chinese and emoji are drawn, each unlike the missing-glyph box and unlike each other."""

    async def draw(text: str) -> bytes:
        page = f"<!doctype html><body style='font: 40px sans-serif'>{text}"
        return ink(await service.picture(html=page, width=120, height=80))

    missing, *drawn = [
        await draw(text) for text in ("\U0010fffd", "你", "好", "한", "あ", "😀", "A")
    ]
    assert missing not in drawn
    assert len(set(drawn)) == len(drawn)


async def test_emoji_are_in_colour(service: Service) -> None:
    """A grinning face is yellow."""
    page = "<!doctype html><body style='margin: 0; font: 80px sans-serif'>😀"
    picture = decode(await service.picture(html=page, width=100, height=110))
    yellow = sum(
        red > 200 and green > 140 and blue < 120
        for red, green, blue, _ in (at(picture, x, y) for x in range(100) for y in range(110))
    )
    assert yellow > 500


async def test_the_picture_waits_for_fonts_and_pictures(
    start_service: StartService, serve_pages: Callable[..., Any]
) -> None:
    """A slow picture that a script adds after load is decoded before the capture."""

    async def slow(_: web.Request) -> web.Response:
        await asyncio.sleep(0.3)
        return web.Response(text=BLUE_SQUARE, content_type="image/svg+xml")

    service = await start_service(allow_private="127.0.0.0/8")
    async with serve_pages(slow=slow) as address:
        page = f"""<!doctype html><body style="margin: 0"><script>
            addEventListener('load', () => {{
                const picture = new Image(50, 50);
                picture.src = '{address}/slow';
                document.body.append(picture);
            }})</script>"""
        picture = decode(await service.picture(html=page, width=50, height=50))
    assert at(picture, 25, 25) == BLUE


async def test_a_pdf_has_its_pages_and_its_text(service: Service) -> None:
    """Pages are counted and their text is extracted again."""
    page = """<!doctype html><meta charset="utf-8"><h1>First 第一</h1>
        <h1 style="break-before: page">Second 第二</h1>"""
    response = await service.render(html=page, width=600, height=800, format="pdf")
    assert response.content_type == "application/pdf"
    pages = PdfReader(io.BytesIO(await response.read())).pages
    assert len(pages) == 2
    assert "First" in pages[0].extract_text()
    # Noto maps 二 and the radical ⼆ to one glyph; NFKC makes one of the two again.
    assert "第二" in unicodedata.normalize("NFKC", pages[1].extract_text())
    assert float(pages[0].mediabox.width) == pytest.approx(450, abs=1)  # 600 px at 96 a inch
    assert float(pages[0].mediabox.height) == pytest.approx(600, abs=1)


async def test_a_full_page_pdf_is_one_page(service: Service) -> None:
    """`full_page` gives one sheet as tall as the content, where it would have been many."""
    lines = "".join(f"<p>line {number}</p>" for number in range(100))
    body = await service.picture(
        html=f"<!doctype html>{lines}", width=400, height=300, format="pdf", full_page=True
    )
    (page,) = PdfReader(io.BytesIO(body)).pages
    assert "line 99" in page.extract_text()


async def test_the_share_poster_carries_a_code_that_can_be_scanned(service: Service) -> None:
    """The QR code is read back to the link that went in, also out of a JPEG."""
    (poster,) = (one for one in await _templates(service) if one["name"] == "share-poster")
    data = poster["sample"] | {"link": "https://shop.example/p/42?from=poster&x=" + "y" * 120}
    for encoding in ("png", "jpeg"):
        body = await service.picture(template="share-poster", data=data, format=encoding)
        (code,) = zxingcpp.read_barcodes(decode(body).convert("RGB"))
        assert code.text == data["link"]


@pytest.mark.parametrize(
    ("name", "size"), [("share-poster", (750, 1334)), ("article-card", (1200, 630))]
)
async def test_a_template_has_its_own_size_and_takes_its_assets(
    service: Service, name: str, size: tuple[int, int]
) -> None:
    """Without a width or height the template decides; its stylesheet is applied."""
    (template,) = (one for one in await _templates(service) if one["name"] == name)
    picture = decode(await service.picture(template=name, data=template["sample"]))
    assert picture.size == size
    assert all(at(picture, x, y)[3] == 255 for x in (0, size[0] - 1) for y in (0, size[1] - 1))


async def test_html_in_the_body_is_rendered_with_options_from_the_query(service: Service) -> None:
    """The way of curl: text/html in, options in the query."""
    response = await service.client.post(
        f"{service.address}/render?width=100&height=100&format=webp&quality=90",
        data=QUARTERS.encode(),
        headers={"Content-Type": "text/html"},
    )
    assert response.status == 200
    assert response.content_type == "image/webp"
    picture = decode(await response.read())
    assert picture.size == (100, 100)
    assert near(at(picture, 25, 25), RED)


async def test_html_may_come_in_the_charset_it_names(service: Service) -> None:
    """GB18030 in, the same picture as UTF-8."""
    page = "<!doctype html><body style='font: 40px sans-serif'>你好"
    pictures = []
    for charset in ("utf-8", "gb18030"):
        response = await service.client.post(
            f"{service.address}/render?width=120&height=80",
            data=page.encode(charset),
            headers={"Content-Type": f"text/html; charset={charset}"},
        )
        pictures.append(ink(await response.read()))
    assert pictures[0] == pictures[1]


async def test_every_answer_names_its_request_and_its_phases(service: Service) -> None:
    """X-Request-Id, the caller's own if it is plain, and Server-Timing."""
    response = await service.client.post(
        f"{service.address}/render", json={"html": "<p>"}, headers={"X-Request-Id": "order-7.a"}
    )
    assert response.headers["X-Request-Id"] == "order-7.a"
    phases = {entry.split(";")[0].strip() for entry in response.headers["Server-Timing"].split(",")}
    assert {"queue", "lease", "load", "capture"} <= phases
    odd = await service.client.get(f"{service.address}/healthz", headers={"X-Request-Id": "a b"})
    assert odd.headers["X-Request-Id"] not in ("", "a b")


async def _templates(service: Service) -> list[dict[str, Any]]:
    listing = json.loads(await (await service.get("/templates")).read())
    templates: list[dict[str, Any]] = listing["templates"]
    return templates


async def test_a_full_page_pdf_is_one_page_of_any_page(service: Service) -> None:
    """Its own paper size, margins and page breaks do not cut it."""
    page = """<!doctype html>
        <style>@page { size: A4; margin: 2cm } h1 { break-before: page }</style>
        <h1>one</h1><h1>two</h1><div style="height: 3000px"></div><p>last"""
    body = await service.picture(html=page, width=400, height=300, format="pdf", full_page=True)
    (sheet,) = PdfReader(io.BytesIO(body)).pages
    assert "last" in sheet.extract_text()


async def test_a_pdf_page_taller_than_readers_show_is_refused(service: Service) -> None:
    """422 with the bound, and the way out of it."""
    page = "<!doctype html><div style='height: 30000px'>"
    response = await service.render(html=page, format="pdf", full_page=True)
    assert response.status == 422
    assert "without full_page" in await response.text()


@pytest.mark.parametrize(
    "script",
    ["location = 'http://10.0.0.1/'", "location.reload()", "location = 'https://a.invalid/'"],
)
async def test_a_page_that_goes_elsewhere_stays(service: Service, script: str) -> None:
    """The poster is the first document; a navigation of the page itself leaves it in place."""
    page = f"<!doctype html><body style='margin: 0; background: red'><script>{script}</script>"
    picture = decode(await service.picture(html=page, width=20, height=20))
    assert at(picture, 10, 10) == RED


async def test_lazy_frames_and_what_is_lazy_in_them_are_in_a_full_page(service: Service) -> None:
    """Far below the viewport, and painted all the same."""
    inner = f"<body style='margin: 0'><img loading='lazy' src=\"data:image/svg+xml,{BLUE_SQUARE}\">"
    page = f"""<!doctype html><body style="margin: 0"><div style="height: 9000px"></div>
        <iframe loading="lazy" frameborder="0" width="50" height="50"
            style="display: block" srcdoc="{html.escape(inner)}"></iframe>"""
    picture = decode(await service.picture(html=page, width=100, height=100, full_page=True))
    assert at(picture, 25, 9025) == BLUE


async def test_a_slow_font_is_waited_for(
    start_service: StartService, serve_pages: Callable[..., Any]
) -> None:
    """The text is drawn in the page's own font, however late it comes."""
    font = next(Path("/usr/share/fonts").rglob("LiberationMono-Regular.ttf"))

    async def slow(_: web.Request) -> web.Response:
        await asyncio.sleep(0.3)
        headers = {"Access-Control-Allow-Origin": "*"}
        return web.Response(body=font.read_bytes(), content_type="font/ttf", headers=headers)

    service = await start_service(allow_private="127.0.0.0/8")

    async def draw(face: str) -> bytes:
        page = f"""<!doctype html><style>@font-face {{ font-family: own; src: url({face}) }}
            body {{ font: 30px own, serif }}</style>illumination"""
        return ink(await service.picture(html=page, width=300, height=60))

    async with serve_pages(slow=slow) as address:
        assert await draw(f"{address}/slow") != await draw("data:,none")


async def test_addresses_reach_the_server_as_the_page_wrote_them(
    start_service: StartService, serve_pages: Callable[..., Any]
) -> None:
    """A signature over the raw address stays valid; a custom header and its preflight arrive."""
    seen: list[tuple[str, str, str | None]] = []
    asked = asyncio.Event()

    async def api(request: web.Request) -> web.Response:
        seen.append((request.method, request.raw_path, request.headers.get("X-Key")))
        if request.method == "GET":
            asked.set()
        allow = {
            "Access-Control-Allow-Origin": "*",
            "Access-Control-Allow-Headers": request.headers.get(
                "Access-Control-Request-Headers", ""
            ),
        }
        return web.Response(text="blue", headers=allow)

    async def hold(_: web.Request) -> web.Response:
        """A picture that the load event waits for, which a module's `await` does not hold up."""
        await asyncio.wait_for(asked.wait(), 60)
        return web.Response(text=BLUE_SQUARE, content_type="image/svg+xml")

    service = await start_service(allow_private="127.0.0.0/8")
    async with serve_pages(api=api, hold=hold) as address:
        page = f"""<!doctype html><img src="{address}/hold"><script type="module">
            const headers = {{"X-Key": "k"}};
            await fetch("{address}/api?x=%27%2C%7E&sig=a%2Fb%3D", {{headers}});</script>"""
        await service.picture(html=page, width=20, height=20)
    assert ("GET", "/api?x=%27%2C%7E&sig=a%2Fb%3D", "k") in seen


@pytest.mark.slow
@pytest.mark.parametrize("isolation", ["process", "context"])
async def test_a_picture_does_not_depend_on_the_render_before_it(
    start_service: StartService, isolation: str
) -> None:
    """Not on its scale, size, background or text either, with the pages prepared ahead."""
    service = await start_service(isolation=isolation, concurrency=1)
    page = """<!doctype html><body style="font: 16px sans-serif"><input value="text">
        <button>Send</button> <select><option>one</select> <textarea>lines</textarea>"""

    async def after(**before: Any) -> bytes:
        """The pixels of the page after three renders of another, so that a prepared one is met."""
        for _ in range(3):
            await service.picture(html="<p>before</p>", **before)
        return ink(await service.picture(html=page, width=800, height=600))

    first = await after(width=800, height=600)
    assert await after(width=800, height=600, device_scale_factor=2) == first
    assert await after(width=300, height=900, device_scale_factor=1.5) == first
    assert await after(width=400, height=300, background="#ff0000") == first
