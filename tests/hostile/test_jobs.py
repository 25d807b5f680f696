"""The canary through POST /jobs: a job's page reaches no more than that of POST /render."""

import json
from typing import Any

import pytest

from tests.hostile.conftest import HOLD, Seen, World
from tests.hostile.elements import PAGES, SOME_HOSTS

URLS = [f"https://{host}/x" for host in SOME_HOSTS]


def ended(seen: Seen, state: str) -> Any:
    """The job, which must have ended so."""
    job = json.loads(seen.body)
    assert (seen.status, job["state"]) == (200, state), job
    seen.assert_nothing_got_through()
    return job


def test_no_page_of_a_job_reaches_a_forbidden_address(world: World) -> None:
    """Its warnings say what was denied."""
    page = "<body>" + "".join(one.page(URLS) for one in PAGES[0]) + HOLD.format(200)
    job = ended(world.job(html=page), "done")
    assert "denied" in {warning["warning"] for warning in job["result"]["warnings"]}


@pytest.mark.parametrize("host", SOME_HOSTS[:3])
def test_no_url_and_no_destination_of_a_job_is_a_forbidden_address(world: World, host: str) -> None:
    """Its problem is that of POST /render."""
    url = f"https://{host}/x"
    assert ended(world.job(url=url), "failed")["problem"]["code"] == "fetch_denied"
    job = ended(world.job(html="<p>", destination={"url": url}), "failed")
    assert job["problem"]["code"] == "destination_denied"
