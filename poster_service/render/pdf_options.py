"""The options of a PDF: a nested group of `options.RenderOptions`, and what the printer gets of it.

Its own file because they are many, and because what can be wrong with sheets and their margins is
found here, before a Chrome is leased.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, Field

from poster_service.browser.types import PdfCapture
from poster_service.errors import Fault, InvalidField
from poster_service.quoting import quoted
from poster_service.render.declaration import Option, OptionGroup
from poster_service.render.header_footer import check_template
from poster_service.render.lengths import LENGTH_WORDS, SIDE_WORDS, Length, SideLength

PaperName = Literal[
    "letter", "legal", "tabloid", "ledger", "a0", "a1", "a2", "a3", "a4", "a5", "a6"
]
#: Width and height of a sheet in inches; those of A0 to A6 (ISO 216) to a thousandth of a
#: millimetre.
PAPERS: Mapping[PaperName, tuple[float, float]] = {
    "letter": (8.5, 11), "legal": (8.5, 14), "tabloid": (11, 17), "ledger": (17, 11),
    "a0": (33.1102, 46.811), "a1": (23.3858, 33.1102), "a2": (16.5354, 23.3858),
    "a3": (11.6929, 16.5354), "a4": (8.2677, 11.6929), "a5": (5.8268, 8.2677),
    "a6": (4.1339, 5.8268),
}  # fmt: skip
PIXELS_PER_INCH = 96
#: The least that margins may leave of a sheet, across and down, in CSS pixels.
SMALLEST_AREA = 1
#: A page, or a range that may be open at one end; the numbers are checked apart.
_RANGE = re.compile(r"([0-9]{1,6})?(-)?([0-9]{1,6})?")
#: HTML of a header or footer, and what it is in words.
Template = Annotated[str, Field(min_length=1, max_length=65_536)]
TEMPLATE_WORDS = "HTML of up to 65536 characters"
#: Names in a PDF's Info dictionary (ISO 32000-1, table 317).
INFO = {"title": "/Title", "author": "/Author", "subject": "/Subject", "keywords": "/Keywords",
        "creator": "/Creator", "producer": "/Producer"}  # fmt: skip
DATES = ("/CreationDate", "/ModDate")
#: What a full page has no use for: it is one sheet, as large as the page.
SHEETS_ONLY = ("full_page",)


def _page_ranges(given: str) -> str:
    """Page ranges without spaces, if Chrome will take them.

    Raises:
        ValueError: One is not a range; the message is for the caller.
    """
    ranges = [part.strip() for part in given.split(",")]
    for part in ranges:
        found = _RANGE.fullmatch(part)
        if found is None or not (found[1] or (found[2] and found[3])):
            raise ValueError(f'"{quoted(part)}" is neither a page nor a range of pages')
        if (found[1] and int(found[1]) < 1) or (found[3] and int(found[3]) < 1):
            raise ValueError(f'"{part}" has a page 0; the first is 1')
        if found[1] and found[3] and int(found[1]) > int(found[3]):
            raise ValueError(f'"{part}" ends before it begins')
    return ",".join(ranges)


def _date(given: str) -> str:
    """A time, if it is one.

    Raises:
        ValueError: It is not; the message is for the caller.
    """
    try:
        moment_of(given)
    except (ValueError, OverflowError):
        raise ValueError(f'"{quoted(given)}" is not an ISO 8601 date') from None
    return given


#: A text of the metadata.
Words = Annotated[str, Field(min_length=1, max_length=1_000)]


class PaperSize(OptionGroup):
    """A sheet of its own size."""

    width: Annotated[SideLength, Option("Width of the sheet.", allowed=SIDE_WORDS)]
    height: Annotated[SideLength, Option("Height of the sheet.", allowed=SIDE_WORDS)]


class Margin(OptionGroup):
    """The margins of every sheet."""

    top: Annotated[Length, Option("Top margin.", allowed=LENGTH_WORDS)] = 0.0
    right: Annotated[Length, Option("Right margin.", allowed=LENGTH_WORDS)] = 0.0
    bottom: Annotated[Length, Option("Bottom margin.", allowed=LENGTH_WORDS)] = 0.0
    left: Annotated[Length, Option("Left margin.", allowed=LENGTH_WORDS)] = 0.0


class Metadata(OptionGroup):
    """What a PDF says of itself."""

    title: Annotated[Words | None, Option("Title.", default="that of the page")] = None
    author: Annotated[Words | None, Option("Author.")] = None
    subject: Annotated[Words | None, Option("Subject.")] = None
    keywords: Annotated[Words | None, Option("Keywords, with commas between.")] = None
    creator: Annotated[
        Words | None, Option("Program that made the document.", default="Chrome's own name")
    ] = None
    producer: Annotated[
        Words | None, Option("Program that made the PDF.", default="Chrome's own name")
    ] = None
    creation_date: Annotated[
        Annotated[str, Field(max_length=40), AfterValidator(_date)] | None,
        Option(
            "Time of creation, and of the last change.",
            allowed="an ISO 8601 date or time like 2026-01-31T09:30:00+01:00; UTC if it has no"
            " offset",
            default="now",
        ),
    ] = None


class PdfOptions(OptionGroup):
    """How a page is cut into the sheets of a PDF."""

    paper: Annotated[
        Annotated[
            PaperName | PaperSize,
            BeforeValidator(lambda given: given.lower() if isinstance(given, str) else given),
        ]
        | None,
        Option(
            "Size of the sheets, a name or width and height. The page's own `@page { size: ... }`"
            " has precedence, unless `prefer_css_page_size` is false.",
            allowed=f"{', '.join(get_args(PaperName))}, or an object of width and height",
            default="the size of the viewport",
            around_excludes=SHEETS_ONLY,
        ),
    ] = None
    landscape: Annotated[
        bool,
        Option(
            "Turn the sheets: swap width and height. If the page has `@page { size: ... }`, that"
            " decides how its sheets are turned.",
            around_excludes=SHEETS_ONLY,
        ),
    ] = False
    margin: Annotated[
        Margin | None,
        Option(
            "Margins of the sheets, unless the page's `@page` sets them; with `full_page` they"
            " are added around the page on its one sheet.",
            default="0 on each side",
        ),
    ] = None
    scale: Annotated[
        float,
        Field(ge=0.1, le=2.0),
        Option(
            "Scale of the content; sheets and margins do not change.", around_excludes=SHEETS_ONLY
        ),
    ] = 1.0
    print_background: Annotated[
        bool, Option("Print background colours and pictures, also of the sheets themselves.")
    ] = True
    pages: Annotated[
        Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_page_ranges)] | None,
        Option(
            "The pages to print. Numbers beyond the last page are ignored; if no page is left,"
            " the render fails.",
            allowed='pages and ranges as in "1-3,5", "2-" or "-4"',
            default="all",
            around_excludes=SHEETS_ONLY,
        ),
    ] = None
    header: Annotated[
        Template | None,
        Option(
            "HTML at the top of each sheet, in its margin. Elements of the classes pageNumber,"
            " totalPages, title, date and url are filled in. Pictures are fetched like those of"
            " the page; scripts do not run, and fonts must be installed.",
            allowed=TEMPLATE_WORDS,
            is_content=True,
            around_excludes=SHEETS_ONLY,
        ),
    ] = None
    footer: Annotated[
        Template | None,
        Option(
            "The same at the bottom of each sheet.",
            allowed=TEMPLATE_WORDS,
            is_content=True,
            around_excludes=SHEETS_ONLY,
        ),
    ] = None
    skip_first: Annotated[
        bool,
        Option(
            "Omit header and footer on the first page of the document, which is printed twice for"
            " this.",
            needs_one_of=("header", "footer"),
            around_excludes=SHEETS_ONLY,
        ),
    ] = False
    prefer_css_page_size: Annotated[
        bool,
        Option(
            "Whether the size in the page's `@page` has precedence over `paper`. If not, an"
            " orientation in `@page` still turns the sheets.",
            around_excludes=SHEETS_ONLY,
        ),
    ] = True
    tagged: Annotated[
        bool,
        Option("Tag the contents (headings, lists, alternative texts) for screen readers."),
    ] = True
    outline: Annotated[
        bool,
        Option("An outline (bookmarks) of the page's headings.", excludes=("tagged",)),
    ] = False
    metadata: Annotated[
        Metadata | None,
        Option("Document properties of the PDF, in addition to those that Chrome writes."),
    ] = None


def pdf_capture(
    options: PdfOptions | None, width: int, height: int, *, full_page: bool = False
) -> PdfCapture:
    """How a page is printed, with every default filled in.

    Args:
        options: As given.
        width: Of the viewport, in CSS pixels: that of the sheets where they have no size of their
            own.
        height: The same.
        full_page: Whether there is one sheet, as large as the page and its margins need.

    Raises:
        InvalidField: The margins leave nothing of a sheet, or a header or footer has what cannot
            work there.
    """
    if options is None:
        return PdfCapture()
    sides = _sheet(options, width, height)
    margin = options.margin or Margin()
    if not full_page:
        _check_area(sides or (width, height), margin)
    for name, html in (("pdf.header", options.header), ("pdf.footer", options.footer)):
        if html is not None:
            check_template(name, html)
    return PdfCapture(
        paper=sides,
        margin=(margin.top, margin.right, margin.bottom, margin.left),
        scale=options.scale,
        print_background=options.print_background,
        pages=options.pages or "",
        prefer_css_page_size=options.prefer_css_page_size,
        tagged=options.tagged,
        outline=options.outline,
        header=options.header or "",
        footer=options.footer or "",
        skip_first=options.skip_first and has_first(options.pages),
        metadata=info(options.metadata),
    )


def _sheet(options: PdfOptions, width: int, height: int) -> tuple[float, float] | None:
    """Width and height of a sheet in CSS pixels; None for the viewport's."""
    sides: tuple[float, float] = width, height
    if isinstance(options.paper, PaperSize):
        sides = options.paper.width, options.paper.height
    elif options.paper is not None:
        across, down = PAPERS[options.paper]
        sides = across * PIXELS_PER_INCH, down * PIXELS_PER_INCH
    elif not options.landscape:
        return None
    return (sides[1], sides[0]) if options.landscape else sides


def _check_area(sides: tuple[float, float], margin: Margin) -> None:
    """Refuse margins that leave nothing of a sheet, which Chrome would.

    Raises:
        InvalidField: With the sheet's size.
    """
    used = margin.left + margin.right, margin.top + margin.bottom
    if min(side - gone for side, gone in zip(sides, used, strict=True)) < SMALLEST_AREA:
        across, down = sides
        raise InvalidField.of(
            Fault(
                "pdf.margin",
                f"leaves no room on a sheet of {across:g} x {down:g} CSS pixels",
                f"left and right, top and bottom that leave at least {SMALLEST_AREA} CSS pixel",
            )
        )


def has_first(pages: str | None) -> bool:
    """Whether page ranges, if there are any, have page 1."""
    starts = [part.partition("-")[0] for part in (pages or "1").split(",")]
    return any(not start or int(start) == 1 for start in starts)


def info(metadata: Metadata | None) -> tuple[tuple[str, str], ...]:
    """The entries of a PDF's Info dictionary (ISO 32000-1, table 317)."""
    if metadata is None:
        return ()
    given = {name: getattr(metadata, field) for field, name in INFO.items()}
    if metadata.creation_date is not None:
        moment = moment_of(metadata.creation_date)
        given |= dict.fromkeys(DATES, moment.strftime("D:%Y%m%d%H%M%SZ"))
    return tuple((name, value) for name, value in given.items() if value is not None)


def moment_of(text: str) -> datetime:
    """A time in UTC, with a year of four digits.

    Raises:
        ValueError: It is not as ISO 8601 has it.
        OverflowError: It is before the year 1 or after 9999 in UTC.
    """
    moment = datetime.fromisoformat(text)
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    if moment.year < 1000:
        raise ValueError("no year of four digits")
    return moment
