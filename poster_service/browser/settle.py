"""What a page still needs when it has loaded: fonts, decoded pictures, lazy content."""

import json

# Lazy pictures and frames load with the page (`BLINK_SETTINGS` in spec.py), below the
# viewport and in closed shadow trees too. This script waits until pictures have come; a broken
# one is no reason to wait. Chrome decodes a picture that is there when it paints it (spec.py,
# `--disable-checker-imaging`); `decode()` for it would take a frame, so a poster would be painted
# twice. In a full page, what `content-visibility: auto` skips outside the viewport is made visible,
# with the containment that it has in any case.
_SETTLE = """(async (everything, patient) => {
    const reveal = (element) => {
        const style = getComputedStyle(element);
        if (style.contentVisibility !== 'auto') return;
        const contain = new Set(style.contain.split(' ')).add('layout').add('style').add('paint');
        contain.delete('none');
        const whole = ['strict', 'content'].find((one) => contain.has(one));
        element.style.setProperty('contain', whole ?? [...contain].join(' '), 'important');
        element.style.setProperty('content-visibility', 'visible', 'important');
    };
    // After a navigation that was refused while the document was parsed, `ready` may stay pending
    // until the next layout, which need not come: here layout is done and nothing is loading.
    const hasFonts = (root) => root.readyState === 'complete' && root.fonts.status === 'loaded';
    const fonts = (root) => hasFonts(root) || Promise.race([root.fonts.ready, new Promise(
        (resolve) => root.addEventListener('readystatechange', () => hasFonts(root) && resolve()),
    )]);
    const settle = async (root) => {
        const elements = [...root.querySelectorAll('*')];
        if (everything) elements.forEach(reveal);
        const trees = elements.flatMap((one) => one.shadowRoot ?? one.contentDocument ?? []);
        const pictures = elements.filter((one) => one.localName === 'img');
        root.documentElement?.getBoundingClientRect();  // text laid out asks for its fonts
        await Promise.all([
            ...trees.map(settle),
            ...pictures.map((one) => patient && !one.complete && one.decode?.().catch(() => {})),
            patient && root.documentElement && root.fonts && fonts(root),
        ]);
    };
    await settle(document);
})(%s, %s)"""


def settled(*, everything: bool, patient: bool = True) -> str:
    """A script whose promise is fulfilled when a page is ready to be painted.

    Args:
        everything: Whether all of the page is painted and not only what the viewport shows.
        patient: Whether fonts and pictures that have not come yet are waited for.
    """
    return _SETTLE % (json.dumps(everything), json.dumps(patient))
