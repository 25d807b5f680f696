"""GET /healthz tells that the process lives, GET /readyz that it can do its work."""

import time

import pytest

from tests.bundled import FOLDER, NAMES
from tests.web.conftest import Service, StartService


async def test_alive_and_ready_after_start(service: Service) -> None:
    """A render has worked before the first request: the service proved itself at the start."""
    assert (await service.get("/healthz")).status == 200
    response = await service.get("/readyz")
    assert response.status == 200
    body = await response.json()
    assert body["status"] == "ready"
    assert body["last_render_seconds_ago"] >= 0


async def test_not_ready_while_stopping_but_alive(fresh_service: Service) -> None:
    """A load balancer must turn away at once, a watchdog must not shoot."""
    fresh_service.engine.admission.close()
    response = await fresh_service.get("/readyz")
    assert response.status == 503
    assert (await response.json())["accepting"] is False
    assert (await fresh_service.get("/healthz")).status == 200


async def test_not_ready_when_nothing_was_rendered_lately(fresh_service: Service) -> None:
    """A success too long ago does not count."""
    fresh_service.engine.renderer.last_success = (
        time.monotonic() - fresh_service.engine.recent_seconds - 1
    )
    response = await fresh_service.get("/readyz")
    assert response.status == 503
    assert (await response.json())["rendered_recently"] is False


@pytest.mark.slow
async def test_an_idle_service_goes_on_proving_itself(start_service: StartService) -> None:
    """Without callers the probe renders by itself, so that readiness stays true."""
    from tests.conftest import settled

    service = await start_service(probe_seconds=1)
    first = service.engine.renderer.last_success
    assert await settled(lambda: service.engine.renderer.last_success != first)
    assert await service.at_rest()


async def test_templates_are_listed_with_schema_and_sample(start_service: StartService) -> None:
    """GET /templates: all that a caller needs to fill one in."""
    service = await start_service(templates=FOLDER)
    listing = (await (await service.get("/templates")).json())["templates"]
    assert [one["name"] for one in listing] == NAMES
    for one in listing:
        assert one["schema"]["properties"]
        assert one["sample"]
        assert one["width"]
        assert one["description"]


async def test_the_root_says_where_to_go(service: Service) -> None:
    """A person who opens the address sees what there is."""
    assert "POST /render" in await (await service.get("/")).text()
