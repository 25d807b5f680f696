"""From puppeteer's options of a PDF, as browserless has them, to those of POST /render."""

from collections.abc import Mapping
from typing import Any

from poster_service.errors import Fault, InvalidField
from poster_service.render.request import Limits
from poster_service.web.compat.puppeteer.bodies import Pdf, PdfOptions
from poster_service.web.compat.puppeteer.parameters import Parameters
from poster_service.web.compat.puppeteer.translation import NAMES, page_options

#: puppeteer's sheet where the caller names none: letter, in CSS pixels.
WIDTH, HEIGHT = "8.5in", "11in"
LETTER_PIXELS = 816
#: What Chrome prints where header and footer are wanted and not given: date and title above,
#: address and page number below.
SIDES = "display: flex; justify-content: space-between; width: 100%"
HEADER = f'<div style="{SIDES}"><span class="date"></span><span class="title"></span></div>'
FOOTER = (
    f'<div style="{SIDES}"><span class="url"></span><span><span class="pageNumber"></span>/'
    '<span class="totalPages"></span></span></div>'
)

#: Names of browserless by those of the options that they become.
PDF_NAMES: Mapping[str, str] = {
    **NAMES, "full_page": "options.fullPage", "background": "options.omitBackground",
    "pdf": "options", "pdf.paper": "options.format", "pdf.paper.width": "options.width",
    "pdf.paper.height": "options.height", "pdf.pages": "options.pageRanges",
    "pdf.header": "options.headerTemplate", "pdf.footer": "options.footerTemplate",
}  # fmt: skip


def print_options(body: Pdf, parameters: Parameters, limits: Limits) -> dict[str, Any]:
    """The options of a PDF.

    Raises:
        InvalidField: A property has a value that has no meaning here.
    """
    given = body.options or PdfOptions()
    found = page_options(body, parameters, limits)
    found |= {"format": "pdf", "background": "transparent" if given.omit_background else "#ffffff"}
    sheets: dict[str, Any] = {
        "print_background": given.print_background,
        "tagged": given.outline or given.tagged is not False,
        "outline": given.outline,
    }
    if given.margin is not None:
        margin = given.margin.model_dump(exclude_none=True)
        sheets |= {"margin": margin} if margin else {}
    if given.full_page:
        return found | _full_page(given, body) | {"pdf": sheets}
    sheets |= {"paper": _paper(given), "prefer_css_page_size": given.prefer_css_page_size}
    sheets |= {"landscape": True} if given.landscape else {}
    sheets |= {"scale": given.scale} if given.scale is not None else {}
    sheets |= {"pages": given.page_ranges} if given.page_ranges else {}
    if given.display_header_footer:
        sheets["header"] = given.header_template or HEADER
        sheets["footer"] = given.footer_template or FOOTER
    return found | {"pdf": sheets}


def _paper(given: PdfOptions) -> object:
    """The sheet: by name, which has precedence, or by its sides, as puppeteer has it."""
    if given.format is not None:
        return given.format.lower()
    width = WIDTH if given.width in (None, "") else given.width
    height = HEIGHT if given.height in (None, "") else given.height
    return {"width": width, "height": height}


def _full_page(given: PdfOptions, body: Pdf) -> dict[str, Any]:
    """One sheet, as high as the page; a page whose viewport is not given is as wide as a letter.

    Raises:
        InvalidField: It is to have another size too, or what only several sheets have.
    """
    if given.height or given.format:
        raise InvalidField.of(
            Fault(
                "options.fullPage",
                '"fullPage" option cannot be used with "height" or "format" options.',
            )
        )
    others = {
        "landscape": given.landscape, "pageRanges": given.page_ranges, "scale": given.scale,
        "displayHeaderFooter": given.display_header_footer, "width": given.width,
    }  # fmt: skip
    if wrong := [name for name, value in others.items() if value]:
        raise InvalidField.of(
            *(Fault(f"options.{name}", "cannot be used with fullPage") for name in wrong)
        )
    width = {} if body.viewport is not None else {"width": LETTER_PIXELS}
    return {"full_page": True, **width}
