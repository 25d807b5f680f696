"""A script with puppeteer, and the same options through browserless' routes: the same comes out.

puppeteer is the real one, of npm, and drives the same Chrome as the service.
"""

import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from PIL import ImageChops

from tests.chrome.conftest import PROGRAMS, installed
from tests.marks import steps_through_a_table
from tests.web.compat.environments import node, node_with
from tests.web.pdf_files import picture, sizes, texts
from tests.web.pictures import decode
from tests.web.service import Service, running_in_own_folder
from tests.web.tokens import TOKENS, WEB

PROGRAM = Path(__file__).parent / "programs" / "replay.js"
VERSION = "24.43.1"
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

PAGE = """<!doctype html><meta name=viewport content="width=device-width"><title>Replay</title>
<style>body { margin: 20px; font: 20px sans-serif; background: linear-gradient(90deg, #eef, #fee) }
#box { width: 150px; height: 80.5px; background: #06c; color: #fff; border-radius: 12px }
@media print { #screen { display: none } } .tall { height: 900px } h2 { break-before: page }</style>
<h1>Heading</h1><p id=screen>Only on screens</p><div id=box>A box</div><p class=tall>
<script>document.write(innerWidth + ' x ' + innerHeight + ' @ ' + devicePixelRatio)</script></p>
<h2>Second page</h2><p>The end</p>"""
BARE = "<style>body { margin: 0 } p { color: red }</style><p>x"
#: puppeteer rounds the edges of an element; the service captures it whole, so here they are even.
ELEMENT = PAGE.replace("80.5px;", "80px; position: absolute; top: 100px; left: 30px;")
MARGIN = {"top": "1cm", "right": "20px", "bottom": 30, "left": "0.5in"}
TEMPLATES = {
    "headerTemplate": "<span style='font-size: 12px' class=title></span>",
    "footerTemplate": "<span style='font-size: 12px'>Page <span class=pageNumber></span></span>",
}

PICTURES: dict[str, dict[str, Any]] = {
    "plain": {},
    "jpeg": {"options": {"type": "jpeg", "quality": 60}},
    "webp": {"options": {"type": "webp", "quality": 80}},
    "full": {"options": {"fullPage": True}},
    "clip": {"options": {"clip": {"x": 15, "y": 30, "width": 200, "height": 120}}},
    "below": {"options": {"clip": {"x": 0, "y": 700, "width": 300, "height": 200}}},
    "larger": {"options": {"clip": {"x": 0, "y": 0, "width": 200, "height": 100, "scale": 2}}},
    "clear": {"html": BARE, "options": {"omitBackground": True}},
    "base64": {"options": {"encoding": "base64"}},
    "inside": {"options": {"captureBeyondViewport": False}},
    "speed": {"options": {"optimizeForSpeed": True, "fromSurface": True}},
    "small": {"viewport": {"width": 320, "height": 240}},
    "sharp": {"viewport": {"width": 400, "height": 300, "deviceScaleFactor": 2}},
    "phone": {"viewport": {"width": 390, "height": 600, "isMobile": True, "hasTouch": True}},
    "print": {"emulateMediaType": "print"},
    "element": {"html": ELEMENT, "selector": "#box"},
}
PDFS: dict[str, dict[str, Any]] = {
    "plain": {},
    "a4": {"format": "A4", "printBackground": True, "margin": MARGIN},
    "landscape": {"format": "letter", "landscape": True},
    "sides": {"width": "10cm", "height": 500},
    "scaled": {"scale": 0.7, "printBackground": True},
    "ranges": {"pageRanges": "2"},
    "css": {"preferCSSPageSize": True},
    "headed": {"displayHeaderFooter": True, "margin": MARGIN, **TEMPLATES},
    "untagged": {"tagged": False},
    "outline": {"outline": True, "tagged": True},
    "clear": {"omitBackground": True, "printBackground": True},
}


@pytest.fixture(scope="module")
def packages() -> Path:
    """The folder that has puppeteer; installed before there is a service whose loop would wait."""
    return node_with(f"puppeteer-core@{VERSION}")


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(one, id=Path(one).name, marks=[pytest.mark.endurance] * ("shell" not in one))
        for one in PROGRAMS
    ],
)
async def service(request: pytest.FixtureRequest, packages: Path) -> AsyncIterator[Service]:
    """A service around each Chrome."""
    assert packages.is_dir()
    async with running_in_own_folder(
        compat=("browserless",), tokens=TOKENS, chrome=installed(request.param), timeout_ms=60_000
    ) as found:
        yield found


async def replay(
    service: Service, packages: Path, folder: Path, route: str, cases: dict[str, Any]
) -> None:
    """Have each case done by puppeteer and by the service, into files of a folder."""
    given = [{"name": name, "route": route, "html": PAGE, **one} for name, one in cases.items()]
    await node(
        PROGRAM, packages, json.dumps(given),
        OUT=str(folder), ADDRESS=service.address, TOKEN=WEB,
        CHROME=str(service.engine.pool.spec.program),
    )  # fmt: skip


def pair(folder: Path, name: str) -> tuple[bytes, bytes]:
    """What puppeteer made, and what the service did."""
    return (folder / f"{name}.theirs").read_bytes(), (folder / f"{name}.ours").read_bytes()


@steps_through_a_table(2)
async def test_the_pictures_are_the_same(
    service: Service, packages: Path, tmp_path: Path, step: int
) -> None:
    """Pixel by pixel; of encodings that lose something, up to what that loses."""
    cases = dict(list(PICTURES.items())[::step])
    await replay(service, packages, tmp_path, "screenshot", cases)
    for name in cases:
        both = pair(tmp_path, name)
        if name == "base64":
            both = base64.b64decode(both[0]), base64.b64decode(both[1])
        theirs, ours = map(decode, both)
        assert ours.size == theirs.size, name
        most = max(ImageChops.difference(theirs, ours).tobytes())
        assert most <= (40 if name in ("jpeg", "webp") else 0), f"{name}: {most}"
    plain, printed = decode(pair(tmp_path, "plain")[1]), decode(pair(tmp_path, "print")[1])
    assert plain.tobytes() != printed.tobytes(), "the comparison can fail"


@steps_through_a_table(2)
async def test_the_pdfs_are_the_same(
    service: Service, packages: Path, tmp_path: Path, step: int
) -> None:
    """Sheet by sheet: their sizes, their text, and what a reader paints of them."""
    cases = {name: {"options": options} for name, options in list(PDFS.items())[::step]}
    await replay(service, packages, tmp_path, "pdf", cases)
    for name in cases:
        theirs, ours = pair(tmp_path, name)
        assert sizes(ours) == [pytest.approx(one, abs=0.8) for one in sizes(theirs)], name
        assert texts(ours) == texts(theirs), name
        for page in range(len(sizes(theirs))):
            painted = picture(theirs, page), picture(ours, page)
            assert painted[0].size == painted[1].size, name
            histogram = ImageChops.difference(*painted).convert("L").histogram()
            differing = sum(histogram[32:]) / sum(histogram)
            assert differing < 0.002, f"{name}, sheet {page}: {differing:.2%} of the pixels"
