"""Under every restriction that people put on containers it renders, and the same picture."""

import asyncio
import contextlib
import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bundled import NAMES
from tests.image.harness import (
    LOCKED_DOWN,
    ROOT,
    SECCOMP,
    UNAUTHENTICATED,
    Engine,
    container,
    sample,
)
from tests.processes import name_of, tree

#: What is rendered under each restriction; under all of them at once every template is.
TEMPLATES = ("share-poster", "article-card")
SANDBOX_OFF = "Chrome's sandbox is OFF"

RESTRICTIONS = {
    "none": (),
    "another uid": ("--user=1234567:0",),
    "read-only": ("--read-only", "--tmpfs=/tmp"),
    "no capabilities": ("--cap-drop=ALL", "--security-opt=no-new-privileges"),
    "little shared memory": ("--shm-size=64m",),
    "limits": ("--memory=1500m", "--pids-limit=300"),
    "sandbox": (f"--security-opt={SECCOMP}",),
    "all": LOCKED_DOWN,
    "all, another uid": (*LOCKED_DOWN, "--user=1234567:0"),
}
#: Each a part of the last two: what renders with none of the privileges renders without one.
WITHIN_ALL = ("another uid", "read-only", "no capabilities", "limits", "sandbox")


@pytest.fixture(scope="session")
def outside(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The templates as they are rendered outside of any container."""
    folder = tmp_path_factory.mktemp("outside")
    pictures = {}
    for name in NAMES:
        file, data = folder / f"{name}.png", ROOT / "templates" / name / "sample.json"
        words = ["render", "--template", name, "--data", str(data), "-o", str(file)]
        subprocess.run([sys.executable, "-m", "poster_service", *words], check=True, cwd=ROOT)
        pictures[name] = file.read_bytes()
    return pictures


@pytest.mark.parametrize(
    "restriction",
    [
        pytest.param(one, marks=[pytest.mark.endurance] * (one in WITHIN_ALL))
        for one in RESTRICTIONS
    ],
)
async def test_it_renders_and_stops_under(
    engine: Engine, image: str, outside: dict[str, bytes], restriction: str
) -> None:
    """The templates, byte for byte as outside; then it stops with 0 and there was no zombie.

    Nothing of it keeps shims from being forked.
    """
    async with container(engine, *RESTRICTIONS[restriction], image=image) as one:
        for name in NAMES if restriction == "all" else TEMPLATES:
            assert await one.picture(**sample(name)) == outside[name], f"{name} is another picture"
        pdf = await one.picture(**sample("article-card"), format="pdf")
        assert pdf.startswith(b"%PDF")
        assert await one.at_rest()
        assert "poster-shim" in [name_of(process) for process in tree(one.pid)]
        engine.ask("stop", one.name)
        assert one.exit_code == 0, one.logs()


async def test_with_the_profile_chromes_own_sandbox_is_on(engine: Engine, image: str) -> None:
    """/status says so; and it is shown: the renderer is in PID namespaces of its own."""
    async with container(engine, *LOCKED_DOWN, image=image) as one:
        status = await one.status()
        assert status["chrome"]["sandbox"] == "on"
        assert SANDBOX_OFF not in one.logs()
        assert "--no-sandbox" not in one.exec("sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '")
        assert depth_of_namespaces(one.pid) > 2


def depth_of_namespaces(init: int) -> int:
    """The deepest nesting of PID namespaces below a container's PID 1, which is itself at 2."""
    texts = []
    for one in tree(init)[1:]:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            texts.append(Path(f"/proc/{one.pid}/status").read_text())
    lines = [line for text in texts for line in text.splitlines() if line.startswith("NSpid:")]
    return max(len(line.split()) - 1 for line in lines)


async def test_without_the_profile_it_says_once_that_the_sandbox_is_off(
    engine: Engine, image: str
) -> None:
    """Loudly, with the remedy; /status tells it too."""
    async with container(engine, image=image) as one:
        await one.picture(html="<p>x")
        await one.picture(html="<p>y")
        assert (await one.status())["chrome"]["sandbox"] == "off"
        logs = one.logs()
        assert logs.count(SANDBOX_OFF) == 1
        assert "seccomp=docker/seccomp.json" in logs


def test_sandbox_required_and_not_to_be_had_is_a_refusal(engine: Engine, image: str) -> None:
    """Instead of a start without it; nothing of it goes on."""
    done = engine.run("run", "--rm", UNAUTHENTICATED, "--env=POSTER_SANDBOX=require", image)
    assert done.returncode == 1
    assert "POSTER_SANDBOX=require" in done.stderr


def test_without_a_token_it_refuses_to_be_open_to_all(engine: Engine, image: str) -> None:
    """One line that names both remedies, and status 1."""
    done = engine.run("run", "--rm", image)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1, done.stderr
    for remedy in ("POSTER_TOKENS", "POSTER_ALLOW_UNAUTHENTICATED=1"):
        assert remedy in done.stderr


async def test_with_a_token_file_it_serves_those_who_have_one(
    engine: Engine, image: str, tmp_path: Path
) -> None:
    """Mounted read-only, as compose and Kubernetes do; a digest, so that its uid may read it."""
    token = "image-token-0123456789"
    (tmp_path / "tokens").write_text(f"web sha256:{hashlib.sha256(token.encode()).hexdigest()}\n")
    (tmp_path / "tokens").chmod(0o444)
    tmp_path.chmod(0o755)  # pytest's own is closed to the container's uid
    options = (
        f"--volume={tmp_path}:/run/secrets:ro", "--env=POSTER_TOKENS_FILE=/run/secrets/tokens",
        "--env=POSTER_ALLOW_UNAUTHENTICATED=0",
    )  # fmt: skip
    async with container(engine, *options, image=image) as one:
        assert (await one.render(html="<p>x", width=10, height=10))[0] == 401
        one.client.headers["Authorization"] = f"Bearer {token}"
        assert (await one.render(html="<p>x", width=10, height=10))[0] == 200
        assert "world-readable" not in one.logs()


def test_without_a_place_to_write_it_says_what_is_missing(engine: Engine, image: str) -> None:
    """A read-only root without a /tmp: one line that names the place."""
    done = engine.run("run", "--rm", UNAUTHENTICATED, "--read-only", image)
    assert done.returncode == 1
    assert "cannot write /tmp/" in done.stderr
    assert len(done.stderr.splitlines()) == 1


async def test_a_page_that_eats_the_containers_memory_takes_nothing_with_it(
    engine: Engine, image: str
) -> None:
    """The kernel kills that Chrome; the next render works, and nothing is left of the first."""
    page = "<script>const kept = []; for (;;) kept.push(new Uint8Array(8 << 20).fill(1))</script>"
    async with container(engine, "--memory=500m", "--memory-swap=500m", image=image) as one:
        status, body = await one.render(html=page, timeout_ms=20_000)
        assert status in (502, 504), body
        for _ in range(3):
            status, body = await one.render(html="<p>after it", width=100, height=100)
            if status == 200:
                break
            await asyncio.sleep(1)
        assert status == 200, body
        assert await one.at_rest()
