"""arm64, emulated by Debian's qemu: the image is built for it, and init and the shims run on it.

Of the long proofs (`make endurance`), since emulation is ten times slower: the base image takes
minutes and so does the build. qemu is registered for the machine while these tests run.

What emulation cannot show: its clone(2) refuses CLONE_PARENT, so the fork server never forks here
and each shim is started by itself (`test_architecture.py` checks the number by the headers of the
kernel, and a plain fork by that number is made here).
Nor does Chrome run: its processes end by a trap (signal 5) before it is ready.
"""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.image.harness import IMAGE, ROOT, Engine

pytestmark = [pytest.mark.endurance, pytest.mark.timeout(5400)]

PLATFORM = ("--platform", "linux/arm64")
#: What the tests import, of the lock file; the service's own is in the image.
PACKAGES = (
    "hypothesis", "iniconfig", "packaging", "pluggy", "pygments", "pytest", "pytest-aiohttp",
    "pytest-asyncio", "pytest-timeout", "sortedcontainers",
)  # fmt: skip
#: For PID namespaces and the like, which the tests make.
FREELY = (
    "--user=0", "--cap-add=ALL", "--cap-drop=SYS_RESOURCE", "--security-opt=seccomp=unconfined",
    "--security-opt=apparmor=unconfined", "--security-opt=systempaths=unconfined",
)  # fmt: skip


@pytest.fixture(scope="module")
def arm64(engine: Engine) -> Iterator[str]:
    """The image for arm64, and an emulator for it until the module ends."""
    script = ROOT / "tools/arm64.sh"
    made = subprocess.run([script, "up"], capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    try:
        tag = f"{IMAGE}-arm64"
        done = engine.run(
            "build", *PLATFORM, "--build-arg", f"BASE={made.stdout.strip()}",
            "--file", str(ROOT / "docker/Dockerfile"), "--tag", tag, str(ROOT), seconds=5000,
        )  # fmt: skip
        assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
        yield tag
    finally:
        subprocess.run([script, "down"], check=True)


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the tests need, as wheels for arm64, by the hashes of the lock file."""
    folder = tmp_path_factory.mktemp("arm64")
    blocks = (ROOT / "requirements-dev.lock").read_text("utf-8").split("\n")
    wanted, taking = [], False
    for line in blocks:
        if not line.startswith(" "):
            taking = line.partition("==")[0] in PACKAGES
        wanted += [line] if taking else []
    (folder / "lock").write_text("\n".join(wanted) + "\n")
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
         "--target", folder / "packages", "--platform", "manylinux2014_aarch64", "--platform",
         "manylinux_2_28_aarch64", "--python-version", "3.11", "--only-binary=:all:", "--no-deps",
         "--require-hashes", "--requirement", folder / "lock"],
        check=True,
    )  # fmt: skip
    return folder / "packages"


def test_the_image_is_of_that_architecture(engine: Engine, arm64: str) -> None:
    """Its programs too: Chrome's and Python's are Debian's for arm64."""
    assert engine.inspect(arm64, ".Architecture") == "arm64"
    of_chrome = "dpkg-query -Wf '${Architecture}' chromium-headless-shell"
    output = engine.ask(
        "run", "--rm", *PLATFORM, arm64, "sh", "-c",
        f"uname -m; dpkg --print-architecture; {of_chrome}",
    )  # fmt: skip
    assert output.split() == ["aarch64", "arm64", "arm64"]


@pytest.mark.parametrize(
    ("command", "status"), [("exit 7", 7), ("kill -KILL $$", 137), ("kill -TERM $$", 143)]
)
def test_init_is_its_pid_1(engine: Engine, arm64: str, command: str, status: int) -> None:
    """The entry point as it stands in the image; it leaves with the command's status."""
    done = engine.run("run", "--rm", *PLATFORM, arm64, "sh", "-c", command)
    assert done.returncode == status, done.stderr


#: What is run of tests/process, by name: who is ended and reaped, who adopts, what a program starts
#: with. Storms, races and the bomb of 3,500 sessions are left out, in which an emulator ten times
#: slower shows only itself.
SUITES = ("test_architecture", "test_shim", "test_init_reaping")
CORE = (
    "fork_by_number or architecture_is or every_cause or nobody_hides or killed_service"
    " or killed_shim or leads_a_session or its_tag_folder or descriptors or clean_signal"
    " or mid_life or three_forks or it_adopts or that_leaves_group or parent_that_made"
)


def test_init_and_the_shims_pass_their_tests(engine: Engine, arm64: str, packages: Path) -> None:
    """The core of `tests/process`, with the image's own Python."""
    done = engine.run(
        "run", "--rm", "--init", *PLATFORM, *FREELY, "--volume", f"{ROOT}:/src:ro", "--volume",
        f"{packages}:/packages:ro", "--workdir", "/src", "--env", "PYTHONPATH=/packages",
        "--env", "PYTHONDONTWRITEBYTECODE=1", "--env", "HYPOTHESIS_STORAGE_DIRECTORY=/tmp/examples",
        "--entrypoint", "/opt/poster/bin/python", arm64,
        "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "timeout=900", "-k",
        f"({CORE}) and not 3501",
        *(f"tests/process/{name}.py" for name in SUITES), seconds=5000,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-1000:]
