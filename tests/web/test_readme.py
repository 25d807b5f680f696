"""The README's commands are run as they stand there, against a real service."""

import asyncio
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.web.conftest import StartService
from tests.web.served import serving

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
    from poster_service.render.request import OPTIONS

    for name in OPTIONS:
        assert f"`{name}`" in README, name


@pytest.mark.slow
async def test_the_readmes_signed_address_gives_its_picture(
    start_service: StartService, tmp_path: Path
) -> None:
    """As the block stands there, but for the key, which is the service's, and the address."""
    secret = "0123456789abcdef" * 4
    service = await start_service(signing_keys=f"main={secret}")
    (block,) = (one for one in shell_blocks() if "poster-service sign" in one)
    script = block.replace("https://posters.example.com", service.address)
    script = script.replace("$(openssl rand -hex 32)", secret)
    assert script.count(secret) == script.count(service.address) == 1
    (tmp_path / ".venv").symlink_to(sys.prefix)
    shell = await asyncio.create_subprocess_exec(
        "bash", "-euo", "pipefail", "-c", script, cwd=tmp_path, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await shell.communicate()
    assert shell.returncode == 0
    async with service.client.get(out.decode().strip()) as answer:
        assert answer.status == 200, await answer.text()
        assert (await answer.read()).startswith(MAGIC["png"])


@pytest.mark.slow
async def test_by_the_readmes_code_every_caller_of_a_crowd_gets_a_picture(
    start_service: StartService,
) -> None:
    """Most are refused at first; each comes again when it is told to, and none is left out."""
    service = await start_service(queue_size=4)
    names: dict[str, Any] = {}
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    exec(code, names)
    job = {"html": "<h1>Hello</h1>", "width": 60, "height": 30}
    pictures = await asyncio.gather(
        *(names["picture"](service.client, job, service.address) for _ in range(40))
    )
    assert all(one.startswith(MAGIC["png"]) for one in pictures)
    assert service.engine.admission.statistics().refused >= 40 - 6
    with pytest.raises(RuntimeError, match="invalid_field"):
        await names["picture"](service.client, {"html": ""}, service.address)


def test_the_readmes_figures_of_a_crowd_are_those_of_the_settings() -> None:
    """Slots and places in line, as the table has them."""
    from poster_service.settings import Settings

    queue = Settings.model_fields["queue"].default
    assert f"`POSTER_QUEUE_SIZE` ({queue}) wait in line" in README
    rows = re.findall(r"^\| (\d+) \| \d+ \| (\d+) \| [\d.]+ \|$", README, re.MULTILINE)
    assert len(rows) == 4
    for cores, callers in rows:
        assert int(callers) == int(cores) + queue
