"""The compose file: valid by the Compose Specification, and as strict as it says.

The specification's own JSON schema comes with check-jsonschema; what a schema cannot see
(variables, anchors, profiles) is left to compose itself (Debian's package `docker-compose`).
"""

import copy
import json
import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from poster_service import __version__, credentials
from poster_service.commands.under_init import CLEAN_UP_SECONDS
from poster_service.credentials import from_lines, owner_of
from poster_service.settings import Settings
from tests.compose import SPELLINGS, composer, is_installed
from tests.deploy.conftest import DOCKER, INIT_KILL_SECONDS, tool
from tests.deploy.harness import faults

FILE = DOCKER / "compose.yaml"
COMPOSE = yaml.safe_load(FILE.read_text("utf-8"))
POSTER = COMPOSE["services"]["poster"]


@pytest.fixture(params=SPELLINGS, ids=" ".join)
def spelling(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """Each way to call compose that is there; one at least must be, where CI is set."""
    if not composer():
        tool("docker-compose", "docker-compose")
    chosen: tuple[str, ...] = request.param
    if not is_installed(chosen):
        pytest.skip(f"{' '.join(chosen)} is not here; {' '.join(composer())} is")
    return chosen


def test_the_schema_accepts_it_and_can_refuse() -> None:
    """A misspelt key, and a value of the wrong kind."""
    assert faults(COMPOSE) == []
    misspelt = copy.deepcopy(COMPOSE)
    misspelt["services"]["poster"]["pid_limit"] = 300
    assert len(faults(misspelt)) == 1
    wrong = copy.deepcopy(COMPOSE)
    wrong["services"]["poster"]["cap_drop"] = "ALL"  # no list
    assert faults(wrong)


@pytest.mark.parametrize("profile", [[], ["--profile", "monitoring"]])
def test_compose_itself_accepts_it(spelling: tuple[str, ...], profile: list[str]) -> None:
    """Without the profile there is one service; v1 or v2, the one that is there."""
    command = [*spelling, *profile, "config", "--services"]
    reported = subprocess.run(
        command, cwd=DOCKER, capture_output=True, text=True, timeout=60, check=False
    )
    assert reported.returncode == 0, reported.stderr
    wanted = {"poster", "prometheus", "grafana"} if profile else {"poster"}
    # Old ones list the services of all profiles.
    assert wanted <= set(reported.stdout.split()) <= {"poster", "prometheus", "grafana"}


def test_replicas_share_a_range_of_ports(spelling: tuple[str, ...]) -> None:
    """As the page has it: one port of this machine for each, and no name that only one may have."""
    page = (DOCKER.parent / "docs/operations.md").read_text("utf-8")
    assert "PUBLISH=127.0.0.1:8081-8084 docker compose up --detach --scale poster=4" in page
    reported = subprocess.run(
        [*spelling, "config"], cwd=DOCKER, capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, "PUBLISH": "127.0.0.1:8081-8084"},
    )  # fmt: skip
    assert reported.returncode == 0, reported.stderr
    [port] = yaml.safe_load(reported.stdout)["services"]["poster"]["ports"]
    assert "8081-8084" in str(port)
    assert not {"container_name", "hostname", "network_mode"} & POSTER.keys()


def test_the_page_has_both_spellings() -> None:
    """Who has the older one only finds it named, by the page and by the file itself."""
    page = (DOCKER / "README.md").read_text("utf-8")
    assert "docker compose up" in page
    assert "`docker-compose`" in page
    assert "docker-compose" in FILE.read_text("utf-8").partition("services:")[0]


def test_every_container_is_bounded_and_has_no_privilege() -> None:
    """Memory, processes, file system, capabilities; pinned images; the host sees loopback only."""
    for name, service in COMPOSE["services"].items():
        assert service["mem_limit"], name
        assert service["pids_limit"], name
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert "no-new-privileges:true" in service["security_opt"], name
        assert service["logging"]["options"]["max-size"], name
        for port in service["ports"]:
            assert re.match(r"\$\{\w+:-127\.0\.0\.1:\d+\}:\d+\Z", port), port
        assert re.search(r":v?\d+\.\d+\.\d+\}?\Z", service["image"]), service["image"]
        assert name == "poster" or service["profiles"] == ["monitoring"], name


def test_the_image_is_the_one_of_this_version() -> None:
    """`latest` is the image that was built or pulled last."""
    assert POSTER["image"] == f"${{IMAGE:-poster-service:{__version__}}}"


def test_every_file_it_names_is_there() -> None:
    """Docker makes a folder of a file that is missing."""
    sources = [
        volume.split(":")[0]
        for service in COMPOSE["services"].values()
        for volume in service.get("volumes", ())
        if volume.startswith("./")
    ]
    assert len(sources) == 5
    [profile] = [one for one in POSTER["security_opt"] if one.startswith("seccomp:")]
    for source in [*sources, profile.removeprefix("seccomp:"), POSTER["build"]["context"]]:
        assert (DOCKER / source).exists(), source
    json.loads((DOCKER / profile.removeprefix("seccomp:")).read_text("utf-8"))


def test_the_tokens_are_where_the_service_looks_for_them() -> None:
    """A secret of a file that the page beside it makes, and that git does not take in."""
    [secret] = POSTER["secrets"]
    assert POSTER["environment"]["POSTER_TOKENS_FILE"] == f"/run/secrets/{secret}"
    file = COMPOSE["secrets"][secret]["file"]
    assert file == "${TOKENS:-./tokens}"
    assert "> tokens\n" in (DOCKER / "README.md").read_text("utf-8")
    assert "/docker/tokens" in (DOCKER.parent / ".gitignore").read_text().splitlines()


@pytest.mark.parametrize("page", ["docker/README.md", "docs/operations.md"])
def test_the_pages_command_makes_a_file_that_the_service_takes(page: str, tmp_path: Path) -> None:
    """And that holds no token, so that the container's uid may read it."""
    text = (DOCKER.parent / page).read_text("utf-8")
    lines = [line.strip() for line in text.splitlines() if "TOKEN=$(" in line or "> tokens" in line]
    script = "\n".join([lines[0].partition("&& ")[2], lines[1], 'printf %s "$TOKEN"'])
    done = subprocess.run(
        ["sh", "-euc", script], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    [token] = from_lines((tmp_path / "tokens").read_text(), credentials.token)
    assert (token.name, token.in_clear) == ("web", False)
    assert owner_of([token], done.stdout) == "web"


def test_a_stop_has_time_enough() -> None:
    """Renders, Chromes, what is left: and then some."""
    needed = Settings.load({}, {}).stop_grace_seconds + CLEAN_UP_SECONDS + INIT_KILL_SECONDS
    assert int(POSTER["stop_grace_period"].rstrip("s")) > needed


def test_grafana_finds_its_files_where_compose_puts_them() -> None:
    """Paths of one file must be those of the other."""
    mounts = dict(volume.split(":")[:2] for volume in COMPOSE["services"]["grafana"]["volumes"])
    folder = Path(mounts["./monitoring/dashboard.json"]).parent
    provisioning = DOCKER / "monitoring/grafana"
    provider = yaml.safe_load((provisioning / "dashboards/posters.yml").read_text("utf-8"))
    assert [one["options"]["path"] for one in provider["providers"]] == [str(folder)]
    source = yaml.safe_load((provisioning / "datasources/prometheus.yml").read_text("utf-8"))
    assert [one["url"] for one in source["datasources"]] == ["http://prometheus:9090"]
