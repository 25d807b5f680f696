"""Where the manifests are, and what checks them."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import yaml
from jsonschema import Draft202012Validator

from poster_service import errors
from tests.deploy.conftest import DOCKER, Exposed

FOLDER = DOCKER / "kubernetes"

#: The oldest version of Kubernetes that is tested and the newest that the validator has.
VERSIONS = ("1.30", "1.37")

OPERATOR = json.loads(
    (Path(__file__).parent / "schemas/prometheus-operator.json").read_text("utf-8")
)

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
    if manifest["kind"] in OPERATOR["schemas"]:
        Draft202012Validator(closed(OPERATOR["schemas"][manifest["kind"]])).validate(manifest)
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
