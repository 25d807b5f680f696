"""Gotenberg's fields of pictures and PDFs: each with its default, as the result shows it."""

import io
from collections.abc import AsyncIterator

import pytest
from pypdf import PdfReader

from tests.web.compat.forms import post
from tests.web.compat.gotenberg import BLUE, CONVERT, PAGE, PAGES, RED, SHOT, TALL, WHITE, pdf, shot
from tests.web.local_web import LocalServer, local_server
from tests.web.pdf_files import picture, place, sizes, texts, titles
from tests.web.pictures import at, near
from tests.web.service import Service, running_in_own_folder


@pytest.fixture(scope="module")
async def service() -> AsyncIterator[Service]:
    """One service for all tests of this file."""
    async with running_in_own_folder(
        compat="gotenberg", allow_private="127.0.0.0/8", timeout_ms=20_000, max_pixels=5_000_000
    ) as found:
        yield found


@pytest.fixture(scope="module")
async def web() -> AsyncIterator[LocalServer]:
    """A web server whose pages and files are fetched."""
    async with local_server() as found:
        yield found


@pytest.mark.parametrize(
    ("fields", "size"),
    [
        ({}, (800, 600)), ({"width": "300"}, (300, 600)), ({"height": "700"}, (800, 700)),
        ({"deviceScaleFactor": "2", "width": "100", "height": "100"}, (200, 200)),
        ({"selector": "#box"}, (50, 50)), ({"selector": "#box", "clip": "true"}, (50, 50)),
        ({"width": "", "clip": "1"}, (800, 600)),
    ],
)  # fmt: skip
async def test_the_size_of_a_picture(
    service: Service, fields: dict[str, str], size: tuple[int, int]
) -> None:
    """800 x 600 by default, and the whole page where it is larger."""
    assert (await shot(service, **fields)).size == size


async def test_the_whole_page_unless_it_is_clipped(service: Service) -> None:
    """`clip` gives the viewport."""
    assert (await shot(service, TALL)).size[1] > 1000
    assert (await shot(service, TALL, clip="true")).size == (800, 600)


async def test_the_format_and_quality(service: Service) -> None:
    """A png by default; a jpeg of quality 100; the ending of the name follows."""
    noise = PAGE + "".join(f"<i style='color: #{n * 7919 % 4096:03x}'>{n} </i>" for n in range(400))
    bytes_of = {}
    for name, fields in {
        "png": {}, "jpeg": {"format": "jpeg"}, "webp": {"format": "webp"},
        "low": {"format": "jpeg", "quality": "1"}, "zero": {"format": "jpeg", "quality": "0"},
        "fast": {"optimizeForSpeed": "true"},
    }.items():  # fmt: skip
        found = await post(service, SHOT, {"index.html": noise}, **fields)
        kind = fields.get("format", "png")
        assert (found.status, found.kind) == (200, f"image/{kind}")
        assert found.headers["Content-Disposition"].endswith(f'.{kind}"')
        bytes_of[name] = len(found.body)
    assert bytes_of["jpeg"] > 3 * bytes_of["low"]
    assert bytes_of["low"] == bytes_of["zero"]
    assert bytes_of["fast"] > bytes_of["png"]


async def test_the_background(service: Service) -> None:
    """White, or transparent where the encoding can."""
    bare = "<!doctype html><p>x"
    assert at(await shot(service, bare), 700, 500) == (*WHITE, 255)
    assert at(await shot(service, bare, omitBackground="true"), 700, 500) == (0, 0, 0, 0)
    jpeg = await shot(service, bare, omitBackground="true", format="jpeg")
    assert near(at(jpeg, 700, 500), (*WHITE, 255))


async def test_the_viewport_is_there_from_the_start(service: Service) -> None:
    """Where Gotenberg sets it after the page has loaded."""
    page = "<body><script>if (innerWidth === 300) document.body.style.background = 'red'</script>"
    assert at(await shot(service, page, width="300"), 5, 5) == (*RED, 255)


# --- PDFs ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "size"),
    [
        ({}, (612, 792)), ({"landscape": "true"}, (792, 612)),
        ({"paperWidth": "4", "paperHeight": "144pt"}, (288, 144)),
        ({"paperWidth": "10cm", "paperHeight": "100mm"}, (283.5, 283.5)),
        ({"paperWidth": "960px", "paperHeight": "12pc"}, (720, 144)),
        ({"preferCssPageSize": "true"}, (612, 792)),
    ],
    ids=str,
)  # fmt: skip
async def test_the_size_of_a_sheet(
    service: Service, fields: dict[str, str], size: tuple[float, float]
) -> None:
    """Letter by default; lengths in inches or with units."""
    (found,) = sizes(await pdf(service, **fields))
    assert found == pytest.approx(size, abs=1)


async def test_the_pages_own_size_counts_where_it_is_preferred(service: Service) -> None:
    """And only there."""
    page = PAGE + "<style>@page { size: 200px 300px }</style>"
    assert sizes(await pdf(service, page))[0] == pytest.approx((612, 792), abs=1)
    preferred = await pdf(service, page, preferCssPageSize="true")
    assert sizes(preferred)[0] == pytest.approx((150, 225), abs=1)


async def test_margins_and_scale(service: Service) -> None:
    """0.39 inches on each side by default."""
    found = place(await pdf(service, "<style>body { margin: 0 }</style>Text"), "Text")
    assert 36 < found.left < 40
    none = {f"margin{side}": "0" for side in ("Top", "Bottom", "Left", "Right")}
    bare = place(await pdf(service, "<style>body { margin: 0 }</style>Text", **none), "Text")
    assert bare.left < 3
    moved = await pdf(service, "<style>body { margin: 0 }</style>Text", marginLeft="2in", scale="2")
    large = place(moved, "Text")
    assert 190 < large.left < 196
    assert large.bottom - large.top > 1.8 * (bare.bottom - bare.top)


async def test_backgrounds_are_as_gotenberg_has_them(service: Service) -> None:
    """That of the page itself only with `printBackground`; those inside of it always."""
    plain, printed = await pdf(service), await pdf(service, printBackground="true")
    colours = [[picture(one).getpixel(xy) for xy in ((60, 60), (300, 300))]
               for one in (plain, printed)]  # fmt: skip
    assert colours == [[BLUE, WHITE], [BLUE, RED]]


async def test_a_pdf_without_background(service: Service) -> None:
    """Only together with printBackground."""
    both = {"omitBackground": "true", "printBackground": "true"}
    assert sizes(await pdf(service, "<p>x", **both))
    refused = await post(service, CONVERT, {"index.html": PAGE}, omitBackground="true")
    assert refused.status == 400
    assert refused.text == "omitBackground requires printBackground set to true"


async def test_pages_are_chosen(service: Service) -> None:
    """With the sentences of Gotenberg for ranges that cannot be."""
    assert texts(await pdf(service, PAGES, nativePageRanges="2-3")) == ["Page 2", "Page 3"]
    for ranges, text in {
        "foo": "Chromium does not handle the page ranges 'foo' (nativePageRanges) syntax",
        "7-9": "The page ranges '7-9' (nativePageRanges) exceeds the page count",
    }.items():
        refused = await post(service, CONVERT, {"index.html": PAGES}, nativePageRanges=ranges)
        assert (refused.status, refused.text) == (400, text)


async def test_outline_and_tags(service: Service) -> None:
    """Neither by default; an outline needs tags, which are added."""
    found = {
        name: PdfReader(io.BytesIO(await pdf(service, PAGES, **{name: "true"})))
        for name in ("landscape", "generateTaggedPdf", "generateDocumentOutline")
    }
    tagged = {name: "/StructTreeRoot" in one.root_object for name, one in found.items()}
    assert tagged == {
        "landscape": False, "generateTaggedPdf": True, "generateDocumentOutline": True,
    }  # fmt: skip
    assert titles(found["generateDocumentOutline"]) == ["Page 2", "Page 3"]
    assert titles(found["generateTaggedPdf"]) == []


async def test_header_and_footer(service: Service) -> None:
    """Whole documents, with the page numbers filled in."""
    part = "<html><head><style>p {{ font-size: 9px }}</style></head><body><p>{}</p></body></html>"
    number = "<span class=pageNumber></span> of <span class=totalPages></span>"
    files: dict[str, str | bytes] = {
        "header.html": part.format("Head"), "footer.html": part.format(number),
    }  # fmt: skip
    found = texts(await pdf(service, PAGES, files))
    assert len(found) == 3
    assert all("Head" in one for one in found)
    assert "2 of 3" in found[1]


async def test_a_single_page(service: Service) -> None:
    """As wide as the paper, as high as the page with its margins."""
    body = await pdf(service, TALL, singlePage="true", printBackground="true")
    ((width, height),) = sizes(body)
    assert width == pytest.approx(612, abs=1)
    assert height > (1000 + 74) * 0.75
    seen = picture(body)
    assert [seen.getpixel(xy) for xy in ((10, 500), (60, 60), (60, 900))] == [WHITE, BLUE, RED]
    ((across, _),) = sizes(await pdf(service, TALL, singlePage="true", landscape="true"))
    assert across == pytest.approx(792, abs=1)
    wide = PAGE + "<p style='width: 2000px'>x"
    ((across, _),) = sizes(await pdf(service, wide, singlePage="true", landscape="true"))
    assert across > 1500
    for fields in ({"scale": "2"}, {"marginLeft": "9"}):
        refused = await post(service, CONVERT, {"index.html": TALL}, singlePage="true", **fields)
        assert refused.status == 400
        assert next(iter(fields)) in refused.text


async def test_metadata(service: Service) -> None:
    """By ExifTool's names; what cannot be written is refused."""
    given = {"Title": "T ü", "Author": "A", "Subject": "S", "Keywords": ["a", "b"], "Creator": "C",
             "Producer": "P", "CreationDate": "2006:09:18 16:27:50-04:00"}  # fmt: skip
    found = PdfReader(io.BytesIO(await pdf(service, metadata=given))).metadata
    assert found is not None
    for name, value in given.items():
        expected = {"Keywords": "a, b", "CreationDate": "D:20060918202750Z"}.get(name, value)
        assert str(found[f"/{name}"]) == expected
    refused = await post(service, CONVERT, {"index.html": PAGE}, metadata={"Copyright": "me"})
    assert (refused.status, "'Copyright'" in refused.text) == (501, True)
