"""The options of a PDF: its structure, where its text stands, and what its sheets look like.

In headless-shell and full Chromium, with a Chrome for each render and with one for many.
"""

import base64
import contextlib
import io
import re
import time
import zipfile
from collections.abc import Callable
from typing import Any

import aiohttp
import pypdfium2
import pytest
from aiohttp import web
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from pypdf import PdfReader, PdfWriter

from poster_service.browser.types import PdfCapture
from poster_service.errors import PageFailed
from poster_service.render.header_footer import check_template, has_date
from poster_service.render.lengths import UNITS
from poster_service.render.pdf_metadata import updated
from poster_service.render.pdf_options import PAPERS
from tests.web.conftest import Service, StartService
from tests.web.modes import in_both_chromes, service_in_modes
from tests.web.pdf_files import picture, place, sizes, texts, titles

RED, WHITE, LIME = (255, 0, 0), (255, 255, 255), (0, 255, 0)


service = service_in_modes(allow_private="127.0.0.0/8")


def pages(count: int) -> str:
    """A document with a heading and a word on each of its pages."""
    parts = [
        f"<h1 style='break-before: page'>Head{number}</h1><p>word{number}"
        for number in range(1, count + 1)
    ]
    style = "<style>body { margin: 0 } h1 { margin: 0 }</style>"
    return f"<!doctype html><html lang=en><title>Pages</title>{style}{''.join(parts)}"


async def pdf(service: Service, html: str, **options: Any) -> bytes:
    """A PDF; the names of the group `pdf` are given as they are, those around it in `around`."""
    around = options.pop("around", {})
    return await service.picture(html=html, format="pdf", pdf=options, **around)


async def pdfs(
    service: Service, html: str, some: list[dict[str, Any]], **around: Any
) -> list[bytes]:
    """PDFs of one page by one render, each with its options of the group `pdf`."""
    outputs = [{"format": "pdf", "pdf": options} for options in some]
    return await service.pictures(outputs, html=html, **around)


async def fault(service: Service, html: str = "<p>x", **options: Any) -> tuple[int, str, str]:
    """Status, field and detail of a refusal."""
    around = options.pop("around", {})
    answer = await service.render(html=html, format="pdf", pdf=options, **around)
    problem = await answer.json()
    return answer.status, problem["field"], problem["detail"]


def same_size(found: tuple[float, float], expected: tuple[float, float]) -> bool:
    """Whether both sides are the same: Chrome rounds them up to points, then to 0.24 points."""
    return all(-0.13 <= one - other < 1.13 for one, other in zip(found, expected, strict=True))


async def test_paper_has_the_size_of_its_name_in_upper_case_too(service: Service) -> None:
    """As in lower case."""
    across, down = (side * 72 for side in PAPERS["a4"])
    (found,) = sizes(await pdf(service, "<p>x", paper="A4"))
    assert same_size(found, (across, down))


@pytest.mark.slow
async def test_paper_has_the_size_of_its_name(service: Service) -> None:
    """Turned by `landscape`."""
    for landscape in (False, True):
        for names in (list(PAPERS)[:6], list(PAPERS)[6:]):
            some = [{"paper": name, "landscape": landscape} for name in names]
            for name, body in zip(names, await pdfs(service, "<p>x", some), strict=True):
                across, down = (side * 72 for side in PAPERS[name])
                (found,) = sizes(body)
                assert same_size(found, (down, across) if landscape else (across, down)), name


async def test_a_length_has_any_unit(service: Service) -> None:
    """For sides and margins."""
    units = [unit for unit in UNITS if unit]
    some = [
        {
            "paper": {"width": f"{600 / UNITS[unit]:.4f}{unit}", "height": 300},
            "margin": {"left": f"{100 / UNITS[unit]:.4f}{unit}"},
        }
        for unit in units
    ]
    found = await pdfs(service, "<body style='margin: 0'>Text", some)
    for unit, body in zip(units, found, strict=True):
        assert same_size(sizes(body)[0], (450, 225)), unit
        assert 99 < place(body, "Text").left < 103, unit


async def test_sheets_without_a_size_are_those_of_the_viewport(service: Service) -> None:
    """Also beside other options; `landscape` turns them."""
    some: list[dict[str, Any]] = [{}, {"scale": 0.5}, {"landscape": True}]
    found = await pdfs(service, "<p>x", some, width=400, height=800)
    assert [sizes(body) for body in found] == [[(300, 600)], [(300, 600)], [(600, 300)]]


async def test_each_margin_is_on_its_side(service: Service) -> None:
    """Of a sheet that lies, too; scale changes what is inside only."""
    html = "<style>html, body { margin: 0; height: 100%; background: red }</style>"
    margin = {"top": 20, "right": 40, "bottom": 60, "left": 80}
    given_ = {"paper": {"width": 400, "height": 600}, "margin": margin}
    some = [
        {**given_, "landscape": landscape, "scale": scale}
        for landscape, scale in ((False, 1), (True, 1), (True, 0.5))
    ]
    page = f"{html}<div style='height: 100vh; background: lime'></div>"
    for options, body in zip(some, await pdfs(service, page, some), strict=True):
        sheet = picture(body)
        width, height = sheet.size
        assert (width, height) == ((600, 400) if options["landscape"] else (400, 600))
        green = [
            (x, y) for x in range(0, width, 5) for y in range(0, height, 5)
            if sheet.getpixel((x, y)) == LIME
        ]  # fmt: skip
        left, right = min(x for x, _ in green), max(x for x, _ in green)
        top, bottom = min(y for _, y in green), max(y for _, y in green)
        assert (left, top) == (80, 20)
        assert width - 46 <= right < width - 40
        assert height - 66 <= bottom < height - 60


async def test_scale_is_that_of_the_text(service: Service) -> None:
    """Twice as large, and so many more lines."""
    html = "<body style='margin: 0; font: 40px serif'>H<br>H"
    plain, double = await pdfs(service, html, [{}, {"scale": 2}])
    first, second = place(plain, "H"), place(double, "H")
    assert 1.9 < (second.bottom - second.top) / (first.bottom - first.top) < 2.1


async def test_the_size_of_the_page_itself_comes_first(service: Service) -> None:
    """Unless `prefer_css_page_size` is false; its margins count in both cases."""
    html = "<style>@page { size: A5; margin: 50px } body { margin: 0 }</style>Text"
    a5, a4 = (419.5, 595), (595, 842)
    some: list[dict[str, Any]] = [{"paper": "a4"}, {"paper": "a4", "prefer_css_page_size": False}]
    own, asked_for = await pdfs(service, html, some)
    assert same_size(sizes(own)[0], a5)
    assert 49 < place(own, "Text").left < 53
    assert same_size(sizes(asked_for)[0], a4)


@pytest.mark.parametrize("background", [None, "#00ff00"])
async def test_backgrounds_are_printed_unless_they_are_not_wanted(
    service: Service, background: str | None
) -> None:
    """Of elements and of the sheets; a full page as well."""
    html = "<style>html { background: red } body { margin: 0 }</style><div style='height: 50px'>"
    for full_page in (False, True):
        around = {"full_page": full_page, "width": 100, "height": 100}
        if background is not None:
            around["background"] = background  # type: ignore[assignment]
        assert picture(await pdf(service, html, around=around)).getpixel((50, 20)) == RED
        body = await pdf(service, html, print_background=False, around=around)
        assert picture(body).getpixel((50, 20)) == WHITE


async def test_a_full_page_has_its_margins_around_it(service: Service) -> None:
    """The page is laid out as without them, and the sheet is larger by them."""
    html = (
        "<style>body { margin: 0 }</style>"
        "<div style='width: 100vw; height: 900px; background: red'>Text</div>"
    )
    around = {"full_page": True, "width": 300, "height": 100}
    margin = {"top": 40, "right": 10, "bottom": 20, "left": 30}
    bare, body = [await pdf(service, html, margin=one, around=around) for one in ({}, margin)]
    assert same_size(sizes(bare)[0], (300 * 0.75, 900 * 0.75))
    assert len(sizes(body)) == 1
    assert same_size(sizes(body)[0], (340 * 0.75, 960 * 0.75))
    seen = picture(body)
    inside, outside = [(32, 42), (328, 938)], [(15, 42), (335, 42), (32, 20), (32, 952)]
    assert {seen.getpixel(one) for one in inside} == {RED}
    assert {seen.getpixel(one) for one in outside} == {WHITE}
    moved, there = place(body, "Text"), place(bare, "Text")
    assert abs(moved.left - there.left - 30) < 1
    assert abs(moved.top - there.top - 40) < 1
    huge = await pdf(service, html, margin={"top": 300, "bottom": 300}, around=around)
    assert same_size(sizes(huge)[0], (300 * 0.75, 1500 * 0.75))


async def test_pages_are_those_asked_for(service: Service) -> None:
    """In the order of the document, as far as it has them."""
    ranges = {
        "1": [1], "2-3": [2, 3], "1, 3-4": [1, 3, 4], "3-": [3, 4], "-2": [1, 2],
        "4,1": [1, 4], "2-99": [2, 3, 4], "1,99": [1],
    }  # fmt: skip
    found = await pdfs(service, pages(4), [{"pages": one} for one in ranges])
    for body, (asked, expected) in zip(found, ranges.items(), strict=True):
        assert texts(body) == [f"Head{number} word{number}" for number in expected], asked


async def test_pages_that_the_document_does_not_have_are_the_callers_fault(
    service: Service,
) -> None:
    """422: only the printed document has a number of pages."""
    answer = await service.render(html=pages(2), format="pdf", pdf={"pages": "3,5-"})
    assert answer.status == 422
    problem = await answer.json()
    assert (problem["code"], problem["field"]) == ("pages_out_of_range", "pdf.pages")
    assert "none of the pages 3,5-" in problem["detail"]
    assert texts(await pdf(service, pages(1))) == ["Head1 word1"]


async def test_tags_and_outline(service: Service) -> None:
    """Tagged by itself; an outline of the headings only if it is asked for."""
    some: list[dict[str, Any]] = [{}, {"tagged": False}, {"outline": True}]
    found = await pdfs(service, pages(2), some)
    plain, bare, full = (PdfReader(io.BytesIO(body)) for body in found)
    assert plain.root_object["/MarkInfo"]["/Marked"].value  # type: ignore[index]
    assert "/StructTreeRoot" in plain.root_object
    assert plain.outline == []
    assert "/StructTreeRoot" not in bare.root_object
    assert titles(full) == ["Head1", "Head2"]
    assert "/StructTreeRoot" in full.root_object


async def test_a_full_page_takes_what_has_a_meaning_for_it(service: Service) -> None:
    """One sheet as large as the page; the rest is refused with its field."""
    around = {"full_page": True, "width": 300, "height": 300}
    body = await pdf(service, pages(3), outline=True, around=around)
    assert len(sizes(body)) == 1
    assert titles(PdfReader(io.BytesIO(body))) == ["Head1", "Head2", "Head3"]
    for options in (
        {"paper": "a4"}, {"landscape": True}, {"scale": 0.5},
        {"pages": "1"}, {"prefer_css_page_size": False},
    ):  # fmt: skip
        status, field, detail = await fault(service, **options, around={"full_page": True})
        assert (status, field) == (400, f"pdf.{next(iter(options))}")
        assert "full_page" in detail


@pytest.mark.parametrize(
    ("options", "field", "words"),
    [
        ({"paper": "a7"}, "pdf.paper", "a6"),
        ({"paper": {"width": "1cm"}}, "pdf.paper.height", "missing"),
        ({"paper": {"width": "1cm", "height": "201in"}}, "pdf.paper.height", "range"),
        ({"paper": {"width": 9, "height": 10}}, "pdf.paper.width", "range"),
        ({"margin": {"top": -1}}, "pdf.margin.top", "range"),
        ({"margin": {"top": "-1cm"}}, "pdf.margin.top", "not a length"),
        ({"margin": {"top": "1em"}}, "pdf.margin.top", "not a length"),
        ({"paper": "a6", "margin": {"top": "8cm", "bottom": "8cm"}}, "pdf.margin", "396.85"),
        ({"margin": {"left": 750}}, "pdf.margin", "750 x 1334"),
        ({"landscape": True, "margin": {"top": 750}}, "pdf.margin", "1334 x 750"),
        ({"scale": 0.05}, "pdf.scale", "range"),
        ({"scale": 2.5}, "pdf.scale", "range"),
        ({"pages": "0"}, "pdf.pages", "page 0"),
        ({"pages": "3-1"}, "pdf.pages", "before it begins"),
        ({"pages": "-"}, "pdf.pages", "neither"),
        ({"pages": "1;2"}, "pdf.pages", "neither"),
        ({"pages": "１"}, "pdf.pages", "neither"),
        ({"pages": ",".join("123456")[:5] * 21}, "pdf.pages", "too long"),
        ({"outline": True, "tagged": False}, "pdf.outline", "tagged: false"),
        ({"colour": "red"}, "pdf.colour", "unknown"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
async def test_what_cannot_be_is_refused(
    service: Service, options: dict[str, Any], field: str, words: str
) -> None:
    """400, with the field and what is allowed."""
    status, found, detail = await fault(service, **options)
    assert (status, found) == (400, field)
    assert words in detail


async def test_the_group_is_for_pdfs_only(service: Service) -> None:
    """Any of it with another format is refused."""
    answer = await service.render(html="<p>x", pdf={"scale": 1.0})
    assert answer.status == 400
    assert (await answer.json())["field"] == "pdf"


async def test_a_query_has_dotted_names(service: Service) -> None:
    """Numbers are text there, and CSS pixels without a unit."""
    query = {
        "format": "pdf", "pdf.paper.width": "400", "pdf.paper.height": "10cm",
        "pdf.margin.left": "50", "pdf.landscape": "true",
    }  # fmt: skip
    url = f"{service.address}/render"
    headers = {"Content-Type": "text/html"}
    page = "<body style='margin: 0'>Text"
    async with service.client.post(url, params=query, data=page, headers=headers) as answer:
        body = await answer.read()
        assert answer.status == 200, body
    assert same_size(sizes(body)[0], (283.5, 300))
    assert 49 < place(body, "Text").left < 53


LENGTHS = st.one_of(
    st.floats(0, 300, allow_subnormal=False),
    st.tuples(st.integers(0, 60), st.sampled_from(["mm", "pt", "px", "cm", "in", "pc"])).map(
        lambda pair: f"{pair[0]}{pair[1]}"
    ),
)
SIDES = st.one_of(st.floats(9.6, 3000), st.integers(10, 400).map("{}mm".format))


SHEETS = st.fixed_dictionaries(
    {
        "paper": st.one_of(
            st.none(),
            st.sampled_from(sorted(PAPERS)),
            st.fixed_dictionaries({"width": SIDES, "height": SIDES}),
        ),
        "margin": st.dictionaries(st.sampled_from(["top", "right", "bottom", "left"]), LENGTHS),
        "scale": st.floats(0.1, 2),
        "landscape": st.booleans(),
    }
)


def computed(sheet: dict[str, Any]) -> tuple[float, float] | None:
    """The size of a sheet in points; None where its margins leave nothing."""
    paper, margin = sheet["paper"], {name: _pixels(one) for name, one in sheet["margin"].items()}
    if paper is None:
        across, down = 400.0, 500.0
    elif isinstance(paper, str):
        across, down = (side * 96 for side in PAPERS[paper])  # type: ignore[index]
    else:
        across, down = _pixels(paper["width"]), _pixels(paper["height"])
    if sheet["landscape"]:
        across, down = down, across
    wide = across - margin.get("left", 0) - margin.get("right", 0)
    high = down - margin.get("top", 0) - margin.get("bottom", 0)
    return None if min(wide, high) < 1 else (across * 0.75, down * 0.75)


@pytest.mark.slow
@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(SHEETS, min_size=1, max_size=8))
async def test_a_sheet_is_as_large_as_computed(
    service: Service, sheets: list[dict[str, Any]]
) -> None:
    """With any options beside it; only margins that leave nothing are refused."""
    around = {"width": 400, "height": 500}
    some, wanted = [], []
    for sheet in sheets:
        options = {name: value for name, value in sheet.items() if value is not None}
        if size := computed(sheet):
            some.append(options)
            wanted.append(size)
        else:
            status, field, _ = await fault(service, "<p>", around=around, **options)
            assert (status, field) == (400, "pdf.margin")
    if some:
        found = await pdfs(service, "<p>", some, **around)
        for options, body, size in zip(some, found, wanted, strict=True):
            assert same_size(sizes(body)[0], size), options


def _pixels(length: float | str) -> float:
    if not isinstance(length, str):
        return length
    unit = length.lstrip("0123456789.")
    return float(length.removesuffix(unit)) * UNITS[unit]


def png(colour: tuple[int, int, int], size: tuple[int, int] = (40, 20)) -> bytes:
    """A picture of one colour."""
    out = io.BytesIO()
    Image.new("RGB", size, colour).save(out, "PNG")
    return out.getvalue()


MARGIN = {"top": 100, "bottom": 100, "left": 60, "right": 40}
NUMBERS = "Page <span class=pageNumber></span> of <span class=totalPages></span>"


async def test_header_and_footer_stand_in_the_margins_of_every_sheet(service: Service) -> None:
    """Readable without a size of their own, as wide as the content, with the right numbers."""
    body = await pdf(
        service,
        pages(3),
        paper="a5",
        margin=MARGIN,
        header="<div>Acme</div>",
        footer=f"<div style='text-align: right'>{NUMBERS}</div>",
    )
    assert texts(body) == [
        f"Head{number} word{number} Acme Page {number} of 3" for number in (1, 2, 3)
    ]
    width, height = picture(body).size
    for number in range(3):
        top, content = place(body, "Acme", number), place(body, "Head", number)
        bottom = place(body, "Page", number)
        assert 59 < top.left < 64
        assert 59 < content.left < 64
        assert 15 < top.top < top.bottom < 100 < content.top
        assert height - 100 < bottom.top < bottom.bottom < height - 14
        assert 7 < top.bottom - top.top < 13  # the ink of 12 pixels
    assert place(body, "of 3", 2).left > width - 100
    part = await pdf(service, pages(3), margin=MARGIN, footer=NUMBERS, pages="2-3")
    assert texts(part) == ["Head2 word2 Page 2 of 3", "Head3 word3 Page 3 of 3"]


@pytest.mark.parametrize("side", ["header", "footer"])
async def test_one_of_both_alone_brings_nothing_else(service: Service, side: str) -> None:
    """Chrome's own date, title and address would stand where an empty text is given."""
    body = await pdf(service, pages(1), margin=MARGIN, **{side: "<b class=title></b>!"})
    assert texts(body) == ["Head1 word1 Pages!"]


async def test_scale_and_own_styles(service: Service) -> None:
    """A header is as large as it says at any scale; colours are printed."""
    header = "<style>b { font: 20px serif; background: #00ff00 }</style><b>H</b>"
    some = [{"margin": MARGIN, "scale": scale, "header": header} for scale in (1, 0.5, 2)]
    for body in await pdfs(service, "<p>x", some):
        word = place(body, "H")
        assert 12 < word.bottom - word.top < 15
        sheet = picture(body)
        assert sheet.getpixel((int(word.left) + 1, int(word.top) - 1)) == LIME


@in_both_chromes
async def test_nothing_runs_in_a_header(service: Service) -> None:
    """No script, no handler; the page is not touched either."""
    header = """<div>A<script>document.body.append('SCRIPT')</script>
        <img src="data:image/png,broken" onerror="this.parentNode.append('ERROR')">
        <svg onload="this.parentNode.append('LOAD')"></svg>
        <details open ontoggle="this.append('TOGGLE')"></details>
        <iframe srcdoc="<script>top.document.body.append('FRAME')</script>"></iframe></div>"""
    for javascript in (True, False):
        body = await pdf(
            service, "x", margin=MARGIN, header=header, around={"javascript": javascript}
        )
        (text,) = texts(body)
        assert not any(word in text for word in ("SCRIPT", "ERROR", "LOAD", "TOGGLE", "FRAME"))


async def test_pictures_of_a_header_are_fetched_as_those_of_the_page(
    service: Service, serve_pages: Callable[..., Any]
) -> None:
    """In elements, attributes and style sheets, through redirects; each address once."""
    seen: list[str] = []

    async def red(request: web.Request) -> web.Response:
        seen.append(request.path)
        return web.Response(body=png(RED), content_type="image/png")

    async def moved(request: web.Request) -> web.Response:
        seen.append(request.path)
        raise web.HTTPFound("/red?moved")

    async with serve_pages(red=red, moved=moved) as url:
        header = f"""<style>.a {{ background: url({url}/red) }}</style>
            <div style="display: flex; gap: 10px; line-height: 0">
            <img src="{url}/red" srcset="{url}/other 1x"><div class=a style="width: 40px"></div>
            <div style="width: 40px; background: url('{url}/moved')"></div>
            <svg width=40 height=20><image width=40 height=20 href="{url}/red" /></svg></div>"""
        body = await pdf(service, "<p>x", margin=MARGIN, header=header, around={"strict": True})
    sheet = picture(body)
    found = [sheet.getpixel((60 + 50 * number + 20, 25)) for number in range(4)]
    assert found == [RED] * 4
    assert sorted(seen) == ["/moved", "/red", "/red"]


async def test_a_picture_that_came_with_the_page_is_found(service: Service) -> None:
    """By its name, as in the page."""
    form = aiohttp.FormData()
    form.add_field("index.html", "<p>x", filename="index.html", content_type="text/html")
    form.add_field("files", png(RED), filename="logo.png", content_type="image/png")
    fields = {"format": "pdf", "pdf.margin.top": "100", "pdf.header": "<img src=logo.png>"}
    for name, value in fields.items():
        form.add_field(name, value)
    async with service.client.post(f"{service.address}/render", data=form) as answer:
        body = await answer.read()
        assert answer.status == 200, body
    assert "X-Render-Warnings" not in answer.headers
    assert picture(body).getpixel((20, 25)) == RED


async def test_a_picture_that_fails_is_a_warning_and_strict_an_error(service: Service) -> None:
    """The rest of the header is printed."""
    options = {"margin": MARGIN, "header": "Acme<img src=none.png>"}
    answer = await service.render(html="<p>x", format="pdf", pdf=options)
    assert answer.status == 200
    assert 'failed;url="none.png";reason=not_found' in answer.headers["X-Render-Warnings"]
    assert "Acme" in texts(await answer.read())[0]
    answer = await service.render(html="<p>x", format="pdf", strict=True, pdf=options)
    assert (await answer.json())["code"] == "fetch_failed"


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("<style>@import url(x.css);</style>", "@import"),
        ("<style>/* */ @font-face { font-family: x; src: url(data:,) }</style>", "@font-face"),
        ("<link rel='stylesheet' href=x.css>", "<link>"),
        ("<link rel=prefetch href=x.css>", "<link>"),
        ("".join(f"<img src={number}.png>" for number in range(21)), "21 pictures"),
        ("x" * 65_537, "too long"),
        ("", "empty"),
    ],
    ids=["import", "font-face", "link", "prefetch", "pictures", "long", "empty"],
)
async def test_what_a_header_cannot_have_is_refused(
    service: Service, header: str, words: str
) -> None:
    """400, before anything is leased; of a footer, too."""
    for side in ("header", "footer"):
        status, field, detail = await fault(service, **{side: header})
        assert (status, field) == (400, f"pdf.{side}")
        assert words in detail


@pytest.mark.parametrize("javascript", [True, False])
async def test_a_header_that_its_margin_does_not_hold_is_a_warning(
    service: Service, *, javascript: bool
) -> None:
    """With what it needs; not where the page has margins of its own."""
    picture_ = f"data:image/png;base64,{base64.b64encode(png(RED, (30, 120))).decode()}"
    tall = {"header": f"<img src='{picture_}'>", "footer": "a<br>b<br>c<br>d"}

    async def warnings(html: str = "<p>x", **options: Any) -> str:
        answer = await service.render(
            html=html, format="pdf", pdf={**tall, **options}, javascript=javascript
        )
        assert answer.status == 200
        return answer.headers.get("X-Render-Warnings", "")

    found = await warnings(margin={"top": 100, "bottom": 40})
    assert 'margin;reason=header_too_tall;needs="13' in found
    assert 'margin;reason=footer_too_tall;needs="' in found
    assert 'has="40"' in found
    assert await warnings(margin={"top": 160, "bottom": 90}) == ""
    assert await warnings("<style>@page { margin: 200px }</style>x") == ""


async def test_a_page_does_not_see_how_its_header_is_measured(service: Service) -> None:
    """But for a frame that is gone at once; it may break that, to no effect."""
    html = """<p>x<script>new MutationObserver((all) => {
        for (const one of all) for (const node of one.addedNodes) node.remove();
    }).observe(document, {childList: true, subtree: true})</script>"""
    assert "Acme" in texts(await pdf(service, html, margin=MARGIN, header="Acme"))[0]


async def test_a_header_with_the_date_is_not_cached(start_service: StartService) -> None:
    """The next one would have another."""
    service = await start_service(cache_bytes=1 << 20)
    for header, second in (("Acme", "hit"), ("<i class='x date'></i>", "miss")):
        body = {"html": "<p>x", "format": "pdf", "pdf": {"margin": MARGIN, "header": header}}
        found = [(await service.render(**body)).headers["X-Cache"] for _ in range(2)]
        assert found[0] != "hit"
        assert (found[1] == "hit") == (second == "hit")


def tags(body: bytes) -> list[tuple[str, str]]:
    """Of each sheet its number in the tree of tags, and its tagged contents."""
    reader = PdfReader(io.BytesIO(body))
    return [(str(page["/StructParents"]), marks(page)) for page in reader.pages]


def marks(page: Any) -> str:
    """The beginnings of tagged contents, as the sheet has them."""
    contents = page.get_contents().get_data()
    return b" ".join(re.findall(rb"/\w+ <<.*?>>\s*BDC", contents)).decode()


async def test_the_first_sheet_may_be_without_header_and_footer(service: Service) -> None:
    """Numbers, layout, tags, outline and links are as with them."""
    html = pages(3).replace("word1", "<a href='#x'>word1</a>").replace("word2", "<b id=x>word2</b>")
    options = {"margin": MARGIN, "header": "Acme", "footer": NUMBERS, "outline": True}
    some: list[dict[str, Any]] = [options, {**options, "skip_first": True}, {"margin": MARGIN}]
    plain, body, bare = await pdfs(service, html, some)
    assert texts(body) == [
        "Head1 word1",
        "Head2 word2 Acme Page 2 of 3",
        "Head3 word3 Acme Page 3 of 3",
    ]
    assert place(body, "Head1") == place(plain, "Head1")
    assert tags(body) == tags(plain)
    first, second = (PdfReader(io.BytesIO(one), strict=True) for one in (plain, body))
    assert titles(second) == titles(first) == ["Head1", "Head2", "Head3"]
    assert len(second.pages[0]["/Annots"]) == len(first.pages[0]["/Annots"]) == 1  # type: ignore[arg-type]
    assert picture(body, 1).tobytes() == picture(plain, 1).tobytes()
    assert picture(body, 0).tobytes() == picture(bare, 0).tobytes()


async def test_the_first_page_is_that_of_the_document(service: Service) -> None:
    """Not the first of those that are printed."""
    ranges = {
        "1": ["Head1 word1"],
        "-2": ["Head1 word1", "Head2 word2 Page 2 of 3"],
        "3,1": ["Head1 word1", "Head3 word3 Page 3 of 3"],
        "2-": ["Head2 word2 Page 2 of 3", "Head3 word3 Page 3 of 3"],
    }
    around = {"margin": MARGIN, "footer": NUMBERS, "skip_first": True}
    found = await pdfs(service, pages(3), [{**around, "pages": one} for one in ranges])
    assert [texts(body) for body in found] == list(ranges.values())


async def test_a_first_sheet_needs_something_to_be_without(service: Service) -> None:
    """400: without header and footer it has no meaning."""
    status, field, detail = await fault(service, skip_first=True)
    assert (status, field) == (400, "pdf.skip_first")
    assert "pdf.header or pdf.footer" in detail


WORDS = {"title": "Größe (1) \\ 你好 😀", "author": "Ä", "subject": "s", "keywords": "a, b"}


@pytest.mark.parametrize("full_page", [False, True])
async def test_metadata(service: Service, *, full_page: bool) -> None:
    """In any script; tags, outline and pages stay, and what is not named is Chrome's."""
    options = {"outline": True, "around": {"full_page": full_page}}
    plain = PdfReader(io.BytesIO(await pdf(service, pages(2), **options)))
    body = await pdf(service, pages(2), metadata=WORDS, **options)
    reader = PdfReader(io.BytesIO(body), strict=True)
    found: Any = reader.metadata
    before: Any = plain.metadata
    assert before["/Title"] == "Pages"
    for name, value in WORDS.items():
        assert found[f"/{name.capitalize()}"] == value
    for name in ("/Creator", "/Producer"):
        assert found[name] == before[name]
    assert len(reader.pages) == len(plain.pages)
    assert titles(reader) == ["Head1", "Head2"]
    assert "/StructTreeRoot" in reader.root_object
    with contextlib.closing(pypdfium2.PdfDocument(io.BytesIO(body))) as document:
        assert document.get_metadata_dict()["Title"] == WORDS["title"]


async def test_a_creation_date(service: Service) -> None:
    """Of the change, too; the rest is the page's."""
    dates = {
        "2026-01-31": "20260131000000",
        "2026-01-31T09:30:00+01:00": "20260131083000",
        "2026-01-31T09:30:00Z": "20260131093000",
    }
    some = [{"metadata": {"creation_date": one}} for one in dates]
    for body, expected in zip(await pdfs(service, pages(1), some), dates.values(), strict=True):
        found: Any = PdfReader(io.BytesIO(body), strict=True).metadata
        assert found["/CreationDate"] == found["/ModDate"] == f"D:{expected}Z"
        assert found.creation_date is not None
        assert found["/Title"] == "Pages"


@pytest.mark.parametrize(
    ("metadata", "field", "words"),
    [
        ({"creation_date": "31.1.2026"}, "creation_date", "ISO 8601"),
        ({"creation_date": "0001-01-01T00:00:00+05:00"}, "creation_date", "ISO 8601"),
        ({"title": ""}, "title", "empty"),
        ({"title": "x" * 1001}, "title", "too long"),
        ({"colour": "me"}, "colour", "unknown"),
    ],
)
async def test_metadata_that_cannot_be(
    service: Service, metadata: dict[str, str], field: str, words: str
) -> None:
    """400, with the field."""
    status, found, detail = await fault(service, metadata=metadata)
    assert (status, found) == (400, f"pdf.metadata.{field}")
    assert words in detail


@in_both_chromes
async def test_everything_together(service: Service) -> None:
    """Each option does what it does alone."""
    body = await pdf(
        service,
        pages(4),
        paper="a5",
        landscape=True,
        margin={"top": "2cm", "bottom": "2cm", "left": "1cm", "right": "1cm"},
        scale=0.8,
        pages="1,3-",
        header="<b class=title></b>",
        footer=NUMBERS,
        skip_first=True,
        outline=True,
        metadata={"author": "me"},
    )
    assert texts(body) == [
        "Head1 word1",
        "Head3 word3 Pages Page 3 of 4",
        "Head4 word4 Pages Page 4 of 4",
    ]
    assert all(same_size(size, (595, 420)) for size in sizes(body))
    reader = PdfReader(io.BytesIO(body), strict=True)
    assert reader.metadata is not None
    assert reader.metadata.author == "me"


def plain_pdf() -> bytes:
    """A PDF of one empty sheet."""
    writer, out = PdfWriter(), io.BytesIO()
    writer.add_blank_page(100, 100)
    writer.add_metadata({"/Title": "old"})
    writer.pages[0].merge_page(writer.pages[0])  # gives it contents
    writer.write(out)
    return out.getvalue()


PLAIN = plain_pdf()


@pytest.mark.slow
@given(text=st.text(min_size=1, max_size=50), sheets=st.integers(0, 1))
@settings(max_examples=50, deadline=None)
def test_any_text_of_the_metadata_comes_back(text: str, sheets: int) -> None:
    """Brackets, backslashes, line ends, characters beyond 16 bits."""
    body = updated(PLAIN, PLAIN if sheets else b"", {"/Title": text})
    found = PdfReader(io.BytesIO(body), strict=True)
    metadata: Any = found.metadata
    assert metadata["/Title"] == text
    assert len(found.pages) == 1


def test_what_is_no_pdf_fails_the_page() -> None:
    """For each fault of the file; nothing else comes of it."""
    for broken in (b"", b"%PDF-1.4\nstartxref\n5\n%%EOF\n", PLAIN[:-40], PLAIN[200:]):
        with pytest.raises(PageFailed):
            updated(broken, PLAIN, {"/Title": "x"})


async def test_several_pdfs_of_one_load_have_each_its_own(service: Service) -> None:
    """Beside a picture; nothing of one is in the next."""
    outputs = [
        {"name": "a", "format": "pdf",
         "pdf": {"margin": MARGIN, "footer": NUMBERS, "skip_first": True, "outline": True}},
        {"name": "b", "format": "png"},
        {"name": "c", "format": "pdf",
         "pdf": {"margin": MARGIN, "header": "Acme", "metadata": {"title": "Other"}}},
        {"name": "d", "format": "pdf"},
    ]  # fmt: skip
    headers = {"Accept": "application/zip"}
    given_ = {"html": pages(2), "outputs": outputs}
    async with service.client.post(
        f"{service.address}/render", json=given_, headers=headers
    ) as answer:
        body = await answer.read()
        assert answer.status == 200, body
    with zipfile.ZipFile(io.BytesIO(body)) as files:
        found = {name[0]: files.read(name) for name in files.namelist() if name.endswith(".pdf")}
    assert texts(found["a"]) == ["Head1 word1", "Head2 word2 Page 2 of 2"]
    assert texts(found["c"]) == ["Head1 word1 Acme", "Head2 word2 Acme"]
    assert texts(found["d"]) == ["Head1 word1", "Head2 word2"]
    readers = {name: PdfReader(io.BytesIO(one), strict=True) for name, one in found.items()}
    assert [len(titles(one)) for one in readers.values()] == [2, 0, 0]
    shown: list[Any] = [one.metadata for one in readers.values()]
    assert [one["/Title"] for one in shown] == ["Pages", "Other", "Pages"]


@pytest.mark.slow
async def test_an_option_of_a_pdf_is_part_of_the_cache_key(start_service: StartService) -> None:
    """A PDF with it is not one without."""
    service = await start_service(cache_bytes=1 << 20)

    async def is_hit(**options: Any) -> bool:
        pdf = {"margin": MARGIN, **options}
        answer = await service.render(html="<title>x</title><p>x", format="pdf", pdf=pdf)
        assert answer.status == 200
        return answer.headers["X-Cache"] == "hit"

    assert not await is_hit()
    some: list[dict[str, Any]] = [
        {"scale": 0.5}, {"pages": "1"}, {"header": "a"}, {"metadata": {"title": "t"}},
    ]  # fmt: skip
    for options in some:
        assert [await is_hit(**options) for _ in range(2)] == [False, True], options
    assert await is_hit()


@pytest.mark.parametrize(
    "part",
    ["<a ", "<a a='", "<!--", "<![", "</", "<?", "<style>", "<style>url( ", '<style>"', "class="],
)
def test_a_template_is_read_in_linear_time(part: str) -> None:
    """However broken it is: some of these take a common parser minutes."""
    begin = time.process_time()
    check_template("pdf.header", (part * 65_536)[:65_536])
    assert not has_date(PdfCapture(header=(part * 65_536)[:65_536]))
    assert time.process_time() - begin < 10
