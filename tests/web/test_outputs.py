"""Several pictures and PDFs of one page: each is what it is alone, and the page is loaded once.

In headless-shell and full Chromium, with a Chrome for each render and with one for many.
"""

import base64
import email
import email.policy
import io
import json
import math
import zipfile
from collections.abc import Callable
from email.message import EmailMessage
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import pytest
from aiohttp import web
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageChops
from pypdf import PdfReader

from tests.conftest import settled
from tests.marks import some_in_quick
from tests.web.conftest import Service, StartService
from tests.web.modes import in_both_chromes, service_in_modes
from tests.web.pdf_files import picture as sheet
from tests.web.pictures import BLUE, CLEAR, GREEN, RED, WHITE, at, decode, near
from tests.web.redis_server import Server
from tests.web.served import left_of, run
from tests.web.signing import KEYS, address

LIME = (0, 255, 0, 255)
MULTIPART, ZIP, JSON = TYPES = ("multipart/mixed", "application/zip", "application/json")
#: The viewport of most of these pages.
WIDTH, HEIGHT = 200, 150
PAGE = """<!doctype html><style>body { margin: 0; font: 20px sans-serif }
#card { width: 80px; height: 40px; background: blue; margin: 10px }
#low { height: 900px; background: linear-gradient(lime, red) }</style>
<div id=card></div>The quick brown fox<div id=low></div>"""


class Part(NamedTuple):
    """One output of an answer."""

    file: str
    content_type: str
    body: bytes


service = service_in_modes(allow_private="127.0.0.0/8", max_pixels=4_000_000)


async def ask(service: Service, accept: str = MULTIPART, **options: Any) -> aiohttp.ClientResponse:
    """The answer to a request; its body is read."""
    sized = {"width": WIDTH, "height": HEIGHT, **options}
    where, headers = f"{service.address}/render", {"Accept": accept}
    answer = await service.client.post(where, json=sized, headers=headers)
    await answer.read()
    return answer


async def several(
    service: Service, outputs: list[dict[str, Any]], accept: str = MULTIPART, **options: Any
) -> dict[str, Part]:
    """The outputs of a render that must succeed, by name."""
    answer = await ask(service, accept, outputs=outputs, **options)
    body = await answer.read()
    assert answer.status == 200, body
    assert answer.content_type == accept
    return parsed(body, answer.headers["Content-Type"])


def parsed(body: bytes, content_type: str) -> dict[str, Part]:
    """The parts of an answer, read by the standard library."""
    kind = content_type.partition(";")[0]
    if kind == ZIP:
        return from_zip(body)
    if kind == JSON:
        return {
            one["name"]: Part("", one["content_type"], base64.b64decode(one["data"], validate=True))
            for one in json.loads(body)["outputs"]
        }
    head = f"Content-Type: {content_type}\r\n\r\n".encode()
    message = email.message_from_bytes(head + body, policy=email.policy.HTTP)
    assert isinstance(message, EmailMessage)
    assert message.is_multipart()
    assert not message.defects
    return dict(map(from_part, message.iter_parts()))


def from_part(part: Any) -> tuple[str, Part]:
    """Name and contents of a part; its own length is right."""
    disposition = part["Content-Disposition"]
    assert disposition.content_disposition == "attachment"
    payload: bytes = part.get_payload(decode=True)
    assert int(part["Content-Length"]) == len(payload)
    assert not part.defects
    found = Part(disposition.params["filename"], part.get_content_type(), payload)
    return disposition.params["name"], found


def from_zip(body: bytes) -> dict[str, Part]:
    """Name and contents of each entry; none is compressed a second time."""
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        assert archive.testzip() is None
        entries = archive.infolist()
        assert all(one.compress_type == zipfile.ZIP_STORED for one in entries)
        return {
            one.filename.rpartition(".")[0]: Part(one.filename, "", archive.read(one))
            for one in entries
        }


def same(one: bytes, other: bytes) -> bool:
    """Whether two pictures have the same pixels."""
    return decode(one).tobytes() == decode(other).tobytes()


def differing(one: Image.Image, other: Image.Image) -> int:
    """How many pixels differ visibly."""
    histogram = ImageChops.difference(one.convert("L"), other.convert("L")).histogram()
    return sum(histogram[40:])


POSTER: list[dict[str, Any]] = [
    {"name": "poster"},
    {"name": "thumb", "format": "jpeg", "device_scale_factor": 0.5},
    {"name": "print", "format": "pdf", "pdf": {"paper": "a5"}},
    {"name": "all", "format": "webp", "full_page": True, "quality": 100},
    {"name": "small", "format": "avif"},
    {"name": "card", "selector": "#card", "padding": 5},
    {"name": "corner", "clip": {"x": 10, "y": 5, "width": 40, "height": 30, "scale": 2}},
]


@pytest.mark.parametrize("accept", some_in_quick(list(TYPES), 3))
async def test_poster_thumbnail_and_pdf_of_one_page(service: Service, accept: str) -> None:
    """Each has the pixels of a render of its own, in every packing of the answer."""
    parts = await several(service, POSTER, accept, html=PAGE)
    assert list(parts) == [one["name"] for one in POSTER]
    if accept != JSON:
        ends = [part.file for part in parts.values()]
        assert ends == [
            "poster.png",
            "thumb.jpg",
            "print.pdf",
            "all.webp",
            "small.avif",
            "card.png",
            "corner.png",
        ]
    if accept == MULTIPART:
        kinds = [part.content_type for part in parts.values()]
        pictures = [
            "image/png",
            "image/jpeg",
            "application/pdf",
            "image/webp",
            "image/avif",
            "image/png",
        ]
        assert kinds == [*pictures, "image/png"]
    assert decode(parts["thumb"].body).size == (WIDTH // 2, HEIGHT // 2)
    assert len(PdfReader(io.BytesIO(parts["print"].body)).pages) > 1
    if accept == MULTIPART:
        await check_each_alone(service, parts)


async def check_each_alone(service: Service, parts: dict[str, Part]) -> None:
    """Compare each part with a render that has nothing but it."""
    sized: dict[str, Any] = {"html": PAGE, "width": WIDTH, "height": HEIGHT}
    for one in POSTER:
        name, options = str(one["name"]), {key: one[key] for key in one if key != "name"}
        if name == "thumb":
            continue  # alone it is laid out for another screen; see below
        alone, part = await service.picture(**sized, **options), parts[name].body
        if name == "print":
            assert sheet(part).tobytes() == sheet(alone).tobytes()
        else:
            assert same(part, alone), name


async def test_the_page_is_loaded_once(service: Service, serve_pages: Callable[..., Any]) -> None:
    """For all captures of it: a picture in it is fetched once."""
    asked: list[str] = []

    async def lime(request: web.Request) -> web.Response:
        asked.append(request.path)
        svg = "<svg xmlns='http://www.w3.org/2000/svg' width='20' height='20'><path fill='lime'"
        return web.Response(
            text=f"{svg} d='M0 0h20v20H0'/></svg>",
            content_type="image/svg+xml",
            headers={"Cache-Control": "no-store"},
        )

    async with serve_pages(lime=lime) as origin:
        html = f"<!doctype html><body style='margin:0'><img src='{origin}/lime'>"
        parts = await several(service, [*POSTER[:4], {"name": "more"}], html=html)
    assert asked == ["/lime"]
    for name in ("poster", "thumb", "all", "more"):
        assert near(at(decode(parts[name].body), 5, 5), LIME)


def chequers(size: int) -> tuple[str, Image.Image]:
    """A picture of single pixels, as a data URL and as it is."""
    picture = Image.new("RGB", (size, size))
    picture.putdata([
        (255 * ((x + y) % 2), x % 256, y % 256) for y in range(size) for x in range(size)
    ])  # fmt: skip
    out = io.BytesIO()
    picture.save(out, "PNG")
    return "data:image/png;base64," + base64.b64encode(out.getvalue()).decode(), picture


LOUD = """<script>
const loud = () => document.documentElement.style.background = 'red';
addEventListener('resize', loud);
matchMedia('(min-resolution: 1.2dppx)').addEventListener('change', loud);
const seen = devicePixelRatio;
const watch = () => { if (devicePixelRatio !== seen) loud(); requestAnimationFrame(watch); };
watch();
</script>"""


async def test_a_larger_picture_has_all_pixels_and_the_page_notices_nothing(
    service: Service,
) -> None:
    """It is painted larger, not blown up; nothing is laid out again for it."""
    source, picture = chequers(200)
    html = f"<!doctype html>{LOUD}<body style='margin:0'><img src='{source}' width=100>"
    outputs: list[dict[str, Any]] = [{"name": "two", "device_scale_factor": 2}, {"name": "one"}]
    parts = await several(service, outputs, html=html)
    two, one = decode(parts["two"].body), decode(parts["one"].body)
    assert (two.size, one.size) == ((2 * WIDTH, 2 * HEIGHT), (WIDTH, HEIGHT))
    assert two.crop((0, 0, 200, 200)).convert("RGB").tobytes() == picture.tobytes()
    assert at(two, 300, 50) == at(one, 150, 25) == CLEAR


DRAWING = (
    "<svg width=180 height=120 stroke=black fill=none><circle cx=60 cy=60 r=50 />"
    "<path d='M3 3 170 90M3 90 170 3' stroke-width='.5'/></svg>"
)


async def test_what_is_drawn_is_sharp_at_another_scale(service: Service) -> None:
    """The pixels are those of a page that is laid out for that scale."""
    html = f"<!doctype html><body style='margin:0'>{DRAWING}"
    outputs: list[dict[str, Any]] = [{"device_scale_factor": 2}, {"device_scale_factor": 0.5}, {}]
    given_ = {"background": "#ffffff"}
    parts = await several(service, [one | given_ for one in outputs], html=html)
    plain: dict[str, Any] = {"html": html, "width": WIDTH, "height": HEIGHT, **given_}
    for part, scale in zip(parts.values(), (2, 0.5, 1), strict=True):
        wanted = decode(await service.picture(**plain, device_scale_factor=scale))
        assert differing(decode(part.body), wanted) == 0, scale


def grey(picture: Image.Image) -> float:
    """The share of a text's ink that is neither black nor white."""
    histogram = picture.histogram()
    return sum(histogram[60:200]) / sum(histogram[:200])


async def test_text_is_drawn_with_the_pixels_of_its_scale(service: Service) -> None:
    """It stands where it stood and is not blown up: its edges are a pixel of the picture wide."""
    html = "<!doctype html><body style='margin:8px;font:24px serif'>Sharp 0123456789"
    outputs: list[dict[str, Any]] = [
        {"device_scale_factor": 4, "background": "#ffffff"}, {"background": "#ffffff"},
    ]  # fmt: skip
    parts = await several(service, outputs, html=html)
    four, one = (decode(part.body).convert("L") for part in parts.values())
    assert grey(four) * 2 < grey(one.resize(four.size))
    boxes = [ImageChops.invert(picture).getbbox() for picture in (four, one)]
    assert boxes[0]
    assert boxes[1]
    for large, small in zip(*boxes, strict=True):
        assert abs(large / 4 - small) <= 2


@pytest.mark.parametrize("page_scale", [1, 2])
async def test_an_output_has_the_scale_of_the_page_unless_it_has_its_own(
    service: Service, page_scale: int
) -> None:
    """A viewport, a full page, an element and a clip, all of them."""
    kinds: list[dict[str, Any]] = [
        {}, {"full_page": True}, {"selector": "#card"},
        {"clip": {"x": 3, "y": 4, "width": 30, "height": 20}},
    ]  # fmt: skip
    outputs = [one | more for one in kinds for more in ({}, {"device_scale_factor": 1.5})]
    parts = await several(service, outputs, html=PAGE, device_scale_factor=page_scale)
    sizes = [decode(part.body).size for part in parts.values()]
    assert list(parts) == [str(number) for number in range(1, 9)]
    full = decode(await service.picture(html=PAGE, width=WIDTH, height=HEIGHT, full_page=True)).size
    plain = [(WIDTH, HEIGHT), full, (80, 40), (30, 20)]
    for size, own, (width, height) in zip(sizes[::2], sizes[1::2], plain, strict=True):
        assert size == (width * page_scale, height * page_scale)
        assert own == (math.ceil(width * 1.5), math.ceil(height * 1.5))


async def test_a_page_that_has_scrolled_is_shown_where_it_is(service: Service) -> None:
    """At another scale as at its own."""
    html = (
        "<!doctype html><body style='margin:0;height:3000px;background:linear-gradient(red 50%,"
        "lime 50%)'><script>scrollTo(0, 1400)</script>"
    )
    parts = await several(service, [{}, {"device_scale_factor": 2}], html=html)
    one, two = (decode(part.body) for part in parts.values())
    assert (at(one, 5, 98), at(one, 5, 102)) == (RED, LIME)
    assert (at(two, 5, 197), at(two, 5, 203)) == (RED, LIME)


@pytest.mark.parametrize("wide", [False, True])
async def test_a_phone_has_the_same_picture_at_another_scale(
    service: Service, *, wide: bool
) -> None:
    """Also where it shows a page of 980 pixels smaller."""
    meta = "" if wide else "<meta name=viewport content='width=device-width'>"
    html = (
        f"<!doctype html>{meta}<body style='margin:0;background:lime'>"
        "<div style='width:60px;height:50px;background:blue'>"
    )
    outputs: list[dict[str, Any]] = [{}, {"device_scale_factor": 2}, {"device_scale_factor": 0.5}]
    parts = await several(service, outputs, html=html, mobile=True)
    plain: dict[str, Any] = {"html": html, "mobile": True, "width": WIDTH, "height": HEIGHT}
    for part, scale in zip(parts.values(), (1, 2, 0.5), strict=True):
        picture = decode(part.body)
        wanted = decode(await service.picture(**plain, device_scale_factor=scale))
        assert picture.size == wanted.size == (int(WIDTH * scale), int(HEIGHT * scale))
        assert at(picture, 3, 3) == BLUE
        assert differing(picture, wanted) <= max(picture.size)


async def test_each_output_has_its_own_background(service: Service) -> None:
    """One after the other, in the order that is asked for; a PDF too."""
    outputs: list[dict[str, Any]] = [
        {}, {"background": "#008000"}, {"background": "#0000ff", "format": "pdf"}, {},
        {"background": "#ff0000", "full_page": True}, {"format": "jpeg"}, {"format": "pdf"},
        {"background": "transparent", "format": "pdf"},
    ]  # fmt: skip
    parts = list((await several(service, outputs, html="<!doctype html><p>x")).values())
    found = [at(decode(parts[place].body), 100, 100) for place in (0, 1, 3, 4)]
    assert found == [CLEAR, GREEN, CLEAR, RED]
    assert near(at(decode(parts[5].body), 100, 100), WHITE)
    sheets = [sheet(parts[place].body).convert("RGBA") for place in (2, 6, 7)]
    assert at(sheets[1], 100, 100) == at(sheets[2], 100, 100) == WHITE


@in_both_chromes
async def test_pdfs_are_printed_last_and_pictures_know_nothing_of_it(service: Service) -> None:
    """At any place in the list, a full page last of all; the answer is in the order asked for."""
    html = (
        "<!doctype html><style>body { margin: 0; background: lime; height: 400px }"
        "@media print { body { background: blue } }</style>"
        "<script>onbeforeprint = () => document.body.style.border = '9px solid red'</script>"
    )
    outputs: list[dict[str, Any]] = [
        {"format": "pdf", "full_page": True, "name": "sheet"}, {"name": "first"},
        {"format": "pdf", "name": "sheets"}, {"full_page": True, "name": "last"},
    ]  # fmt: skip
    parts = await several(service, outputs, html=html)
    assert list(parts) == ["sheet", "first", "sheets", "last"]
    for name in ("first", "last"):
        assert at(decode(parts[name].body), 2, 2) == LIME
    pages = {
        name: len(PdfReader(io.BytesIO(parts[name].body)).pages) for name in ("sheet", "sheets")
    }
    assert pages["sheet"] == 1 < pages["sheets"]
    assert at(sheet(parts["sheets"].body).convert("RGBA"), 100, 60) == BLUE


async def test_each_png_is_compressed_as_its_output_says(service: Service) -> None:
    """The pixels are the same."""
    outputs = [{"png_compression": how} for how in ("fast", "balanced", "small")]
    fast, balanced, small = (await several(service, outputs, html=PAGE)).values()
    assert same(fast.body, balanced.body)
    assert same(fast.body, small.body)
    assert len(small.body) <= len(balanced.body) < len(fast.body)


async def test_a_form_and_a_query_have_outputs(service: Service) -> None:
    """By dotted names, numbered from 0."""
    query = {
        "outputs.0.format": "jpeg",
        "outputs.1.name": "b",
        "outputs.1.clip.width": "20",
        "outputs.1.clip.height": "10",
    }
    answer = await service.client.post(
        f"{service.address}/render", params=query, data=PAGE, headers={"Content-Type": "text/html"}
    )
    parts = parsed(await answer.read(), answer.headers["Content-Type"])
    assert [part.file for part in parts.values()] == ["1.jpg", "b.png"]
    assert decode(parts["b"].body).size == (20, 10)


# --- what is refused ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"outputs": []}, "outputs"),
        ({"outputs": [{}] * 11}, "outputs"),
        ({"outputs": [{"name": "A"}]}, "outputs.0.name"),
        ({"outputs": [{"name": "../x"}]}, "outputs.0.name"),
        ({"outputs": [{"name": "a"}, {"name": "a"}]}, "outputs"),
        ({"outputs": [{"name": "2"}, {}]}, "outputs"),
        ({"outputs": [{"width": 5}]}, "outputs.0.width"),
        ({"outputs": [{}, {"quality": 5}]}, "outputs.1.quality"),
        ({"outputs": [{"selector": "p", "full_page": True}]}, "outputs.0.selector"),
        ({"outputs": [{"format": "pdf", "device_scale_factor": 2}]},
         "outputs.0.device_scale_factor"),
        ({"outputs": [{"format": "pdf", "full_page": True}] * 2}, "outputs"),
        ({"outputs": [{}], "format": "jpeg"}, "format"),
        ({"outputs": [{}], "full_page": True}, "full_page"),
        ({"outputs": [{}], "selector": "p"}, "selector"),
        ({"outputs": [{"device_scale_factor": 0.1}], "width": 9}, "outputs.0.device_scale_factor"),
        ({"outputs": [{"device_scale_factor": 5}], "width": 4000, "height": 9},
         "outputs.0.device_scale_factor"),
        ({"outputs": [{"format": "avif", "device_scale_factor": 3}], "width": 2000, "height": 2000},
         "outputs.0.device_scale_factor"),
        ({"outputs": [{}] * 5, "width": 1000, "height": 1000}, "outputs"),
        ({"outputs": [{}, {"format": "pdf", "pdf": {"margin": {"top": "50in"}}}]},
         "outputs.1.pdf.margin"),
    ],
    ids=str,
)  # fmt: skip
async def test_outputs_that_cannot_be_are_refused_before_a_chrome_is_leased(
    service: Service, options: dict[str, Any], field: str
) -> None:
    """With the field, and the place of the output in it."""
    answer = await ask(service, html="<p>", **options)
    problem = await answer.json()
    assert (answer.status, problem["code"]) == (400, "invalid_field"), problem
    assert problem["field"].startswith(field), problem
    assert "Server-Timing" not in answer.headers


async def test_a_selector_that_is_none_is_refused_before_the_page_loads(service: Service) -> None:
    """Chrome knows what a selector is; it is asked first."""
    answer = await ask(service, html="<p>", outputs=[{}, {"selector": "p >"}])
    problem = await answer.json()
    assert (answer.status, problem["field"]) == (400, "outputs.1.selector"), problem
    assert "load" not in answer.headers["Server-Timing"]


@pytest.mark.parametrize(
    ("output", "code", "field"),
    [
        ({"selector": "#none"}, "selector_not_found", "outputs.1.selector"),
        ({"full_page": True}, "picture_too_large", "outputs.1"),
        ({"clip": {"x": 0, "y": 0, "width": 9000, "height": 5}}, "clip_outside", "outputs.1.clip"),
        ({"format": "pdf", "pdf": {"pages": "900"}}, "pages_out_of_range", "outputs.1.pdf.pages"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_one_that_fails_names_itself_and_nothing_is_delivered(
    service: Service, output: dict[str, Any], code: str, field: str
) -> None:
    """The others would have succeeded; the Chrome goes as after any error."""
    html = "<!doctype html><body style='height:30000px'>"
    answer = await ask(service, outputs=[{}, output, {"format": "pdf"}], html=html)
    problem = await answer.json()
    assert (answer.status, problem["code"], problem["field"]) == (422, code, field), problem
    assert field in problem["detail"]
    assert "capture" in answer.headers["Server-Timing"]
    assert await service.at_rest()


async def test_the_pixels_of_all_outputs_together_are_bounded(service: Service) -> None:
    """One full page of 1.2 megapixels is within 4, and so are three; four are not."""
    html = "<!doctype html><body style='margin:0;height:3000px'>"
    page: dict[str, Any] = {"html": html, "width": 400, "height": 100}
    each = [{"full_page": True, "format": "jpeg", "quality": 50 + n} for n in range(4)]
    assert len(await several(service, each[:3], **page)) == 3
    assert len(await several(service, each[:1] * 4, **page)) == 4  # captured once
    answer = await ask(service, outputs=each, **page)
    problem = await answer.json()
    assert (answer.status, problem["field"]) == (422, "outputs.3"), problem


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("*/*", MULTIPART), ("multipart/*", MULTIPART), ("application/*", ZIP),
        (f"{ZIP};q=0.5, {JSON}", JSON), (f"{JSON}, */*", MULTIPART), (f"{JSON}, */*;q=0.9", JSON),
        ("text/html, */*;q=0.1", MULTIPART), ("image/png", None), (f"{ZIP};q=0", None),
    ],
)  # fmt: skip
async def test_accept_decides_how_they_are_packed(
    service: Service, accept: str, kind: str | None
) -> None:
    """What fits nothing is refused before anything is rendered."""
    answer = await ask(service, accept, outputs=[{"format": "jpeg"}], html="<p>")
    if kind is not None:
        assert (answer.status, answer.content_type) == (200, kind)
        assert answer.headers.getall("Vary") == ["Accept"]
        return
    problem = await answer.json()
    assert (answer.status, problem["code"], problem["field"]) == (406, "not_acceptable", "Accept")
    assert problem["allowed"] == ", ".join(TYPES)
    assert "Server-Timing" not in answer.headers


# --- what is left ------------------------------------------------------------------------------


@in_both_chromes
async def test_who_hangs_up_between_two_captures_leaves_nothing(service: Service) -> None:
    """Neither a process nor memory that counts as used."""
    rest = "".join(f"<p style='box-shadow:0 0 {n}px red'>{n}" for n in range(2, 300))
    # Each of another picture: equal ones would share one capture.
    outputs = [{"full_page": True, "background": f"#0000{blue:02x}"} for blue in range(9)]
    outputs = [{**one, "png_compression": "small"} for one in outputs]
    job = {"html": f"<!doctype html>{rest}", "outputs": outputs, "width": 50, "height": 50}
    for seconds in (0.2, 0.5, 0.9):
        timeout = aiohttp.ClientTimeout(total=seconds)
        with pytest.raises(TimeoutError):
            await service.client.post(f"{service.address}/render", json=job, timeout=timeout)
    assert await service.at_rest()
    assert await settled(lambda: service.engine.buffers.used == 0)


# --- caches ------------------------------------------------------------------------------------

CACHED: dict[str, Any] = {
    "html": "<!doctype html><p>the same", "width": 40, "height": 30,
    "outputs": [{"name": "a"}, {"name": "b", "format": "pdf"}],
}  # fmt: skip


async def test_all_outputs_are_cached_as_one(start_service: StartService) -> None:
    """In every packing; other names, or another order, are other outputs."""
    service = await start_service(cache_bytes=1 << 20)
    words = []
    for accept in (*TYPES, MULTIPART):
        answer = await ask(service, accept, **CACHED)
        words.append(answer.headers["X-Cache"])
        parts = parsed(await answer.read(), answer.headers["Content-Type"])
        assert list(parts) == ["a", "b"]
        assert parts["b"].body.startswith(b"%PDF-")
    assert words == ["miss", "hit", "hit", "hit"]
    others = (
        [{"name": "a"}],
        CACHED["outputs"][::-1],
        [{"name": "a"}, {"name": "c", "format": "pdf"}],
    )
    for outputs in others:
        answer = await ask(service, **{**CACHED, "outputs": outputs})
        assert answer.headers["X-Cache"] == "miss"


@pytest.mark.slow
async def test_every_kind_of_answer_has_an_etag_of_its_own(start_service: StartService) -> None:
    """And 304 for the same again, for all kinds of parts; the bytes are the same each time."""
    service = await start_service(cache_bytes=1 << 20)
    found = {kind: await ask(service, kind, **CACHED) for kind in TYPES}
    etags = {kind: answer.headers["ETag"] for kind, answer in found.items()}
    named = [await ask(service, html="<p>", outputs=[{"name": name}]) for name in ("a", "b")]
    others = {answer.headers["ETag"] for answer in named}
    assert len({*etags.values(), *others}) == 5
    where = f"{service.address}/render"
    for kind, etag in etags.items():
        again = await ask(service, kind, **CACHED)
        assert again.headers["ETag"] == etag
        if kind != JSON:
            assert await again.read() == await found[kind].read()
        for known in etags.values():
            headers = {"Accept": kind, "If-None-Match": known}
            answer = await service.client.post(where, json=CACHED, headers=headers)
            assert answer.status == (304 if known == etag else 200)


async def test_replicas_share_all_outputs(start_service: StartService, redis: Server) -> None:
    """Through Redis, by which the names and the kinds of all come through."""
    first = await start_service(cache_bytes=1 << 20, redis_url=redis.address)
    one = await ask(first, **CACHED)
    store = first.engine.cache.store
    assert store is not None
    await store.settled()
    second = await start_service(cache_bytes=1 << 20, redis_url=redis.address)
    other = await ask(second, **CACHED)
    assert (one.headers["X-Cache"], other.headers["X-Cache"]) == ("miss", "hit")
    assert await other.read() == await one.read()


async def test_a_signed_url_has_outputs(start_service: StartService) -> None:
    """As a query writes them."""
    service = await start_service(signing_keys=KEYS)
    outputs = [{"name": "card"}, {"name": "print", "format": "pdf"}]
    url = address(service, width=80, height=60, outputs=outputs)
    answer = await service.client.get(url, headers={"Accept": ZIP})
    assert answer.headers["Cache-Control"].startswith("public")
    assert list(parsed(await answer.read(), ZIP)) == ["card", "print"]


# --- any of them -------------------------------------------------------------------------------

SCALES = st.sampled_from([None, 0.3, 0.5, 1, 1.25, 2])
FORMATS = st.sampled_from(["png", "jpeg", "webp", "avif", "pdf"])
PARTS: Any = st.fixed_dictionaries(
    {},
    optional={
        "format": FORMATS,
        "device_scale_factor": SCALES,
        "full_page": st.booleans(),
        "selector": st.sampled_from(["#card", "#none", "body"]),
        "padding": st.integers(0, 30),
        "clip": st.fixed_dictionaries(
            {"width": st.integers(1, 250), "height": st.integers(1, 400)},
            optional={"x": st.integers(0, 20), "scale": st.sampled_from([0.5, 1, 2])},
        ),
        "background": st.sampled_from(["transparent", "#123456"]),
        "name": st.sampled_from(["a", "b-2", "c_c"]),
        "quality": st.integers(1, 100),
        "png_compression": st.sampled_from(["fast", "small"]),
    },
)


def expected(output: dict[str, Any], page_scale: float) -> tuple[int, int] | None:
    """The size of a picture in device pixels; None for a PDF and for what is not known here."""
    scale = output.get("device_scale_factor") or page_scale
    if output.get("format") == "pdf" or output.get("full_page") or "selector" in output:
        return None
    size: tuple[float, float] = (WIDTH, HEIGHT)
    if clip := output.get("clip"):
        size, scale = (clip["width"], clip["height"]), scale * clip.get("scale", 1)
    width, height = (math.ceil(round(side * scale, 6)) for side in size)
    return width, height


ANY_OUTPUTS = given(
    outputs=st.lists(PARTS, min_size=1, max_size=5),
    page_scale=st.sampled_from([1, 2]),
    accept=st.sampled_from(TYPES),
)


def examples(number: int) -> settings:
    """So many of them, with one service for all."""
    ignored = [HealthCheck.function_scoped_fixture]
    return settings(max_examples=number, deadline=None, suppress_health_check=ignored)


@pytest.mark.slow
@examples(20)
@ANY_OUTPUTS
async def test_any_outputs_are_made_or_refused(
    service: Service, outputs: list[dict[str, Any]], page_scale: float, accept: str
) -> None:
    """Never a fault of the service's own, never a leak; sizes as computed."""
    await check_any(service, outputs, page_scale, accept)


@pytest.mark.endurance
@examples(200)
@ANY_OUTPUTS
async def test_many_outputs_are_made_or_refused(
    service: Service, outputs: list[dict[str, Any]], page_scale: float, accept: str
) -> None:
    """The same for more of them."""
    await check_any(service, outputs, page_scale, accept)


async def check_any(
    service: Service, outputs: list[dict[str, Any]], page_scale: float, accept: str
) -> None:
    """Ask for these outputs, and look at what comes."""
    given_: dict[str, Any] = {"outputs": outputs, "device_scale_factor": page_scale}
    answer = await ask(service, accept, html=PAGE, **given_)
    body = await answer.read()
    assert answer.status in (200, 400, 422), body
    assert service.engine.buffers.used == 0
    if answer.status != 200:
        field = json.loads(body)["field"]
        assert field.startswith("outputs")
        return
    parts = parsed(body, answer.headers["Content-Type"])
    assert len(parts) == len(outputs)
    for (name, part), output in zip(parts.items(), outputs, strict=True):
        assert name == output.get("name", name)
        if output.get("format") == "pdf":
            assert PdfReader(io.BytesIO(part.body)).pages
            continue
        with Image.open(io.BytesIO(part.body)) as picture:
            assert picture.format == output.get("format", "png").upper()
            assert picture.size == (expected(output, page_scale) or picture.size)


# --- the command line --------------------------------------------------------------------------


@pytest.mark.slow
async def test_the_command_writes_a_folder_or_a_zip_file(work_dir: Path, tmp_path: Path) -> None:
    """A file for each output, which has the name of the output and the end of its format."""
    page, folder, archive = (tmp_path / name for name in ("page.html", "folder", "all.zip"))
    page.write_text(PAGE)
    outputs = ('{"name": "a", "format": "jpeg"}', '{"full_page": true}', '{"format": "pdf"}')
    words = [word for one in outputs for word in ("--outputs", one)]
    for out in (folder, folder, archive):
        status, _, err = await run(work_dir, "render", str(page), "-o", str(out), *words)
        assert (status, err) == (0, "")
    names = ["a.jpg", "2.png", "3.pdf"]
    assert {one.name for one in folder.iterdir()} == set(names)
    packed = from_zip(archive.read_bytes())
    assert [part.file for part in packed.values()] == names
    assert same(packed["2"].body, (folder / "2.png").read_bytes())
    assert (folder / "3.pdf").read_bytes().startswith(b"%PDF-")
    status, _, err = await run(work_dir, "render", str(page), "-o", str(page), *words)
    assert status == 1
    assert "cannot write" in err
    assert left_of(work_dir) == []


async def test_outputs_of_one_picture_are_of_one_frame(service: Service) -> None:
    """Of a page that looks different in each frame: as PNG of both kinds, and as AVIF."""
    page = """<body><script>let n = 0; const tick = () => { n += 1;
        document.body.style.background = `hsl(0 0% ${n * 37 % 101}%)`;
        requestAnimationFrame(tick) }; requestAnimationFrame(tick)</script>"""
    outputs = [{"name": "png"}, {"name": "small", "png_compression": "small"}]
    found = await several(service, [*outputs, {"name": "avif", "format": "avif"}], html=page)
    first, second, third = (at(decode(one.body), 50, 50) for one in found.values())
    assert first == second
    assert near(first, third)
