"""Pages and calls that the tests of Gotenberg's routes have in common."""

from collections.abc import Mapping
from typing import Any

from PIL import Image

from tests.web.compat.forms import post
from tests.web.pictures import decode
from tests.web.service import Service

SHOT, CONVERT = "/forms/chromium/screenshot/html", "/forms/chromium/convert/html"
RED, BLUE, WHITE = (255, 0, 0), (0, 0, 255), (255, 255, 255)
#: A page with a red body and a blue box; taller than a viewport with `TALL`.
PAGE = (
    "<!doctype html><title>The title</title><style>body { margin: 0; background: red }"
    "div { width: 50px; height: 50px; background: blue }</style><div id=box></div>Page 1"
)
TALL = PAGE + "<p style='height: 1000px'>"
PAGES = PAGE + "<h1 style='break-before: page'>Page 2</h1><h1 style='break-before: page'>Page 3"


async def shot(service: Service, page: str = PAGE, **fields: Any) -> Image.Image:
    """A picture that must succeed."""
    found = await post(service, SHOT, {"index.html": page}, **fields)
    assert found.status == 200, found.text
    return decode(found.body)


async def pdf(
    service: Service,
    page: str = PAGE,
    files: Mapping[str, str | bytes] | None = None,
    /,
    **fields: Any,
) -> bytes:
    """A PDF that must succeed."""
    found = await post(service, CONVERT, {"index.html": page, **(files or {})}, **fields)
    assert found.status == 200, found.text
    assert found.kind == "application/pdf"
    return found.body
