"""Whether nothing in a page runs or moves, as far as its own markup tells.

Such a page is painted once, gives the same picture each time, and may be cached.
"""

import re

from poster_service.render.options import RenderOptions

#: What may move in a page, in lower case; frames have pages of their own. A page that is taken for
#: dynamic by mistake costs one more render and nothing else, so the list is generous.
DYNAMIC_MARKERS = (
    "<iframe", "<frame", "<object", "<embed", "<fencedframe", "srcdoc", "animation",
    "@starting-style", "<animate", "<set", "<marquee", "<video", "<audio", "<progress", "autofocus",
)  # fmt: skip
#: What runs in a page.
SCRIPT_MARKERS = ("<script", "javascript:")
_DYNAMIC, _SCRIPT = (
    tuple(marker.encode() for marker in markers) for markers in (DYNAMIC_MARKERS, SCRIPT_MARKERS)
)
#: An event handler's attribute, and what stands before one. Bounded and possessive, so that no text
#: makes it slow. It begins with letters, for which a search is ten times as fast as for a set.
_EVENT_HANDLER = re.compile(rb"on[a-z]{1,40}+\s*+=")
_BEFORE_AN_ATTRIBUTE = frozenset(b" \t\n\r\f\v\"'/")
#: Bytes searched in one step, and those that two steps share: the search holds the GIL, and 16 MB
#: at once would hold up all requests.
CHUNK, OVERLAP = 1 << 16, 1 << 10


def is_static(html: str, *, runs_scripts: bool = True) -> bool:
    """Whether a page has no script, handler, frame, animation or media in its own markup.

    Args:
        html: The page.
        runs_scripts: Whether scripts and handlers run, if there are any.
    """
    # As bytes: markup is ASCII, and one character beyond Unicode's first plane would make the
    # whole text four times as wide.
    text = html.encode("utf-8", "surrogatepass").lower()
    if any(marker in text for marker in _DYNAMIC):
        return False
    return not runs_scripts or not _has_scripts(text)


def _has_scripts(text: bytes) -> bool:
    """Whether a page, in lower case, has scripts or event handlers."""
    return any(marker in text for marker in _SCRIPT) or any(
        found.start() > 0 and text[found.start() - 1] in _BEFORE_AN_ATTRIBUTE
        for at in range(0, len(text), CHUNK)
        for found in _EVENT_HANDLER.finditer(text, at, at + CHUNK + OVERLAP)
    )


def adds_movement(options: RenderOptions) -> bool:
    """Whether something is added to the page that runs or moves."""
    runs = (
        options.scroll_page or options.scripts or (options.wait_for and options.wait_for.expression)
    )
    styles = (one.content for one in options.styles if one.content)
    return bool(runs) or not all(is_static(style, runs_scripts=False) for style in styles)
