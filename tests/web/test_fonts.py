"""Text is drawn with the glyphs that it needs, or the answer says which are missing."""

import asyncio
import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.chrome.conftest import PROGRAMS, installed
from tests.generated_fonts import font_file
from tests.web.conftest import Service, StartService
from tests.web.pictures import at, decode, ink

PAGE = "<!doctype html><body style='margin:0;font:40px/50px sans-serif'>"
#: Private, so that no font of a machine has them.
SQUARE, OTHER = "\uf8f0", "\uf8f1"
#: Assigned to nothing (Unicode 17), so drawn as a box.
BOX = "\u0378"
DATA = "data:font/ttf;base64," + base64.b64encode(font_file(ord(SQUARE))).decode()
FACE = f"<style>@font-face{{font-family:W;src:url({DATA})}}.w{{font-family:W}}</style>"

#: Both Chromes; the full one takes seconds for each test.
EITHER = [
    pytest.param(PROGRAMS[0], id="headless-shell"),
    pytest.param(PROGRAMS[1], id="chromium", marks=pytest.mark.slow),
]


def warned(response: Any) -> str:
    """The warnings of an answer that must have come."""
    assert response.status == 200
    return str(response.headers.get("X-Render-Warnings", ""))


#: What no font draws and is not displayed, and what a font of the page draws.
NO_BOX = (
    "plain text, “quotes” – € → … \u00ad\u200d\ufe0f",
    f"<p style='display:none'>{BOX}</p><b style='visibility:hidden'>{BOX}</b>",
    f"<title>{BOX}</title><script>'{BOX}'</script><!-- {BOX} -->",
    f"<input type=hidden value='{BOX}'><input type=password value='{BOX}'>",
    f"{FACE}<p class=w>{SQUARE}</p>",
    f"{FACE}<style>i::before{{font-family:W;content:'{SQUARE}'}}</style><i></i>",
)
#: Where a box is displayed; each has a character of its own.
BOXES = {
    "\u0378": "a\u0378b",
    "\u0379": "<p>\u0379</p>\u0379",
    "\u0380": "<div><template shadowrootmode=open><p>\u0380</template></div>",
    "\u0381": "<iframe srcdoc='\u0381'></iframe>",
    "\u0382": "<input value='\u0382'>",
    "\u0383": "<input placeholder='\u0383'>",
    "\u038b": "<style>p::before{content:'\u038b'} u::after{content:'\u038d'}</style><p>x",
    "\u03a2": "<script>document.write('\u03a2')</script>",
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("page", "missing"),
    [
        ("".join(NO_BOX), ""),
        ("".join(BOXES.values()), " ".join(f"U+{ord(one):04X}" for one in BOXES)),
        (BOXES["\u0381"], "U+0381"),
        (f"{FACE}<p class=w>{SQUARE}{OTHER}</p>", "U+F8F1"),
        (f"{FACE}<p>{SQUARE}</p><p class=w>{SQUARE}", "U+F8F0"),
        (f"{FACE}<style>i::before{{content:'{SQUARE}'}}</style><i></i><p class=w>x", "U+F8F0"),
        *(pytest.param(page, "", marks=pytest.mark.endurance) for page in NO_BOX),
        *(
            pytest.param(page, f"U+{ord(one):04X}", marks=pytest.mark.endurance)
            for one, page in BOXES.items()
        ),
    ],
)
async def test_a_character_that_is_shown_as_a_box_is_named(
    service: Service, page: str, missing: str
) -> None:
    """Where it is displayed, and neither the system's fonts nor the page's own draw it."""
    expected = f'missing_glyph;codepoints="{missing}"' if missing else ""
    assert warned(await service.render(html=PAGE + page, width=300, height=200)) == expected


async def test_a_page_that_lies_or_breaks_its_own_world_gets_its_picture(service: Service) -> None:
    """What it breaks is its own warning."""
    break_it = (
        "document.createTreeWalker = () => { throw 1 }; Array.from = Set = null;"
        "Object.prototype.toJSON = () => 7; EventTarget.prototype.addEventListener = null"
    )
    page = f"{PAGE}{BOX}<script>{break_it}</script>"
    response = await service.render(html=page, width=100, height=50)
    assert response.status == 200


async def test_a_flood_of_missing_glyphs_is_one_short_warning(service: Service) -> None:
    """At most twenty code points, and how many more."""
    many = "".join(chr(0xF0000 + at) for at in range(3_000)) * 20
    warning = warned(await service.render(html=PAGE + many, width=300, height=200))
    assert warning.count("U+") == 20
    assert 'more="2980"' in warning


async def test_a_cached_picture_comes_with_its_missing_glyphs(start_service: StartService) -> None:
    """They are the same each time, so they do not keep it from being cached."""
    service = await start_service(cache_bytes=1 << 20)
    first = await service.render(html=PAGE + BOX, width=100, height=50)
    again = await service.render(html=PAGE + BOX, width=100, height=50)
    assert (first.headers["X-Cache"], again.headers["X-Cache"]) == ("miss", "hit")
    assert warned(first) == warned(again) == 'missing_glyph;codepoints="U+0378"'
    strict = await service.render(html=PAGE + BOX, width=100, height=50, strict=True)
    assert warned(strict)


@pytest.fixture
def folder(work_dir: Path) -> Path:
    """A folder with one font that Chrome's user can read."""
    found = work_dir.parent / "my fonts & more"
    found.mkdir(mode=0o755)
    file = found / "square.ttf"
    file.write_bytes(font_file(ord(SQUARE), 0x41, family="Brand & Co"))
    file.chmod(0o644)
    return found


@pytest.mark.parametrize("program", EITHER)
async def test_fonts_of_the_operator_are_used_by_name_and_for_what_others_lack(
    start_service: StartService, folder: Path, program: str
) -> None:
    """POSTER_FONTS; without a warning, and the cache of pictures learns of a new one."""
    service = await start_service(fonts=(folder,), cache_bytes=1 << 20, chrome=installed(program))
    page = "<!doctype html><body style=\"margin:0;font:40px/40px 'Brand & Co'\">A"
    response = await service.render(html=page, width=60, height=60)
    assert warned(response) == ""
    picture = decode(await response.read())
    assert at(picture, 20, 20) == (0, 0, 0, 255)
    assert at(picture, 50, 20)[3] == 0
    again = await service.render(html=page, width=60, height=60)
    assert again.headers["X-Cache"] == "hit"
    (folder / "other.ttf").write_bytes(font_file(ord(OTHER), family="Other"))
    assert await eventually_missed(service, page)


async def eventually_missed(service: Service, page: str) -> bool:
    """Whether a page that was cached is soon painted again."""
    for _ in range(100):
        response = await service.render(html=page, width=60, height=60)
        if response.headers["X-Cache"] == "miss":
            return True
        await asyncio.sleep(0.1)
    return False


HAN = "<!doctype html><html{}><body style='margin:0;font:60px sans-serif'>直骨"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("program", "choices"),
    [
        pytest.param(PROGRAMS[0], (None, "ja", "zh-TW", "zh-HK"), id="headless-shell"),
        pytest.param(
            PROGRAMS[1], (None, "ja", "zh-TW", "zh-HK"), id="chromium", marks=pytest.mark.endurance
        ),
    ],
)
async def test_han_text_without_a_language_has_the_forms_that_the_operator_chose(
    start_service: StartService, program: str, choices: tuple[str | None, ...]
) -> None:
    """By default Simplified Chinese; what an element declares is heeded all the same."""
    chrome = installed(program)
    forms: dict[str, bytes] = {}
    for chosen in choices:
        service = await start_service(language=chosen, chrome=chrome, concurrency=1)

        async def drawn(declared: str, service: Service = service) -> bytes:
            lang = f" lang={declared}" if declared else ""
            return ink(await service.picture(html=HAN.format(lang), width=140, height=90))

        if not forms:
            forms = {lang: await drawn(lang) for lang in ("zh-CN", "ja", "zh-TW", "zh-HK")}
            assert len(set(forms.values())) == 4
        assert await drawn("") == await drawn("en") == forms[chosen or "zh-CN"]
        assert await drawn("ja") == forms["ja"]


async def test_the_language_changes_no_other_text(start_service: StartService) -> None:
    """Latin, arrows and stars come from the fonts that they came from."""
    page = "<!doctype html><body style='margin:0;font:20px system-ui'>Abc äöß → ★ € ½"
    pictures = set()
    for chosen in ("zh-CN", "ja"):
        service = await start_service(language=chosen)
        pictures.add(ink(await service.picture(html=page, width=300, height=40)))
    assert len(pictures) == 1


ASKS = "<canvas id=c></canvas><script>c.getContext({!r})</script>"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("page", "is_warned"),
    [
        (ASKS.format("webgl"), True), (ASKS.format("webgl2"), True),
        (ASKS.format("experimental-webgl"), True), (ASKS.format("2d"), False),
        (ASKS.format("nonsense"), False),
        ("<script>new OffscreenCanvas(9, 9).getContext('webgl')</script>", True),
        (f"<iframe srcdoc=\"{ASKS.format('webgl')}\"></iframe>", True),
        ("<canvas id=c></canvas><script>c.getContext('2d');c.getContext('webgl')</script>", False),
    ],
)  # fmt: skip
async def test_a_page_that_asks_for_webgl_and_gets_none_is_warned(
    service: Service, page: str, is_warned: bool
) -> None:
    """A canvas that has another context is no lack."""
    warning = warned(await service.render(html=PAGE + page, width=300, height=200))
    assert warning == ("webgl;reason=unavailable" if is_warned else "")


PAINTS = """<!doctype html><body style='margin:0'><canvas id=c width=50 height=50></canvas><script>
const gl = c.getContext('webgl', {preserveDrawingBuffer: true});
gl.clearColor(1, 0, 0, 1); gl.clear(gl.COLOR_BUFFER_BIT);
document.body.dataset.native = HTMLCanvasElement.prototype.getContext;
if (!/native code/.test(document.body.dataset.native)) document.body.innerHTML = '';
</script>"""


@pytest.mark.parametrize("program", EITHER)
async def test_the_operator_can_switch_webgl_on(start_service: StartService, program: str) -> None:
    """POSTER_WEBGL; with the sandbox, frames and transparency as before."""
    service = await start_service(webgl=True, chrome=installed(program))
    response = await service.render(html=PAINTS, width=100, height=100)
    assert warned(response) == ""
    picture = decode(await response.read())
    assert at(picture, 25, 25) == (255, 0, 0, 255)
    assert at(picture, 75, 75) == (0, 0, 0, 0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("program", "seconds"),
    [
        (PROGRAMS[0], 0), (PROGRAMS[0], 1), (PROGRAMS[1], 1),
        *(pytest.param(program, seconds, marks=pytest.mark.endurance)
          for program, seconds in ((PROGRAMS[0], 0.3), (PROGRAMS[1], 0), (PROGRAMS[1], 0.3))),
    ],
)  # fmt: skip
async def test_an_optional_font_that_comes_late_is_the_one_in_the_picture(
    start_service: StartService, serve_pages: Callable[..., Any], program: str, seconds: float
) -> None:
    """Inline, in a style sheet, in a frame, by a script; nothing runs in most of them."""
    bold = font_file(0x41)

    async def font(_: web.Request) -> web.Response:
        await asyncio.sleep(seconds)
        cors = {"Access-Control-Allow-Origin": "*"}
        return web.Response(body=bold, content_type="font/ttf", headers=cors)

    async def css(_: web.Request) -> web.Response:
        face = "@font-face{font-family:W;src:url(font);font-display: OPTIONAL }"
        return web.Response(text=face, content_type="text/css")

    async with serve_pages(font=font, css=css) as there:
        face = f"@font-face{{font-family:W;font-display:optional;src:url({there}/font)}}"
        style = "<style>body,iframe{margin:0;border:0;font:40px/40px W,serif}</style>"
        late = f"new FontFace('W', 'url({there}/font)', {{display: 'optional'}})"
        pages = [
            f"<!doctype html><style>{face}</style>{style}A",
            f"<!doctype html><link rel=stylesheet href={there}/css>{style}A",
            f'<!doctype html>{style}<iframe srcdoc="<style>{face}</style>{style}A"></iframe>',
            f"<!doctype html>{style}A<script>document.fonts.add({late})</script>",
        ]
        service = await start_service(allow_private="127.0.0.0/8", chrome=installed(program))
        for page in pages:
            response = await service.render(html=page, width=60, height=60)
            assert warned(response) == ""
            picture = decode(await response.read())
            assert at(picture, 3, 3) == at(picture, 37, 37) == (0, 0, 0, 255), page
