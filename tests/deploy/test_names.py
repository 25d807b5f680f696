"""What every deployment file says about the service is true of the service.

Variables are settings or options of init; ports and paths are those it has.
"""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from poster_service import init
from poster_service.settings import Settings, variable_of
from poster_service.web.handlers import routes
from tests.deploy.conftest import DOCKER, Exposed
from tests.deploy.harness import CONTAINER, ENV, MANIFESTS, MONITORING, VERSIONS, unknown, validate

#: What deploys the service or tells how; the image itself has tests of its own.
FILES = sorted(
    path
    for path in DOCKER.rglob("*")
    if path.suffix in (".yaml", ".yml", ".json", ".service", ".md") and path.name != "seccomp.json"
)
SETTINGS = {variable_of(name) for name in Settings.model_fields}
INIT = {
    f"POSTER_INIT_{long.upper().replace('-', '_')}"
    for _, long, *_ in init.OPTIONS
    if long not in init.NOT_FROM_ENVIRONMENT
}
PATHS = {route.path for route in routes(Settings.load({}, {}))}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(DOCKER)))
def test_every_variable_is_one_that_the_service_reads(path: Path) -> None:
    """A misspelt one would stop the service at its start, or be a remedy that is none."""
    named = set(re.findall(r"\bPOSTER_[A-Z][A-Z_]*[A-Z]\b", path.read_text("utf-8")))
    assert named <= SETTINGS | INIT


def test_values_given_are_ones_that_the_service_takes() -> None:
    """All that a container or the unit is given, read as the service reads it."""
    compose = yaml.safe_load((DOCKER / "compose.yaml").read_text("utf-8"))
    unit = (DOCKER / "poster-service.service").read_text("utf-8")
    given = (
        ENV,
        compose["services"]["poster"]["environment"],
        dict(re.findall(r"^Environment=(\w+)=(.*)$", unit, re.MULTILINE)),
    )
    for variables in given:
        Settings.load(variables, {})
        # Without this one the figures of memory and pids beside it mean nothing.
        assert {"POSTER_CONCURRENCY", "POSTER_MAX_READY_CHROMES"} <= variables.keys()


def test_every_path_and_port_is_one_that_the_service_has() -> None:
    """Probes, the monitor, the scraper; and 8080 everywhere."""
    probes = [
        CONTAINER[name]["httpGet"] for name in ("startupProbe", "readinessProbe", "livenessProbe")
    ]
    [endpoint] = MANIFESTS["servicemonitor.yaml"]["spec"]["endpoints"]
    assert {one["path"] for one in [*probes, endpoint]} <= PATHS
    assert {one["port"] for one in probes} == {"http"}
    port = Settings.model_fields["port"].default
    assert CONTAINER["ports"] == [{"name": "http", "containerPort": port}]
    [ingress] = MANIFESTS["networkpolicy.yaml"]["spec"]["ingress"]
    assert [one["port"] for one in ingress["ports"]] == [port]
    scraped = yaml.safe_load((MONITORING / "prometheus.yml").read_text("utf-8"))["scrape_configs"]
    jobs = {one["job_name"]: one for one in scraped}
    assert jobs["poster-service"]["static_configs"][0]["targets"] == [f"poster:{port}"]
    assert "metrics_path" not in jobs["poster-service"]  # its default is /metrics
    assert "/metrics" in PATHS
    compose = yaml.safe_load((DOCKER / "compose.yaml").read_text("utf-8"))
    assert all(one.endswith(f":{port}") for one in compose["services"]["poster"]["ports"])


def test_every_path_that_a_remedy_names_is_there() -> None:
    """`GET /...` in any of the files."""
    named = {
        path
        for file in FILES
        for path in re.findall(r"GET (/[a-z/]*[a-z])", file.read_text("utf-8"))
    }
    assert {"/healthz", "/metrics", "/readyz", "/status"} <= named | {"/healthz"}
    assert named <= PATHS


async def test_the_autoscaler_rests_on_metrics_that_the_service_has(
    exposed: Exposed,
) -> None:
    """The adapter's rule, with its placeholders filled in."""
    file = DOCKER / "kubernetes/monitoring/prometheus-adapter.yaml"
    [rule] = yaml.safe_load(file.read_text("utf-8"))["rules"]["custom"]
    for query in (rule["seriesQuery"], rule["metricsQuery"]):
        plain = query.replace("<<.LabelMatchers>>", 'job="x"').replace("<<.GroupBy>>", "pod")
        plain = plain.replace('{namespace!="",pod!=""}', "")
        assert unknown(plain, exposed) == []


def test_the_page_tells_what_every_file_is() -> None:
    """No file of this folder is left out of its table."""
    page = (DOCKER / "README.md").read_text("utf-8")
    reported = re.findall(r"`([\w./@-]+)`", page.split("\n## ")[0])
    for path in FILES:
        name = str(path.relative_to(DOCKER))
        beside = any(one.endswith("/") and name.startswith(one) for one in reported)
        assert name in reported or beside or name == "README.md", name


def test_the_alert_rules_become_a_prometheusrule_as_the_page_says(tmp_path: Path) -> None:
    """Its command is run as it stands there."""
    page = (DOCKER.parent / "docs" / "operations.md").read_text("utf-8")
    [command] = re.findall(r"```sh\n(\{ printf.*?)```", page, re.DOTALL)
    (tmp_path / "docker").symlink_to(DOCKER)
    subprocess.run(["bash", "-euo", "pipefail", "-c", command], cwd=tmp_path, check=True)
    made = yaml.safe_load((tmp_path / "prometheusrule.yaml").read_text("utf-8"))
    validate(made, VERSIONS[-1])
    assert made["spec"] == yaml.safe_load((DOCKER / "monitoring/alerts.yml").read_text("utf-8"))
