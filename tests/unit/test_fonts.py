"""What fonts cover, which characters are boxes, and what is wrong with a folder of fonts."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from poster_service.browser.fonts import (
    HAN_FAMILIES,
    Coverage,
    FontOptions,
    Fonts,
    check_folders,
    covered,
    default_language,
    is_invisible,
)
from poster_service.browser.glyphs import (
    MAX_NAMED,
    code_points,
    parse_characters,
    parse_kinds,
    undrawn,
)
from poster_service.errors import InvalidSettings
from poster_service.settings import Settings
from tests.generated_fonts import font_file

LINES = [
    "TrueType|True|False|41-5a e01-e3a",
    "CFF|True|False|4e00-4e02 e30-e5b",
    "TrueType|False|True|1f600",
    "Type 1|True|False|2200",
    "PCF|False|False|2201",
    "nonsense",
]


def test_coverage_is_the_union_of_the_fonts_that_chrome_falls_back_to() -> None:
    """Outlines and coloured bitmaps; neither Type 1 nor old bitmap fonts."""
    coverage = covered(LINES)
    for drawn in "AZก๛一\U0001f600":
        assert drawn in coverage, drawn
    for undrawn_one in "@[\u0e00\u0e5c\u4e03\u2200\u2201\U0001f601":
        assert undrawn_one not in coverage, undrawn_one


@pytest.mark.parametrize(
    "character", "\u00ad\u200b\u200d\ufe0f\u034f\u115f\U000e0101\u2028\u00a0\u0085"
)
def test_what_has_no_glyph_of_its_own_is_never_missing(character: str) -> None:
    """Joiners, selectors, controls, spaces."""
    assert is_invisible(character)
    assert not Coverage(()).lacks(character)


def test_a_character_is_drawn_by_its_parts_or_by_its_stand_in() -> None:
    """As the shaper does: decomposed, and a hyphen for the one that does not break."""
    latin = Coverage(((0x41, 0x7A), (0x300, 0x301), (0x2010, 0x2010)))
    assert not latin.lacks("\u00c1")
    assert latin.lacks("\u00c4")
    assert not latin.lacks("\u2011")
    for _ in range(2):  # what is drawn is remembered, what is not is found each time
        assert latin.lacking("\u00c1a\u00c4\u2011") == "\u00c4"


def test_a_warning_names_a_bounded_number_of_code_points() -> None:
    """In order, each once, and how many more."""
    assert code_points("กฃก") == {"codepoints": "U+0E01 U+0E03"}
    many = code_points("".join(map(chr, range(0x12000, 0x12064))))
    assert len(many["codepoints"].split()) == MAX_NAMED
    assert many["more"] == str(100 - MAX_NAMED)


@pytest.mark.parametrize("reported", [None, 3, [], {}, True])
def test_nothing_else_is_believed_of_a_page(reported: object) -> None:
    """It may answer anything."""
    assert parse_characters(reported) == ""
    assert parse_kinds(reported) == ()
    assert parse_kinds(["webgl", "webgl", "x\r\ny", 7]) == ("webgl",)


def test_characters_cannot_leave_the_script_that_they_are_put_into() -> None:
    """Each is written as an escape."""
    script = undrawn("\"']`${}\u2028ก")
    assert "\\u{22}" in script
    assert "\u2028" not in script
    assert "ก" not in script


def test_a_folder_of_fonts_that_cannot_be_used_is_refused_with_the_remedy(tmp_path: Path) -> None:
    """Missing, empty, relative, closed to Chrome's user."""
    tmp_path.chmod(0o755)
    folder = tmp_path / "fonts"
    with pytest.raises(InvalidSettings, match="no such folder; create it"):
        check_folders([folder])
    folder.mkdir()
    with pytest.raises(InvalidSettings, match="contains no font"):
        check_folders([folder])
    with pytest.raises(InvalidSettings, match="absolute"):
        check_folders([Path("fonts")])
    (folder / "sub").mkdir()
    file = folder / "sub" / "a.TTF"
    file.write_bytes(font_file(0xE000))
    check_folders([folder])
    file.chmod(0o600)
    with pytest.raises(InvalidSettings, match=r"cannot read .*chmod -R a\+rX"):
        check_folders([folder], (65530, 65530))


def test_the_digest_of_fonts_changes_with_them_and_with_the_language(tmp_path: Path) -> None:
    """Which is what the keys of cached pictures have in them."""
    fonts = Fonts(FontOptions((tmp_path,)))
    before = fonts.identity()
    (tmp_path / "a.ttf").write_bytes(font_file(0xE000))
    os.utime(tmp_path, (2_000_000_000, 2_000_000_000))  # with any clock of the file system
    after = fonts.identity()
    assert before != after
    assert fonts.identity() == after
    assert Fonts(FontOptions((tmp_path,), "ja")).identity() != after


def test_a_font_in_a_folder_that_is_new_or_gone_changes_the_digest(tmp_path: Path) -> None:
    """Also where all other folders are as they were long ago, and are not listed again."""
    old = (1_000_000_000, 1_000_000_000)
    top, deep, later = tmp_path / "top", tmp_path / "top" / "deep", tmp_path / "later"
    deep.mkdir(parents=True)
    for folder in (deep, top):
        os.utime(folder, old)
    fonts = Fonts(FontOptions((top, later)))
    seen = [fonts.identity(), fonts.identity()]
    assert seen[0] == seen[1]
    (deep / "newer").mkdir()
    (deep / "newer" / "a.ttf").write_bytes(font_file(0xE000))
    seen.append(fonts.identity())
    (deep / "newer" / "b.ttf").write_bytes(font_file(0xE000))
    seen.append(fonts.identity())
    later.mkdir()
    (later / "c.ttf").write_bytes(font_file(0xE000))
    seen.append(fonts.identity())
    (later / "c.ttf").unlink()
    later.rmdir()
    assert fonts.identity() == seen[-2]
    assert len(set(seen)) == 4


def test_a_font_added_while_the_service_runs_is_covered(tmp_path: Path) -> None:
    """The coverage is asked for again when a folder has changed."""
    (tmp_path / "a.ttf").write_bytes(font_file(0xF8F0))
    fonts = Fonts(FontOptions((tmp_path,)))
    assert fonts.suspects("\uf8f0") is None  # would block
    assert fonts.lacking("\uf8f0\uf8f1") == "\uf8f1"
    assert fonts.suspects("\uf8f0\uf8f1") == "\uf8f1"
    (tmp_path / "b.ttf").write_bytes(font_file(0xF8F1, family="Other"))
    os.utime(tmp_path, (2_000_000_000, 2_000_000_000))
    assert fonts.lacking("\uf8f0\uf8f1") == ""


def test_fontconfig_reads_names_with_marks_of_xml(tmp_path: Path) -> None:
    """A folder may be called anything."""
    folder = tmp_path / "a & <b>"
    folder.mkdir()
    (folder / "a.ttf").write_bytes(font_file(0xF8F0))
    assert Fonts(FontOptions((folder,))).lacking("\uf8f0") == ""


@pytest.mark.parametrize(
    ("environ", "language"),
    [
        ({}, "zh-CN"), ({"LANG": "C.UTF-8"}, "zh-CN"), ({"LANG": "de_DE.UTF-8"}, "zh-CN"),
        ({"LANG": "ja_JP.UTF-8"}, "ja"), ({"LANG": "ko_KR@x"}, "ko"), ({"LANG": "zh_HK"}, "zh-HK"),
        ({"LANG": "ja_JP.UTF-8", "LC_ALL": "zh_TW.UTF-8"}, "zh-TW"),
    ],
)  # fmt: skip
def test_the_default_language_is_the_services_own_where_it_writes_han(
    environ: dict[str, str], language: str
) -> None:
    """Else Simplified Chinese, and not the font that comes first."""
    assert default_language(environ) == language


@pytest.mark.parametrize(
    ("tag", "language"),
    [
        ("zh", "zh-CN"), ("zh-Hans", "zh-CN"), ("zh_SG", "zh-CN"), ("zh-Hant", "zh-TW"),
        ("zh-Hant-HK", "zh-HK"), ("zh-MO", "zh-HK"), ("JA", "ja"), ("ja-JP", "ja"), ("ko-KR", "ko"),
    ],
)  # fmt: skip
def test_a_language_is_named_by_any_of_its_tags(tag: str, language: str) -> None:
    """BCP 47."""
    assert Settings.load({"POSTER_LANGUAGE": tag}, {}).language == language
    assert language in HAN_FAMILIES


@pytest.mark.parametrize("tag", ["de", "", "zh;x", "jabber", "<a>"])
def test_any_other_language_is_refused_with_those_allowed(tag: str) -> None:
    """It would change nothing."""
    with pytest.raises(InvalidSettings, match="must be zh-CN, zh-TW, zh-HK, ja or ko"):
        Settings.load({"POSTER_LANGUAGE": tag}, {})


def test_a_tool_leaves_nothing_even_where_the_service_is_killed(tmp_path: Path) -> None:
    """It reads its configuration from memory: no file is made that a cut-off start could leave."""
    (tmp_path / "bin").mkdir()
    slow = tmp_path / "bin/fc-list"
    slow.write_text(
        f'#!/bin/sh\ncp "$FONTCONFIG_FILE" {tmp_path}/begun\n'
        f"while ! test -e {tmp_path}/go; do sleep 0.02; done\n: >{tmp_path}/ended\n"
    )
    slow.chmod(0o755)
    place = tmp_path / "tmp"
    place.mkdir()
    asks = "from poster_service.browser.fonts import Fonts; Fonts().coverage()"
    path = f"{tmp_path}/bin:{os.environ['PATH']}"
    service = subprocess.Popen(
        [sys.executable, "-c", asks], env={**os.environ, "PATH": path, "TMPDIR": str(place)}
    )
    try:
        begun = tmp_path / "begun"
        wait_until(lambda: begun.exists() and "</fontconfig>" in begun.read_text())
        assert list(place.iterdir()) == []
    finally:
        service.kill()
        service.wait()
        (tmp_path / "go").touch()
    wait_until((tmp_path / "ended").exists)
    assert list(place.iterdir()) == []


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for a condition for at most a minute."""
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)
