"""By which names the service answers: a page whose name leads to the loopback gets nothing."""

import pytest

from poster_service.web.hosts import name_of
from tests.web.conftest import Service, StartService
from tests.web.raw_http import answer, connected, request

LOCAL = ["localhost", "localhost:8080", "LOCALHOST", "a.localhost", "127.0.0.1:9", "127.1.2.3",
         "[::1]", "[::1]:8080", "[::ffff:127.0.0.1]", "localhost."]  # fmt: skip
FOREIGN = ["evil.example", "evil.example:8080", "localhost.evil.example", "127.0.0.1.evil.example",
           "8.8.8.8", "10.0.0.1", "0.0.0.0", "x@localhost", "localhost:x", "[::2]", "localhost/",
           "127.0.0.1:80:80", "a" * 300]  # fmt: skip


async def status_of(service: Service, host: str, path: str = "/templates", **more: str) -> int:
    """What one who names this host is answered."""
    async with connected(service) as streams:
        streams[1].write(request(path, headers={"Host": host, **more}))
        status, problem, _ = await answer(streams)
        if status == 421:
            assert (problem["code"], problem["field"]) == ("unknown_host", "Host")
            assert "POSTER_SERVER_NAMES" in problem["allowed"]
        return status


async def test_an_open_service_on_loopback_answers_to_loopback_names_only(
    service: Service,
) -> None:
    """But for the health routes, which tell nothing."""
    assert {host: await status_of(service, host) for host in LOCAL} == dict.fromkeys(LOCAL, 200)
    found = {host: await status_of(service, host) for host in FOREIGN}
    assert found == dict.fromkeys(FOREIGN, 421)
    assert await status_of(service, "evil.example", "/healthz") == 200
    assert await status_of(service, "evil.example", "/readyz") == 200
    assert await status_of(service, "evil.example", "/") == 421


async def test_the_operator_names_more_hosts(start_service: StartService) -> None:
    """Exactly, or all below a suffix; then no other."""
    service = await start_service(server_names="posters.example.com,*.internal")
    for host in ("posters.example.com", "Posters.Example.COM:443", "a.b.internal", "localhost"):
        assert await status_of(service, host) == 200
    for host in ("example.com", "internal", "xinternal", "posters.example.com.evil.example"):
        assert await status_of(service, host) == 421


async def test_with_tokens_any_name_will_do(start_service: StartService) -> None:
    """No page has one. With POSTER_SERVER_NAMES the names count all the same."""
    token = "0123456789abcdef"
    bearer = {"Authorization": f"Bearer {token}"}
    service = await start_service(tokens=f"a={token}")
    assert await status_of(service, "posters.example.com", **bearer) == 200
    named = await start_service(tokens=f"a={token}", server_names="posters.example.com")
    assert await status_of(named, "posters.example.com", **bearer) == 200
    assert await status_of(named, "other.example.com", **bearer) == 421


@pytest.mark.parametrize("given", ["", ":", "[", "]", "[::1", "a:b:c", "é.example", "\udcff"])
def test_any_header_has_a_name_or_none(given: str) -> None:
    """And is no fault of ours."""
    assert isinstance(name_of(given), str)
