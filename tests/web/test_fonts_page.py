"""GET /fonts: which families there are, and what they look like, to a machine that has them not."""

import base64
import re
from pathlib import Path
from typing import Any

import pytest

from poster_service.browser.font_list import SAMPLES, parsed_families
from poster_service.web.fonts import LINE_HEIGHT, LINE_WIDTH, css_string
from tests.generated_fonts import font_file
from tests.web.conftest import Service, StartService
from tests.web.pictures import at, decode

BLACK = (0, 0, 0, 255)
BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8", "Sec-Fetch-Dest": "document"}
BRAND = 'A Brand\'s "own" \\ <b>'


@pytest.fixture
def folder(work_dir: Path) -> Path:
    """A folder with a font of squares for the letters of the Latin sample, with an odd name."""
    found = work_dir.parent / "own fonts"
    found.mkdir(mode=0o755)
    file = found / "square.ttf"
    file.write_bytes(font_file(*map(ord, SAMPLES["Latin"]), family=BRAND))
    file.chmod(0o644)
    return found


async def listed(service: Service) -> dict[str, Any]:
    """The families by name."""
    answer = await service.get("/fonts")
    assert (answer.status, answer.content_type) == (200, "application/json")
    return {one["family"]: one for one in (await answer.json())["families"]}


async def page(service: Service, number: int = 1, **headers: str) -> tuple[int, str]:
    """Status and text of the page."""
    where = f"{service.address}/fonts?page={number}"
    async with service.client.get(where, headers={**BROWSER, **headers}) as answer:
        return answer.status, await answer.text()


def shown(text: str) -> dict[str, int]:
    """Where in the picture the line of each family is, in CSS pixels."""
    row = r"<tr><td>(.*?)</td>\n<td><div class=\"line\" style=\"background-position: 0 -(\d+)px\">"
    return {name: int(top) for name, top in re.findall(row, text)}


async def test_json_lists_families_with_what_they_write(
    start_service: StartService, folder: Path
) -> None:
    """Those of the system, and those of the operator."""
    service = await start_service(fonts=str(folder))
    found = await listed(service)
    assert list(found) == sorted(found, key=str.casefold)
    brand = found[BRAND]
    assert brand["usable"]
    assert brand["styles"] == ["Regular"]
    assert (brand["scripts"], brand["sample"]) == (["Latin"], SAMPLES["Latin"])
    assert brand["characters"] == len(set(SAMPLES["Latin"]))
    (cjk,) = [one for name, one in found.items() if name == "Noto Sans CJK SC"]
    assert {"Han", "Kana", "Latin"} <= set(cjk["scripts"])
    assert cjk["characters"] > 20_000
    assert any("Emoji" in one["scripts"] for one in found.values())


async def test_a_new_font_is_listed_without_a_restart(
    start_service: StartService, folder: Path
) -> None:
    """And fontconfig is asked again only then."""
    service = await start_service(fonts=str(folder))
    assert "Later" not in await listed(service)
    later = folder / "later.ttf"
    later.write_bytes(font_file(0x41, 0x42, family="Later"))
    later.chmod(0o644)
    assert (await listed(service))["Later"]["sample"] == "AB"


async def test_the_page_shows_each_family_in_its_own_font(
    start_service: StartService, folder: Path
) -> None:
    """By a picture in the page, of which each row shows a line; it is rendered once."""
    service = await start_service(fonts=str(folder), cache_bytes=32 << 20)
    status, text = await page(service)
    assert status == 200, text
    (png,) = re.findall(r"data:image/png;base64,([A-Za-z0-9+/=]+)", text)
    picture = decode(base64.b64decode(png))
    tops = shown(text)
    assert picture.size == (LINE_WIDTH, LINE_HEIGHT * len(tops))
    assert list(tops.values()) == [at * LINE_HEIGHT for at in range(len(tops))]
    # Squares side by side are a black bar, unlike any other font's letters.
    brand = tops["A Brand&#39;s &#34;own&#34; \\ &lt;b&gt;"]
    middle = brand + LINE_HEIGHT // 2
    assert {at(picture, x, middle) for x in range(4, 200)} == {BLACK}
    other = next(top for name, top in tops.items() if name.startswith("DejaVu Sans"))
    assert {at(picture, x, other + LINE_HEIGHT // 2) for x in range(4, 200)} != {BLACK}
    hits = service.engine.cache.answers["hit"]
    assert await page(service) == (200, text)
    assert service.engine.cache.answers["hit"] == hits + 1


async def test_the_page_runs_nothing_and_is_in_no_other_pages_frame(service: Service) -> None:
    """As the other pages."""
    async with service.client.get(f"{service.address}/fonts", headers=BROWSER) as answer:
        assert answer.status == 200
        policy = answer.headers["Content-Security-Policy"]
        assert "img-src data:" in policy
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "<script" not in await answer.text()
    async with service.client.get(service.address, headers=BROWSER) as start:
        assert 'href="fonts"' in await start.text()


@pytest.mark.parametrize("wrong", ["0", "999", "x", "-1", "٣", ""])
async def test_a_page_that_is_not_there_is_refused(service: Service, wrong: str) -> None:
    """Before anything is rendered."""
    where = f"{service.address}/fonts?format=html&page={wrong}"
    async with service.client.get(where) as answer:
        problem = await answer.json()
        assert (answer.status, problem["field"]) == (400, "page")


async def test_a_foreign_page_cannot_have_it_rendered(service: Service) -> None:
    """By a frame or a script; a link may lead to it, and JSON costs no render."""
    foreign = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "iframe"}
    assert (await page(service, 1, **foreign))[0] == 403
    assert (await page(service, 1, **{**foreign, "Sec-Fetch-Dest": "document"}))[0] == 200


async def test_it_needs_a_token_where_there_are_tokens(start_service: StartService) -> None:
    """As every address that is not for health."""
    service = await start_service(tokens="web=web-token-0123456789")
    assert (await service.get("/fonts")).status == 401


def test_families_are_read_from_lines_of_fc_list() -> None:
    """Files of one family together; what Chrome does not use is listed as that."""
    lines = [
        "B\tBold\tTrueType|True|False|41-43", "B\tRegular\tTrueType|True|False|44",
        "Bitmap\tRegular\tPCF|False|False|20-7e", "broken", "a\t\tCFF|True|False|1680-169c",
    ]  # fmt: skip
    first, second, third = parsed_families(lines)
    assert (first.name, first.scripts, first.sample[:2]) == ("a", ("Ogham",), "\u1681\u1682")
    assert (second.name, second.styles, second.sample) == ("B", ("Bold", "Regular"), "ABCD")
    assert (third.is_usable, third.characters, third.sample) == (False, 0, "")


def test_any_name_of_a_family_is_a_string_of_css() -> None:
    """Nothing ends it early."""
    assert css_string('a"; } \\ x') == '"a\\22 \\3b  \\7d  \\5c  x"'
