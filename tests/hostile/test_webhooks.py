"""The canary for webhooks: none is delivered to where no page may fetch from."""

from typing import Any

import pytest

from tests.hostile.conftest import Seen, World
from tests.hostile.elements import HOSTS, SOME_HOSTS
from tests.jobs.receiver import new_secret

#: Enough for the quick suite: the check is that of destinations.
QUICK = ("10.0.0.1", "inside.test", "[::1]")


def marks_of(host: str) -> list[pytest.MarkDecorator]:
    """In which suites an address is tried."""
    if host in QUICK:
        return []
    return [pytest.mark.slow if host in SOME_HOSTS else pytest.mark.endurance]


EVERY = [pytest.param(host, marks=marks_of(host)) for host in HOSTS]
SETTINGS = {
    "webhook_secrets": f"all={new_secret()}", "webhook_retry_seconds": "0", "compat": "gotenberg",
    "webhook_timeout_ms": 3000,
}  # fmt: skip


def hook(world: World, url: str, **webhook: Any) -> Seen:
    """A job that reports its end to an address."""
    return world.submit(SETTINGS, html="<p>x", webhook={"url": url, **webhook})


def gotenberg(world: World, **headers: str) -> Seen:
    """A form of Gotenberg's, with headers of its webhooks."""
    given = {f"Gotenberg_Webhook_{name}": value for name, value in headers.items()}
    path = "/forms/chromium/screenshot/html"
    return world.send_form(path, {}, {"index.html": "<p>x"}, SETTINGS, **given)


@pytest.mark.parametrize("host", EVERY)
def test_no_address_is_reached_however_it_is_written(world: World, host: str) -> None:
    """Over https and http; of a job, and of Gotenberg's file, error and events."""
    for scheme in ("https", "http"):
        url, public = f"{scheme}://{host}/x", "https://hostile.test/x"
        seen = hook(world, url, headers={"X-A": "b"})
        seen.assert_nothing_got_through()
        assert seen.status in (202, 400, 422), seen.body
        for where in ({"Url": url, "Events_Url": public}, {"Url": public, "Error_Url": url},
                      {"Url": public, "Events_Url": url}):  # fmt: skip
            seen = gotenberg(world, **where)
            seen.assert_nothing_got_through()
            assert seen.status in (204, 400, 403), seen.body


def test_a_redirect_is_not_followed(world: World) -> None:
    """Neither inside nor to the public web."""
    for to in ("https://10.0.0.1/x", "https://other.test/x", "http://127.0.0.1/x"):
        url = f"https://hostile.test/go?to={to}"
        for seen in (hook(world, url), gotenberg(world, Url=url, Events_Url=url)):
            seen.assert_nothing_got_through()
            assert seen.status in (202, 204)
            assert any("/go" in hit for hit in seen.hits)
            assert not any(hit.partition(" ")[2].startswith("other.test") for hit in seen.hits)


@pytest.mark.parametrize("name", ["rebind.test", "rebind-at-once.test", "inside.test"])
def test_a_name_that_leads_inside_gets_nowhere(world: World, name: str) -> None:
    """Now or later: the address that was checked is the one that is connected to."""
    for _ in range(3):
        seen = hook(world, f"https://{name}/x")
        seen.assert_nothing_got_through()
        assert seen.status == 202


def test_a_public_address_is_reached(world: World) -> None:
    """So that these tests can fail."""
    assert any("/x" in hit for hit in hook(world, "https://hostile.test/x").hits)
    seen = gotenberg(world, Url="https://hostile.test/y", Events_Url="https://hostile.test/z")
    assert any("/y" in hit for hit in seen.hits)


@pytest.mark.parametrize("name", ["Host", "Transfer-Encoding", "webhook-signature", "X-A\r\nX-B"])
def test_no_header_gets_in_that_must_not(world: World, name: str) -> None:
    """Of the connection, of the signature, or by a line break."""
    assert hook(world, "https://hostile.test/x", headers={name: "x"}).status == 400
    bad = hook(world, "https://hostile.test/x", headers={"X-A": "b\r\nX-B: c"})
    assert bad.status == 400
