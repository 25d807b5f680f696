"""Examples of requests for GET /openapi.json; each works as it stands (tests/web/test_examples.py).

None needs another host: a page of an example brings all that it shows.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from poster_service.render.json_schema import Json
from poster_service.web import forms

_PAGE = (
    "<!doctype html><style>body{margin:0;padding:48px;font:40px sans-serif;color:#14204f;"
    "background:#eef1fd}h1{margin:0}</style><h1>Hello 你好 👋</h1><p>A page becomes a picture.</p>"
)
_REPORT = (
    "<!doctype html><style>body{font:12pt serif}section{break-after:page}</style>"
    "<section><h1>Report</h1><p>The first page.</p></section><p>The second page.</p>"
)
#: By name: a summary, and a request as JSON.
REQUESTS: Mapping[str, tuple[str, Json]] = {
    "html": ("A page as a picture", {"html": _PAGE, "width": 1200, "height": 630}),
    "sharp": (
        "For sharp screens, as WebP",
        {
            "html": _PAGE, "width": 600, "height": 315, "device_scale_factor": 2,
            "format": "webp", "quality": 85,
        },
    ),
    "pdf": (
        "A PDF on A4 with page numbers",
        {
            "html": _REPORT,
            "format": "pdf",
            "pdf": {
                "paper": "a4",
                "margin": {"top": "2cm", "right": "2cm", "bottom": "2cm", "left": "2cm"},
                "footer": '<div style="font-size:9px;width:100%;text-align:center">'
                '<span class="pageNumber"></span> / <span class="totalPages"></span></div>',
                "outline": True,
            },
        },
    ),
    "element": (
        "One element of a page",
        {"html": _PAGE, "selector": "h1", "padding": 16, "background": "#ffffff"},
    ),
    "full_page": ("The whole of a long page", {"html": _PAGE, "width": 500, "full_page": True}),
    "dark": (
        "As a phone with dark colours sees it",
        {
            "html": "<meta name=viewport content='width=device-width'><style>"
            "@media (prefers-color-scheme: dark) {html {background: #101217; color: #fff}}"
            "</style><h1>Good evening</h1>",
            "width": 390, "height": 844, "device_scale_factor": 2, "mobile": True, "touch": True,
            "media_features": {"prefers-color-scheme": "dark"},
        },
    ),
    "markdown": (
        "Markdown",
        {"markdown": "# Notes\n\n| what | how many |\n|---|---|\n| pictures | 3 |\n", "width": 700},
    ),
    "elements": (
        "Text and place of elements, as JSON",
        {"html": _PAGE, "format": "elements", "elements": ["h1", "p"]},
    ),
    "outputs": (
        "A picture and a PDF of one load",
        {
            "html": _PAGE, "width": 800, "height": 400,
            "outputs": [{"name": "card", "format": "png"}, {"name": "print", "format": "pdf"}],
        },
    ),
}  # fmt: skip


def requests(templates: Iterable[Mapping[str, Any]]) -> Json:
    """Examples of a request as JSON: those above, and each template with its sample.

    Args:
        templates: As GET /templates lists them.
    """
    return {
        **{
            name: {"summary": summary, "value": value}
            for name, (summary, value) in REQUESTS.items()
        },
        **{
            one["name"]: {
                "summary": f"Template: {one['title'] or one['name']}",
                "value": {"template": one["name"], "data": one["sample"]},
            }
            for one in templates
        },
    }


#: A page as it is, and in a form.
PAGE = _PAGE
FORM: Json = {forms.PAGE: _PAGE, "width": 600, "height": 315}
