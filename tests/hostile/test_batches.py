"""The canary through POST /batches: no item reaches more than a page of POST /render."""

import json

from tests.hostile.conftest import HOLD, World
from tests.hostile.elements import PAGES, SOME_HOSTS
from tests.jobs.receiver import new_secret

URLS = [f"https://{host}/x" for host in SOME_HOSTS]


def test_no_item_reaches_a_forbidden_address(world: World) -> None:
    """Neither by its page, nor by the page that all share, nor by an address of its own."""
    page = "<body>" + "".join(one.page(URLS) for one in PAGES[0]) + HOLD.format(200)
    seen = world.batch([{"html": page}, *({"url": url} for url in URLS[:3])])
    seen.assert_nothing_got_through()
    assert seen.status == 200, seen.body
    first, *others = map(json.loads, seen.body.splitlines())
    assert first["state"] == "done", first
    assert {one["problem"]["code"] for one in others} == {"fetch_denied"}

    seen = world.batch([{"data": {"at": url}} for url in URLS], html='<img src="{{ at }}">')
    seen.assert_nothing_got_through()
    assert seen.status == 200, seen.body
    assert [json.loads(one)["state"] for one in seen.body.splitlines()] == ["done"] * len(URLS)


def test_no_webhook_of_a_batch_is_a_forbidden_address(world: World) -> None:
    """It is refused with the batch, or denied when it is sent; one on the web is reached."""
    settings = {"webhook_secrets": f"all={new_secret()}", "webhook_retry_seconds": "0"}
    for url in URLS[:3]:
        seen = world.batch([{"html": "<p>x"}], settings, webhook={"url": url})
        seen.assert_nothing_got_through()
        assert seen.status in (200, 400, 422), seen.body
    seen = world.batch([{"html": "<p>x"}], settings, webhook={"url": "https://hostile.test/go"})
    seen.assert_nothing_got_through()
    assert seen.status == 200, seen.body
    assert any("/go" in hit for hit in seen.hits), seen.hits
