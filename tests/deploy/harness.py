"""Where the manifests are, and what checks them."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import yaml
from check_jsonschema.builtin_schemas import get_builtin_schema
from jsonschema import Draft202012Validator
from jsonschema.validators import validator_for

from poster_service import errors
from tests.deploy.conftest import DOCKER, Exposed

FOLDER = DOCKER / "kubernetes"

#: The oldest version of Kubernetes that is tested and the newest that the validator has.
VERSIONS = ("1.30", "1.37")

#: Schemas of what is no part of the API, by kind.
CUSTOM: dict[str, Any] = {
    kind: schema
    for file in ("prometheus-operator.json", "keda.json")
    for kind, schema in json.loads((Path(__file__).parent / "schemas" / file).read_text("utf-8"))[
        "schemas"
    ].items()
}

#: Read by kustomize or helm; they are not objects of a cluster.
OTHERS = {"kustomization.yaml", "prometheus-adapter.yaml"}

MANIFESTS = {
    path.name: yaml.safe_load(path.read_text("utf-8"))
    for path in sorted(FOLDER.rglob("*.yaml"))
    if path.name not in OTHERS
}

POD = MANIFESTS["deployment.yaml"]["spec"]["template"]["spec"]

[CONTAINER] = POD["containers"]

ENV = {one["name"]: one["value"] for one in CONTAINER["env"]}


def kustomization(folder: Path) -> dict[str, Any]:
    """The parsed kustomization.yaml of a folder."""
    found: dict[str, Any] = yaml.safe_load((folder / "kustomization.yaml").read_text("utf-8"))
    return found


def validate(manifest: dict[str, Any], version: str) -> None:
    """Raise the error of an API server that refuses this; unknown fields are refused too."""
    if manifest["kind"] in CUSTOM:
        Draft202012Validator(closed(CUSTOM[manifest["kind"]])).validate(manifest)
    else:
        kubernetes_validate.validate(manifest, version, strict=True)


def closed(schema: Any) -> Any:
    """The schema with unknown properties refused, which the API server would drop silently."""
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: closed(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object":
        made.setdefault("additionalProperties", False)
    if made.get("properties", {}).keys() == {"apiVersion", "kind", "metadata", "spec", "status"}:
        made["properties"]["metadata"] = {"type": "object"}  # the API's own, left open there
    return made


def restricted(pod: dict[str, Any]) -> None:
    """What Pod Security "restricted" asks for; off a cluster there is no validator of it."""
    assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"]["type"] in ("RuntimeDefault", "Localhost")
    kinds = {tuple(volume.keys() - {"name"}) for volume in pod["volumes"]}
    assert kinds == {("emptyDir",), ("secret",)}
    for container in pod["containers"]:
        security = container["securityContext"]
        assert security["allowPrivilegeEscalation"] is False
        assert security["capabilities"] == {"drop": ["ALL"]}
        assert security.get("runAsUser") != 0
        assert "privileged" not in security
        assert all("hostPort" not in port for port in container["ports"])


def faults(compose: dict[str, Any]) -> list[str]:
    """What the schema has against a compose file."""
    schema = get_builtin_schema("vendor.compose-spec")
    return [error.message for error in validator_for(schema)(schema).iter_errors(compose)]


MONITORING = DOCKER / "monitoring"


def selectors(query: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Each metric of ours that a query names, and the labels it is chosen by."""
    for name, chosen in re.findall(r"\b(poster_\w+)\b(?:\{([^}]*)\})?", query):
        yield name, dict(re.findall(r'(\w+)\s*=~?\s*"([^"]*)"', chosen))


def outcomes() -> set[str]:
    """Every outcome of a render that can be counted."""

    def codes(kind: type[errors.PosterError]) -> set[str]:
        return {kind.code}.union(*(codes(one) for one in kind.__subclasses__()))

    return {"ok", "cancelled"} | codes(errors.PosterError)


def unknown(query: str, exposed: Exposed) -> list[str]:
    """The metrics, labels and label values in a query that the service does not expose."""
    faults = []
    for name, chosen in selectors(query):
        labels = exposed.get(name)
        if labels is None:
            faults.append(name)
            continue
        for label, value in chosen.items():
            if label in ("job", "instance"):  # Prometheus adds these
                continue
            known = outcomes() if label == "outcome" else labels.get(label)
            if known is None or not set(value.split("|")) <= known | ALSO.get(label, set()):
                faults.append(f'{name}{{{label}="{value}"}}')
    return faults


#: Label values that the service of these tests does not expose, but another can.
ALSO = {"sandbox": {"on", "off"}}
