"""Pages of the kinds that people render, beside the same Chromium driven plainly.

`pages/` has one file for each; its assets come with it, as in a form. The viewport, the full page
and the PDF are compared pixel for pixel and page for page. A page that differs has its reason in
DIFFERENT, and must differ: a reason that is no longer true fails.
"""

import asyncio
import io
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
from PIL import Image, ImageChops
from pypdfium2 import PdfDocument, PdfPage

from poster_service.browser import installed
from tests.corpus.plain import PlainChromium, plain_chromium, web_of
from tests.web.served import serving

HERE = Path(__file__).parent
PAGES = HERE / "pages"
ASSETS = HERE / "assets"
NAMES = sorted(file.stem for file in PAGES.glob("*.html"))
WIDTH, HEIGHT = 800, 600
#: Pages that are meant for another viewport or scale than 800 x 600 at 1: width, height, scale.
LOOKS = {
    "card-product": (390, 844, 2.0),
    "mail-columns": (390, 844, 2.0),
    "receipt-monospace": (320, 400, 3.0),
    "cjk-chinese": (750, 1334, 2.0),
}
#: How a page may differ from a plain Chromium's, and why: (page, kind) -> reason.
KINDS = ("viewport", "full page", "pdf")
MOVED = (
    "a plain Chromium moves a page that begins on the right while it captures it, and loses what"
    " then lies outside: half of it, or all"
)
HAN = (
    "Han text without a language has Simplified Chinese forms here (POSTER_LANGUAGE), not Japanese"
)
DIFFERENT: dict[tuple[str, str], str] = {
    ("layout-skipped", "full page"): (
        "a plain Chromium leaves sections with content-visibility: auto blank below the viewport"
    ),
    ("layout-lazy-far", "full page"): "a plain Chromium does not load a lazy picture so far below",
    **{
        (name, "full page"): MOVED
        for name in ("rtl-arabic", "rtl-form", "rtl-hebrew", "vertical-japanese")
    },
    **{
        (name, kind): HAN
        for name in ("canvas-shapes", "cjk-emoji", "vertical-mixed")
        for kind in KINDS
    },
}


@dataclass
class Pair:
    """A service, and the Chromium to compare it with: the same program.

    Attributes:
        kinds: How many of KINDS each page is rendered in.
    """

    service: str
    client: aiohttp.ClientSession
    program: Path
    web: str
    kinds: int

    async def ours(self, name: str, kind: str) -> bytes:
        """What the service makes of a page."""
        width, height, scale = LOOKS.get(name, (WIDTH, HEIGHT, 1.0))
        form = aiohttp.FormData()
        form.add_field("index.html", (PAGES / f"{name}.html").read_bytes(), filename="index.html")
        for file in ASSETS.iterdir():
            form.add_field(f"assets/{file.name}", file.read_bytes(), filename=file.name)
        options = {
            "width": str(width), "height": str(height), "device_scale_factor": str(scale),
            "format": "pdf" if kind == "pdf" else "png", "background": "#ffffff",
            "full_page": "true" if kind == "full page" else "false",
        }  # fmt: skip
        async with self.client.post(f"{self.service}/render", data=form, params=options) as answer:
            body = await answer.read()
            assert answer.status == 200, body[:500]
            assert "X-Render-Warnings" not in answer.headers, answer.headers["X-Render-Warnings"]
            return body

    async def plain(self, chromium: PlainChromium, name: str, kind: str) -> bytes:
        """What a plain Chromium makes of it."""
        width, height, scale = LOOKS.get(name, (WIDTH, HEIGHT, 1.0))
        async with chromium.page(f"{self.web}/{name}.html", width, height, scale) as session:
            if kind == "pdf":
                return await chromium.pdf(session, width, height)
            return await chromium.picture(session, full_page=kind == "full page")

    async def differences(self, name: str) -> dict[str, str]:
        """How a page differs, by kind. The plain Chromium is a new one for each page.

        One that has painted other pages before may order the fonts of a PDF differently, or place
        a glyph a fraction of a pixel elsewhere (seen in 2 of 219 comparisons).
        """
        found = {}
        async with plain_chromium(self.program) as chromium:
            for kind in kinds_of(name, self.kinds):
                ours, plain = await asyncio.gather(
                    self.ours(name, kind), self.plain(chromium, name, kind)
                )
                found[kind] = difference(kind, ours, plain)
        return found


@pytest.fixture(
    scope="module",
    params=[
        pytest.param("headless-shell-1-1", marks=pytest.mark.slow),
        pytest.param("headless-shell-1-3", marks=pytest.mark.endurance),
        pytest.param("headless-shell-50-3", marks=pytest.mark.endurance),
        pytest.param("chromium-1-3", marks=pytest.mark.endurance),
        pytest.param("chromium-50-3", marks=pytest.mark.endurance),
    ],
)
def way(request: pytest.FixtureRequest) -> tuple[Path, str, int]:
    """The program, how many renders one Chrome serves, and in how many kinds a page is rendered."""
    name, renders, kinds = request.param.rsplit("-", 2)
    found = installed.find(None) if name != "chromium" else Path("/usr/lib/chromium/chromium")
    if not found.exists():
        pytest.skip(f"{found} is not installed")
    return found, renders, int(kinds)


@pytest.fixture
async def pair(
    way: tuple[Path, str, int], work_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Pair]:
    """Both, for the whole table."""
    program, renders, kinds = way
    arguments = ("--chrome", str(program), "--renders-per-chrome", renders, "--cache-bytes", "0")
    async with (
        serving(work_dir, *arguments) as served,
        web_of(PAGES, ASSETS) as address,
    ):
        yield Pair(served.address, served.client, program, address, kinds)


def kinds_of(name: str, count: int) -> list[str]:
    """So many kinds for a page: with 1 each of three neighbours is in another one."""
    first = NAMES.index(name) % len(KINDS)
    return [KINDS[(first + more) % len(KINDS)] for more in range(count)]


def difference(kind: str, ours: bytes, plain: bytes) -> str:
    """How two differ, in words; empty when they do not."""
    return pdf_difference(ours, plain) if kind == "pdf" else picture_difference(ours, plain)


def picture_difference(ours: bytes, plain: bytes) -> str:
    """By size and by pixel."""
    with Image.open(io.BytesIO(ours)) as one, Image.open(io.BytesIO(plain)) as other:
        if one.size != other.size:
            return f"{one.size} instead of {other.size}"
        box = ImageChops.difference(one.convert("RGB"), other.convert("RGB")).getbbox()
    return f"pixels within {box}" if box else ""


def pdf_difference(ours: bytes, plain: bytes) -> str:
    """By the number of pages, the size of each, its text and how it is painted.

    Not by bytes: Chrome may order fonts and pictures in a PDF differently from run to run (seen).
    """
    with PdfDocument(ours) as one, PdfDocument(plain) as other:
        sizes = [[page.get_size() for page in document] for document in (one, other)]
        if sizes[0] != sizes[1]:
            return f"pages {sizes[0]} instead of {sizes[1]}"
        for number, (mine, theirs) in enumerate(zip(one, other, strict=True), 1):
            if text_of(mine) != text_of(theirs):
                return f"text of page {number}"
            if box := ImageChops.difference(painted(mine), painted(theirs)).getbbox():
                return f"page {number} within {box}"
    return ""


def text_of(page: PdfPage) -> str:
    """All text of a page."""
    text: str = page.get_textpage().get_text_range()
    return text


def painted(page: PdfPage) -> Image.Image:
    """A page as a picture, a pixel for each CSS pixel."""
    picture: Image.Image = page.render(scale=96 / 72).to_pil()
    return picture.convert("RGB")


def test_the_corpus_is_large_and_its_exceptions_are_pages_of_it() -> None:
    """At least sixty pages; and no reason for a page that there is not."""
    assert len(NAMES) >= 60
    assert {name for name, _ in DIFFERENT} <= set(NAMES)
    assert {kind for _, kind in DIFFERENT} <= set(KINDS)
    assert set(LOOKS) <= set(NAMES)


@pytest.mark.timeout(900)
async def test_every_page_is_what_a_plain_chromium_makes_of_it(pair: Pair) -> None:
    """In the viewport, as a full page and printed; but for the pages named with a reason."""
    wrong = []
    for name in NAMES:
        for kind, found in (await pair.differences(name)).items():
            if bool(found) != ((name, kind) in DIFFERENT):
                wrong.append(f"{name}, {kind}: {found or 'equal, although a reason is given'}")
    assert not wrong, "\n".join(wrong)
