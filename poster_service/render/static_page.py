"""Whether nothing in a page runs or moves, as far as its own markup tells.

Such a page is painted once, gives the same picture each time, and may be cached.
"""

import re

#: What may run or move in a page, in lower case. A page that is taken for dynamic by mistake costs
#: one more render and nothing else, so the list is generous.
DYNAMIC_MARKERS = (
    "<script", "javascript:", "<iframe", "<frame", "<object", "<embed", "<fencedframe", "srcdoc",
    "animation", "@starting-style", "<animate", "<set", "<marquee", "<video", "<audio",
    "<progress", "autofocus",
)  # fmt: skip
#: An event handler's attribute. Bounded and possessive, so that no text makes it slow.
EVENT_HANDLER_ATTRIBUTE = re.compile(r"[\s\"'/]on[a-z]{1,40}+\s*+=")
#: Characters searched in one step, and those that two steps share: the search holds the GIL (20 ns
#: a character), and 16 MB at once would hold up everybody.
CHUNK, OVERLAP = 1 << 16, 1 << 10


def is_static(html: str) -> bool:
    """Whether a page has no script, handler, frame, animation or media in its own markup."""
    text = html.lower()
    return not any(marker in text for marker in DYNAMIC_MARKERS) and not any(
        EVENT_HANDLER_ATTRIBUTE.search(text, at, at + CHUNK + OVERLAP)
        for at in range(0, len(text), CHUNK)
    )
