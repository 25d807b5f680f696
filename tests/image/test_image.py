"""What is in the image: all that a render needs, nothing that it does not, and no root."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import settled
from tests.image.harness import ROOT, Engine, container

#: Unpacked, in bytes; 40 % of it is Chrome's one program, 25 % fonts, 6 % the queue of jobs and
#: traces with what they bring, 4 % compiled libraries that only some requests need (object
#: storage, Markdown of pages, expressions).
LARGEST = 730 * 1000 * 1000


def within(engine: Engine, image: str, script: str) -> str:
    """What a shell script says that is run in the image instead of the service."""
    return engine.ask("run", "--rm", "--entrypoint", "/bin/sh", image, "-c", script)


def test_it_stays_within_its_size(engine: Engine, image: str) -> None:
    """What makes it grow is seen here first."""
    assert int(engine.inspect(image, ".Size")) < LARGEST


def test_its_settings_are_those_of_a_good_citizen(engine: Engine, image: str) -> None:
    """Numeric user, our init by path, a signal to stop, a health check, one port, labels."""
    config = json.loads(engine.inspect(image, "json .Config"))
    assert config["User"] == "10001:10001"
    assert config["Entrypoint"] == [
        "/usr/bin/python3", "-I", "-S", "-E", "/opt/poster/init.pyc", "--",
    ]  # fmt: skip
    assert config["Cmd"] == ["poster-service", "serve"]
    assert config["StopSignal"] == "SIGTERM"
    assert config["Healthcheck"]["Test"][-1] == "/opt/poster/healthcheck.py"
    assert list(config["ExposedPorts"]) == ["8080/tcp"]
    labels = config["Labels"]
    for name in ("title", "description", "licenses", "version", "revision", "base.name"):
        assert labels[f"org.opencontainers.image.{name}"]


def test_no_compiler_cache_or_package_list_is_left(engine: Engine, image: str) -> None:
    """Nor pip, nor anything in /tmp; and only root may write to what is run."""
    tools = "for one in gcc cc make pip pip3 git curl wget; do command -v $one; done"
    assert within(engine, image, f"{tools}; true") == ""
    assert within(engine, image, "ls /var/lib/apt/lists /var/cache/apt /tmp") == (
        "/tmp:\n\n/var/cache/apt:\n\n/var/lib/apt/lists:"
    )
    assert within(engine, image, "find /opt /usr -xdev -writable ! -type l | head") == ""
    assert (
        within(engine, image, "ls /opt/poster/lib/*/site-packages | grep -E '^(pip|hatch)'; true")
        == ""
    )


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("Arial", "Liberation Sans"), ("Helvetica", "Liberation Sans"),
        ("Times New Roman", "Liberation Serif"), ("Courier New", "Liberation Mono"),
        ("Calibri", "Carlito"), ("Cambria", "Caladea"),
        (":lang=zh-cn", "Noto Sans CJK SC"), (":lang=ja", "Noto Sans CJK JP"),
        (":lang=ko", "Noto Sans CJK KR"), ("emoji", "Noto Color Emoji"),
        ("Noto Sans Arabic", "Noto Sans Arabic"), ("Noto Sans Thai", "Noto Sans Thai"),
    ],
)  # fmt: skip
def test_fonts_that_pages_ask_for_have_their_measures(
    engine: Engine, image: str, asked: str, found: str
) -> None:
    """Latin by metric-compatible ones, CJK, emoji."""
    assert within(engine, image, f"fc-match -f '%{{family[0]}}' '{asked}'") == found


def test_the_cache_of_fontconfig_is_warm(engine: Engine, image: str) -> None:
    """No Chrome has to read every font; it could not keep what it found."""
    reported = within(engine, image, "fc-cache --verbose")
    folders = [line for line in reported.splitlines() if line.startswith("/usr/share/fonts:")]
    assert folders
    assert "skipping, existing cache is valid" in folders[0], reported
    assert "failed" not in reported


def test_a_bill_of_materials_can_be_written(engine: Engine, image: str, tmp_path: Path) -> None:
    """docker/sbom: Debian's packages and Python's, with the versions that are in the image."""
    script = str(ROOT / "docker" / "sbom")
    subprocess.run(
        [script, image, str(tmp_path)], check=True,
        env={**os.environ, **engine.environment, "VENV": sys.prefix},
    )  # fmt: skip
    debian, python = (
        {
            one["name"]: one["version"]
            for one in json.loads((tmp_path / f"{kind}.cdx.json").read_text("utf-8"))["components"]
        }
        for kind in ("debian", "python")
    )
    ask = "dpkg-query --show --showformat '${Version}' chromium-headless-shell"
    assert debian["chromium-headless-shell"] == within(engine, image, ask)
    assert "fonts-noto-cjk" in debian
    assert f"aiohttp=={python['aiohttp']} " in (ROOT / "requirements.lock").read_text("utf-8")
    assert python["poster-service"]
    assert not {"pip", "hatchling", "pluggy", "setuptools"} & python.keys()


async def test_the_health_check_tells_healthy_and_unhealthy(engine: Engine, image: str) -> None:
    """By /healthz and by the number of zombies; Docker asks, here every second."""
    options = ("--health-interval=1s", "--health-retries=1", "--env=POSTER_INIT_MAX_ZOMBIES=3")
    async with container(engine, *options, image=image) as one:
        check = ("/usr/bin/python3", "-I", "-S", "-E", "/opt/poster/healthcheck.py")
        assert "0 zombies" in one.exec(*check)

        def health() -> str:
            return engine.inspect(one.name, ".State.Health.Status")

        assert await settled(lambda: health() == "healthy")
        # A parent that waits for no child, with more dead children than allowed.
        script = "import os, time\nfor _ in range(5): os.fork() or os._exit(0)\ntime.sleep(300)"
        engine.ask("exec", "--detach", one.name, "python3", "-c", script)
        assert await settled(lambda: health() == "unhealthy")


async def test_stdout_is_one_json_object_a_line_and_tells_no_secrets(
    engine: Engine, image: str
) -> None:
    """One line for each render, with its phases and sizes; never the page or its data."""
    async with container(engine, image=image) as one:
        broken = "<p>the secret word<script>throw new RangeError('the secret word')</script>"
        await one.picture(html=broken, width=60, height=40)
        engine.ask("stop", one.name)
        done = engine.run("logs", one.name)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    renders = [line for line in lines if line["message"] == "render"]
    assert len(renders) == 2  # and the probe of the start
    last = renders[-1]
    assert last["outcome"] == "ok"
    assert (last["width"], last["height"]) == (60, 40)
    assert last["bytes"] > 100
    assert last["request_id"]
    assert last["script_errors"] == ["RangeError at 1:27"]
    assert set(last["phases"]) == {"queue", "lease", "setup", "load", "wait", "capture"}
    assert any(line["message"].startswith("serving on") for line in lines)
    assert "secret" not in done.stdout + done.stderr
    assert [
        line for line in done.stderr.splitlines() if not line.startswith("poster-init[1]")
    ] == []
