"""Finds the part of a document that is captured: an element, a rectangle, or all of it.

Two systems of coordinates meet here. The page's own (`getBoundingClientRect`) begin at the
viewport, and its scroll offsets are negative where text runs to the left. Those of a clip
(CDP: Page.captureScreenshot) begin at the left and upper edge of all that can be scrolled to.
"""

import json
import math
from dataclasses import dataclass

from poster_service.browser.area import Area, area_of, check_size, most_height
from poster_service.browser.containers import REVEAL
from poster_service.browser.frames import Send
from poster_service.browser.types import CaptureOptions, Region
from poster_service.browser.world import World
from poster_service.errors import (
    ClipOutside,
    Fault,
    InvalidField,
    SelectorEmpty,
    SelectorNotFound,
)

#: Chrome lays out in 64ths of a CSS pixel; half of one is noise of its floating-point numbers.
LAYOUT_NOISE = 1 / 128

#: The box of the first element that a selector matches: left, top, width and height in CSS pixels,
#: from where the page is scrolled to its first line; once what it is in shows it. Methods come from
#: their prototypes, since a page may give its elements names that hide those of `document`.
_BOX = """((selector, padding) => {
%s
    let element;
    try {
        element = Document.prototype.querySelector.call(document, selector);
    } catch {
        return 'invalid';
    }
    if (!element) return 'none';
    const {width, height} = boxOf(element);
    if (width > 0 && height > 0 && !reveal(element, padding)) return 'hidden';
    const box = boxOf(element);
    return [box.x + scrollX, box.y + scrollY, box.width, box.height];
})(%s, %s)"""


@dataclass(frozen=True)
class Document:
    """The size of a document, and where its coordinates begin.

    Attributes:
        width: In CSS pixels, of all that can be scrolled to; at least the viewport's.
        height: The same.
        left: Distance of its left edge from where the page's own coordinates begin.
        top: The same of its upper edge.
    """

    width: int
    height: int
    left: float
    top: float


async def measure(send: Send, world: World, options: CaptureOptions) -> Area:
    """The part of the document that the options ask for, beyond the viewport.

    Args:
        send: Sends a command to the page.
        world: Where scripts find the page's elements.
        options: With `full_page`, `selector` or `clip`.

    Raises:
        InvalidField: The selector is not one of CSS.
        SelectorNotFound: It matches nothing.
        SelectorEmpty: What it matches has no size, is hidden by what it is in, or lies outside
            of the document.
        ClipOutside: The clip does.
        PictureTooLarge: It has more pixels than allowed.
        RenderFailed: The page or its Chrome failed.
    """
    if options.selector is not None:
        box = await _box(world, options.selector, options.padding)
        document = await document_of(send)
        region, what = _grown(box, document, options), "the element"
    else:
        document = await document_of(send)
        height = document.height
        if options.is_cut:
            height = min(height, most_height(document.width, options))
        whole = Region(0, 0, document.width, height)
        region, what = (options.clip, "the clip") if options.clip else (whole, "the full page")
        _check_inside(region, document)
    area = area_of(region, options.page.scale, options.zoom)
    check_size(area, what, options)
    return area


async def zoomed_viewport(send: Send, options: CaptureOptions) -> Area:
    """What the viewport shows, to be painted larger or smaller than the page is.

    Chrome paints it so and scales nothing afterwards: edges and text are sharp, a picture in the
    page shows all the pixels that it has. The page notices nothing (measured): `devicePixelRatio`
    stays as it is, no `resize` fires.

    Raises:
        RenderFailed: The page or its Chrome failed.
    """
    metrics = await send("Page.getLayoutMetrics", {})
    layout, visual = metrics["cssLayoutViewport"], metrics["cssVisualViewport"]
    shown = Region(
        layout["pageX"] + visual["offsetX"],
        layout["pageY"] + visual["offsetY"],
        visual["clientWidth"],
        visual["clientHeight"],
        visual["scale"],  # below 1 where a phone shows a wide page
    )
    return area_of(shown, options.page.scale, options.zoom)


async def _box(world: World, selector: str, padding: int) -> tuple[float, ...]:
    """The box of the first element that matches."""
    found = await world.value(_BOX % (REVEAL, json.dumps(selector), padding))
    if found == "invalid":
        raise InvalidField.of(
            Fault("selector", f'"{selector}" is not a valid selector', "a CSS selector")
        )
    if found == "none":
        raise SelectorNotFound.of(
            Fault(
                "selector",
                f'"{selector}" matches no element of the page',
                "a selector that matches",
            )
        )
    if found == "hidden":
        raise SelectorEmpty.of(_empty(selector, "is hidden by an element around it (overflow)"))
    if not _is_box(found):
        raise SelectorEmpty.of(_empty(selector, "has no size"))
    return tuple(map(float, found))


def _is_box(found: object) -> bool:
    """Whether it is an answer of `_BOX` for an element with a size; infinities come as null."""
    is_complete = isinstance(found, list) and all(isinstance(one, int | float) for one in found)
    return is_complete and len(found) == 4 and found[2] > 0 and found[3] > 0  # type: ignore[arg-type,index]


def _empty(selector: str, what: str) -> Fault:
    return Fault("selector", f'the first match of "{selector}" {what}', "a visible element")


async def document_of(send: Send) -> Document:
    """The size of the document as it is laid out now, and where its coordinates begin.

    Raises:
        RenderFailed: The page or its Chrome failed.
    """
    metrics = await send("Page.getLayoutMetrics", {})
    size, layout = metrics["cssContentSize"], metrics["cssLayoutViewport"]
    visual = metrics["cssVisualViewport"]
    return Document(
        math.ceil(size["width"]),
        math.ceil(size["height"]),
        # Of the layout viewport's place Chrome gives the distance to the document's edge, of the
        # visual one's (which lies in it) the scroll offset. Both change when a page scrolls; their
        # difference does not.
        layout["pageX"] - (visual["pageX"] - visual["offsetX"]),
        layout["pageY"] - (visual["pageY"] - visual["offsetY"]),
    )


def _grown(box: tuple[float, ...], document: Document, options: CaptureOptions) -> Region:
    """The box with its padding, grown outward to whole CSS pixels, cut to the document."""
    left, top, width, height = box
    left, top = left + document.left, top + document.top
    across = _span(left, left + width, options.padding, document.width)
    down = _span(top, top + height, options.padding, document.height)
    if across is None or down is None:
        raise SelectorEmpty.of(_empty(options.selector or "", "lies outside of the document"))
    return Region(across[0], down[0], across[1] - across[0], down[1] - down[0])


def _span(begin: float, end: float, padding: int, most: int) -> tuple[int, int] | None:
    """From where to where one side of a box goes; None where it is outside of the document."""
    if end <= LAYOUT_NOISE or begin >= most - LAYOUT_NOISE:
        return None
    low = max(0, math.floor(begin - padding + LAYOUT_NOISE))
    high = min(most, math.ceil(end + padding - LAYOUT_NOISE))
    return (low, high) if high > low else (low, low + 1)


def _check_inside(region: Region, document: Document) -> None:
    if region.x + region.width > document.width or region.y + region.height > document.height:
        raise ClipOutside.of(
            Fault(
                "clip",
                f"reaches to {region.x + region.width:g} x {region.y + region.height:g}",
                f"inside of the document, which is {document.width} x {document.height} CSS pixels",
            )
        )
