"""The canary for `destination`: no result is sent to where no page may fetch from."""

import pytest

from tests.hostile.conftest import World
from tests.hostile.elements import HOSTS, SOME_HOSTS
from tests.marks import some_in_quick

EVERY = [
    *some_in_quick(SOME_HOSTS, 3),
    *(pytest.param(host, marks=pytest.mark.endurance) for host in HOSTS if host not in SOME_HOSTS),
]


@pytest.mark.parametrize("host", EVERY)
def test_no_address_is_reached_however_it_is_written(world: World, host: str) -> None:
    """Over https and http, by the option's check or the policy; no Chrome has a part in it."""
    for scheme in ("https", "http"):
        seen = world.paint(
            html="<p>x", destination={"url": f"{scheme}://{host}/x", "headers": {"X-A": "b"}}
        )
        seen.assert_nothing_got_through()
        assert seen.status in (400, 422, 502), seen.body
        assert seen.problem["code"] in (
            "invalid_field", "destination_denied", "destination_failed",
        )  # fmt: skip


def test_a_redirect_is_not_followed(either_world: World) -> None:
    """Neither inside nor to the public web."""
    for to in ("https://10.0.0.1/x", "https://other.test/x", "http://127.0.0.1/x"):
        seen = either_world.paint(
            html="<p>x", destination={"url": f"https://hostile.test/go?to={to}"}
        )
        seen.assert_nothing_got_through()
        assert (seen.status, seen.problem["code"]) == (502, "destination_failed"), seen.body
        assert not any(hit.partition(" ")[2].startswith("other.test") for hit in seen.hits)


@pytest.mark.parametrize("name", ["rebind.test", "rebind-at-once.test"])
def test_a_name_that_changes_its_mind_gets_nowhere(either_world: World, name: str) -> None:
    """The address that was checked is the one that is connected to."""
    for _ in range(4):
        seen = either_world.paint(html="<p>x", destination={"url": f"https://{name}/x"})
        seen.assert_nothing_got_through()
