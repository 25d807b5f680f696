"""Isolation levels: who says which counts, what the answer reports, and that pools share room."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.template_folders import make
from tests.web.service import Service, running_in_own_folder

#: A template with a level of its own, and one without.
SHARED, PLAIN = "shared", "plain"


@pytest.fixture(scope="module")
async def service() -> AsyncIterator[Service]:
    """HTML shares Chromes, templates do not unless they say so; the smallest room there is."""
    with tempfile.TemporaryDirectory() as folder:
        root = make(Path(folder), page="<p>{{ title }}", name=PLAIN)
        make(root, page="<p>{{ title }}", name=SHARED, schema__json=schema("context"))
        async with running_in_own_folder(
            templates=root, isolation="context", concurrency=1, cache_bytes=1 << 20
        ) as found:
            yield found


def schema(level: str) -> dict[str, Any]:
    """A template's schema that names a level."""
    return {"type": "object", "x-poster": {"isolation": level}}


def job(name: str, **more: Any) -> dict[str, Any]:
    """A small render of a template."""
    return {"template": name, "data": {"title": "T"}, "width": 60, "height": 40, **more}


async def level(service: Service, **options: Any) -> str:
    """The level of a render that must succeed and is not out of the cache."""
    answer = await service.render(**{"cache_ttl": 0, **options})
    assert answer.status == 200, await answer.text()
    return answer.headers["X-Isolation"]


async def test_the_operator_says_it_for_each_source_and_a_template_for_itself(
    service: Service,
) -> None:
    """A template's own level is the operator's, who installs it."""
    assert await level(service, html="<p>x") == "context"
    assert await level(service, markdown="x") == "context"
    assert await level(service, **job(PLAIN)) == "process"
    assert await level(service, **job(SHARED)) == "context"


async def test_a_caller_may_ask_for_a_stricter_level_only(service: Service) -> None:
    """A laxer one is refused, with those that are allowed."""
    assert await level(service, html="<p>x", isolation="process") == "process"
    assert await level(service, isolation="process", **job(SHARED)) == "process"
    assert await level(service, isolation="context", **job(SHARED)) == "context"
    answer = await service.render(isolation="context", **job(PLAIN))
    assert answer.status == 400
    (fault,) = (await answer.json())["errors"]
    assert fault["field"] == "isolation"
    assert fault["allowed"] == "process"
    assert (await service.render(html="<p>x", isolation="page")).status == 400


async def test_pictures_are_the_same_and_one_is_cached_for_all_levels(service: Service) -> None:
    """A cached picture says how it was painted, not how it might have been."""
    given = {"html": "<h1>same</h1>", "width": 300, "height": 100}
    each = [
        await service.picture(**given, cache_ttl=0, isolation=level)
        for level in ("process", "context")
    ]
    assert each[0] == each[1]
    first = await service.render(**given, isolation="process")
    again = await service.render(**given, isolation="context")
    assert (first.headers["X-Cache"], again.headers["X-Cache"]) == ("miss", "hit")
    assert again.headers["X-Isolation"] == first.headers["X-Isolation"] == "process"
    accept = {"Accept": "application/json"}
    asked = service.client.post(f"{service.address}/render", json=given, headers=accept)
    async with asked as answer:
        assert (await answer.json())["isolation"] == "process"


@pytest.mark.slow
async def test_pools_share_their_room_and_the_one_that_is_not_needed_ends_its_chromes(
    service: Service,
) -> None:
    """Renders of both levels at once, more than there is room for; then one ready Chrome is left.

    The pool of the service's own level keeps it; the other has none when its render has ended.
    """
    names = (PLAIN, SHARED) * 4
    await asyncio.gather(*(level(service, **job(name)) for name in names))
    assert await service.at_rest()
    status = await (await service.get("/status")).json()
    assert status["isolation"]["html"] == "context"
    assert status["isolation"]["templates"] == "process"
    assert status["isolation"]["chromes"]["context"]["ready"] == 1
    assert sum(status["isolation"]["chromes"]["process"].values()) == 0


async def test_status_metrics_and_log_have_the_level(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    """Counted by level, for each render that had a Chrome."""

    async def counts() -> dict[str, int]:
        found = (await (await service.get("/status")).json())["isolation"]["renders"]
        text = await (await service.get("/metrics")).text()
        for name, count in found.items():
            assert f'poster_renders_by_isolation_total{{level="{name}"}} {count}.0' in text
        return {str(name): int(count) for name, count in found.items()}

    before = await counts()
    with caplog.at_level("INFO"):
        await level(service, **job(PLAIN))
        await level(service, html="<p>x")
    after = await counts()
    more = {name: after[name] - before[name] for name in after}
    assert more == {"process": 1, "context": 1, "page": 0}
    logged = [vars(one).get("fields", {}).get("isolation") for one in caplog.records]
    assert [one for one in logged if one] == ["process", "context"]


async def test_a_level_that_is_not_known_keeps_a_template_from_being_used(
    service: Service,
) -> None:
    """The mistake is listed as any other."""
    root = service.server.settings.templates
    make(root, name="wrong", schema__json=schema("everything"))
    found = await (await service.get("/templates")).json()
    (fault,) = [one for one in found["faults"] if one["name"] == "wrong"]
    assert 'isolation is "everything"; allowed: process, context or page' in fault["mistakes"][0]
