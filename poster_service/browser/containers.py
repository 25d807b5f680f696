"""An element in what scrolls or cuts off its contents, such as the main part of an application.

Its box alone says where it would be if nothing hid it: a picture of that place shows what is there
instead. So containers are scrolled until they show it, and scrolled back after the capture. The
document itself is not scrolled: all of it can be captured where it is.
"""

from poster_service.browser.world import World

#: Functions for scripts of the isolated world.
#: `reveal(element, padding)` scrolls containers as little as shows the element, from the innermost
#: outward, and notes where they were. It is false where one hides the element all the same, as a
#: closed accordion does. `boxOf(element)` is its box in the viewport. Getters come from their
#: prototypes, since a form may have fields with the names of these properties.
REVEAL = """
    const getter = (type, name) => {
        const {get} = Object.getOwnPropertyDescriptor(type.prototype, name);
        return (one) => get.call(one);
    };
    const [parentOf, slotOf] = [getter(Node, 'parentNode'), getter(Element, 'assignedSlot')];
    const boxOf = (one) => Element.prototype.getBoundingClientRect.call(one);
    const above = (one) => {
        const slot = one instanceof Element ? slotOf(one) : null;
        const parent = slot ?? parentOf(one);
        return parent instanceof ShadowRoot ? parent.host : parent;
    };
    const holdsFixed = (style) =>
        ['transform', 'translate', 'rotate', 'scale', 'perspective', 'filter', 'backdropFilter']
            .some((name) => !['none', ''].includes(style[name])) ||
        /paint|layout|strict|content/.test(style.contain) ||
        /transform|perspective|filter/.test(style.willChange) ||
        style.contentVisibility === 'auto';
    const root = getter(Document, 'documentElement')(document);
    const ofViewport = (one, style) => one === root || (one === getter(Document, 'body')(document)
        && (getComputedStyle(root).overflow === 'visible' || style.overflow === 'visible'));
    // What may cut off an element: those of its containing blocks whose contents overflow.
    const cutting = (element) => {
        const found = [];
        let {position} = getComputedStyle(element);
        for (let one = above(element); one instanceof Element; one = above(one)) {
            const style = getComputedStyle(one);
            const isBlock = position === 'fixed' ? holdsFixed(style)
                : position !== 'absolute' || style.position !== 'static' || holdsFixed(style);
            if (!isBlock || style.display === 'contents') continue;
            position = style.position;
            if (!ofViewport(one, style) && style.overflow !== 'visible') found.push([one, style]);
        }
        return found;
    };
    const sides = {
        x: {begin: 'left', end: 'right', size: 'width', border: 'clientLeft', inner: 'clientWidth',
            at: 'scrollLeft', overflow: 'overflowX'},
        y: {begin: 'top', end: 'bottom', size: 'height', border: 'clientTop', inner: 'clientHeight',
            at: 'scrollTop', overflow: 'overflowY'},
    };
    // Where the inside of a container begins and ends on a side, and the pixels to one of its own.
    const inside = (one, side) => {
        const box = boxOf(one);
        const outer = side === sides.x ? 'offsetWidth' : 'offsetHeight';
        const scale = one instanceof HTMLElement
            ? box[side.size] / getter(HTMLElement, outer)(one) || 1 : 1;
        const begin = box[side.begin] + getter(Element, side.border)(one) * scale;
        return {begin, end: begin + getter(Element, side.inner)(one) * scale, scale};
    };
    const lacking = (element, one, side, padding) => {
        const {begin, end, scale} = inside(one, side);
        const box = boxOf(element);
        const room = end - begin - box[side.size];
        const around = Math.max(0, Math.min(padding, room / 2));
        const [first, last] = [box[side.begin] - around - begin, box[side.end] + around - end];
        if (room < 0) return first / scale;
        return (first < 0 ? first : Math.max(0, last)) / scale;
    };
    const isCut = (element, one, side) => {
        const {begin, end} = inside(one, side);
        const box = boxOf(element);
        return box[side.end] <= begin || box[side.begin] >= end;
    };
    const reveal = (element, padding) => {
        globalThis.scrolled = [];
        for (const [one, style] of cutting(element)) {
            if (!getter(Element, 'clientWidth')(one) && !getter(Element, 'clientHeight')(one)) {
                continue;  // inline, or inside of a picture: nothing is cut off
            }
            for (const side of Object.values(sides)) {
                if (style[side.overflow] === 'visible') continue;
                const missing = lacking(element, one, side, padding);
                if (Math.abs(missing) >= 1) {
                    scrolled.push([one, side.begin, getter(Element, side.at)(one)]);
                    const by = {behavior: 'instant', [side.begin]: missing};
                    Element.prototype.scrollBy.call(one, by);
                }
                if (isCut(element, one, side)) return false;
            }
        }
        return true;
    };
"""

_BACK = """for (const [one, side, at] of globalThis.scrolled?.reverse() ?? []) {
    Element.prototype.scrollTo.call(one, {behavior: 'instant', [side]: at});
}
globalThis.scrolled = [];"""


async def scroll_back(world: World) -> None:
    """Scroll what was scrolled for an element back to where it was.

    Raises:
        RenderFailed: The page or its Chrome failed.
    """
    await world.value(_BACK)
