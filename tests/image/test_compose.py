"""The compose file on a real engine, and the lines of the README that build and run the image."""

import asyncio
import hashlib
import os
import re
import secrets
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from poster_service.loadtest.command_target import free_port
from tests.compose import SPELLINGS, composer, is_installed
from tests.image.harness import IMAGE, ROOT, Container, Engine, container, sample

TOKEN = "compose-token-0123456789"


@pytest.fixture(params=SPELLINGS, ids=" ".join)
def composed(
    engine: Engine, image: str, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[tuple[str, str]]:
    """The project up as the compose file has it: its name and its address; down afterwards.

    Once by each way to call compose that is there.
    """
    assert composer(), "no docker-compose; tools/setup.sh dev installs it"
    if not is_installed(request.param):
        pytest.skip(f"{' '.join(request.param)} is not here; {' '.join(composer())} is")
    name, port = f"postertest{secrets.token_hex(3)}", free_port()
    tokens = tmp_path / "tokens"
    tokens.write_text(f"web sha256:{hashlib.sha256(TOKEN.encode()).hexdigest()}\n")
    tokens.chmod(0o444)
    tmp_path.chmod(0o755)  # pytest's own is closed to the container's uid
    environment = {
        **os.environ, **engine.environment, "IMAGE": image, "PUBLISH": f"127.0.0.1:{port}",
        "COMPOSE_PROJECT_NAME": name, "TOKENS": str(tokens),
    }  # fmt: skip

    def compose(*words: str) -> None:
        done = subprocess.run(
            [*request.param, *words], cwd=ROOT / "docker", env=environment, capture_output=True,
            text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr

    try:
        compose("up", "--detach", "--no-build")
        yield name, f"http://127.0.0.1:{port}"
    finally:
        compose("down", "--volumes")


async def test_the_compose_file_gives_a_confined_service(
    engine: Engine, composed: tuple[str, str]
) -> None:
    """Sandbox on, read-only, limited; it renders for who has a token, and stops with 0."""
    project, address = composed
    (name,) = engine.ask(
        "ps", "--quiet", "--filter", f"label=com.docker.compose.project={project}"
    ).splitlines()
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {TOKEN}"}) as client:
        one = Container(engine, name, client)
        await one.ready()
        assert one.address == address
        assert (await one.status())["chrome"]["sandbox"] == "on"
        assert (await one.picture(**sample("article-card"))).startswith(b"\x89PNG")
        assert engine.inspect(name, ".HostConfig.ReadonlyRootfs") == "true"
        assert engine.inspect(name, ".HostConfig.PidsLimit") == "300"
        assert await one.at_rest()
        engine.ask("stop", name)
        assert one.exit_code == 0, one.logs()


async def test_the_readmes_lines_build_and_run_the_image(engine: Engine, image: str) -> None:
    """As they stand there, but for the names and the port."""
    readme = (ROOT / "README.md").read_text("utf-8")
    build, run = re.findall(r"^(docker (?:build|run) .*)$", readme, re.MULTILINE)
    words = shlex.split(build.replace("poster-service", IMAGE))
    done = await asyncio.to_thread(
        subprocess.run, words, cwd=ROOT, env={**os.environ, **engine.environment}, check=False,
        capture_output=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    options = shlex.split(run.replace("docker/seccomp.json", str(ROOT / "docker/seccomp.json")))[2:]
    assert options[-1] == "poster-service"
    kept = [word for word in options[:-1] if word not in ("--publish", "127.0.0.1:8080:8080")]
    async with container(engine, *kept, image=image) as one:
        assert (await one.status())["chrome"]["sandbox"] == "on"
        assert (await one.picture(html="<p>x")).startswith(b"\x89PNG")
