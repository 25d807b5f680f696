"""Who may come in: tokens by name, and what one of them may use up."""

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from poster_service.commands.serve import announce
from poster_service.errors import UnauthenticatedBind
from poster_service.settings import Settings
from poster_service.web.app import listen
from poster_service.web.handlers import routes
from tests.conftest import settled
from tests.web.conftest import Service, StartService
from tests.web.raw_http import answer, connected, request
from tests.web.served import run
from tests.web.service import SharedService
from tests.web.tokens import APP, TOKENS, WEB, bearer

OPEN = {"/", "/docs", "/healthz", "/readyz"}


#: These answer a browser with a page that needs no token; its script asks for it.
PAGES = {"/status", "/fonts"}


@pytest.fixture(scope="module")
async def shared_guarded() -> AsyncIterator[SharedService]:
    """The service behind the fixture `guarded`; stopped after the last test of the file."""
    shared = SharedService(tokens=TOKENS)
    yield shared
    await shared.stop()


@pytest.fixture
async def guarded(shared_guarded: SharedService) -> AsyncIterator[Service]:
    """A service with tokens, for tests that count nothing."""
    async with shared_guarded.lent() as found:
        yield found


async def status_of(service: Service, path: str, method: str = "GET", **headers: str) -> int:
    """The status of a request."""
    where = f"{service.address}{path}"
    async with service.client.request(method, where, headers=headers) as reported:
        return reported.status


async def post(service: Service, token: str, **job: object) -> aiohttp.ClientResponse:
    """A render with a token; the body is read already."""
    where = f"{service.address}/render"
    answer = await service.client.post(where, json=job, headers=bearer(token))
    await answer.read()
    return answer


async def test_every_address_needs_a_token_but_the_open_ones(guarded: Service) -> None:
    """Closed by default, so that a new address is closed too; with a token all are there."""
    service = guarded
    for route in routes(service.engine.settings):
        path, method = route.path.replace("{template}", "share-poster"), route.method
        if "{" in route.path:
            continue  # signed addresses have tests of their own
        reported = await status_of(service, path, method)
        assert (reported == 401) == (path not in OPEN), (method, path)
        assert await status_of(service, path, method, **bearer(WEB)) != 401, path
    for path in PAGES:
        assert await status_of(service, path, Accept="text/html") == 200
        assert await status_of(service, f"{path}?format=json", Accept="text/html") == 401
    assert await status_of(service, "/nothing") == 404
    assert await status_of(service, "/render") == 405


async def test_an_encoded_letter_opens_no_address(guarded: Service) -> None:
    """What counts is the address that was matched."""
    for path in ("/%73tatus", "/status?/healthz", "/./status", "/healthz/../status"):
        async with connected(guarded) as streams:
            streams[1].write(request(path))
            assert (await answer(streams))[0] in (401, 404), path


async def test_who_has_no_token_is_reported_before_the_body_has_come(guarded: Service) -> None:
    """Of a body that is announced with megabytes nothing is kept, and the connection is closed."""
    async with connected(guarded) as streams:
        whole = request("/render", "POST", b"x" * 5_000_000, {"Content-Type": "text/html"})
        streams[1].write(whole[:2000])
        status, problem, head = await answer(streams)
        assert (status, problem["code"]) == (401, "unauthorized")
        assert b"Connection: close" in head


async def test_metrics_and_status_can_be_opened(start_service: StartService) -> None:
    """For a scraper on a network of its own; nothing else comes with them."""
    service = await start_service(tokens=TOKENS, metrics_unauthenticated=True)
    found = {path: await status_of(service, path) for path in ("/metrics", "/status", "/templates")}
    assert found == {"/metrics": 200, "/status": 200, "/templates": 401}


@pytest.mark.parametrize(
    ("headers", "challenge"),
    [
        ({}, 'Bearer realm="poster-service"'),
        ({"Authorization": WEB}, 'Bearer realm="poster-service"'),
        ({"Authorization": "Bearer"}, 'Bearer realm="poster-service"'),
        ({"Authorization": "Basic d2ViOnRva2Vu"}, 'Bearer realm="poster-service"'),
        (bearer(WEB + "x"), 'Bearer realm="poster-service", error="invalid_token"'),
        (bearer(WEB[:-1]), 'Bearer realm="poster-service", error="invalid_token"'),
        (bearer("web"), 'Bearer realm="poster-service", error="invalid_token"'),
        (bearer(hashlib.sha256(APP.encode()).hexdigest()),
         'Bearer realm="poster-service", error="invalid_token"'),
    ],
)  # fmt: skip
async def test_no_token_and_a_wrong_one_are_401_with_the_challenge(
    guarded: Service, headers: dict[str, str], challenge: str
) -> None:
    """As RFC 6750 has it; a digest is not the token; the answer does not tell what was sent."""
    job = {"html": "<p>x"}
    where = f"{guarded.address}/render"
    async with guarded.client.post(where, json=job, headers=headers) as answer:
        problem = await answer.json()
    assert (answer.status, problem["code"]) == (401, "unauthorized")
    assert answer.headers["WWW-Authenticate"] == challenge
    assert WEB[:-1] not in str(problem)


async def test_the_log_names_the_caller_and_never_the_token(
    start_service: StartService, caplog: pytest.LogCaptureFixture
) -> None:
    """In the line of each render; for each form of the token, and the scheme in any case."""
    caplog.set_level(logging.DEBUG)
    service = await start_service(tokens=TOKENS)
    for token in (WEB, APP):
        assert (await post(service, token, html="<p>x", width=10, height=10)).status == 200
    await post(service, "a-wrong-token-0123456789", html="<p>x")
    lower = {"Authorization": f"bearer  {WEB} "}
    assert await status_of(service, "/templates", **lower) == 200
    renders = [one for one in caplog.records if one.getMessage() == "render"]
    callers = [getattr(one, "fields", {}).get("caller") for one in renders]
    assert callers == [None, "web", "app"]  # the first is the probe of the start
    reported = caplog.text + str([vars(one) for one in caplog.records if "poster" in one.name])
    for secret in (WEB, APP, "a-wrong-token"):
        assert secret not in reported


@pytest.mark.slow
async def test_tokens_rotate_without_a_restart(start_service: StartService, tmp_path: Path) -> None:
    """A new file: its tokens are in and the old ones out, within seconds; a broken one: neither."""
    file = tmp_path / "tokens"
    file.write_text(f"web {WEB}\n")
    service = await start_service(tokens_file=file)
    assert await status_of(service, "/templates", **bearer(WEB)) == 200

    def replace(text: str) -> None:
        (tmp_path / "new").write_text(text)
        (tmp_path / "new").rename(file)

    replace("web broken")
    await asyncio.sleep(1.5)
    assert await status_of(service, "/templates", **bearer(WEB)) == 200
    replace(f"web {APP}\n")
    new = hashlib.sha256(APP.encode()).digest()
    assert await settled(lambda: service.server.tokens.entries[0].digest == new)
    assert await status_of(service, "/templates", **bearer(APP)) == 200
    assert await status_of(service, "/templates", **bearer(WEB)) == 401


async def test_a_rate_is_429_with_the_time_to_come_back(start_service: StartService) -> None:
    """Two saved up, one a minute; the other caller has its own, and a refused job costs nothing."""
    service = await start_service(tokens=TOKENS, token_renders_per_minute=1, token_burst=2)
    for _ in range(5):
        assert (await post(service, WEB, html="<p>x", width=0)).status == 400
    small = {"html": "<p>x", "width": 10, "height": 10}
    answers = [await post(service, WEB, **small) for _ in range(3)]
    assert [one.status for one in answers] == [200, 200, 429]
    assert (await answers[-1].json())["code"] == "rate_limited"
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= 60
    assert (await post(service, APP, **small)).status == 200


@pytest.mark.slow
async def test_so_many_at_once_are_429_beyond(start_service: StartService) -> None:
    """And one more when one has ended."""
    service = await start_service(tokens=TOKENS, token_concurrency=1)
    assert await service.at_rest()
    never = {"wait_for": {"expression": "false"}}
    running = asyncio.create_task(post(service, WEB, html="<p>", timeout_ms=60_000, **never))
    assert await settled(lambda: service.engine.admission.statistics().running == 1)
    small = {"html": "<p>x", "width": 10, "height": 10}
    refused = await post(service, WEB, **small)
    assert (refused.status, (await refused.json())["code"]) == (429, "concurrency_limited")
    assert int(refused.headers["Retry-After"]) >= 1
    assert (await post(service, APP, **small)).status == 200
    running.cancel()
    assert await settled(lambda: not service.engine.admission.statistics().running)
    assert (await post(service, WEB, **small)).status == 200
    assert await service.at_rest()


async def test_a_flood_of_one_caller_does_not_starve_another(start_service: StartService) -> None:
    """Forty renders wait; the other's is done before a fourth of them is."""
    service = await start_service(tokens=TOKENS, concurrency=1, queue_size=40, timeout_ms=60_000)
    small = {"html": "<p>x", "width": 10, "height": 10}
    order: list[str] = []

    async def one(token: str) -> None:
        assert (await post(service, token, **small)).status == 200
        order.append(token)

    flood = [asyncio.create_task(one(WEB)) for _ in range(20)]
    assert await settled(lambda: service.engine.admission.statistics().waiting >= 15)
    await one(APP)
    assert order.index(APP) < 10
    for task in flood:
        task.cancel()
    await asyncio.gather(*flood, return_exceptions=True)
    assert await service.at_rest()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "localhost", "127.0.0.2", "::1"])
@pytest.mark.parametrize("given", [{}, {"tokens": TOKENS}, {"allow_unauthenticated": True}])
def test_it_is_open_to_others_only_with_a_token_or_when_a_setting_says_so(
    host: str, given: dict[str, object]
) -> None:
    """The refusal is one line that names both remedies."""
    settings = Settings.model_validate({"host": host, "port": 0, **given})
    if given or host not in ("0.0.0.0", "::"):
        listen(settings).close()
        return
    with pytest.raises(UnauthenticatedBind) as caught:
        listen(settings)
    for remedy in ("POSTER_TOKENS=", "POSTER_TOKENS_FILE", "POSTER_ALLOW_UNAUTHENTICATED=1"):
        assert remedy in str(caught.value)


@pytest.mark.slow
async def test_the_refusal_to_be_open_to_all_is_one_line_and_status_1(work_dir: Path) -> None:
    """Of the command, before a Chrome is started."""
    status, out, err = await run(work_dir, "serve", "--host", "0.0.0.0", "--port", "0")
    assert (status, out) == (1, "")
    assert len(err.splitlines()) == 1, err
    assert "POSTER_ALLOW_UNAUTHENTICATED=1" in err


def test_the_line_to_paste_asks_for_a_token_where_one_is_needed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It is in the paster's own variable."""
    announce("http://127.0.0.1:1", guarded=True)
    assert 'Authorization: Bearer $TOKEN"' in capsys.readouterr().out
    announce("http://127.0.0.1:1", guarded=False)
    assert "Bearer" not in capsys.readouterr().out


def test_the_first_lines_name_the_pages_to_look_at(capsys: pytest.CaptureFixture[str]) -> None:
    """The address itself first, for programs that read one; each page is a route that there is."""
    announce("http://127.0.0.1:1", guarded=False)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith(" on http://127.0.0.1:1")
    pages = [line.split()[0] for line in lines[1:4]]
    assert pages == [f"http://127.0.0.1:1{path}" for path in ("/", "/docs", "/status")]
