"""A part of the page: an element by its selector, or a rectangle; its size and its edges are exact.

In headless-shell and full Chromium, with a Chrome for each render and with one for many.
"""

import base64
import io
import math
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.web.conftest import Service
from tests.web.modes import in_both_chromes, service_in_modes
from tests.web.pictures import BLUE, GREEN, RED, WHITE, at, decode

LIME = (0, 255, 0, 255)


service = service_in_modes()


#: Red all over, so that what is not the element is seen.
HEAD = "<!doctype html><style>html { background: red } body { margin: 0 }</style>"


VIEWPORT = {"width": 600, "height": 400}


async def part(service: Service, page: str, **options: Any) -> Image.Image:
    """A part of a page with a viewport of 600 x 400."""
    given = {**VIEWPORT, "background": "#ffffff", **options}
    return decode(await service.picture(html=page, **given))


async def parts(
    service: Service, page: str, some: list[dict[str, Any]], **options: Any
) -> list[Image.Image]:
    """Several parts of such a page, by one render."""
    return [decode(one) for one in await service.pictures(some, html=page, **VIEWPORT, **options)]


def colours(picture: Image.Image) -> set[tuple[int, ...]]:
    """All colours in a picture."""
    found = picture.getcolors(1 << 20)
    assert found is not None
    return {colour for _, colour in found if isinstance(colour, tuple)}


def box(style: str, name: str = "e", inside: str = "") -> str:
    """An element that is lime, all of it."""
    return f"<div id={name} style='background:lime;{style}'>{inside}</div>"


FAR = "position:absolute;left:700px;top:5000px;width:120px;height:90px"
SPACE = "<div style='height:3000px'></div>"
#: By name: a page with an element `#e` that is lime, and its size in CSS pixels.
PLACES: dict[str, tuple[str, tuple[int, int]]] = {
    "in the viewport": (
        box("position:absolute;left:20px;top:30px;width:50px;height:40px"), (50, 40),
    ),
    "far outside of it": (box(FAR), (120, 90)),
    "the page is scrolled": (box(FAR) + "<script>scrollTo(300, 1234)</script>", (120, 90)),
    "the page scrolls to it": (
        f"<style>html {{ scroll-behavior: smooth }}</style>{box(FAR)}<script>onload = () =>"
        " { e.scrollIntoView() }</script>", (120, 90),
    ),
    "in a scrolled container": (
        f"{SPACE}<div id=o style='overflow:auto;width:300px;height:200px'><div style='height:"
        f"900px'></div>{box('width:80px;height:60px')}<div style='height:900px'></div></div>"
        "<script>o.scrollTop = 850</script>", (80, 60),
    ),
    "in two of them": (
        f"{SPACE}<div id=o style='overflow:auto;width:300px;height:200px'><div style='height:"
        "400px'></div><div id=p style='overflow:scroll;width:200px;height:150px'><div style='width:"
        f"900px;height:500px'></div>{box('width:40px;height:60px;margin-left:500px')}<p style="
        "'height:500px'></p></div><p style='height:900px'></p></div>"
        "<script>o.scrollTop = 390; p.scrollTo(480, 470)</script>", (40, 60),
    ),
    "below in a container": (
        f"{SPACE}<div style='overflow:auto;width:300px;height:200px'><div style='height:900px'>"
        f"</div>{box('width:80px;height:60px')}<div style='height:900px'></div></div>{SPACE}",
        (80, 60),
    ),
    "below and beside in two of them": (
        f"{SPACE}<div style='overflow:hidden;width:300px;height:200px;border:9px solid blue'><div"
        " style='height:400px'></div><div style='overflow:scroll;width:200px;height:150px'><div"
        f" style='width:900px;height:500px'></div>{box('width:40px;height:60px;margin-left:500px')}"
        f"<p style='height:500px'></p></div><p style='height:900px'></p></div>{SPACE}", (40, 60),
    ),
    "above in a container": (
        f"{SPACE}<div id=o style='overflow:auto;width:300px;height:200px;scroll-behavior:smooth'>"
        f"{box('width:80px;height:60px')}<div style='height:900px'></div></div>"
        f"<script>o.scrollTo({{top: 700, behavior: 'instant'}})</script>{SPACE}", (80, 60),
    ),
    "in the main part of an application": (
        "<style>body { height: 100vh; overflow: hidden } main { height: 100%; overflow: auto }"
        f"</style><main>{SPACE}{box('width:80px;height:60px')}{SPACE}</main>", (80, 60),
    ),
    "in a body that scrolls": (
        "<style>html, body { height: 100%; overflow: auto }</style>"
        f"{SPACE}{box('width:80px;height:60px')}{SPACE}", (80, 60),
    ),
    "in a container that is scaled": (
        "<div style='overflow:auto;width:99px;height:80px;transform:scale(2);transform-origin:0 0'>"
        f"{SPACE}{box('width:40px;height:30px')}{SPACE}</div>", (80, 60),
    ),
    "in a container in a shadow tree": (
        "<div><template shadowrootmode=open><div style='overflow:auto;height:100px'><slot></slot>"
        f"</div></template>{SPACE}{box('width:80px;height:60px')}</div>{SPACE}", (80, 60),
    ),
    "in a container with names that hide its properties": (
        "<form style='overflow:auto;width:300px;height:200px'><input type=hidden name=scrollTop>"
        "<input type=hidden name=parentNode><input type=hidden name=scrollBy>"
        f"{SPACE}{box('width:80px;height:60px')}</form>{SPACE}", (80, 60),
    ),
    "beside a container, by its position": (
        f"<div style='overflow:auto;width:300px;height:200px'>{SPACE}{box(FAR)}</div>{SPACE}"
        f"{SPACE}", (120, 90),
    ),
    "fixed, in a container": (
        "<div style='overflow:auto;height:200px'>"
        f"{SPACE}{box('position:fixed;right:0;bottom:0;width:50px;height:40px')}</div>", (50, 40),
    ),
    "moved": (box("width:50px;height:40px;transform:translate(1000px, 2000px)"), (50, 40)),
    "scaled": (box("width:50px;height:40px;margin:100px;transform:scale(2, 3)"), (100, 120)),
    "turned by a right angle": (
        box("width:100px;height:40px;margin:1000px 90px;transform:rotate(90deg)"), (40, 100),
    ),
    "in what is moved and scaled": (
        f"<div style='transform:translateY(900px) scale(2);transform-origin:0 0'>"
        f"{box('width:50px;height:40px;margin:10px')}</div>", (100, 80),
    ),
    "zoomed": (
        f"<div style='zoom:2'>{box('width:50px;height:40px;margin:700px')}</div>", (100, 80),
    ),
    "in a zoomed page": (
        "<style>html { zoom: 1.5 }</style>" + box("width:50px;height:40px;margin:700px"), (75, 60),
    ),
    "right to left": (
        f"<html dir=rtl><div style='width:1500px;height:50px'></div>"
        f"{box('position:absolute;left:-700px;top:700px;width:120px;height:90px')}", (120, 90),
    ),
    "right to left and scrolled": (
        f"<html dir=rtl><div style='width:1500px;height:50px'></div>"
        f"{box('position:absolute;left:-700px;top:700px;width:120px;height:90px')}"
        "<script>scrollTo(-500, 200)</script>", (120, 90),
    ),
    "vertical": (
        "<html style='writing-mode:vertical-rl'><p style='margin:0;width:1500px'></p>"
        f"{box('width:120px;height:90px')}", (120, 90),
    ),
    "from the bottom up": (
        f"<style>body {{ display: flex; flex-direction: column-reverse; height: 100vh }}</style>"
        f"{SPACE}{box('width:120px;height:90px;flex:none')}", (120, 90),
    ),
    "fixed": (box("position:fixed;right:0;bottom:0;width:50px;height:40px") + SPACE, (50, 40)),
    "fixed in a scrolled page": (
        box("position:fixed;right:0;bottom:0;width:50px;height:40px") + SPACE
        + "<script>scrollTo(0, 999)</script>", (50, 40),
    ),
    "a picture": (
        f"{SPACE}<svg id=e width=64 height=48 style='display:block'><rect width=64 height=48"
        " fill='lime'/></svg>", (64, 48),
    ),
    "in a picture": (
        f"{SPACE}<svg width=500 height=300><rect id=e x=33 y=44 width=64 height=48 fill='lime'/>"
        "</svg>", (64, 48),
    ),
    "as high as the viewport": (SPACE + box("height:100vh;width:50vw"), (300, 400)),
    "taller than the viewport": (SPACE + box("height:2500px;width:900px"), (900, 2500)),
    "the first of two": (
        f"{SPACE}{box('width:50px;height:40px')}<i id=e style='display:block;height:9px'></i>",
        (50, 40),
    ),
    "names that hide methods": (
        f"<form name=querySelector></form><img name=documentElement hidden>{SPACE}<form id=e style="
        "'background:lime;width:50px;height:40px'><input type=hidden name=getBoundingClientRect>"
        "</form>", (50, 40),
    ),
    "methods that lie": (
        f"{SPACE}{box('width:50px;height:40px')}<script>Document.prototype.querySelector = () =>"
        " null; Element.prototype.getBoundingClientRect = () => ({x: 0, y: 0, width: 5,"
        " height: 5});"
        " Object.defineProperty(window, 'scrollY', {value: 77});</script>", (50, 40),
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("scale", "name"),
    [
        *((1, name) for name in PLACES),
        *(
            pytest.param(2, name, marks=pytest.mark.endurance if place % 3 else pytest.mark.slow)
            for place, name in enumerate(PLACES)
        ),
    ],
)
async def test_an_element_is_all_of_the_picture(service: Service, name: str, scale: int) -> None:
    """Nothing of it is missing and nothing else is there, at any place on the page."""
    page, (width, height) = PLACES[name]
    picture = await part(service, HEAD + page, selector="#e", device_scale_factor=scale)
    assert picture.size == (width * scale, height * scale)
    assert colours(picture) == {LIME}


@pytest.mark.parametrize(
    "style", ["height:0;overflow:hidden", "height:50px;overflow:clip", "width:0;overflow:hidden"]
)
async def test_what_the_page_cuts_off_is_no_picture_of_something_else(
    service: Service, style: str
) -> None:
    """Such as a closed accordion: what is painted in its place belongs to others."""
    inside = f"<div style='height:60px;width:900px'></div>{box('width:80px;height:60px')}"
    page = f"{HEAD}{SPACE}<div style='{style}'>{inside}</div>{SPACE}"
    answer = await service.render(html=page, selector="#e")
    problem = await answer.json()
    assert (answer.status, problem["code"]) == (422, "selector_empty")
    assert "overflow" in problem["detail"]


@in_both_chromes
async def test_what_was_scrolled_for_an_element_is_scrolled_back(service: Service) -> None:
    """The outputs after it show the page as it was; of what is lazy in a container too."""
    lazy = f"<img loading=lazy id=e width=80 height=60 style='display:block' src='{photograph()}'>"
    page = (
        f"{HEAD}<div style='overflow:auto;width:300px;height:200px;background:blue'>{SPACE}{lazy}"
        f"{SPACE}</div>"
    )
    element, whole = await parts(service, page, [{"selector": "#e"}, {}])
    assert (element.size, colours(element)) == ((80, 60), {LIME})
    assert at(whole, 100, 100) == BLUE


@pytest.mark.parametrize("scale", [1, 2])
async def test_padding_shows_what_is_around_an_element(service: Service, scale: int) -> None:
    """As far as the document goes."""
    page = HEAD + box("position:absolute;left:5px;top:900px;width:50px;height:40px")
    picture = await part(service, page, selector="#e", padding=20, device_scale_factor=scale)
    assert picture.size == (75 * scale, (20 + 40) * scale)  # the document ends with the element
    corners = [(0, 0), (4, 30), (5, 19), (74, 59)]
    assert {at(picture, x * scale, y * scale) for x, y in corners} == {RED}
    for x, y in ((5, 20), (54, 20), (5, 59), (54, 59)):
        assert at(picture, x * scale, y * scale) == LIME


#: By left, top, width and height in CSS pixels: the size of the picture.
FRACTIONS = {
    (10.25, 20.25, 30.5, 40.5): (31, 41),
    (10.5, 20.5, 30, 40): (31, 41),
    (10.99, 20.99, 30, 40): (31, 41),
    (10.001, 20.01, 30, 40): (30, 40),
    (10.001, 19.99, 30, 40): (30, 41),
    (10, 20, 0.25, 0.25): (1, 1),
}


def placed(edges: tuple[float, ...], name: str = "e") -> str:
    """A box at these edges."""
    left, top, width, height = edges
    where = f"left:{left}px;top:{top}px;width:{width}px;height:{height}px"
    return box(f"position:absolute;{where}", name)


@pytest.mark.slow
@pytest.mark.parametrize("scale", [1, 2, 3])
async def test_fractional_edges_grow_outward(service: Service, scale: int) -> None:
    """To whole CSS pixels."""
    page = HEAD + "".join(placed(edges, f"e{at}") for at, edges in enumerate(FRACTIONS))
    some = [{"selector": f"#e{at}"} for at in range(len(FRACTIONS))]
    found = await parts(service, page, some, device_scale_factor=scale)
    assert [one.size for one in found] == [
        (width * scale, height * scale) for width, height in FRACTIONS.values()
    ]


@pytest.mark.slow
async def test_what_chrome_cannot_lay_out_is_no_size(service: Service) -> None:
    """A width below the 64th of a CSS pixel."""
    answer = await service.render(html=HEAD + placed((10, 20, 0.004, 40)), selector="#e")
    assert (answer.status, (await answer.json())["code"]) == (422, "selector_empty")


@pytest.mark.slow
@pytest.mark.parametrize("scale", [0.5, 1, 1.1, 1.5, 2, 2.7])
async def test_a_picture_has_the_pixels_that_its_size_needs(service: Service, scale: float) -> None:
    """The size by both scales, rounded up; without what a computer adds to 1.1 times 100."""
    page = f"{HEAD}{SPACE}{box('margin-left:7px;width:100px;height:33px')}{SPACE}"
    zooms = (0.3, 1, 2)
    clip = {"x": 7, "y": 3000, "width": 100, "height": 33}
    some: list[dict[str, Any]] = [
        {"selector": "#e"},
        *({"clip": {**clip, "scale": zoom}} for zoom in zooms),
    ]
    found = await parts(service, page, some, device_scale_factor=scale)
    for picture, zoom in zip(found, (1, *zooms), strict=True):
        density = scale * zoom
        width, height = (math.ceil(round(one * density, 6)) for one in (100, 33))
        assert picture.size == (width, height)
        assert at(picture, width // 2, height // 2) == LIME


GRID = HEAD + "".join(
    f"<div style='position:absolute;left:{x * 100}px;top:{y * 100}px;width:100px;height:100px;"
    f"background:rgb({x * 10},{y * 10},99)'></div>"
    for x in range(10)
    for y in range(20)
)


def cell(x: int, y: int) -> tuple[int, ...]:
    """The colour of `GRID` at a point."""
    return (x // 100 * 10, y // 100 * 10, 99, 255)


@pytest.mark.parametrize("scroll", ["", "<script>scrollTo(333, 777)</script>"])
@pytest.mark.parametrize("scale", [1, 2])
async def test_a_clip_is_that_part_of_the_document(
    service: Service, scale: int, scroll: str
) -> None:
    """At each scale and each enlargement, where the page is scrolled too."""
    clip = {"x": 450, "y": 1180, "width": 340, "height": 260}
    zooms = (0.5, 1, 3)
    some = [{"clip": {**clip, "scale": zoom}} for zoom in zooms]
    found = await parts(service, GRID + scroll, some, device_scale_factor=scale)
    for picture, zoom in zip(found, zooms, strict=True):
        density = scale * zoom
        assert picture.size == (round(340 * density), round(260 * density))
        for x, y in ((2, 2), (47, 17), (53, 23), (337, 257), (170, 130), (2, 257)):
            colour = at(picture, int(x * density), int(y * density))
            assert colour == cell(450 + x, 1180 + y), (zoom, x, y)


async def test_a_clip_begins_at_the_left_of_what_there_is(service: Service) -> None:
    """Where text runs to the left, too."""
    page = (
        f"<html dir=rtl>{HEAD}<div style='width:1500px;height:50px;background:blue'></div>"
        f"{box('position:absolute;left:-900px;top:60px;width:20px;height:30px')}"
    )
    picture = await part(service, page, clip={"x": 0, "y": 60, "width": 20, "height": 30})
    assert colours(picture) == {LIME}
    picture = await part(service, page, clip={"x": 1480, "y": 0, "width": 20, "height": 30})
    assert colours(picture) == {BLUE}


@pytest.mark.parametrize("how", ["selector", "clip"])
async def test_a_page_does_not_notice_that_a_part_is_captured(service: Service, how: str) -> None:
    """It is neither scrolled nor laid out again; `100vh` and media queries stay the viewport's."""
    page = (
        f"{HEAD}<style>@media (max-height: 399px), (min-height: 401px) {{ #e {{ height: 9px"
        f" !important }} }}</style><div style='height:200vh'></div>"
        f"{box('height:100vh;width:100vw;transition:background 9s')}{SPACE}"
        "<script>onload = () => { for (const one of ['scroll', 'resize'])"
        " addEventListener(one, () => { e.style.background = 'blue' }) }</script>"
    )
    given: dict[str, Any] = {"selector": "#e"}
    if how == "clip":
        given = {"clip": {"x": 0, "y": 800, "width": 600, "height": 400}}
    picture = await part(service, page, **given)
    assert picture.size == (600, 400)
    assert colours(picture) == {LIME}


def photograph() -> str:
    """One that takes long to decode, as a data URL."""
    body = io.BytesIO()
    Image.new("RGB", (2500, 2000), (0, 255, 0)).save(body, "PNG")
    return "data:image/png;base64," + base64.b64encode(body.getvalue()).decode()


@in_both_chromes
@pytest.mark.parametrize("how", ["selector", "clip"])
async def test_what_is_off_the_viewport_is_there(service: Service, how: str) -> None:
    """Lazy pictures, decoded ones, and what `content-visibility` skips."""
    lazy = (
        "<img loading=lazy decoding=async style='display:block;width:300px;height:200px'"
        f" src='{photograph()}'>"
    )
    skipped = (
        "<section style='content-visibility:auto;contain-intrinsic-size:9px'><p style='margin:0;"
        "background:lime;width:300px;height:200px'></p></section>"
    )
    for name, inside in (("lazy", lazy), ("skipped", skipped)):
        page = f"{HEAD}{SPACE}<div id=e style='width:300px'>{inside}</div>"
        given: dict[str, Any] = {"selector": "#e"}
        if how == "clip":
            given = {"clip": {"x": 0, "y": 3000, "width": 300, "height": 200}}
        picture = await part(service, page, **given)
        assert picture.size == (300, 200), name
        assert colours(picture) == {LIME}, name


async def test_an_element_that_a_script_makes_is_found(service: Service) -> None:
    """The page is searched when it has been painted, also where its own scripts do not run."""
    script = f"onload = () => {{ document.body.innerHTML = `{box('height:9px')}` }}"
    picture = await part(service, f"{HEAD}{SPACE}<script>{script}</script>", selector="#e")
    assert picture.size == (600, 9)
    picture = await part(service, HEAD + SPACE + box("height:9px"), selector="#e", javascript=False)
    assert (picture.size, colours(picture)) == ((600, 9), {LIME})


@pytest.mark.parametrize("scale", [1, 3])
@pytest.mark.parametrize("meta", ["", "width=device-width", "width=device-width,initial-scale=2"])
async def test_an_element_on_a_phone(service: Service, scale: int, meta: str) -> None:
    """In CSS pixels of the page, however much smaller a phone shows it."""
    head = f"{HEAD}<meta name=viewport content='{meta}'>" if meta else HEAD
    page = head + SPACE + box("margin-left:33px;width:150px;height:70px") + SPACE
    phone = {"width": 390, "height": 844, "mobile": True, "device_scale_factor": scale}
    picture = await part(service, page, selector="#e", **phone)
    assert picture.size == (150 * scale, 70 * scale)
    assert colours(picture) == {LIME}


@pytest.mark.parametrize("form", ["png", "jpeg", "webp"])
async def test_a_part_in_each_format(service: Service, form: str) -> None:
    """And transparent where the page is."""
    page = f"<!doctype html>{SPACE}<div id=e style='width:50px;height:40px'></div>"
    given = {} if form == "jpeg" else {"background": "transparent"}
    body = await service.picture(html=page, selector="#e", format=form, **given)
    with Image.open(io.BytesIO(body)) as picture:
        assert (picture.format, picture.size) == (form.upper(), (50, 40))
    assert at(decode(body), 25, 20) == (WHITE if form == "jpeg" else (0, 0, 0, 0))


SHADOW = "<div><template shadowrootmode={}>" + box("height:9px") + "</template></div>"


@pytest.mark.parametrize(
    ("page", "options", "status", "code", "field"),
    [
        ("<p>x", {"selector": "#e"}, 422, "selector_not_found", "selector"),
        ("<p>x", {"selector": "p::before"}, 422, "selector_not_found", "selector"),
        (SHADOW.format("closed"), {"selector": "#e"}, 422, "selector_not_found", "selector"),
        ("<iframe srcdoc='<p id=e>x'></iframe>", {"selector": "#e"}, 422, "selector_not_found",
         "selector"),
        (box("display:none;height:9px"), {"selector": "#e"}, 422, "selector_empty", "selector"),
        (box("height:0"), {"selector": "#e"}, 422, "selector_empty", "selector"),
        (box("width:0;height:9px"), {"selector": "#e", "padding": 9}, 422, "selector_empty",
         "selector"),
        (box("height:0") + box("height:9px"), {"selector": "div"}, 422, "selector_empty",
         "selector"),
        (box("display:contents", inside="x"), {"selector": "#e"}, 422, "selector_empty",
         "selector"),
        (box("position:absolute;left:-99px;width:90px;height:9px"), {"selector": "#e"}, 422,
         "selector_empty", "selector"),
        ("<p>x", {"selector": "p["}, 400, "invalid_field", "selector"),
        ("<p>x", {"selector": "//p"}, 400, "invalid_field", "selector"),
        ("<p>x", {"selector": "text=x"}, 400, "invalid_field", "selector"),
        ("<p>x", {"selector": "'); document.body.remove(); ('"}, 400, "invalid_field", "selector"),
        ("<p>x", {"selector": ""}, 400, "invalid_field", "selector"),
        ("<p>x", {"selector": "p" * 1001}, 400, "invalid_field", "selector"),
        ("<p>x", {"selector": "p", "padding": 201}, 400, "invalid_field", "padding"),
        ("<p>x", {"padding": 9}, 400, "invalid_field", "padding"),
        ("<p>x", {"selector": "p", "full_page": True}, 400, "invalid_field", "selector"),
        ("<p>x", {"selector": "p", "clip": {"width": 1, "height": 1}}, 400, "invalid_field",
         "selector"),
        ("<p>x", {"selector": "p", "format": "pdf"}, 400, "invalid_field", "selector"),
        ("<p>x", {"clip": {"width": 1, "height": 1}, "full_page": True}, 400, "invalid_field",
         "clip"),
        ("<p>x", {"clip": {"width": 1, "height": 1}, "format": "pdf"}, 400, "invalid_field",
         "clip"),
        ("<p>x", {"clip": {"width": 0, "height": 1}}, 400, "invalid_field", "clip.width"),
        ("<p>x", {"clip": {"x": -1, "width": 1, "height": 1}}, 400, "invalid_field", "clip.x"),
        ("<p>x", {"clip": {"width": 1, "height": 1, "scale": 6}}, 400, "invalid_field",
         "clip.scale"),
        ("<p>x", {"clip": {"y": 5000, "width": 1, "height": 1}}, 422, "clip_outside", "clip"),
        ("<p>x", {"clip": {"y": 399, "width": 1, "height": 2}}, 422, "clip_outside", "clip"),
        ("<p>x", {"clip": {"x": 599.5, "width": 1, "height": 2}}, 422, "clip_outside", "clip"),
    ],
)  # fmt: skip
async def test_a_part_that_is_not_there_is_the_callers_fault(
    service: Service, page: str, options: dict[str, Any], status: int, code: str, field: str
) -> None:
    """With the field; what can be known before is refused before a Chrome is leased."""
    answer = await service.render(html=page, width=600, height=400, **options)
    problem = await answer.json()
    assert (answer.status, problem["code"], problem["field"]) == (status, code, field)


@pytest.mark.parametrize(
    "options",
    [
        {"selector": "#e"},
        {"selector": "#e", "device_scale_factor": 3},
        {"clip": {"width": 5000, "height": 5000, "scale": 2}},
        {"clip": {"width": 5000, "height": 5000}, "device_scale_factor": 2},
    ],
)
async def test_a_part_that_is_too_large_is_refused(
    service: Service, options: dict[str, Any]
) -> None:
    """By the pixels of the picture, with both scales."""
    page = "<!doctype html>" + box("width:9000px;height:9000px")
    answer = await service.render(html=page, width=600, height=400, **options)
    assert (answer.status, (await answer.json())["code"]) == (422, "picture_too_large")


@in_both_chromes
async def test_an_error_leaves_the_service_as_it_was(service: Service) -> None:
    """The next render is right."""
    for selector in ("#none", "p["):
        assert (await service.render(html="<p>x", selector=selector)).status in (400, 422)
    picture = await part(service, "<!doctype html><style>body { background: green }</style>")
    assert at(picture, 300, 200) == GREEN


#: Boxes of any place and form, in quarters of CSS pixels.
QUARTERS = st.integers(0, 2400).map(lambda one: one / 4)
BOXES = st.fixed_dictionaries(
    {
        "left": QUARTERS,
        "top": QUARTERS.map(lambda one: one * 3),
        "width": st.integers(8, 1200).map(lambda one: one / 4),
        "height": st.integers(8, 1200).map(lambda one: one / 4),
        "border": st.integers(0, 5),
        "across": st.sampled_from([1, 1.5, 2]),
        "down": st.sampled_from([1, 0.75, 2]),
        "turn": st.sampled_from([0, 90, 180, 270]),
        "scale": st.sampled_from([1, 1, 2, 1.25, 1.7, 0.6]),
        "padding": st.sampled_from([0, 0, 7]),
    }
)


def edges(one: dict[str, Any]) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of such a box, by our own arithmetic."""
    width, height = one["width"] + 2 * one["border"], one["height"] + 2 * one["border"]
    across, down = one["left"] + width / 2, one["top"] + height / 2
    width, height = width * one["across"], height * one["down"]
    if one["turn"] in (90, 270):
        width, height = height, width
    return across - width / 2, down - height / 2, across + width / 2, down + height / 2


@pytest.mark.slow
@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(BOXES)
async def test_any_box_has_its_size_and_its_corners(service: Service, one: dict[str, Any]) -> None:
    """Its size is that of its edges, grown outward, by the scale; lime in its corners, red around.

    Chrome paints a box at whole CSS pixels before it is scaled, and a picture begins at a whole
    device pixel; so its corners are looked at that far inside.
    """
    form = f"rotate({one['turn']}deg) scale({one['across']}, {one['down']})"
    page = (
        f"{HEAD}<style>html {{ height: 3000px; width: 2000px }}</style><div id=e style='position:"
        f"absolute;left:{one['left']}px;top:{one['top']}px;width:{one['width']}px;"
        f"height:{one['height']}px;border:{one['border']}px solid lime;background:lime;"
        f"transform:{form}'></div>"
    )
    left, top, right, bottom = edges(one)
    pad, scale = one["padding"], one["scale"]
    begin = [max(0, math.floor(side - pad)) for side in (left, top)]
    end = [min(most, math.ceil(side + pad)) for side, most in ((right, 2000), (bottom, 3000))]
    assume(right > 0 and bottom > 0)
    picture = await part(
        service, page, selector="#e", padding=pad, device_scale_factor=scale, width=600
    )
    sizes = [math.ceil(round((b - a) * scale, 6)) for a, b in zip(begin, end, strict=True)]
    assert picture.size == tuple(sizes)
    margin = 2.5 + scale * max(one["across"], one["down"])
    inside = [
        ((max(low, 0) - first) * scale + margin, (high - first) * scale - margin)
        for low, high, first in ((left, right, begin[0]), (top, bottom, begin[1]))
    ]
    if all(high - low > 1 for low, high in inside):
        found = {at(picture, int(x), int(y)) for x in inside[0] for y in inside[1]}
        assert found == {LIME}
    if pad and left > pad and top > pad:
        assert at(picture, 0, 0) == RED
