"""The load test against the image: with chaos and limits nothing is left; and it can fail."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.image.harness import SECCOMP, Engine
from tests.loadtest.harness import Ended, load_test

LIMITS = ("--docker-arg=--pids-limit=300", "--docker-arg=--memory=1500m")
#: The incident: the shim does not reap, there is no init, and python is PID 1.
BROKEN = """
FROM {image}
ENV POSTER_TEST_NO_REAP=1 POSTER_TEST_NO_INIT=1
ENTRYPOINT ["/opt/poster/bin/python3", "-m", "poster_service"]
CMD ["serve"]
"""


async def load(engine: Engine, folder: Path, image: str, *words: str, seconds: float) -> Ended:
    """The load test of an image."""
    return await load_test(folder, "--docker", image, *words, seconds=seconds, **engine.environment)


async def limited_load(engine: Engine, folder: Path, image: str, renders: int) -> None:
    """A load test with chaos, under limits on processes and memory, with Chrome's sandbox on."""
    tested = await load(
        engine, folder, image, "--renders", str(renders), "--chaos", "--settle", "20",
        "--seed", "11", *LIMITS, f"--docker-arg=--security-opt={SECCOMP}", seconds=1400,
    )  # fmt: skip
    assert tested.status == 0, tested.output
    seen = tested.seen
    assert not any(seen["left"].values())
    assert seen["outcomes"]["rendered"] > 0.7 * renders
    assert sum(seen["hits"].values()) > 0.02 * renders
    assert len([one for one in seen["hits"] if one.startswith("kill")]) >= 2


async def test_two_hundred_renders_with_chaos_leave_nothing(
    engine: Engine, image: str, tmp_path: Path
) -> None:
    """Under limits, with the sandbox on."""
    await limited_load(engine, tmp_path, image, 200)


@pytest.mark.endurance
@pytest.mark.timeout(3600)
async def test_a_thousand_renders_with_chaos_leave_nothing(
    engine: Engine, image: str, tmp_path: Path
) -> None:
    """The same for longer."""
    await limited_load(engine, tmp_path, image, 1000)


@pytest.fixture
def broken(engine: Engine, image: str, tmp_path: Path) -> Iterator[str]:
    """The image with everything switched off that this project is about."""
    folder = tmp_path / "broken"
    folder.mkdir()
    (folder / "Dockerfile").write_text(BROKEN.format(image=image))
    name = "poster-service:broken"
    engine.ask("build", "--tag", name, str(folder))
    yield name
    engine.ask("rmi", name)


async def test_without_reaping_and_python_as_pid_1_it_finds_the_zombies(
    engine: Engine, broken: str, tmp_path: Path
) -> None:
    """So the check can fail: named by pid and lease, and the status is 1."""
    tested = await load(engine, tmp_path, broken, "--renders", "12", "--settle", "2", seconds=900)
    assert tested.status == 1, tested.output
    assert tested.seen["left"]["zombie"] >= 12, tested.output
    named = [one for one in tested.seen["left_listed"] if one["what"] == "zombie"]
    assert {one["lease"] for one in named} - {None}
    assert json.dumps(named).count("not waited for by") == len(named)


async def test_with_reaping_off_and_our_init_as_pid_1_it_is_zero_again(
    engine: Engine, image: str, tmp_path: Path
) -> None:
    """The second line of defence alone is enough."""
    tested = await load(
        engine, tmp_path, image, "--renders", "40",
        "--docker-arg=--env=POSTER_TEST_NO_REAP=1", seconds=900,
    )  # fmt: skip
    assert tested.status == 0, tested.output
