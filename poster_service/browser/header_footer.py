"""How a header and a footer are laid out in the margins of a sheet, and whether they fit there.

Its own file because Chrome's own layout of them is a trap: text is a pixel high unless something
sets its size, backgrounds are left out, and the margins at the sides do not hold.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable

from poster_service.browser.types import PdfCapture

#: Runs a script and returns its value.
Run = Callable[[str], Awaitable[object]]

#: How often it is asked whether header and footer are laid out, and after how many seconds each.
TURNS, TURN_SECONDS = 50, 0.01
#: Where there is only one of the two: an empty text would be Chrome's own date, title and page.
NOTHING = "<i></i>"
#: Size of text that has none of its own, in CSS pixels: 9 points.
FONT_SIZE = 12
#: Chrome begins a header so far below the edge of the sheet, and ends a footer so far above it, in
#: CSS pixels: 0.4 cm.
EDGE = 15.2
#: The header or footer as wide as the content, and in colour.
_WRAP = (
    '<div style="box-sizing:border-box;width:100%;padding:0 {right:.6g}px 0 {left:.6g}px;'
    'font-size:{size}px;-webkit-print-color-adjust:exact;print-color-adjust:exact">{html}</div>'
)
#: A document for measuring in which nothing runs and nothing is fetched.
_MEASURED = (
    '<!doctype html><meta http-equiv="Content-Security-Policy" content="default-src \'none\';'
    " img-src data:; style-src 'unsafe-inline'\">"
    '<body style="margin:0;font-family:sans-serif"><div style="display:flow-root">{html}</div>'
)

# Lays header and footer out in frames in which no script runs; returns whether it did. It does not
# where the page's own rules set margins, which only Chrome knows. Both scripts run in an isolated
# world. No timer is used, since there is none where the page's scripts are off.
_LAY_OUT = """((documents, width) => {
    const within = (rule) => rule instanceof CSSPageRule ? [rule]
        : [...rule.cssRules ?? []].flatMap(within);
    const readable = (sheet) => { try { return [...sheet.cssRules]; } catch { return []; } };
    const rules = [...document.styleSheets, ...document.adoptedStyleSheets]
        .flatMap(readable).flatMap(within);
    if (rules.some((one) => [...one.style].some((name) => name.startsWith('margin')))) return false;
    globalThis.measured = documents.map((html) => {
        const frame = document.createElement('iframe');
        frame.sandbox = 'allow-same-origin';
        frame.style.cssText = 'all: initial; position: fixed; visibility: hidden; border: 0;'
            + `left: 0; top: 0; width: ${width}px; height: 10px`;
        frame.srcdoc = html;
        document.documentElement.append(frame);
        return frame;
    });
    return true;
})(%s, %s)"""

#: Returns the heights of header and footer in CSS pixels, and ends the measuring; null if the
#: frames have not loaded yet. The page may have removed them, which counts as a height of 0.
_HEIGHTS = """(async (isLast) => {
    const bodies = measured.map(({contentDocument: one}) =>
        one?.readyState === 'complete' && one.body?.firstElementChild);
    if (!isLast && bodies.some((one, at) => !one && measured[at].isConnected)) return null;
    const heights = [];
    for (const body of bodies) {
        if (!isLast && body) await Promise.all([...body.ownerDocument.images].map(
            (one) => one.decode().catch(() => {})));
        heights.push(body ? body.getBoundingClientRect().height : 0);
    }
    measured.forEach((one) => one.remove());
    return heights;
})(%s)"""


def wrapped(html: str, pdf: PdfCapture) -> str:
    """A header or footer as Chrome's template: readable, in colour, between the side margins."""
    if not html:
        return NOTHING
    _, right, _, left = pdf.margin
    return _WRAP.format(html=html, size=FONT_SIZE, right=right, left=left)


async def measured(run: Run, pdf: PdfCapture, width: float) -> object:
    """The heights of header and footer, as the page has it; None if it has margins of its own.

    Args:
        run: Runs a script in an isolated world of the page, and returns its value.
        pdf: With header or footer.
        width: Of a sheet, in CSS pixels.
    """
    documents = [
        _MEASURED.format(html=wrapped(html, pdf) if html else "")
        for html in (pdf.header, pdf.footer)
    ]
    if not await run(_LAY_OUT % (json.dumps(documents), json.dumps(width))):
        return None
    for _ in range(TURNS):
        if (found := await run(_HEIGHTS % "false")) is not None:
            return found
        await asyncio.sleep(TURN_SECONDS)
    return await run(_HEIGHTS % "true")


def overflows(found: object, pdf: PdfCapture) -> list[dict[str, str]]:
    """What does not fit into its margin, as parameters of a warning; the page may have lied.

    Args:
        found: As `measured` returned it.
        pdf: As it got it.
    """
    if not isinstance(found, list) or len(found) != 2:
        return []
    top, _, bottom, _ = pdf.margin
    notes = []
    for reason, height, margin in (
        ("header_too_tall", found[0], top),
        ("footer_too_tall", found[1], bottom),
    ):
        if isinstance(height, int | float) and 0 < height < 1e6 and height + EDGE > margin + 1:
            notes.append(
                {"reason": reason, "needs": f"{height + EDGE:.0f}", "has": f"{margin:.0f}"}
            )
    return notes
