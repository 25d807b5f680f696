"""A page in Markdown: painted in a plain style, with files beside it, by JSON, form and command."""

import io
import json
import subprocess
import sys
from pathlib import Path

import aiohttp
import pypdfium2
import pytest

from tests.web.caching import ask, cache_status
from tests.web.conftest import Service
from tests.web.local_web import LIME_SVG
from tests.web.modes import in_both_chromes, service_in_modes
from tests.web.pictures import decode

TEXT = """# Grüße 世界 👋

| a | b |
|---|---|
| 1 | 2 |

    code

![dot](img/dot.svg)
"""


service = service_in_modes(timeout_ms=30_000, cache_bytes=1 << 20)


def pixels(body: bytes, colour: tuple[int, int, int, int]) -> int:
    """How many pixels of a picture have a colour."""
    counts = decode(body).getcolors(1 << 24) or []
    return sum(count for count, found in counts if found == colour)


async def test_it_is_painted_on_white_with_its_table_and_code(service: Service) -> None:
    """Every glyph is there, in colour where it is an emoji; it is cached."""
    job = {"markdown": TEXT.partition("![")[0], "width": 400, "height": 400}
    answer = await ask(service, job)
    assert answer.status == 200
    assert "X-Render-Warnings" not in answer.headers
    body = await answer.read()
    assert pixels(body, (255, 255, 255, 255)) > 80_000
    assert pixels(body, (0xD1, 0xD9, 0xE0, 255)) > 300, "the lines of the table"
    assert pixels(body, (0xF6, 0xF8, 0xFA, 255)) > 5_000, "the ground of the code"
    yellow = decode(body).convert("HSV").split()[0].point(lambda hue: 255 * (20 < hue < 45))
    assert yellow.getbbox() is not None, "a hand"
    assert cache_status(answer) == "miss"
    assert cache_status(await ask(service, job)) == "hit"


@pytest.mark.parametrize("name", ["index.md", "markdown"])
async def test_a_form_brings_its_files(service: Service, name: str) -> None:
    """As a file `index.md` or in a field; what is missing is a warning with its path."""
    for has_file in (True, False):
        form = aiohttp.FormData(default_to_multipart=True)
        form.add_field(name, TEXT, **({"filename": name} if name == "index.md" else {}))
        if has_file:
            form.add_field("img/dot.svg", LIME_SVG.encode(), filename="dot.svg")
        async with service.client.post(f"{service.address}/render?width=400", data=form) as answer:
            assert answer.status == 200, await answer.text()
            assert (pixels(await answer.read(), (0, 255, 0, 255)) == 400) == has_file
            warnings = answer.headers.get("X-Render-Warnings", "")
            assert ('url="img/dot.svg";reason=not_found' in warnings) != has_file


@in_both_chromes
async def test_sheets_have_margins_and_a_title(service: Service) -> None:
    """Each sheet of a PDF, at its beginning and at its end, and the heading as the title."""
    text = "# A title\n\n" + "A paragraph of some words.\n\n" * 120
    pdf = {"paper": "a4"}
    answer = await service.render(markdown=text, format="pdf", pdf=pdf)
    assert answer.status == 200, await answer.text()
    document = pypdfium2.PdfDocument(io.BytesIO(await answer.read()))
    try:
        assert len(document) > 2
        assert document.get_metadata_value("Title") == "A title"
        for number in range(len(document)):
            picture = document[number].render().to_pil().convert("L")
            width, height = picture.size
            dark = picture.point(lambda value: 255 * (value < 128)).getbbox()
            assert dark is not None
            assert min(dark[0], dark[1], width - dark[2], height - dark[3]) > 15
    finally:
        document.close()


async def test_html_inside_runs_as_in_a_page_of_html(service: Service) -> None:
    """With the same rules: scripts run, sockets do not, nothing private is fetched."""
    text = (
        "<div id=x style='width:50px;height:50px;background:red'></div>\n\n<script>\n"
        "x.style.background = 'lime'; new WebSocket('ws://10.0.0.1/')\n</script>\n\n"
        "![a](http://169.254.169.254/latest) ![b](file:///etc/passwd)\n"
        "<img src='file:///etc/passwd'>"
    )
    answer = await service.render(markdown=text, width=200, height=200)
    assert answer.status == 200
    assert pixels(await answer.read(), (0, 255, 0, 255)) == 2_500
    warnings = answer.headers["X-Render-Warnings"]
    assert "reason=web_socket" in warnings
    assert 'denied;url="file:///etc/passwd"' in warnings


async def test_other_options_work_beside_it_and_other_sources_do_not(service: Service) -> None:
    """As for every source."""
    styles = [{"content": "h1 { color: #0000ff; border: 0 }"}]
    answer = await service.render(markdown="# ████", width=300, height=200, styles=styles)
    assert pixels(await answer.read(), (0, 0, 255, 255)) > 500
    answer = await service.render(markdown="x", html="x")
    assert (answer.status, (await answer.json())["field"]) == (400, "html")
    answer = await service.render(markdown="x", headers={"X-A": "1"})
    assert (answer.status, (await answer.json())["field"]) == (400, "headers")


async def test_the_time_of_a_render_holds_for_its_text_too(service: Service) -> None:
    """A text that takes seconds to parse, in a render that has less."""
    text = ("![" * 100_000)[:200_000]
    answer = await service.render(markdown=text, timeout_ms=200)
    assert (answer.status, json.loads(await answer.text())["code"]) == (504, "render_timeout")


@pytest.mark.slow
def test_the_command_takes_a_file_in_markdown(tmp_path: Path) -> None:
    """By its suffix, with what lies beside it."""
    (tmp_path / "img").mkdir()
    (tmp_path / "img/dot.svg").write_text(LIME_SVG)
    (tmp_path / "page.md").write_text(TEXT, "utf-8")
    words = ["render", str(tmp_path / "page.md"), "-o", str(tmp_path / "out.png"), "--width", "400"]
    done = subprocess.run(
        [sys.executable, "-m", "poster_service", *words], check=False, capture_output=True,
        text=True,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert pixels((tmp_path / "out.png").read_bytes(), (0, 255, 0, 255)) == 400
