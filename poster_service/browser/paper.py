"""What Chrome gets to know of the sheets of a PDF, and what it says when it cannot print them."""

from typing import Any

from poster_service.browser.header_footer import wrapped
from poster_service.browser.pipe import ProtocolError
from poster_service.browser.types import PdfCapture
from poster_service.errors import CallerError, Fault, InvalidField, PageFailed, PagesOutOfRange

#: CSS pixels to an inch (CSS Values and Units), in which CDP measures paper.
PIXELS_PER_INCH = 96
#: How Chrome begins when it does not take parameters of Page.printToPDF.
INVALID = "invalid print parameters: "
#: What it says of page ranges of which the document has no page.
NO_SUCH_PAGES = "exceeds page count"


def print_parameters(width: float, height: float, pdf: PdfCapture) -> dict[str, Any]:
    """Parameters of Page.printToPDF.

    Sheets that are turned are given so: `landscape` of CDP would only let width and height change
    places.

    Args:
        width: Of a sheet in CSS pixels, unless the page sets another.
        height: The same.
        pdf: All else.
    """
    top, right, bottom, left = (side / PIXELS_PER_INCH for side in pdf.margin)
    parameters: dict[str, Any] = {
        "paperWidth": width / PIXELS_PER_INCH,
        "paperHeight": height / PIXELS_PER_INCH,
        "printBackground": pdf.print_background,
        "preferCSSPageSize": pdf.prefer_css_page_size,
        "marginTop": top,
        "marginBottom": bottom,
        "marginLeft": left,
        "marginRight": right,
    }
    if pdf.scale != 1:
        parameters["scale"] = pdf.scale
    if pdf.pages:
        parameters["pageRanges"] = pdf.pages
    if not pdf.tagged:  # it is by default, in both Chromes
        parameters["generateTaggedPDF"] = False
    if pdf.header or pdf.footer:
        parameters["displayHeaderFooter"] = True
        parameters["headerTemplate"] = wrapped(pdf.header, pdf)
        parameters["footerTemplate"] = wrapped(pdf.footer, pdf)
    if pdf.outline:
        parameters["generateDocumentOutline"] = True
    return parameters


def printing_error(error: PageFailed, pdf: PdfCapture) -> PageFailed | CallerError:
    """The error of a page that Chrome did not print: the caller's own where Chrome says so."""
    reason = str(error.__cause__) if isinstance(error.__cause__, ProtocolError) else ""
    if NO_SUCH_PAGES in reason:
        return PagesOutOfRange.of(
            Fault(
                "pdf.pages",
                f"the document has none of the pages {pdf.pages}",
                "page numbers of the document",
            )
        )
    if INVALID in reason:  # what is known of them was checked before a Chrome was leased
        return InvalidField.of(Fault("pdf", reason.partition(INVALID)[2]))
    return error
