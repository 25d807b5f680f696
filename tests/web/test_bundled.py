"""The bundled templates as they are drawn: nothing is cut or covered, in any script, anywhere."""

import io
import itertools
import json
import re
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path
from typing import Any

import pypdfium2
import pytest
import zxingcpp

from tests.bundled import (
    MAX_ROWS,
    NAMES,
    SCRIPTS,
    WHOLE,
    filled,
    longest,
    sample_of,
    schema_of,
    sizes_of,
    with_ruler,
)
from tests.web.pictures import at, decode
from tests.web.service import Service, running_in_own_folder

#: Shares of the longest text, in two scripts.
SHORTER = list(itertools.product((0.15, 0.3, 0.55, 0.8), ("capitals", "chinese")))
EVERY_SIZE = [
    pytest.param(name, size, id=f"{name} {size['width']} x {size['height']}")
    for name in WHOLE
    for size in sizes_of(name)
]


@pytest.fixture(scope="module")
async def ruled(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    """A service with templates that measure themselves."""
    root = with_ruler(tmp_path_factory.mktemp("ruled"))
    async with running_in_own_folder(templates=root, timeout_ms=60_000) as found:
        yield found


async def measured(service: Service, name: str, data: Any, **options: Any) -> list[str]:
    """What is cut, covered or outside of the page."""
    elements = {"format": "elements", "elements": ["#measured"]}
    answer = await service.picture(template=name, data=data, **elements, **options)
    found: list[str] = json.loads(json.loads(answer)["selectors"][0]["elements"][0]["text"])
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    "shorter",
    [
        pytest.param([(0.3, "capitals"), (0.55, "chinese")], id="some"),
        pytest.param(SHORTER, id="all", marks=pytest.mark.endurance),
    ],
)
@pytest.mark.parametrize(("name", "size"), EVERY_SIZE)
async def test_nothing_is_cut_or_covered(
    ruled: Service, name: str, size: dict[str, int], shorter: list[tuple[float, str]]
) -> None:
    """With the least data, the sample, and the longest of each script; shorter ones in two."""
    sample = sample_of(name)
    every = {script: longest(name, script) for script in SCRIPTS}
    every["sample"] = sample
    every["least"] = {field: sample[field] for field in schema_of(name)["required"]}
    for share, script in shorter:
        every[f"{share} of {script}"] = longest(name, script, share)
    faults = {what: await measured(ruled, name, data, **size) for what, data in every.items()}
    assert {what: found for what, found in faults.items() if found} == {}


async def test_the_ruler_sees_what_is_too_large(ruled: Service) -> None:
    """A page that is smaller than the template cuts it; an ellipsis is a cut as well."""
    found = await measured(ruled, "ticket", sample_of("ticket"), width=1200, height=200)
    assert any("leaves the page" in one for one in found)
    found = await measured(ruled, "article-card", filled("article-card", "W"))
    assert any("h1" in one for one in found)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
async def test_a_sample_has_its_templates_size_and_no_warning(ruled: Service, name: str) -> None:
    """Opaque up to its corners, and no glyph or file is missing."""
    about, data = schema_of(name)["x-poster"], sample_of(name)
    answer = await ruled.render(template=name, data=data)
    assert answer.headers.get("X-Render-Warnings", "") == ""
    picture = decode(await answer.read())
    assert picture.size == (about["width"], about["height"])
    right, bottom = picture.width - 1, picture.height - 1
    assert all(at(picture, x, y)[3] == 255 for x in (0, right) for y in (0, bottom))
    if "link" in data:
        whole = decode(await ruled.picture(template=name, data=data, full_page=True))
        (code,) = zxingcpp.read_barcodes(whole.convert("RGB"))
        assert code.text == data["link"]


# --- the sheets of the invoice -------------------------------------------------------------------


#: Left, bottom, right and top in points from the lower left corner of a sheet.
Box = tuple[float, float, float, float]


class Sheet:
    """A page of a PDF: its text, and where that is."""

    def __init__(self, page: Any, sought: Iterable[str]) -> None:
        text = page.get_textpage()
        self.text: str = text.get_text_bounded()
        self.width, self.height = page.get_size()
        self.boxes: list[Box] = [text.get_rect(place) for place in range(text.count_rects())]
        self.places = {word: list(_places(text, word)) for word in sought}


def _places(text: Any, word: str) -> Iterator[Box]:
    """The boxes of a word at each place where it stands by itself."""
    found = text.search(word, match_whole_word=True)
    while (at := found.get_next()) is not None:
        boxes = [text.get_charbox(at[0] + place) for place in range(at[1])]
        lefts, bottoms, rights, tops = zip(*boxes, strict=True)
        yield min(lefts), min(bottoms), max(rights), max(tops)


async def sheets(service: Service, data: dict[str, Any], *sought: str) -> list[Sheet]:
    """The sheets of an invoice, with the places of some words."""
    body = await service.picture(template="invoice", data=data, format="pdf")
    document = pypdfium2.PdfDocument(io.BytesIO(body))
    try:
        return [Sheet(page, sought) for page in document]
    finally:
        document.close()


def rows(count: int) -> list[dict[str, str]]:
    """Rows of one to four lines, each of which differs from the others."""
    return [
        {
            "description": f"begin{number:03} " + "and more of it " * (number % 7),
            "detail": f"detail{number:03} " + "in small type " * (number % 5) + f"end{number:03}",
            "quantity": str(number),
            "price": f"{number},{number % 10}00.00",
            "amount": f"{number}{'0' * (number % 6)}.{number % 10}0",
        }
        for number in range(1, count + 1)
    ]


@pytest.mark.slow
async def test_an_invoice_has_as_many_sheets_as_it_needs(ruled: Service) -> None:
    """Each has letterhead, footer, page number, the head of the table; no row is split or lost."""
    data = {**sample_of("invoice"), "items": rows(120)}
    found = await sheets(ruled, data)
    assert len(found) > 5
    for number, sheet in enumerate(found, 1):
        assert (round(sheet.width), round(sheet.height)) == (595, 842)
        assert sheet.text.count(data["seller"]["name"]) == 2  # in the letterhead and the footer
        assert sheet.text.count(data["number"]) == 1
        assert sheet.text.count("VAT DE123456789") == 1
        assert f"{number} / {len(found)}" in sheet.text
        began = re.findall(r"begin(\d+)", sheet.text)
        assert began == re.findall(r"detail(\d+)", sheet.text)
        assert began == re.findall(r"end(\d+)", sheet.text)
        assert sheet.text.count("Quantity") == bool(began)
    every = [one for sheet in found for one in re.findall(r"begin(\d+)", sheet.text)]
    assert every == [f"{number:03}" for number in range(1, 121)]
    assert "Total" in found[-1].text


@pytest.mark.slow
async def test_amounts_end_on_one_line_and_nothing_stands_in_the_margins(ruled: Service) -> None:
    """All end with the same digit, for boxes are those of the ink; Hebrew turns the columns."""
    for language in ("en", "he"):
        data = {**sample_of("invoice"), "items": rows(30), "lang": language}
        found = await sheets(ruled, data, *(row["amount"] for row in data["items"]))
        ends = [box[2] for sheet in found for boxes in sheet.places.values() for box in boxes]
        assert len(ends) == 30
        assert max(ends) - min(ends) < 0.34
        for sheet in found:
            assert all(box[0] > 45 and box[2] < sheet.width - 45 for box in sheet.boxes)
            assert all(box[1] > 15 and box[3] < sheet.height - 30 for box in sheet.boxes)


@pytest.mark.slow
@pytest.mark.parametrize("script", ["chinese", "arabic", "capitals"])
async def test_long_rows_stand_between_letterhead_and_footer(ruled: Service, script: str) -> None:
    """Every amount is there, and clear of what stands on each sheet."""
    data = longest("invoice", script)
    amount = data["items"][0]["amount"]
    found = await sheets(ruled, data, amount)
    places = [(sheet, box) for sheet in found for box in sheet.places[amount]]
    assert len(places) == MAX_ROWS
    for sheet, (_, low, _, high) in places:
        assert high < sheet.height - 34 - 51 - 6  # 12 mm of margin, 18 of letterhead, and some room
        assert low > 40 + 57 + 6  # 14 mm of margin, 20 of footer


def test_every_template_is_here(tmp_path: Path) -> None:
    """A template that is added is measured, or says in its schema that it ends in an ellipsis."""
    assert {*WHOLE, "article-card", "share-poster"} == set(NAMES)
    assert len(NAMES) == 6
    assert with_ruler(tmp_path) == tmp_path
    for name in NAMES:
        assert "ruler.js" in (tmp_path / name / "poster.html").read_text("utf-8")
