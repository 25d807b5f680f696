"""The manifests: valid by the API's schemas, fit for Pod Security "restricted", and consistent.

`kubernetes-validate` brings the schemas of the API and refuses unknown fields. ServiceMonitor and
PrometheusRule are no part of the API: their schemas are those of the operator's own custom resource
definitions, kept in `schemas/` because no package ships them that leaves pytest alone (cloudcoil's
models do, and break it by a plugin that cannot be imported). `kubectl kustomize` puts all together
where there is a kubectl; Debian's is too old to be asked for.
"""

import copy
import ipaddress
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from poster_service import init
from poster_service.commands.under_init import CLEAN_UP_SECONDS
from poster_service.settings import Settings
from tests.deploy.conftest import DOCKER, INIT_KILL_SECONDS
from tests.deploy.harness import (
    CONTAINER,
    ENV,
    FOLDER,
    MANIFESTS,
    POD,
    VERSIONS,
    kustomization,
    restricted,
    validate,
)

#: What brings the seccomp profile to the nodes.
PROFILE = FOLDER / "seccomp"


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", MANIFESTS)
def test_the_api_accepts_it(name: str, version: str) -> None:
    """By the schemas of an older and of the newest version."""
    validate(MANIFESTS[name], version)


@pytest.mark.parametrize(
    ("name", "where", "value"),
    [
        ("deployment.yaml", ("spec", "template", "spec", "enableServiceLink"), False),
        ("deployment.yaml", ("spec", "replicas"), "two"),
        ("networkpolicy.yaml", ("spec", "egres"), []),
        ("servicemonitor.yaml", ("spec", "endpoints", 0, "prt"), "http"),
        ("servicemonitor.yaml", ("spec", "endpoints", 0, "interval"), "15 seconds"),
        ("worker-scaledobject.yaml", ("spec", "minReplicas"), 0),
        ("worker-scaledobject.yaml", ("spec", "pollingInterval"), "5 s"),
        ("worker-scaledobject.yaml", ("spec", "triggers", 0, "metadata", "lagcount"), "20"),
    ],
)
def test_the_validators_can_refuse(name: str, where: tuple[str | int, ...], value: object) -> None:
    """A misspelt field and a wrong value, in each of the two kinds of schema."""
    manifest = copy.deepcopy(MANIFESTS[name])
    at: Any = manifest
    for step in where[:-1]:
        at = at[step]
    at[where[-1]] = value
    with pytest.raises(Exception, match=r"not of type|unexpected|does not match"):
        validate(manifest, VERSIONS[-1])


def test_every_manifest_is_named_by_a_kustomization() -> None:
    """None lies there without being applied."""
    named = []
    components = ("monitoring", "no-sandbox", "jobs", "jobs-keda", "jobs-autoscaler")
    for folder in (FOLDER, *(FOLDER / one for one in components), PROFILE):
        resources = kustomization(folder).get("resources", [])
        assert all((folder / one).is_file() for one in resources)
        named += resources
    assert sorted(named) == sorted(MANIFESTS)


def kustomize(folder: Path) -> dict[str, Any]:
    """What kustomize makes of a folder, by kind; each valid."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("no kubectl here")
    built = subprocess.run(
        [kubectl, "kustomize", folder], capture_output=True, text=True, timeout=60, check=False
    )
    assert built.returncode == 0, built.stderr
    made = {one["kind"]: one for one in yaml.safe_load_all(built.stdout)}
    for manifest in made.values():
        validate(manifest, VERSIONS[-1])
    return made


COMPONENTS: tuple[list[str], ...] = (
    [],
    ["no-sandbox"],
    ["monitoring"],
    ["no-sandbox", "monitoring"],
)


@pytest.mark.parametrize("components", COMPONENTS)
def test_kustomize_puts_it_together(components: list[str], tmp_path: Path) -> None:
    """With any choice of components, and the result is valid again."""
    shutil.copytree(FOLDER, tmp_path / "base")
    own = {"resources": ["../base"], "components": [f"../base/{one}" for one in components]}
    (tmp_path / "own").mkdir()
    (tmp_path / "own/kustomization.yaml").write_text(yaml.safe_dump(own))
    made = kustomize(tmp_path / "own")
    assert ("HorizontalPodAutoscaler" in made) == ("monitoring" in components)
    deployment = made["Deployment"]["spec"]
    # Two that both say how many replicas there are would fight.
    assert ("replicas" in deployment) != ("monitoring" in components)
    restricted(deployment["template"]["spec"])
    without = "no-sandbox" in components
    profile = deployment["template"]["spec"]["securityContext"]["seccompProfile"]
    localhost = {"type": "Localhost", "localhostProfile": "poster-service.json"}
    assert profile == ({"type": "RuntimeDefault"} if without else localhost)
    [container] = deployment["template"]["spec"]["containers"]
    assert re.search(r":\d+\.\d+\.\d+\Z", container["image"])
    env = {one["name"]: one["value"] for one in container["env"]}
    assert env["POSTER_SANDBOX"] == ("auto" if without else "require")
    assert len(env) == len(container["env"])


def test_chromes_sandbox_is_on_by_default() -> None:
    """The Deployment alone asks for the profile that allows it, and does not start without it."""
    profile = POD["securityContext"]["seccompProfile"]
    assert profile == {"type": "Localhost", "localhostProfile": "poster-service.json"}
    assert ENV["POSTER_SANDBOX"] == "require"
    assert kustomization(FOLDER).get("components") == []


def test_the_profile_comes_to_every_node_under_the_name_that_the_pods_ask_for(
    tmp_path: Path,
) -> None:
    """The DaemonSet's own command, run on folders; twice, since a node keeps the file."""
    pod = MANIFESTS["daemonset.yaml"]["spec"]["template"]["spec"]
    [container] = pod["containers"]
    paths = {one["name"]: one["mountPath"] for one in container["volumeMounts"]}
    [node] = [one["hostPath"]["path"] for one in pod["volumes"] if "hostPath" in one]
    assert node == "/var/lib/kubelet/seccomp"
    script = container["command"][-1]
    assert container["command"][:2] == ["sh", "-euc"]
    local = script.replace(f"{paths['profile']}/", f"{PROFILE}/")
    local = local.replace(f"{paths['node']}/", f"{tmp_path}/").replace("sleep infinity", "true")
    for _ in range(2):
        subprocess.run(["sh", "-euc", local], check=True)
    wanted = POD["securityContext"]["seccompProfile"]["localhostProfile"]
    assert [one.name for one in tmp_path.iterdir()] == [wanted]
    assert (tmp_path / wanted).read_bytes() == (PROFILE / wanted).read_bytes()
    assert (tmp_path / wanted).stat().st_mode & 0o777 == 0o644


def test_what_brings_the_profile_has_no_more_rights_than_it_needs() -> None:
    """Root without a capability, in a namespace of its own; kustomize finds all that it names."""
    pod = MANIFESTS["daemonset.yaml"]["spec"]["template"]["spec"]
    [container] = pod["containers"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert pod["automountServiceAccountToken"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
    made = kustomize(PROFILE)
    namespaces = {one["metadata"].get("namespace") for one in made.values()} - {None}
    assert namespaces == {made["Namespace"]["metadata"]["name"]}
    assert namespaces != {MANIFESTS["namespace.yaml"]["metadata"]["name"]}
    [volume] = [
        one
        for one in made["DaemonSet"]["spec"]["template"]["spec"]["volumes"]
        if "configMap" in one
    ]
    assert volume["configMap"]["name"] == made["ConfigMap"]["metadata"]["name"]
    assert kustomization(PROFILE)["images"] == kustomization(FOLDER)["images"]


def test_the_pod_is_fit_for_restricted_and_for_any_uid() -> None:
    """And the namespace has the cluster enforce it."""
    restricted(POD)
    labels = MANIFESTS["namespace.yaml"]["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    assert "runAsUser" not in POD["securityContext"]
    assert CONTAINER["securityContext"]["readOnlyRootFilesystem"] is True
    assert POD["automountServiceAccountToken"] is False
    assert POD["enableServiceLinks"] is False


def test_the_tokens_are_where_the_service_looks_for_them() -> None:
    """One Secret with two keys: digests for the service, the scraper's own for Prometheus."""
    [volume] = [one for one in POD["volumes"] if "secret" in one]
    [mount] = [one for one in CONTAINER["volumeMounts"] if one["name"] == volume["name"]]
    [item] = volume["secret"]["items"]
    assert ENV["POSTER_TOKENS_FILE"] == f"{mount['mountPath']}/{item['path']}"
    assert "subPath" not in mount, "a changed Secret would never be seen"
    assert volume["secret"]["defaultMode"] == 0o444
    [endpoint] = MANIFESTS["servicemonitor.yaml"]["spec"]["endpoints"]
    credentials = endpoint["authorization"]["credentials"]
    assert credentials["name"] == volume["secret"]["secretName"]
    made = (FOLDER / "kustomization.yaml").read_text("utf-8")
    assert f"secret generic {credentials['name']}" in made
    for key in (item["key"], credentials["key"]):
        assert f"--from-literal={key}=" in made


def test_a_stop_has_time_enough() -> None:
    """The delay, renders, Chromes, what is left, and then some; init reads the delay as meant."""
    options = init.Options()
    init.read_environment(options, {"POSTER_INIT_DELAY": ENV["POSTER_INIT_DELAY"]})
    [delay] = options.delays.values()
    needed = delay + float(ENV["POSTER_STOP_GRACE_SECONDS"]) + CLEAN_UP_SECONDS + INIT_KILL_SECONDS
    assert POD["terminationGracePeriodSeconds"] > needed
    assert float(ENV["POSTER_STOP_GRACE_SECONDS"]) * 1000 >= Settings.load({}, {}).timeout_ms


def test_the_services_own_watchdog_comes_before_the_liveness_probe() -> None:
    """A kill by the kubelet tells nothing, the watchdog tells the stack."""
    probe = CONTAINER["livenessProbe"]
    assert (
        probe["periodSeconds"] * probe["failureThreshold"]
        > Settings.load({}, {}).stall_exit_seconds
    )
    starting = CONTAINER["startupProbe"]
    allowed = starting["periodSeconds"] * starting["failureThreshold"] * 1000
    assert allowed >= 2 * Settings.load({}, {}).start_timeout_ms


def test_names_and_labels_fit_together() -> None:
    """What selects the pods, the port's name, and the job that an alert looks for."""
    labels = MANIFESTS["deployment.yaml"]["spec"]["template"]["metadata"]["labels"]
    spec = {name: manifest["spec"] for name, manifest in MANIFESTS.items() if "spec" in manifest}
    assert spec["service.yaml"]["selector"] == labels
    assert spec["poddisruptionbudget.yaml"]["selector"]["matchLabels"] == labels
    assert spec["networkpolicy.yaml"]["podSelector"]["matchLabels"] == labels
    assert MANIFESTS["service.yaml"]["metadata"]["labels"] == labels
    assert spec["servicemonitor.yaml"]["selector"]["matchLabels"] == labels
    [port] = spec["service.yaml"]["ports"]
    assert port["targetPort"] == CONTAINER["ports"][0]["name"]
    assert [one["port"] for one in spec["servicemonitor.yaml"]["endpoints"]] == [port["name"]]
    rules = (DOCKER / "monitoring/alerts.yml").read_text("utf-8")
    assert f'up{{job="{MANIFESTS["service.yaml"]["metadata"]["name"]}"}}' in rules
    target = spec["horizontalpodautoscaler.yaml"]["scaleTargetRef"]
    assert target["name"] == MANIFESTS["deployment.yaml"]["metadata"]["name"]


def test_the_autoscaler_asks_for_what_the_adapter_makes() -> None:
    """One name in two files."""
    adapter = yaml.safe_load((FOLDER / "monitoring/prometheus-adapter.yaml").read_text("utf-8"))
    [rule] = adapter["rules"]["custom"]
    [metric] = MANIFESTS["horizontalpodautoscaler.yaml"]["spec"]["metrics"]
    assert metric["pods"]["metric"]["name"] == rule["name"]["as"]


def test_no_private_network_can_be_reached_by_the_network_policy() -> None:
    """Every kind of address that the service itself refuses is refused here too."""
    peers = [
        (ipaddress.ip_network(peer["ipBlock"]["cidr"]), [
            ipaddress.ip_network(one) for one in peer["ipBlock"].get("except", [])
        ])
        for rule in MANIFESTS["networkpolicy.yaml"]["spec"]["egress"]
        if {port["port"] for port in rule["ports"]} == {80, 443}
        for peer in rule["to"]
    ]  # fmt: skip

    def reached(text: str) -> bool:
        address = ipaddress.ip_address(text)
        return any(
            address in network and not any(address in one for one in excepted)
            for network, excepted in peers
            if network.version == address.version
        )

    for inside in (
        "10.1.2.3", "172.31.0.1", "192.168.1.1", "127.0.0.1", "169.254.169.254", "100.64.0.1",
        "0.0.0.0", "198.18.0.1", "224.0.0.1", "255.255.255.255", "::1", "fd00::1", "fe80::1",
        "::ffff:10.0.0.1", "64:ff9b::a00:1", "ff02::1", "2002:a00:1::", "2001:db8::1",
    ):  # fmt: skip
        assert not reached(inside), inside
    for outside in ("1.1.1.1", "172.32.0.1", "2606:4700::1111"):
        assert reached(outside), outside


def test_the_seccomp_profile_can_be_made_flat() -> None:
    """For containerd: no conditions, nothing that only a capability allows, what Chrome needs."""
    script = PROFILE / "flatten.py"
    source = (DOCKER / "seccomp.json").read_text("utf-8")
    made = subprocess.run(
        [sys.executable, "-I", script, "amd64"],
        input=source,
        capture_output=True,
        text=True,
        check=True,
    )
    profile = json.loads(made.stdout)
    assert profile.keys() == {"defaultAction", "defaultErrnoRet", "architectures", "syscalls"}
    assert profile["architectures"] == ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]
    assert all(
        rule.keys() <= {"names", "action", "errnoRet", "args"} for rule in profile["syscalls"]
    )
    freely = {
        name
        for rule in profile["syscalls"]
        if rule["action"] == "SCMP_ACT_ALLOW" and not rule.get("args")
        for name in rule["names"]
    }
    assert {"read", "execve", "clone", "unshare", "setns", "chroot"} <= freely
    assert not {"mount", "bpf", "reboot", "init_module", "kexec_load", "perf_event_open"} & freely
    clones = [rule for rule in profile["syscalls"] if "clone" in rule["names"]]
    assert all(one["index"] == 0 for rule in clones for one in rule.get("args", ()))


def test_the_flat_profile_is_that_of_docker() -> None:
    """The file that the nodes get is what the tool makes of the profile that Docker gets."""
    made = subprocess.run(
        [sys.executable, "-I", PROFILE / "flatten.py"],
        input=(DOCKER / "seccomp.json").read_bytes(), capture_output=True, check=True,
    )  # fmt: skip
    assert (PROFILE / "poster-service.json").read_bytes() == made.stdout
    assert "SCMP_ARCH_AARCH64" in json.loads(made.stdout)["architectures"]


def test_a_profile_for_an_unknown_machine_is_refused() -> None:
    """With the names that are known."""
    script = PROFILE / "flatten.py"
    made = subprocess.run(
        [sys.executable, script, "z80"], input="{}", capture_output=True, text=True, check=False
    )
    assert made.returncode == 1
    assert "amd64, arm64" in made.stderr
