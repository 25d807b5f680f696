"""POST /render with a page and its files: they are beside the page, and nowhere else."""

from unicodedata import normalize
from urllib.parse import quote

import aiohttp

from tests.web.conftest import Service
from tests.web.pictures import BLUE, GREEN, RED, at, decode

SQUARE = (
    "<svg xmlns='http://www.w3.org/2000/svg' width='50' height='50'>"
    "<rect width='50' height='50' fill='blue'/></svg>"
)
PAGE = """<!doctype html><link rel="stylesheet" href="css/style.css"><div></div>
    <img src="img/%E5%9B%BE.svg?v=1"><script src="paint.js"></script>"""
STYLE = """body { margin: 0; background: red } img { position: absolute; top: 0; left: 50px }
    div { width: 50px; height: 50px; background: url(../img/图.svg) }"""
SCRIPT = "document.body.insertAdjacentHTML('beforeend', '<p style=\"background: green\">&nbsp;')"


def form(**files: str) -> aiohttp.FormData:
    """The page, and files of that name."""
    made = aiohttp.FormData(quote_fields=False)
    made.add_field("index.html", PAGE, filename="page.html")
    for name, text in files.items():
        made.add_field(name, text.encode(), filename=name)
    return made


async def picture(service: Service, data: aiohttp.FormData, *, strict: bool = True) -> bytes:
    """The picture of a form."""
    options = f"width=100&height=150&strict={str(strict).lower()}"
    where = f"{service.address}/render?{options}"
    async with service.client.post(where, data=data) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.read()


async def test_a_page_has_its_files_beside_it_and_no_other_has(service: Service) -> None:
    """Style, script, a picture of the page and one of the style; the next page has none."""
    files = {"css/style.css": STYLE, "img/图.svg": SQUARE, "paint.js": SCRIPT}
    whole = decode(await picture(service, form(**files)))
    assert [at(whole, x, 25) for x in (25, 75)] == [BLUE, BLUE]
    assert at(whole, 75, 75) == GREEN
    bare = decode(await picture(service, form(**{"css/style.css": STYLE}), strict=False))
    assert at(bare, 25, 25) == RED


async def test_a_page_of_another_charset_has_its_files_by_their_names(service: Service) -> None:
    """GBK by its own word, its style sheet too; the file's name comes decomposed and encoded."""
    page = (
        '<!doctype html><meta charset="gbk"><link rel=stylesheet href=样.css>'
        "<style>body{margin:0}</style><div class=图></div><img src=é.svg><b id=x></b>"
        "<script>if (document.body.textContent.includes('你')) document.body.style.background='red'"
        "</script>"
    )
    style = ".图 { width: 50px; height: 50px; background: green } img { display: block }"
    made = aiohttp.FormData(quote_fields=False)
    made.add_field("index.html", page.encode("gb18030"), filename="index.html")
    made.add_field("样.css", style.encode("gbk"), filename="样.css")
    made.add_field(quote(normalize("NFD", "é.svg")), SQUARE.encode(), filename="x")
    whole = decode(await picture(service, made))
    assert at(whole, 25, 25) == GREEN
    assert at(whole, 25, 75) == BLUE
