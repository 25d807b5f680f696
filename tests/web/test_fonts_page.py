"""GET /fonts: which families there are, and what they look like, to a machine that has them not."""

from pathlib import Path
from typing import Any

import pytest

from poster_service.browser.font_list import SAMPLES, parsed_families
from tests.generated_fonts import BRAND, branded_folder, font_file
from tests.web.conftest import Service, StartService

BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8", "Sec-Fetch-Dest": "document"}


@pytest.fixture
def folder(work_dir: Path) -> Path:
    """Fonts of the operator."""
    return branded_folder(work_dir.parent)


async def listed(service: Service) -> dict[str, Any]:
    """The families by name."""
    answer = await service.get("/fonts")
    assert (answer.status, answer.content_type) == (200, "application/json")
    return {one["family"]: one for one in (await answer.json())["families"]}


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


async def test_it_needs_a_token_where_there_are_tokens(start_service: StartService) -> None:
    """As every address that is not for health; its page has no font in it."""
    service = await start_service(tokens="web=web-token-0123456789")
    assert (await service.get("/fonts")).status == 401
    async with service.client.get(f"{service.address}/fonts", headers=BROWSER) as answer:
        assert (answer.status, answer.content_type) == (200, "text/html")
        assert "DejaVu" not in await answer.text()


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
