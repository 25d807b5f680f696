"""Deployment of jobs: Redis, workers, autoscalers; what must agree does, and the whole is valid."""

import copy
import re
import subprocess
from pathlib import Path
from typing import Any

import docket
import pytest
import yaml

from poster_service.commands.under_init import CLEAN_UP_SECONDS
from poster_service.jobs.queue import NAME
from poster_service.settings import Settings
from tests.compose import SPELLINGS, is_installed
from tests.deploy.conftest import DOCKER, INIT_KILL_SECONDS
from tests.deploy.harness import (
    FOLDER,
    MANIFESTS,
    POD,
    VERSIONS,
    faults,
    kustomization,
    restricted,
    validate,
)

WORKER = MANIFESTS["worker-deployment.yaml"]["spec"]["template"]["spec"]
[CONTAINER] = WORKER["containers"]
COMPOSE = yaml.safe_load((DOCKER / "compose.jobs.yaml").read_text("utf-8"))
SERVICES = COMPOSE["services"]


def patched(manifest: dict[str, Any], component: str) -> dict[str, Any]:
    """A manifest with the patches of a component (RFC 6902) that name it."""
    made = copy.deepcopy(manifest)
    for patch in kustomization(FOLDER / component).get("patches", ()):
        target = patch["target"]
        is_meant = target["kind"] == made["kind"] and re.fullmatch(
            target["name"], made["metadata"]["name"]
        )
        for step in yaml.safe_load(patch["patch"]) if is_meant else ():
            apply(made, step)
    return made


def apply(document: Any, step: dict[str, Any]) -> None:
    """One step of a patch; what it names must be there, but for the last of `add`."""
    *path, last = step["path"].strip("/").split("/")
    at = document
    for name in path:
        at = at[int(name)] if isinstance(at, list) else at[name]
    if isinstance(at, list) and last == "-":
        at.append(step["value"])
        return
    key: Any = int(last) if isinstance(at, list) else last
    if step["op"] != "add":
        assert key in at or isinstance(at, list), step["path"]
    if step["op"] == "test":
        assert at[key] == step["value"]
    elif step["op"] == "remove":
        del at[key]
    else:
        at[key] = step["value"]


def test_the_component_gives_the_service_its_redis_and_storage() -> None:
    """The service accepts jobs and renders none of them; the whole is valid, and restricted."""
    service = patched(MANIFESTS["deployment.yaml"], "jobs")
    pod = service["spec"]["template"]["spec"]
    [container] = pod["containers"]
    env = {one["name"]: one["value"] for one in container["env"]}
    assert env["POSTER_JOBS_CONCURRENCY"] == "0"
    assert container["envFrom"] == CONTAINER["envFrom"]
    restricted(pod)
    policy = patched(MANIFESTS["networkpolicy.yaml"], "jobs")
    without = patched(MANIFESTS["worker-deployment.yaml"], "no-sandbox")
    scaled = [
        patched(MANIFESTS["worker-deployment.yaml"], one)
        for one in ("jobs-keda", "jobs-autoscaler")
    ]
    assert all("replicas" not in one["spec"] for one in scaled)
    profile = without["spec"]["template"]["spec"]["securityContext"]["seccompProfile"]
    assert profile == {"type": "RuntimeDefault"}
    for manifest in (service, policy, without, *scaled):
        validate(manifest, VERSIONS[-1])


def test_a_worker_is_as_restricted_as_the_service() -> None:
    """The same image, profile, limits and volumes; another command."""
    restricted(WORKER)
    [service] = POD["containers"]
    assert CONTAINER["args"] == ["poster-service", "work"]
    same = (
        "image",
        "securityContext",
        "resources",
        "startupProbe",
        "livenessProbe",
        "volumeMounts",
    )
    assert [CONTAINER[name] for name in same] == [service[name] for name in same]
    assert WORKER["securityContext"] == POD["securityContext"]
    assert WORKER["volumes"] == POD["volumes"]


def test_the_settings_of_workers_are_ones_that_they_take() -> None:
    """And a worker that has to go has time for the longest render that may be asked for."""
    lines = (FOLDER / "jobs/jobs.env").read_text().split()
    shared = dict(line.split("=", 1) for line in lines)
    own = {one["name"]: one["value"] for one in CONTAINER["env"]}
    by_compose = SERVICES["worker"]["environment"]
    front = SERVICES["poster"]["environment"]
    Settings.load(front, {})
    graces = (WORKER["terminationGracePeriodSeconds"], SERVICES["worker"]["stop_grace_period"])
    for variables, grace in zip((shared | own, by_compose), graces, strict=True):
        settings = Settings.load(variables, {})
        assert settings.jobs_redis
        assert settings.stop_grace_seconds * 1000 >= settings.max_timeout_ms
        needed = settings.stop_grace_seconds + CLEAN_UP_SECONDS + INIT_KILL_SECONDS
        assert int(str(grace).rstrip("s")) > needed


def test_only_those_that_need_the_redis_reach_it() -> None:
    """By labels that the pods have, at the port that it has; no route leads out of it."""
    redis = MANIFESTS["redis-statefulset.yaml"]
    labels = redis["spec"]["template"]["metadata"]["labels"]
    policy = MANIFESTS["redis-networkpolicy.yaml"]["spec"]
    assert policy["podSelector"]["matchLabels"] == labels
    assert policy["egress"] == []
    [rule] = policy["ingress"]
    [choice] = rule["from"][0]["podSelector"]["matchExpressions"]
    pods = [
        MANIFESTS[name]["spec"]["template"]["metadata"]["labels"][choice["key"]]
        for name in ("deployment.yaml", "worker-deployment.yaml")
    ]
    assert choice["values"] == pods
    mine = MANIFESTS["jobs-networkpolicy.yaml"]["spec"]
    assert mine["podSelector"]["matchExpressions"] == [choice]
    [way] = mine["egress"]
    assert way["to"] == [{"podSelector": {"matchLabels": labels}}]
    [container] = redis["spec"]["template"]["spec"]["containers"]
    [port] = container["ports"]
    ports = [way["ports"], rule["ports"], MANIFESTS["redis-service.yaml"]["spec"]["ports"]]
    assert all(one["port"] == port["containerPort"] for [one] in ports)
    assert MANIFESTS["redis-service.yaml"]["spec"]["selector"] == labels
    [address] = re.findall(r"redis://([\w-]+):6379", (FOLDER / "jobs/jobs.env").read_text())
    assert address == MANIFESTS["redis-service.yaml"]["metadata"]["name"]


@pytest.mark.parametrize(
    "words",
    [
        MANIFESTS["redis-statefulset.yaml"]["spec"]["template"]["spec"]["containers"][0]["args"],
        SERVICES["redis"]["command"],
    ],
)
def test_the_redis_forgets_nothing(words: list[str]) -> None:
    """The service refuses to start on one that evicts."""
    given = dict(zip(words[1::2], words[2::2], strict=True))
    assert given["--appendonly"] == "yes"
    assert given["--maxmemory-policy"] == "noeviction"


async def test_keda_asks_for_the_stream_that_the_queue_has() -> None:
    """And for its group, at the address of the Service, in the namespace of the pods."""
    [trigger] = MANIFESTS["worker-scaledobject.yaml"]["spec"]["triggers"]
    queue = docket.Docket(name=NAME, url="memory://names")
    assert trigger["metadata"]["stream"] == queue.stream_key
    assert trigger["metadata"]["consumerGroup"] == queue.worker_group_name
    service = MANIFESTS["redis-service.yaml"]["metadata"]["name"]
    namespace = MANIFESTS["namespace.yaml"]["metadata"]["name"]
    assert trigger["metadata"]["address"] == f"{service}.{namespace}.svc.cluster.local:6379"
    for name in ("worker-scaledobject.yaml", "worker-horizontalpodautoscaler.yaml"):
        target = MANIFESTS[name]["spec"]["scaleTargetRef"]["name"]
        assert target == MANIFESTS["worker-deployment.yaml"]["metadata"]["name"]
    budget = MANIFESTS["worker-poddisruptionbudget.yaml"]["spec"]["selector"]["matchLabels"]
    labels = MANIFESTS["worker-deployment.yaml"]["spec"]["selector"]["matchLabels"]
    assert budget == labels


def test_the_compose_file_is_valid_and_bounded() -> None:
    """Memory, processes, file system and capabilities of each container; pinned images."""
    assert faults(COMPOSE) == []
    for name, service in SERVICES.items():
        if name == "poster":
            continue  # what it has is in compose.yaml
        assert service["mem_limit"], name
        assert service["pids_limit"], name
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert "no-new-privileges:true" in service["security_opt"], name
        assert service["logging"]["options"]["max-size"], name
        assert "ports" not in service, name
        assert re.search(r":v?\d+\.\d+\.\d+\}?\Z", service["image"]), service["image"]
    base = yaml.safe_load((DOCKER / "compose.yaml").read_text("utf-8"))["services"]["poster"]
    worker = SERVICES["worker"]
    same = ("image", "mem_limit", "pids_limit", "tmpfs", "security_opt", "healthcheck")
    assert [worker[name] for name in same] == [base[name] for name in same]


@pytest.mark.parametrize("spelling", SPELLINGS, ids=" ".join)
def test_compose_puts_both_files_together(spelling: tuple[str, ...]) -> None:
    """The service keeps what it has, and gets its Redis; v1 or v2, the one that is there."""
    if not is_installed(spelling):
        pytest.skip(f"{' '.join(spelling)} is not here")
    command = [*spelling, "-f", "compose.yaml", "-f", "compose.jobs.yaml", "config"]
    made = subprocess.run(
        command, cwd=DOCKER, capture_output=True, text=True, timeout=60, check=False
    )
    assert made.returncode == 0, made.stderr
    poster = yaml.safe_load(made.stdout)["services"]["poster"]
    assert poster["environment"]["POSTER_JOBS_REDIS"] == "redis://redis:6379/0"
    assert poster["environment"]["POSTER_TOKENS_FILE"] == "/run/secrets/tokens"
    assert Path(DOCKER / "seccomp.json").is_file()
