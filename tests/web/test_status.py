"""GET /status tells the census: as JSON for machines, as a page for people."""

import asyncio
import re
import socket
from urllib.parse import urljoin

import aiohttp
from aiohttp import web

from poster_service.process import census
from poster_service.web.app import make_app, make_worker_app
from poster_service.web.built import LINKS
from poster_service.web.counters import MAX_ERRORS, Counters, LastError, by_fault
from poster_service.web.protocol import address_of, open_site
from poster_service.web.status import leases
from tests.web.conftest import Service, StartService
from tests.web.leases import busy


async def test_the_census_shows_each_lease_with_its_tree(fresh_service: Service) -> None:
    """One ready Chrome: the shim on top, Chrome's processes below, no zombie, one folder."""
    assert await fresh_service.at_rest()
    status = await (await fresh_service.get("/status")).json()
    (lease,) = status["leases"]
    depths = [process["depth"] for process in lease["processes"]]
    assert depths[0] == 0
    assert set(depths[1:]) >= {1}
    assert all(process["memory_bytes"] > 0 for process in lease["processes"])
    assert status["census"]["zombies"] == []
    assert status["census"]["folders"] == [str(lease["lease"])]
    assert status["census"]["shared_memory"] == []
    assert status["pool"]["survivors"] == []
    assert status["pool"]["unclean"] == 0
    assert status["connections"] == {
        "open": 1, "limit": 512, "refused": 0, "replaced": 0, "limit_per_peer": 256,
    }  # fmt: skip
    assert status["buffers"]["limit_bytes"] == 256 << 20


async def test_the_gauges_follow_what_happens(service: Service) -> None:
    """A running render is seen as such, by the admission, the books and the census."""
    render = await busy(service)
    status = await (await service.get("/status")).json()
    assert status["admission"]["running"] == 1
    assert status["pool"]["counts"]["leased"] == 1
    assert len(status["leases"]) >= 1
    render.cancel()
    assert await service.at_rest()
    status = await (await service.get("/status")).json()
    assert status["admission"]["running"] == 0
    assert status["pool"]["endings"]["asked"] >= 1


async def test_a_browser_gets_a_page_without_a_figure(start_service: StartService) -> None:
    """Accept: text/html, or ?format=html; open, because its script asks for the token."""
    token = "web-token-0123456789"
    service = await start_service(tokens=f"web={token}")
    for path, headers in (("/status", {"Accept": "text/html"}), ("/status?format=html", {})):
        response = await service.client.get(f"{service.address}{path}", headers=headers)
        text = await response.text()
        assert (response.status, response.content_type) == (200, "text/html")
        policy = response.headers["Content-Security-Policy"]
        assert "default-src 'none'; script-src 'self'; style-src 'self'" in policy
        assert str(service.instance) not in text
        assert "chromium" not in text
    for path, headers in (("/status", {}), ("/status?format=json", {"Accept": "text/html"})):
        response = await service.client.get(f"{service.address}{path}", headers=headers)
        assert response.status == 401, path
    given = {"Authorization": f"Bearer {token}"}
    response = await service.client.get(f"{service.address}/status", headers=given)
    assert (response.status, response.content_type) == (200, "application/json")


async def test_renders_are_counted_by_outcome_and_the_last_errors_listed(
    fresh_service: Service,
) -> None:
    """Those of renders and of load, newest first; not what is wrong with a request in itself."""
    service = fresh_service
    begin = (await (await service.get("/status")).json())["renders"]  # it has rendered a probe
    assert (await service.render(html="<p>x", width=10, height=10)).status == 200
    assert (await service.render(html="<p>x", width=0)).status == 400
    failed = await service.render(html="<p>x", selector="#none")
    assert failed.status == 422
    status = await (await service.get("/status")).json()
    ok = begin["outcomes"].get("ok", 0) + 1
    assert status["renders"]["outcomes"] == {"ok": ok, "selector_not_found": 1}
    assert (await service.get("/nothing")).status == 404
    renders = (await (await service.get("/status")).json())["renders"]
    assert renders["refused"] == {"invalid_field": 1, "http_404": 1}
    assert renders["errors"] == {"caller": 3, "service": 0}
    assert status["renders"]["ok_seconds"] > begin["ok_seconds"]
    (error,) = status["renders"]["last_errors"]
    assert error.pop("time") > 1_700_000_000
    assert error == {
        "status": 422, "code": "selector_not_found", "route": "/render", "caller": "",
        "request_id": failed.headers["X-Request-Id"],
    }  # fmt: skip
    assert status["readiness"]["chrome_ready"] is True
    assert status["jobs"]["reachable"] is True
    assert status["jobs"]["queued"] == status["jobs"]["running_here"] == 0


def test_errors_are_counted_by_whose_fault_they_are() -> None:
    """By the branches of the tree of errors; what has no code of ours is the caller's."""
    codes = {"selector_not_found": 1, "rate_limited": 2, "http_404": 4, "http_405": 8}
    ours = {"overloaded": 1, "chrome_died": 2, "render_timeout": 4, "internal_error": 8}
    assert by_fault(codes | ours) == {"caller": 15, "service": 15}


async def test_a_lease_without_a_chrome_of_the_pool_has_no_state(service: Service) -> None:
    """It was left behind; each other one has the state of its Chrome."""
    assert await service.at_rest()
    known = service.engine.pool.chromes()
    seen = await asyncio.to_thread(census.snapshot, service.instance, service.home)
    assert [one["state"] for one in leases(seen, known)] == ["ready"]
    assert [one["state"] for one in leases(seen, {})] == [None]


async def test_every_link_of_our_pages_leads_somewhere(service: Service) -> None:
    """On a worker's page too, which has no studio."""
    for make in (make_app, make_worker_app):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            settings = service.engine.settings
            app = make(service.server)
            runner = await open_site(app, listener, service.server.connections, settings)
            try:
                address = address_of(listener)
                pages = [one for one in LINKS if one in routes_of(app)]
                assert "/status" in pages
                assert len(pages) == (1 if make is make_worker_app else len(LINKS))
                for path in pages:
                    assert await dead_links(service.client, f"{address}{path}") == []
            finally:
                await runner.cleanup()


def routes_of(app: web.Application) -> set[str]:
    """The paths that an application serves."""
    return {resource.canonical for resource in app.router.resources()}


async def dead_links(client: aiohttp.ClientSession, where: str) -> list[str]:
    """The addresses on a page that are not there."""
    headers = {"Accept": "text/html"}
    async with client.get(where, headers=headers) as page:
        assert page.status == 200
        text = await page.text()
    dead = []
    for address in set(re.findall(r'(?:href|src)="([^"]+)"', text)):
        async with client.get(urljoin(where, address), headers=headers) as answer:
            if answer.status != 200:
                dead.append(address)
    return dead


def test_only_so_many_errors_are_remembered() -> None:
    """The newest; a flood of them takes no memory."""
    counters = Counters()
    for number in range(MAX_ERRORS + 5):
        counters.note_error(LastError(number, 503, "overloaded", "/render", "", str(number)))
    found = [one["request_id"] for one in counters.summary()["last_errors"]]
    assert found == [str(number) for number in range(MAX_ERRORS + 4, 4, -1)]
