"""Alert rules, Prometheus' configuration and the dashboard: valid, and about metrics that exist.

promtool (Debian's package `prometheus`) checks rules, configuration and every query of the
dashboard, and tries the rules out; Grafana's own SDK reads the dashboard; the names of metrics,
their labels and the outcomes come from a real service.
"""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from tests.deploy.conftest import Exposed, tool
from tests.deploy.harness import MONITORING, selectors, unknown

RULES = yaml.safe_load((MONITORING / "alerts.yml").read_text("utf-8"))
DASHBOARD = json.loads((MONITORING / "dashboard.json").read_text("utf-8"))
ALERTS = [rule for group in RULES["groups"] for rule in group["rules"]]


def promtool(*arguments: str, folder: Path = MONITORING) -> subprocess.CompletedProcess[str]:
    """Run promtool and keep what it says."""
    command = [tool("promtool", "prometheus"), *arguments]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )


def panels() -> Iterator[dict[str, Any]]:
    """Every panel of the dashboard that shows something."""
    yield from (panel for panel in DASHBOARD["panels"] if panel["type"] != "row")


def dashboard_queries() -> list[str]:
    """Every query of the dashboard, its variables filled in as Grafana does."""
    queries = [target["expr"] for panel in panels() for target in panel["targets"]]
    queries += [one["expr"] for one in DASHBOARD["annotations"]["list"]]
    for name, value in (("__rate_interval", "1m"), ("__range", "1h")):
        queries = [query.replace(f"${name}", value) for query in queries]
    return [re.sub(r"\$(job|instance)\b", ".*", query) for query in queries]


def test_promtool_accepts_rules_and_configuration() -> None:
    """Both files, and that the one finds the other."""
    for what, name in (("rules", "alerts.yml"), ("config", "prometheus.yml")):
        checked = promtool("check", what, name)
        assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "20 rules found" in promtool("check", "config", "prometheus.yml").stdout


@pytest.mark.slow
def test_alerts_ring_when_they_must_and_only_then() -> None:
    """The scenes of alerts_test.yml."""
    tried = promtool("test", "rules", "alerts_test.yml")
    assert tried.returncode == 0, tried.stdout + tried.stderr


@pytest.mark.slow
def test_the_scenes_can_fail(tmp_path: Path) -> None:
    """A rule that rings for a zombie of a moment is found out."""
    rules = (MONITORING / "alerts.yml").read_text("utf-8")
    (tmp_path / "alerts.yml").write_text(rules.replace("for: 3m", "for: 15s"))
    (tmp_path / "alerts_test.yml").write_bytes((MONITORING / "alerts_test.yml").read_bytes())
    tried = promtool("test", "rules", "alerts_test.yml", folder=tmp_path)
    assert tried.returncode == 1
    assert "PosterZombies" in tried.stdout + tried.stderr


def test_every_alert_says_what_it_is_and_what_to_do() -> None:
    """Severity, a summary that names the replica, a remedy in more than a word."""
    names = [alert["alert"] for alert in ALERTS]
    assert len(set(names)) == len(names)
    for alert in ALERTS:
        assert alert["labels"]["severity"] in ("critical", "warning"), alert
        assert alert["annotations"]["summary"], alert
        assert len(alert["annotations"]["description"]) > 80, alert


def test_there_is_an_alert_for_everything_that_must_be_zero() -> None:
    """Issue 5, point 6."""
    rested_on = {name for alert in ALERTS for name, _ in selectors(alert["expr"])}
    assert rested_on >= {
        "poster_zombies", "poster_survivors", "poster_leftovers", "poster_ready",
        "poster_chromes_ended_unclean_total", "poster_renders_refused_total",
        "poster_event_loop_stalls_total", "poster_chrome_starts_failed_total",
        "poster_memory_bytes",
    }  # fmt: skip


async def test_alerts_and_dashboard_rest_on_metrics_that_the_service_has(
    exposed: Exposed,
) -> None:
    """A typo in a name, a label or a label's value would make a rule that never rings."""
    queries = [*(alert["expr"] for alert in ALERTS), *dashboard_queries()]
    queries += [one["query"]["query"] for one in variables("query")]
    faults = [fault for query in queries for fault in unknown(query, exposed)]
    assert faults == []


async def test_this_search_can_fail(exposed: Exposed) -> None:
    """One fault of each kind, and none where there is none."""
    assert unknown('poster_memory_bytes{component="service", job="x"}', exposed) == []
    assert unknown("poster_zombie > 0", exposed) == ["poster_zombie"]
    for wrong in (
        'poster_memory_bytes{component="srvice"}', 'poster_memory_bytes{kind="service"}',
        'poster_renders_total{outcome="timeout"}',
    ):  # fmt: skip
        assert unknown(wrong, exposed) == [wrong]


def test_promtool_accepts_every_query_of_the_dashboard(tmp_path: Path) -> None:
    """Each query as the expression of a rule, which is the way promtool reads PromQL."""
    rules = [
        {"record": f"query:{number}", "expr": query}
        for number, query in enumerate(dashboard_queries())
    ]
    file = tmp_path / "queries.yml"
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    checked = promtool("check", "rules", os.fspath(file))
    assert checked.returncode == 0, checked.stdout + checked.stderr


def variables(kind: str) -> list[dict[str, Any]]:
    """The dashboard's variables of one kind."""
    return [one for one in DASHBOARD["templating"]["list"] if one["type"] == kind]


def test_grafana_knows_every_field_of_the_dashboard() -> None:
    """What its SDK reads and writes again is what was there; an unknown field would be lost."""
    back = json.dumps(Dashboard.from_json(DASHBOARD), cls=JSONEncoder)
    assert lost(DASHBOARD, json.loads(back)) == []
    odd = {**DASHBOARD, "panells": []}
    back = json.dumps(Dashboard.from_json(odd), cls=JSONEncoder)
    assert lost(odd, json.loads(back)) == ["/panells"]


def lost(given: Any, back: Any, where: str = "") -> list[str]:
    """Where something given is not there, or is another; what was added is a default."""
    if isinstance(given, dict) and isinstance(back, dict):
        pairs = [(key, value, back.get(key, ...)) for key, value in given.items()]
    elif isinstance(given, list) and isinstance(back, list) and len(given) == len(back):
        pairs = [
            (str(at), one, other) for at, (one, other) in enumerate(zip(given, back, strict=True))
        ]
    else:
        return [] if given == back else [where]
    return [fault for key, one, other in pairs for fault in lost(one, other, f"{where}/{key}")]


def test_the_dashboard_is_tied_to_no_data_source_and_its_panels_do_not_overlap() -> None:
    """It can be imported into any Grafana."""
    assert [one["name"] for one in variables("datasource")] == ["datasource"]
    uids = set(re.findall(r'"datasource": \{[^}]*"uid": "([^"]*)"', json.dumps(DASHBOARD)))
    assert uids == {"${datasource}"}
    taken: dict[tuple[int, int], str] = {}
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24, panel["title"]
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert taken.setdefault((x, y), panel["title"]) == panel["title"]
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)


def test_what_must_be_zero_is_shown_big() -> None:
    """Three stat panels of a quarter of the width, red from one on."""
    for name in ("poster_zombies", "poster_survivors", "poster_leftovers"):
        [panel] = [one for one in panels() if name in one["targets"][0]["expr"]]
        assert panel["type"] == "stat"
        assert panel["gridPos"]["w"] >= 6
        steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
        assert [step["color"] for step in steps] == ["green", "red"]
        assert steps[1]["value"] == 1
