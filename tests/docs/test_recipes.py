"""Each recipe of docs/recipes.md is run as it stands, and gives what the page says.

A recipe has a comment above it that no reader sees: `gives: FILE WIDTH x HEIGHT`, `gives: FILE N
pages`, `gives: FILE N files`, `gives: FILE TEXT`, `gives: FILE N of SELECTOR`, or `gives: FILE`.
What they made stays in dist/recipes.
"""

import base64
import contextlib
import io
import json
import re
import shutil
import sys
import zipfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pypdf
import pytest
from aiohttp import web
from PIL import Image

from tests.conftest import short_folder
from tests.docs.pages import ROOT, Block, blocks
from tests.docs.service import environment, run, started

pytestmark = pytest.mark.slow
PAGE = ROOT / "docs" / "recipes.md"
MADE = ROOT / "dist" / "recipes"
#: The least that the page is to have.
FEWEST = 30
#: The web site that the recipes speak of.
SITE = "https://shop.example"
GIVES = re.compile(r"<!-- gives: (?P<file>\S+) ?(?P<what>.*) -->")
LINES = PAGE.read_text("utf-8").splitlines()


@dataclass(frozen=True)
class Recipe:
    """One recipe: its block, the file that it makes, and what that is."""

    block: Block
    file: str
    what: str

    def __str__(self) -> str:
        """By what it makes."""
        return self.file


def recipe_of(block: Block) -> Recipe:
    """The recipe of a block, by the comment above its mark."""
    found = GIVES.fullmatch(LINES[block.line - 3])
    assert found, f"{block}: no `gives` above"
    return Recipe(block, found["file"], found["what"])


RECIPES = [recipe_of(block) for block in blocks(PAGE) if block.language == "sh"]


@dataclass(frozen=True)
class Site:
    """The service, and the web site that the recipes speak of."""

    service: str
    web: str
    environment: dict[str, str]


async def shop(request: web.Request) -> web.Response:
    """A page of the site; the account needs its header, cookie and credentials."""
    if request.path == "/account":
        login = "Basic " + base64.b64encode(b"me:secret").decode()
        given = request.headers.get("X-Tenant"), request.cookies.get("session")
        if given != ("7", "abc") or request.headers.get("Authorization") != login:
            return web.Response(status=401, headers={"WWW-Authenticate": "Basic"})
    text = f"<!doctype html><title>Shop</title><h1>{request.path}</h1>"
    return web.Response(text=text, content_type="text/html")


@pytest.fixture(scope="module")
async def site() -> AsyncIterator[Site]:
    """Both; the service may fetch from the site, which is on loopback."""
    with short_folder() as work_dir:
        async with site_in(work_dir) as found:
            yield found


@contextlib.asynccontextmanager
async def site_in(work_dir: Path) -> AsyncIterator[Site]:
    """The site, and a service whose leases are in a folder."""
    app = web.Application()
    app.router.add_get("/{path:.*}", shop)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    address = f"http://127.0.0.1:{runner.addresses[0][1]}"
    serve = (sys.executable, "-m", "poster_service", "serve", "--port", "0")
    env = environment(work_dir, POSTER_ALLOW_PRIVATE="127.0.0.1/32")
    try:
        async with started(*serve, work_dir=work_dir, env=env) as service:
            yield Site(service, address, env)
    finally:
        await runner.cleanup()


def test_the_page_has_at_least_thirty() -> None:
    """Each makes a file of its own."""
    assert len(RECIPES) >= FEWEST
    assert len({recipe.file for recipe in RECIPES}) == len(RECIPES)


@pytest.mark.parametrize("recipe", RECIPES, ids=str)
async def test_a_recipe_gives_what_it_says(recipe: Recipe, site: Site, tmp_path: Path) -> None:
    """The file is there, is of its kind, and has the size that the page says."""
    script = recipe.block.text.replace(SITE, site.web)
    status, out = await run(script, site.service, tmp_path, site.environment)
    assert status == 0, out
    file = tmp_path / recipe.file
    body = file.read_bytes()
    assert described(file.suffix, body) == recipe.what, body[:500]
    MADE.mkdir(parents=True, exist_ok=True)
    shutil.copy(file, MADE / recipe.file)


def described(suffix: str, body: bytes) -> str:
    """What a file is, in the words of the page."""
    if suffix == ".pdf":
        count = len(pypdf.PdfReader(io.BytesIO(body)).pages)
        return f"{count} page" + ("s" if count > 1 else "")
    if suffix == ".zip":
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            assert archive.testzip() is None
            return f"{len(archive.namelist())} files"
    if suffix == ".html":
        return re.sub(r"\s+", " ", body.decode())
    if suffix == ".json" and b'"selectors"' in body:
        found = json.loads(body)["selectors"]
        return "; ".join(f"{one['count']} of {one['selector']}" for one in found)
    if suffix == ".json":
        assert base64.b64decode(json.loads(body)["data"]).startswith(b"\x89PNG")
        return ""
    with Image.open(io.BytesIO(body)) as picture:
        picture.load()
        assert (picture.format or "").lower() == {".jpg": "jpeg"}.get(suffix, suffix[1:])
        return f"{picture.width} x {picture.height}"
