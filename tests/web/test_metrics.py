"""GET /metrics in Prometheus' form: what was counted, what can be seen, what must be zero."""

import json
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from poster_service.web import metrics
from tests.web.conftest import Service
from tests.web.leases import busy

#: What an alert rule may rest on: present, and zero, from the first scrape.
MUST_BE_ZERO = (
    "poster_zombies", "poster_survivors", "poster_chromes_ended_unclean_total",
    "poster_renders_refused_total", "poster_chrome_starts_failed_total",
    "poster_event_loop_stalls_total",
)  # fmt: skip


async def scrape(service: Service) -> dict[tuple[str, ...], float]:
    """Every sample by its name and the values of its labels."""
    response = await service.get("/metrics")
    assert response.status == 200
    assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(await response.text())
        for sample in family.samples
    }


async def test_renders_are_counted_by_outcome_and_format_with_every_phase(
    fresh_service: Service,
) -> None:
    """A JPEG, a page that fails in time, and the probe of the start."""
    await fresh_service.picture(html="<p>x", width=10, height=10, format="jpeg")
    late = await fresh_service.render(
        html="<script>for(;;);</script>", timeout_ms=2000, format="pdf"
    )
    assert late.status == 504
    assert await fresh_service.at_rest()
    seen = await scrape(fresh_service)
    assert seen["poster_renders_total", "jpeg", "ok"] == 1
    assert seen["poster_renders_total", "pdf", "render_timeout"] == 1
    assert seen["poster_renders_total", "png", "ok"] == 1
    assert seen["poster_render_seconds_count", "jpeg"] == 1
    assert seen["poster_picture_bytes_sum", "jpeg"] > 100
    for phase in ("queue", "lease", "setup", "load"):
        assert seen["poster_phase_seconds_count", phase] == 3
    assert seen["poster_phase_seconds_count", "capture"] == 2
    assert seen["poster_phase_seconds_count", "cleanup"] == 3
    assert seen["poster_chromes_ended_total", "asked"] == 3
    assert ("poster_render_seconds_count", "pdf") not in seen


async def test_a_fault_of_ours_is_counted_as_such(
    fresh_service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every kind of it: never as a render that worked."""
    assert await fresh_service.at_rest()

    async def broken(*_: object) -> bytes:
        raise ZeroDivisionError

    monkeypatch.setattr(fresh_service.engine.renderer, "_paint", broken)
    assert (await fresh_service.render(html="<p>x")).status == 500
    seen = await scrape(fresh_service)
    assert seen["poster_renders_total", "png", "internal_error"] == 1
    assert seen["poster_renders_total", "png", "ok"] == 1


async def test_what_must_be_zero_is_there_and_is_zero(fresh_service: Service) -> None:
    """An alert on a series that does not exist would never ring."""
    assert await fresh_service.at_rest()
    seen = await scrape(fresh_service)
    assert {name: seen[(name,)] for name in MUST_BE_ZERO} == dict.fromkeys(MUST_BE_ZERO, 0.0)
    assert seen["poster_leftovers", "folder"] == seen["poster_leftovers", "shared_memory"] == 0
    assert seen["poster_ready",] == 1
    assert seen["poster_chromes", "ready"] == 1
    assert seen["poster_processes",] >= 3
    assert seen["poster_memory_bytes", "service"] > 10 << 20
    assert seen["poster_memory_bytes", "chromes"] > 10 << 20


async def test_every_help_text_can_be_read_alone(service: Service) -> None:
    """A sentence that names its subject, with the unit that the name of the metric has."""
    text = await (await service.get("/metrics")).text()
    families = list(text_string_to_metric_families(text))
    assert len(families) > 30
    for family in families:
        words = family.documentation.split()
        assert len(words) >= 3, family.name
        assert words[-1].endswith("."), family.name
        assert not {"told", "nobody", "whoever", "that", "those"} & {words[0].lower()}, family.name
        assert "did not." not in family.documentation
        for suffix in ("seconds", "bytes"):
            if family.name.endswith(suffix):
                assert suffix in family.documentation, family.name


async def test_the_gauges_follow_what_runs(fresh_service: Service) -> None:
    """A render under way; a service that stops is no longer ready."""
    render = await busy(fresh_service)
    seen = await scrape(fresh_service)
    assert (seen["poster_renders_running",], seen["poster_slots",]) == (1, 2)
    assert seen["poster_chromes", "leased"] == 1
    render.cancel()
    assert await fresh_service.at_rest()
    fresh_service.engine.admission.close()
    seen = await scrape(fresh_service)
    assert (seen["poster_renders_running",], seen["poster_ready",]) == (0, 0)
    assert seen["poster_renders_total", "png", "cancelled"] == 1


async def test_a_folder_of_a_lease_that_is_over_is_a_leftover(service: Service) -> None:
    """The metric can be other than zero."""
    assert await service.at_rest()
    planted = service.home / "999999"
    planted.mkdir()
    assert (await scrape(service))["poster_leftovers", "folder"] == 1
    planted.rmdir()
    assert (await scrape(service))["poster_leftovers", "folder"] == 0


def test_orphans_are_reported_by_name_from_inits_ledger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing where init keeps none, or is just writing it."""
    file = tmp_path / "ledger.json"
    monkeypatch.setenv("POSTER_INIT_STATUS", str(file))
    assert list(metrics.orphans(metrics.read_ledger())) == []
    file.write_text("{")
    assert metrics.read_ledger() == {}
    accounts = {"chrome_crashpad": {"reaped": 3}, 'odd"name': {"reaped": 1}}
    file.write_text(json.dumps({"orphans_killed": 2, "by_command": accounts}))
    by_name, killed = metrics.orphans(metrics.read_ledger())
    assert {one.labels["name"]: one.value for one in by_name.samples} == {
        "chrome_crashpad": 3, 'odd"name': 1,
    }  # fmt: skip
    assert killed.samples[0].value == 2
