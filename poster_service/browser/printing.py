"""How a page is printed as a PDF: cut into sheets, or as one sheet that holds all of it.

A module of its own because print layout differs from screen layout: the media type is `print`, `vh`
and percentages refer to the sheet, and the page itself may set the size of sheets (@page).
"""

import contextlib
import json
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from poster_service.browser.frames import Send
from poster_service.browser.page_setup import media
from poster_service.browser.paper import print_parameters, printing_error
from poster_service.browser.pieces import Base64
from poster_service.browser.settle import settled
from poster_service.browser.types import MAX_PDF_SIDE, WHITE, CaptureOptions, PdfCapture
from poster_service.errors import PageFailed, PictureTooLarge

#: While inside, an answer of Chrome may be as large as a picture is.
ExpectData = Callable[[], contextlib.AbstractContextManager[None]]

#: CSS pixels to a point; Chrome rounds sheets to whole points.
PIXELS_PER_POINT = 4 / 3

#: The page's own rules for sheets (@page); a style sheet of another origin cannot be read. Our own
#: rules go into a constructed sheet, since a Content-Security-Policy may forbid a style element.
SHEET_RULES = """
    const within = (rule) => rule instanceof CSSPageRule ? [rule]
        : [...rule.cssRules ?? []].flatMap(within);
    const readable = (sheet) => { try { return [...sheet.cssRules]; } catch { return []; } };
    const sheets = [...document.styleSheets, ...document.adoptedStyleSheets];
    const add = (rules) => {
        const sheet = new CSSStyleSheet();
        sheet.replaceSync(rules);
        document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];
    };
"""

#: Paints the sheets white, their margins too. Of several backgrounds in @page the last one wins,
#: however specific the others are, so ours comes before the page's own.
WHITE_SHEETS = f"""(() => {{ {SHEET_RULES}
    const white = '@page {{ background: #fff }}';
    const paints = (rule) => within(rule).some((one) => one.style.background);
    for (const sheet of sheets) {{
        const first = readable(sheet).findIndex(paints);
        if (first >= 0) return void sheet.insertRule(white, first);
    }}
    add(white);
}})()"""

#: Removes all but the background from the page's rules for sheets (of several `!important` ones in
#: @page the first wins, not the last), and adds our own.
OWN_SHEETS = f"""((rules) => {{ {SHEET_RULES}
    for (const {{style}} of sheets.flatMap(readable).flatMap(within))
        for (const name of [...style])
            if (!name.startsWith('background')) style.removeProperty(name);
    add(rules);
}})"""

#: Has the page's `beforeprint` handlers run before it is measured, and not again when it prints.
BEFORE_PRINT = """(() => {
    dispatchEvent(new Event('beforeprint'));
    const only = (event) => event.stopImmediatePropagation();
    addEventListener('beforeprint', only, {capture: true});
})()"""

# Makes the root one piece that no sheet cuts (size containment), and keeps its size and what
# containment takes away: that the body's background, overflow, writing mode and direction apply to
# the canvas. Returns how far down, in the root's block direction, the second sheet begins.
ONE_PIECE = """((width, height) => {
    const root = document.documentElement, body = document.body;
    const set = (one, name, value) => one.style.setProperty(name, value, 'important');
    const own = getComputedStyle(root);
    if (body) {
        const its = getComputedStyle(body);
        set(root, 'writing-mode', its.writingMode);
        set(root, 'direction', its.direction);
        if (own.backgroundImage === 'none' && own.backgroundColor === 'rgba(0, 0, 0, 0)') {
            set(root, 'background', its.background);
            set(body, 'background', 'none');
        }
        if (own.overflowX === 'visible' && own.overflowY === 'visible')
            set(body, 'overflow', 'visible');
    }
    if (own.position === 'static') set(root, 'position', 'relative');
    const vertical = !own.writingMode.startsWith('horizontal');
    for (const name of ['inline-size', 'margin-inline-start'])
        set(root, name, own.getPropertyValue(name));
    const sum = (...names) => names.reduce(
        (all, name) => all + (parseFloat(own.getPropertyValue(name)) || 0), 0);
    const edges = own.boxSizing !== 'border-box' ? 0 : sum('padding-block-start',
        'padding-block-end', 'border-block-start-width', 'border-block-end-width');
    const size = Math.max(0, sum('block-size') - edges);
    const sheet = (vertical ? width : height) / (own.zoom || 1);
    for (const name of ['', 'min-', 'max-'].map((one) => one + (vertical ? 'width' : 'height'))) {
        const value = root.computedStyleMap().get(name)?.toString() ?? '';
        if (/stretch|fill-available/.test(value)) set(root, name, `${sum(name)}px`);
        else if (value.includes('%%'))  // of the first sheet, not of the one that it is on
            set(root, name, value.replace(/([\\d.]+)%%/g, (_, part) => `${part / 100 * sheet}px`));
    }
    set(root, 'contain', 'size');
    set(root, 'contain-intrinsic-block-size', `${size}px`);
    return sum('margin-block-start') + sheet;
})(%d, %d)"""

#: The first sheet is as large as the viewport, so that `vh`, percentages and media queries are the
#: same as there, and stays empty; the second one holds everything.
TWO_SHEETS = """@page {{ margin: {margin} !important; size: {across}pt {down}pt !important }}
@page :left {{ margin: {margin} !important; size: {across}pt {down}pt !important }}
@page :first {{ margin: 0 !important; size: {width}px {height}px !important }}
* {{ page: auto !important }}
:root {{ margin-block-start: {offset}px !important }}"""


class Printing:
    """Prints one page."""

    def __init__(self, send: Send, expect_data: ExpectData) -> None:
        """As of `Capture`."""
        self._send = send
        self._expect_data = expect_data

    async def pdf(self, options: CaptureOptions) -> Base64:
        """The PDF, in base64.

        Raises:
            PictureTooLarge: The single sheet asked for is larger than PDF readers show.
            PagesOutOfRange: The page ranges select no page.
            PageFailed: Chrome could not.
        """
        if options.background == WHITE and options.pdf.print_background:
            await self._run(WHITE_SHEETS)
        if options.full_page:
            return await self._one_sheet(options)
        width, height = options.pdf.paper or (options.page.width, options.page.height)
        try:
            return await self._print(print_parameters(width, height, options.pdf))
        except PageFailed as error:
            raise printing_error(error, options.pdf) from error

    async def _one_sheet(self, options: CaptureOptions) -> Base64:
        """All of the page on one sheet, laid out for the viewport and not for the sheet.

        Chrome cuts what it prints into sheets, and lays it out for the first of them: a page with
        something `100vh` high never fits a sheet made for it. So there are two sheets: one of the
        viewport's size, which the margin of the page's root leaves empty, and one of the size that
        the page then has, margins around it. Only the second is in the PDF.
        """
        await self._run(BEFORE_PRINT)
        environment = options.page.environment
        environment = replace(environment, media=environment.media or "print")
        await self._send(*media(environment))
        await self._run(settled(everything=True))
        offset = await self._run(ONE_PIECE % (options.page.width, options.page.height))
        size = (await self._send("Page.getLayoutMetrics", {}))["cssContentSize"]
        top, right, bottom, left = options.pdf.margin
        across = math.ceil(size["width"] + left + right)
        down = math.ceil(size["height"] + top + bottom)
        _check_sheet(across, down)
        if not isinstance(offset, int | float):  # the page has broken its own document
            return await self._print(
                print_parameters(across, down, options.pdf) | {"pageRanges": "1"}
            )
        rules = TWO_SHEETS.format(
            margin=" ".join(f"{side}px" for side in options.pdf.margin),
            across=_points(across),
            down=_points(down),
            width=options.page.width,
            height=options.page.height,
            offset=offset,
        )
        await self._run(f"{OWN_SHEETS}({json.dumps(rules)})")
        # The size that media queries see.
        bare = replace(options.pdf, margin=PdfCapture().margin)  # of the first sheet: it has none
        paper = print_parameters(options.page.width, options.page.height, bare)
        with contextlib.suppress(PageFailed):
            return await self._print(paper | {"pageRanges": "2"})
        return await self._print(paper)  # there was nothing to print

    async def _run(self, script: str) -> object:
        """Run a script in the page; returns its value, None if it failed."""
        answer = await self._send(
            "Runtime.evaluate",
            {"expression": script, "awaitPromise": True, "returnByValue": True},
        )
        return None if "exceptionDetails" in answer else answer["result"].get("value")

    async def _print(self, paper: dict[str, Any]) -> Base64:
        with self._expect_data():
            answer = await self._send("Page.printToPDF", paper)
        data: Base64 = answer["data"]
        return data


def _points(pixels: int) -> int:
    """CSS pixels in whole points, rounded up."""
    return math.ceil(pixels / PIXELS_PER_POINT)


def _check_sheet(width: int, height: int) -> None:
    """Refuse a sheet that is larger than PDF readers show.

    Raises:
        PictureTooLarge: With the size and the limit.
    """
    if max(width, height) > MAX_PDF_SIDE:
        raise PictureTooLarge(
            f"the page is {width} x {height} CSS pixels; one PDF page has at most"
            f" {MAX_PDF_SIDE} a side; without full_page it is cut into pages"
        )
