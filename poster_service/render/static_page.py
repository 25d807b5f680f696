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
#: An event handler's attribute. Bounded and possessive, so that no text makes it slow.
EVENT_HANDLER_ATTRIBUTE = re.compile(r"[\s\"'/]on[a-z]{1,40}+\s*+=")
#: Characters searched in one step, and those that two steps share: the search holds the GIL (20 ns
#: a character), and 16 MB at once would hold up all requests.
CHUNK, OVERLAP = 1 << 16, 1 << 10


def is_static(html: str, *, runs_scripts: bool = True) -> bool:
    """Whether a page has no script, handler, frame, animation or media in its own markup.

    Args:
        html: The page.
        runs_scripts: Whether scripts and handlers run, if there are any.
    """
    text = html.lower()
    if any(marker in text for marker in DYNAMIC_MARKERS):
        return False
    return not runs_scripts or not _has_scripts(text)


def _has_scripts(text: str) -> bool:
    """Whether a page, in lower case, has scripts or event handlers."""
    return any(marker in text for marker in SCRIPT_MARKERS) or any(
        EVENT_HANDLER_ATTRIBUTE.search(text, at, at + CHUNK + OVERLAP)
        for at in range(0, len(text), CHUNK)
    )


def adds_movement(options: RenderOptions) -> bool:
    """Whether something is added to the page that runs or moves."""
    runs = (
        options.scroll_page or options.scripts or (options.wait_for and options.wait_for.expression)
    )
    styles = (one.content for one in options.styles if one.content)
    return bool(runs) or not all(is_static(style, runs_scripts=False) for style in styles)
