"""GET /status tells the census: as JSON for machines, as a page for people."""

import re

from tests.web.conftest import Service
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


async def test_a_browser_gets_a_page_that_loads_nothing(service: Service) -> None:
    """Accept: text/html, or ?format=html; no script, nothing from anywhere."""
    assert await service.at_rest()
    for path, headers in (("/status", {"Accept": "text/html"}), ("/status?format=html", {})):
        response = await service.client.get(f"{service.address}{path}", headers=headers)
        page = await response.text()
        assert response.content_type == "text/html"
        assert "default-src 'none'" in response.headers["Content-Security-Policy"]
        assert re.search(r"zombies <span class=\"zero\">0</span>", page)
        assert "Lease" in page
        assert "<script" not in page
    assert (await service.get("/status?format=json")).content_type == "application/json"
