"""The pages agree with the code, with each other, and with the words of this project."""

import functools
import re
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import pytest

from poster_service import init
from poster_service.settings import Settings, variable_of
from tests.docs.pages import PAGES, ROOT, name_of, prose
from tools.docs import __main__ as generator
from tools.docs.reference import error_codes, metrics

MOST_BYTES = 8 * 1024
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")


def test_the_readme_is_short() -> None:
    """Readers decide by it; everything else has a page of its own."""
    assert len((ROOT / "README.md").read_bytes()) <= MOST_BYTES


def test_the_generated_parts_are_up_to_date() -> None:
    """Tables of options, settings, errors, metrics and measurements, and the plots."""
    stale = [name_of(path) for path, _ in generator.outdated()]
    assert not stale, "run `make docs`"


def test_every_generator_is_used_and_closed() -> None:
    """A marker that is misspelt or not closed would freeze its table without a word."""
    text = "\n".join(page.read_text("utf-8") for page in generator.pages())
    begun = re.findall(r"^<!-- generated: (\S+) -->$", text, re.MULTILINE)
    assert begun == re.findall(r"^<!-- end: (\S+) -->$", text, re.MULTILINE)
    assert begun == [found["name"] for found in generator.PART.finditer(text)]
    assert set(begun) == set(generator.PARTS)


def anchors(page: Path) -> set[str]:
    """Those of a page's headings, as a code forge and the site make them."""
    found = set()
    for title in re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE):
        words = re.sub(r"[^\w\- ]", "", title.lower())
        found.add(words.strip().replace(" ", "-"))
    return found


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_no_link_is_dead(page: Path) -> None:
    """Files, pictures and anchors; the site's own check does not see pictures, nor the README."""
    for target in LINK.findall(page.read_text("utf-8")):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = unquote(target).partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), target
        if anchor:
            assert anchor in anchors(there), target
        if page.parent == ROOT / "docs":
            assert there.is_relative_to(page.parent), f"{target} is not in the site"


def test_the_site_builds_strictly(tmp_path: Path) -> None:
    """As `make docs` builds it; every page is in its navigation."""
    config = (ROOT / "zensical.toml").read_text("utf-8")
    (tmp_path / "zensical.toml").write_text(config)
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    zensical = Path(sys.executable).parent / "zensical"
    done = subprocess.run(
        [zensical, "build", "--strict"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for page in (ROOT / "docs").glob("*.md"):
        assert f'"{page.name}"' in config, "not in the navigation"
        assert (tmp_path / "dist" / "site" / f"{page.stem}.html").exists()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_variable_of_a_page_is_one(page: Path) -> None:
    """A setting, or an option of init."""
    known = {variable_of(name) for name in Settings.model_fields}
    known |= {f"POSTER_INIT_{long.upper().replace('-', '_')}" for _, long, *_ in init.OPTIONS}
    known |= {"POSTER_INIT_PID", "POSTER_INIT_STATUS", "POSTER_LOADTEST_TOKEN"}
    known.add("POSTER_CLIENT_TOKEN")
    named = set(re.findall(r"\bPOSTER_[A-Z][A-Z_]*[A-Z]\b", page.read_text("utf-8")))
    assert named <= known, sorted(named - known)


@functools.cache  # a service is built for it
def known_metrics() -> set[str]:
    """The names of all metrics."""
    return set(re.findall(r"`(poster_\w+)`", metrics()))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_metric_of_a_page_is_one(page: Path) -> None:
    """By the names that the service exposes; a histogram's may have an ending."""
    named = set(
        re.findall(r"\b(poster_(?!service|load\b|init\b)[a-z_]+)\b", page.read_text("utf-8"))
    )
    shorn = {re.sub(r"_(bucket|sum|count)$", "", name) for name in named}
    assert shorn <= known_metrics(), sorted(shorn - known_metrics())


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_no_page_names_this_workplace(page: Path) -> None:
    """Neither a path of a machine nor the host of a registry."""
    text = page.read_text("utf-8")
    for word in ("/work/", "/root/", "/home/", "pypi.org/simple", "index-url"):
        assert word not in text, word


def test_every_option_of_init_is_on_its_page() -> None:
    """Each with its short form and its variable."""
    text = (ROOT / "docs" / "init.md").read_text("utf-8")
    for short, long, *_ in init.OPTIONS:
        assert f"`--{long}" in text, long
        assert f"`-{short}`" in text, short
        if long not in init.NOT_FROM_ENVIRONMENT:
            assert f"POSTER_INIT_{long.upper().replace('-', '_')}" in text, long


def test_every_option_of_the_load_test_is_on_its_page() -> None:
    """Its help and its page name the same."""
    text = (ROOT / "docs" / "load-test.md").read_text("utf-8")
    command = [sys.executable, "-m", "poster_service", "loadtest", "--help"]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for option in set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", out)) - {"--help", "--init"}:
        assert option in text, option


def test_the_prose_of_a_page_is_what_is_left_of_it(tmp_path: Path) -> None:
    """Neither code nor a comment is prose."""
    page = tmp_path / "page.md"
    page.write_text("One `two`.\n<!-- three -->\n```sh\nfour\n```\n")
    assert prose(page).split() == ["One", "."]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_file_that_a_page_names_is_there(page: Path) -> None:
    """By its path from the top; and each test that a page names is one."""
    text = page.read_text("utf-8")
    folders = "poster_service|tests|tools|bench|docker|templates|docs"
    for path in re.findall(rf"`((?:{folders})/[\w./-]+)`", text):
        assert (ROOT / path).exists(), path
    tests = "\n".join(file.read_text("utf-8") for file in (ROOT / "tests").rglob("test_*.py"))
    for name in re.findall(r"`(test_\w+)`", text):
        assert f"def {name}(" in tests, name


def test_every_place_in_the_architecture_is_there() -> None:
    """Files and folders of the package, and no folder is left out."""
    page = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    section = page.partition("| in `poster_service/` |")[2]
    named = {
        name.rstrip("/")
        for row in re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)
        for name in re.findall(r"`([\w./]+)`", row)
    }
    package = ROOT / "poster_service"
    assert all((package / name).exists() for name in named), named
    folders = {path.parent.name for path in package.glob("*/__init__.py")}
    assert folders <= named


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_error_code_of_a_page_is_one(page: Path) -> None:
    """Each that stands beside a status."""
    known = {*re.findall(r"`(\w+)`", error_codes()), "http_404", "http_405"}
    named = re.findall(r"\b[45]\d\d `(\w+)`", page.read_text("utf-8"))
    assert set(named) <= known
