"""GET /assets/NAME: the built files of the pages, cached forever; and they are what npm builds."""

import asyncio
import gzip
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from poster_service.web import built
from tests.docs.pages import ROOT
from tests.web.conftest import Service, StartService

SOURCES = ROOT / "web_assets"


async def test_a_file_may_be_cached_forever_and_comes_packed(service: Service) -> None:
    """By its name with a hash; plain for a client that does not read gzip."""
    for name, address in (await asyncio.to_thread(built.manifest)).items():
        where = f"{service.address}/{address}"
        sizes = {}
        for coding in ("gzip", "identity"):
            headers = {"Accept-Encoding": coding}
            async with service.client.get(where, headers=headers) as answer:
                assert answer.status == 200, name
                assert answer.headers["Cache-Control"] == built.CACHED
                assert answer.headers["Vary"] == "Accept-Encoding"
                assert answer.headers["X-Content-Type-Options"] == "nosniff"
                assert answer.headers.get("Content-Encoding", "identity") == coding
                sizes[coding] = int(answer.headers["Content-Length"])
                body = await answer.read()
                assert body == (built.FOLDER / Path(address).name).read_bytes()
        if sizes["identity"] > 4096:
            assert sizes["gzip"] < sizes["identity"] / 2


@pytest.mark.parametrize("name", ["none.js", "manifest.json", "..%2Fstudio.py", "studio.js"])
async def test_no_other_file_is_served(service: Service, name: str) -> None:
    """Neither the list of them nor anything outside of their folder."""
    async with service.client.get(f"{service.address}/assets/{name}") as answer:
        assert answer.status == 404


async def test_they_need_no_token(start_service: StartService) -> None:
    """The page must be there before it can ask for one."""
    service = await start_service(tokens="web=web-token-0123456789")
    address = (await asyncio.to_thread(built.manifest))["studio.js"]
    assert (await service.get(f"/{address}")).status == 200


def test_every_file_is_in_the_package_and_named_by_its_page() -> None:
    """What the wheel has is what the pages ask for: no file of an earlier build is left."""
    files = {one.name for one in built.FOLDER.iterdir()}
    named = {Path(one).name for one in built.manifest().values()}
    assert named < files
    parts = {one for one in files - named if one.startswith("part-")}
    assert files == named | parts | {"manifest.json", "licenses.txt"}
    texts = "".join((built.FOLDER / one).read_text() for one in named | parts)
    assert all(part in texts for part in parts)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_they_are_what_npm_builds_from_the_lock(tmp_path: Path) -> None:
    """Byte by byte; and the types of the sources are right."""
    if shutil.which("npm") is None:
        pytest.fail("this test needs Node.js: apt-get install nodejs npm")
    sources, made = tmp_path / "web_assets", tmp_path / "made"
    shutil.copytree(SOURCES, sources, ignore=shutil.ignore_patterns("node_modules"))
    for command in (
        ["npm", "ci"],
        ["npm", "run", "check"],
        ["npm", "run", "build", "--", str(made)],
    ):
        done = subprocess.run(
            command, check=False, cwd=sources, text=True, timeout=300,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-3000:]
    ours = {one.name: one.read_bytes() for one in built.FOLDER.iterdir()}
    theirs = {one.name: one.read_bytes() for one in made.iterdir()}
    assert sorted(ours) == sorted(theirs)
    assert ours == theirs, "run `npm ci && npm run build` in web_assets/ and commit the result"


def test_the_lock_names_no_address() -> None:
    """Npm takes the registry that it is set up for, and checks every package by its hash."""
    lock = json.loads((SOURCES / "package-lock.json").read_text())
    packages = {name: one for name, one in lock["packages"].items() if name}
    assert packages
    assert all("integrity" in one and "resolved" not in one for one in packages.values())


def test_what_is_packed_is_the_same() -> None:
    """By the standard library's own reader."""
    file = built.packed(next(iter(built.names())))
    assert gzip.decompress(file.gzipped) == file.body
