"""What a capture shows: full pages, PDFs of one sheet, what is lazy, pages that close themselves.

Each in headless-shell and full Chromium, with a Chrome for each render and with one for many.
"""

import base64
import io
from collections.abc import Sequence
from html import escape
from typing import Any

import pypdfium2
import pytest
from PIL import Image

from tests.web.conftest import Service
from tests.web.modes import in_full_chromium, service_in_modes
from tests.web.pictures import BLUE, CLEAR, GREEN, RED, WHITE, at, decode, near

ROOT = "<!doctype html><style>html, body { margin: 0 }</style>"
LIME = (0, 255, 0, 255)
YELLOW = (255, 204, 0, 255)

# Full Chromium takes seconds for each of these, and there are many.


service = service_in_modes()


async def full(service: Service, page: str, **options: Any) -> Image.Image:
    """The full page of a viewport of 600 x 400."""
    given = {"width": 600, "height": 400, "full_page": True, "background": "#ffffff", **options}
    return decode(await service.picture(html=page, **given))


async def sheets(service: Service, page: str, **options: Any) -> list[Image.Image]:
    """The sheets of a PDF for 600 x 400, one pixel of them to a CSS pixel; clear if unpainted."""
    given = {"width": 600, "height": 400, "format": "pdf", **options}
    return sheets_of(await service.picture(html=page, **given))


def sheets_of(body: bytes) -> list[Image.Image]:
    """The sheets of a PDF."""
    document = pypdfium2.PdfDocument(io.BytesIO(body))
    try:
        return [
            sheet.render(scale=96 / 72, fill_color=(0, 0, 0, 0), maybe_alpha=True)
            .to_pil()
            .convert("RGBA")
            for sheet in document
        ]
    finally:
        document.close()


#: A page that shows, in its nav, whether anything of its viewport ever changed.
STEADY = f"""{ROOT}<style>
    nav {{ height: 80px; background: red; position: sticky; top: 0 }}
    @media (min-width: 500px) {{ nav {{ background: blue; transition: background-color 9s }} }}
    #hero {{ height: 100vh; background: green }}
    #fixed {{ position: fixed; bottom: 0; height: 20px; width: 100%; background: red }}
    #rest {{ height: 1500px; background: lime }}</style>
    <nav></nav><div id=hero></div><div id=rest></div><div id=fixed></div>
    <script>onload = () => addEventListener('resize', () => {{ rest.style.background = 'red' }});
    </script>"""


@pytest.mark.parametrize("scale", [1, 2])
async def test_a_full_page_is_the_viewports_page_made_taller(service: Service, scale: int) -> None:
    """No media query, resize or transition; 100vh is the viewport's; what is fixed is once."""
    picture = await full(service, STEADY, device_scale_factor=scale)
    assert picture.size == (600 * scale, 1980 * scale)
    column = [at(picture, 300 * scale, y * scale) for y in (40, 200, 390, 470, 490, 1970)]
    assert column == [BLUE, GREEN, RED, GREEN, LIME, LIME]


NAV = """<!doctype html><style>body{margin:0}nav{height:80px;background:#f00}
@media(min-width:992px){nav{background:#00f;transition:background-color 2s}}
@keyframes go{to{outline:1px solid}}div{height:2000px;animation:go 1s infinite}</style>
<nav></nav><div></div>"""


@pytest.mark.slow
async def test_full_pages_always_end(service: Service) -> None:
    """One in ten of these used to wait for a frame that never came."""
    for _ in range(25):
        picture = await full(service, NAV, width=1200)
        assert picture.size == (1200, 2080)
        assert at(picture, 600, 40) == BLUE


BOX = "width:200px;height:200px;background:"
THREE = "".join(f"<div style='{BOX}{one}'></div>" for one in ("#f00", "#008000", "#00f"))


@pytest.mark.parametrize(
    ("page", "size", "expected"),
    [
        (
            "<!doctype html><html dir=rtl><style>body{margin:0;font:30px sans-serif}p{background:"
            "#fc0;width:300px;margin:0;height:50px}</style><p>ABC</p>",
            (600, 400),
            {(310, 5): YELLOW, (595, 45): YELLOW, (290, 5): WHITE},
        ),
        (
            f"{ROOT}<html dir=rtl><div style='height:50px;width:750px;background:#00f;"
            "border-right:750px solid #f00'></div>",
            (1500, 400),
            {(5, 5): BLUE, (745, 5): BLUE, (755, 5): RED, (1495, 5): RED},
        ),
        *(
            (f"{ROOT}{how}{THREE * 2}", (1200, 400), expected)
            for how, expected in (
                (
                    "<html style='writing-mode:vertical-rl'>",
                    {(5, 5): BLUE, (595, 5): RED, (605, 5): BLUE, (1195, 5): RED},
                ),
                (
                    "<html style='writing-mode:vertical-lr'>",
                    {(5, 5): RED, (595, 5): BLUE, (605, 5): RED, (1195, 5): BLUE},
                ),
                (
                    "<body style='writing-mode:vertical-rl'>",
                    {(5, 5): BLUE, (595, 5): RED, (605, 5): BLUE, (1195, 5): RED},
                ),
            )
        ),
    ],
    ids=["rtl", "rtl wide", "vertical-rl", "vertical-lr", "of the body"],
)
async def test_a_full_page_has_what_lies_to_the_left_too(
    service: Service, page: str, size: tuple[int, int], expected: dict[Any, Any]
) -> None:
    """Right-to-left and vertical writing go where scroll offsets are negative; on paper too."""
    outputs = [{"full_page": True, "background": "#ffffff"}, {"full_page": True, "format": "pdf"}]
    body, printed = await service.pictures(outputs, html=page, width=600, height=400)
    for picture in (decode(body), *sheets_of(printed)):
        assert abs(picture.width - size[0]) <= 1
        assert abs(picture.height - size[1]) <= 1
        assert {place: at(picture, *place) for place in expected} == expected


#: By name: a page, how high its one sheet is, and colours in the middle by height.
ONE_SHEET: dict[str, tuple[str, int, dict[int, tuple[int, ...]]]] = {
    "min-height and margins": (
        "<!doctype html><body style='min-height:100vh;background:#fc0'>", 416, {410: YELLOW},
    ),
    "a hero and text": (
        f"{ROOT}<div style='height:100vh;background:red'></div>"
        "<div style='height:300px;background:blue'></div>", 700, {395: RED, 405: BLUE, 695: BLUE},
    ),
    "half a viewport": (
        f"{ROOT}<div style='height:calc(50vh + 10px);background:red'></div>"
        "<div style='height:600px;background:blue'></div>", 810, {205: RED, 215: BLUE, 805: BLUE},
    ),
    "growth in print": (
        f"{ROOT}<style>@media print{{div{{height:2500px;background:blue}}}}</style><div></div>",
        2500, {2495: BLUE},
    ),
    "a nav for the screen": (
        f"{ROOT}<style>@media print{{nav{{display:none}}}}nav{{height:900px}}</style><nav></nav>"
        "<div style='height:500px;background:blue'></div>", 500, {5: BLUE, 495: BLUE},
    ),
    "percentages": (
        "<!doctype html><style>html,body{height:100%;margin:0}</style>"
        "<div style='height:100%;background:red'></div><div style='height:200px;background:blue'>",
        600, {395: RED, 405: BLUE, 595: BLUE},
    ),
    "sheets of its own": (
        f"{ROOT}<style>@page{{size:A4;margin:2cm!important;page-orientation:rotate-left}}"
        "@page:left{margin:1cm}@page wide{size:A5 landscape}div{height:300px;page:wide}</style>"
        "<div style='background:red'></div><div style='break-before:page;background:blue'></div>",
        600, {295: RED, 305: BLUE, 595: BLUE},
    ),
    "a long table": (
        f"{ROOT}<table style='width:100%;border-spacing:0'><thead><tr style='height:50px;"
        "background:red'><td><tbody>" + "<tr style='height:50px;background:blue'><td>" * 30,
        1550, {25: RED, 60: BLUE, 800: BLUE, 1545: BLUE},
    ),
    "a least percentage": (
        "<!doctype html><style>html{min-height:calc(100% - 10px)}body{min-height:inherit;margin:0}"
        "</style><div style='height:200px;background:red'></div><div style='height:500px;"
        "background:blue'>", 700, {195: RED, 205: BLUE, 695: BLUE},
    ),
    "what sticks out": (
        f"{ROOT}<div style='position:absolute;top:100%;height:200px;width:100%;background:blue'>"
        "</div><div style='float:left;height:500px;width:100%;background:red'></div>",
        700, {495: RED, 505: BLUE, 695: BLUE},
    ),
    "fixed": (
        f"{ROOT}<div style='height:1000px;background:blue'></div><div style='position:fixed;top:0;"
        "height:50px;width:100%;background:red'></div>", 1000, {25: RED, 60: BLUE, 995: BLUE},
    ),
    "before it is printed": (
        f"{ROOT}<div id=a style='height:10px;background:blue'></div><script>onbeforeprint = () => "
        "{ a.style.height = a.offsetHeight + 800 + 'px' }</script>", 810, {805: BLUE},
    ),
    "a hidden overflow": (
        f"{ROOT}<body style='height:100vh;overflow:hidden'><div style='height:800px;background:"
        "blue'></div>", 800, {795: BLUE},
    ),
    "a query for heights": (
        f"{ROOT}<style>div{{height:900px;background:blue}}@media(min-height:500px){{div{{"
        "background:red}}</style><div></div>", 900, {5: BLUE, 895: BLUE},
    ),
    "short": (f"{ROOT}<p>short", 400, {390: WHITE}),
    "nothing": ("<!doctype html><html style='display:none'>", 400, {}),
}  # fmt: skip


@pytest.mark.slow
async def test_a_full_page_pdf_is_one_sheet_without_a_tail(service: Service) -> None:
    """As high as what is printed, against the page's own viewports, media and sheets."""
    assert await wrong_sheets(service, list(ONE_SHEET)) == {}


@in_full_chromium
async def test_so_it_is_in_full_chromium(service: Service) -> None:
    """Some of them."""
    assert await wrong_sheets(service, list(ONE_SHEET)[::4]) == {}


async def wrong_sheets(service: Service, names: Sequence[str]) -> dict[str, Any]:
    """Those of these pages that have another number of sheets, height or colour."""
    wrong = {}
    for name in names:
        page, height, expected = ONE_SHEET[name]
        printed = await sheets(service, page, full_page=True)
        sizes = [one.size for one in printed]
        seen = {y: at(printed[0], 300, y) for y in expected if y < printed[0].height}
        if len(sizes) != 1 or not -1 <= sizes[0][1] - height <= 2 or seen != expected:
            wrong[name] = (sizes, seen)
    return wrong


@pytest.mark.slow
@pytest.mark.parametrize("whole", [False, True])
async def test_a_pdf_has_its_background_everywhere(service: Service, whole: bool) -> None:
    """White too, in margins and on every sheet; a background of the page itself wins."""
    long = "<div style='height:500px'></div>"
    margins = "<style>@page { margin: 50px }</style>"
    csp = "<meta http-equiv=Content-Security-Policy content=\"style-src 'none'\">"
    colours: tuple[tuple[dict[str, Any], tuple[int, ...]], ...] = (
        ({}, WHITE), ({"background": "#ffffff"}, WHITE), ({"background": "#0000ff"}, BLUE),
        ({"background": "transparent"}, CLEAR),
    )  # fmt: skip
    for page in (ROOT + long, ROOT + margins + long, ROOT + csp + long):
        outputs = [{"format": "pdf", "full_page": whole, **options} for options, _ in colours]
        # A render prints one full page only.
        asked = [[one] for one in outputs] if whole else [outputs]
        found = [await service.pictures(some, html=page, width=600, height=400) for some in asked]
        bodies = [body for some in found for body in some]
        for body, (options, expected) in zip(bodies, colours, strict=True):
            for sheet in sheets_of(body):
                corners = {at(sheet, x, y) for x in (9, 590) for y in (9, 390)}
                assert corners == {expected}, (page, options)
    own = f"{ROOT}<style>@page {{ background: lime }}</style><body style='height:500px'>"
    assert {at(one, 9, 9) for one in await sheets(service, own, full_page=whole)} == {LIME}
    half = f"{ROOT}<body style='background:rgba(255,0,0,.5)'>"
    (sheet,) = await sheets(service, half, full_page=whole)
    assert near(at(sheet, 9, 9), (255, 127, 127, 255))


def photograph() -> str:
    """One that takes long to decode, as a data URL."""
    body = io.BytesIO()
    Image.new("RGB", (2500, 2000), (0, 0, 255)).save(body, "PNG")
    return "data:image/png;base64," + base64.b64encode(body.getvalue()).decode()


PHOTOGRAPH = photograph()
LAZY = (
    "<img loading=lazy decoding=async style='display:block;width:300px;height:200px'"
    f" src='{PHOTOGRAPH}'>"
)
#: Each has something blue of 300 x 200.
HIDDEN = {
    "open": f"<div><template shadowrootmode=open>{LAZY}</template></div>",
    "closed": f"<div><template shadowrootmode=closed>{LAZY}</template></div>",
    "nested": "<div><template shadowrootmode=closed><section><template shadowrootmode=open>"
    f"{LAZY}</template></section></template></div>",
    "of a script": f'<div id=h></div><script>h.attachShadow({{mode:"closed"}}).innerHTML=`{LAZY}`'
    "</script>",
    "an element": "<x-y></x-y><script>customElements.define('x-y', class extends HTMLElement {"
    "constructor() { super(); this.attachShadow({mode: 'open'}).innerHTML = `"
    f"{LAZY}` }}}})</script>",
    "a frame": "<iframe loading=lazy style='border:0;display:block' srcdoc="
    f'"{escape("<body style=margin:0>" + LAZY)}"></iframe>',
    "frames of nothing": "<iframe loading=lazy hidden src='about:blank'></iframe>"
    f"<iframe loading=lazy hidden src='javascript:1'></iframe>{LAZY}",
    "a background": "<div style='width:300px;height:200px;background:center / cover url("
    f"{PHOTOGRAPH})'></div>",
    "skipped": f"<section style='content-visibility:auto'>{LAZY}</section>",
    "skipped in a tree": "<div><template shadowrootmode=open><section style='content-visibility:"
    f"auto'>{LAZY}</section></template></div>",
    "skipped text": "<section style='content-visibility:auto;contain-intrinsic-size:9px'><p style="
    "'margin:0;background:blue;height:200px'></p></section>",
    "what is hidden stays so": "<section style='content-visibility:hidden'><p style='height:99px;"
    f"background:red'></p></section>{LAZY}",
}


def stacked(names: Sequence[str]) -> str:
    """A page with these, one below the other; each photograph has an address of its own."""
    parts = (
        HIDDEN[name].replace("data:image/png;", f"data:image/png;n={place};")
        for place, name in enumerate(names)
    )
    return "".join(f"<div style='height:200px'>{part}</div>" for part in parts)


RUNNING = [name for name in HIDDEN if "<script" in HIDDEN[name]]
STILL = [name for name in HIDDEN if name not in RUNNING]


@pytest.mark.slow
@pytest.mark.parametrize(
    "names",
    [
        pytest.param(STILL, id="where nothing runs"),
        pytest.param(RUNNING, id="where scripts run"),
        *(pytest.param([name], id=name, marks=pytest.mark.endurance) for name in HIDDEN),
    ],
)
@pytest.mark.parametrize("where", ["viewport", "full page", "pdf"])
async def test_what_is_lazy_or_skipped_is_painted(
    service: Service, where: str, names: list[str]
) -> None:
    """In shadow trees, closed ones too, in frames, and where nothing runs in the page."""
    part, height = stacked(names), 200 * len(names)
    if where == "viewport":
        body = await service.picture(html=ROOT + part, width=400, height=height)
        picture, down = decode(body), 0
    else:
        page, down = f"{ROOT}<div style='height:6000px'></div>{part}", 6000
        if where == "pdf":
            (picture,) = await sheets(service, page, full_page=True)
        else:
            picture = await full(service, page)
    assert picture.height >= down + height - 1
    seen = {name: at(picture, 100, down + 200 * n + 60) for n, name in enumerate(names)}
    assert seen == dict.fromkeys(names, BLUE)


#: Each would close its window.
CLOSING = {
    "an invoice": "<body onload='window.print();window.close()'>",
    "while it loads": "<script>window.close()</script>",
    "itself": "<script>self.close(); onload = () => self.close()</script>",
    "by a name": "<script>window.open('', '_self').close(); name = 'x'; open('', 'x').close()"
    "</script>",
    "timers": "<script>setInterval(close, 1); setTimeout(close); setTimeout(close, 30)</script>",
    "a frame": "<iframe hidden srcdoc='<script>top.close();parent.close();close()</script>'>"
    "</iframe>",
    "a function of a frame": "<iframe id=i hidden></iframe><script>i.contentWindow.close.call(top)"
    "</script>",
    "its history": "<script>history.back(); history.go(-9); close(); setTimeout(close, 20)"
    "</script>",
    "another history": "<script>navigation.navigate('#a'); navigation.back(); close();"
    " setTimeout(close, 5)</script>",
    "a worker": "<script>new Worker(URL.createObjectURL(new Blob(['self.close()'])))</script>",
    "others": "<script>for (let n = 0; n < 5; n++) { const w = open('about:blank');"
    " try { w.opener.close(); w.close() } catch {} }</script>",
    "another document": "<script>onload = () => { document.open(); document.write('<body style="
    '"background:blue"><script>close()<\\/script>\'); document.close() }</script>',
    "addresses of Chrome": "<script>for (const u of ['crash', 'kill', 'quit', 'restart',"
    " 'gpucrash', 'inducebrowsercrashforrealz'])"
    " try { location = 'chrome://' + u } catch {}</script>",
}


async def test_a_page_cannot_close_its_window(service: Service) -> None:
    """It is painted all the same, and its Chrome has not died of it."""
    assert await closed(service, list(CLOSING)) == {}


@in_full_chromium
async def test_nor_can_it_in_full_chromium(service: Service) -> None:
    """Some of them, one after the other in the same Chrome."""
    assert await closed(service, list(CLOSING)[::3]) == {}


async def closed(service: Service, names: Sequence[str]) -> dict[str, Any]:
    """Those of these pages that are not painted."""
    wrong = {}
    for name in names:
        part = CLOSING[name]
        page = f"<!doctype html><style>body {{ background: blue }}</style>{part}"
        answer = await service.render(html=page, width=60, height=60)
        reported = await answer.read()
        if answer.status != 200 or at(decode(reported), 30, 30) != BLUE:
            wrong[name] = (answer.status, reported[:200])
    return wrong
