"""Whether a template, and a render of it, may have a warm page (`browser/warm.py`).

In a warm page no script runs, and only the document is replaced. What would paint another picture
there, or outlive its document, is left to a stricter level.
"""

import re
from collections.abc import Iterable, Mapping

from poster_service.render.options import RenderOptions
from poster_service.render.static_page import is_static

#: What a page cannot have there, in lower case, and why.
OBSTACLES: Mapping[str, str] = {
    "<script": "has a script, and none runs in a warm page",
    "<noscript": "has a noscript element, which shows where no script runs",
    "<canvas": "has a canvas, and no script that could draw on it runs in a warm page",
    "http-equiv": "has a meta element with http-equiv, which would outlive its document",
}
#: A media feature by which style sheets see that no script runs.
_SCRIPTING = re.compile(r"\(\s*scripting\b", re.IGNORECASE)
#: Options with which a warm page paints what any other page would. All others, and so each that is
#: added to the declaration, must be left at their defaults.
SUITABLE = frozenset((
    "background", "cache_ttl", "clip", "destination", "device_scale_factor", "fail_on",
    "fail_on_status", "filename", "format", "full_page", "height", "isolation", "javascript",
    "locale", "media", "media_features", "mobile", "object", "outputs", "padding",
    "png_compression", "quality", "selector", "store", "strict", "timeout_ms", "timezone", "touch",
    "user_agent", "width",
))  # fmt: skip
_OTHERS = tuple(name for name in RenderOptions.model_fields if name not in SUITABLE)


def obstacle_in(page: str) -> str:
    """Why pages of this HTML, or of a template with this source, have no warm page; "" if none."""
    text = page.lower()
    found = next((why for marker, why in OBSTACLES.items() if marker in text), "")
    return found or ("" if is_static(text) else "has something that runs or moves by itself")


def obstacle_in_style(css: str) -> str:
    """The same of a style sheet."""
    is_asked = _SCRIPTING.search(css) is not None
    return "asks for the media feature scripting, and no script runs in a warm page" * is_asked


def obstacle_among(sources: Iterable[tuple[str, str]]) -> tuple[str, str]:
    """The first file, of names and texts, with an obstacle, and what it is; "" and "" if none."""
    for name, text in sources:
        why = obstacle_in_style(text) if name.endswith(".css") else obstacle_in(text)
        if why:
            return name, why
    return "", ""


def is_plain(options: RenderOptions) -> bool:
    """Whether nothing is added to the page, waited for or blocked."""
    return not any(options.is_given(name) for name in _OTHERS)
