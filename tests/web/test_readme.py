"""The README's commands are run as they stand there, against a real service."""

import asyncio
import re
import sys
from pathlib import Path

import pytest

from tests.web.test_serve import serving

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")

MAGIC = {"png": b"\x89PNG", "webp": b"RIFF", "pdf": b"%PDF"}


def shell_blocks() -> list[str]:
    """Every block fenced as `sh`."""
    return re.findall(r"```sh\n(.*?)```", README, re.DOTALL)


@pytest.mark.slow
@pytest.mark.timeout(400)  # the load test among them has 300 renders with chaos
async def test_every_command_of_the_readme_works_as_it_stands(
    work_dir: Path, tmp_path: Path
) -> None:
    """Each block exits 0 and each picture it names is one, by its first bytes.

    The load test is among them, so this is also the quick proof that 300 renders with chaos leave
    nothing: its exit status is 0 only then.
    """
    blocks = shell_blocks()
    assert len(blocks) >= 3
    (tmp_path / ".venv").symlink_to(sys.prefix)
    async with serving(work_dir) as served:
        for block in blocks:
            script = block.replace("http://127.0.0.1:8080", served.address)
            shell = await asyncio.create_subprocess_exec(
                "bash", "-euo", "pipefail", "-c", script, cwd=tmp_path
            )  # fmt: skip
            assert await shell.wait() == 0, block
    names = re.findall(r"-o (\w+\.(\w+))", README)
    assert names
    for name, kind in names:
        assert (tmp_path / name).read_bytes().startswith(MAGIC[kind]), name


def test_the_readme_tells_every_code_that_a_caller_can_get() -> None:
    """The table of errors is whole."""
    from poster_service import errors

    def leaves(kind: type[errors.PosterError]) -> list[type[errors.PosterError]]:
        below = kind.__subclasses__()
        return [leaf for one in below for leaf in leaves(one)] if below else [kind]

    branches = (errors.CallerError, errors.LoadError, errors.RenderFailed)
    for leaf in (leaf for branch in branches for leaf in leaves(branch)):
        assert f"`{leaf.code}`" in README, leaf


def test_the_readme_tells_every_option_of_a_render() -> None:
    """No option is left out of its table."""
    from poster_service.render.job import OPTIONS

    for name in OPTIONS:
        assert f"`{name}`" in README, name
