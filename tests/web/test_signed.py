"""GET /render/{template} with a signature: a picture for <img>, for so long and no longer."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from poster_service.web import signed
from tests.web.conftest import Service, StartService
from tests.web.served import run
from tests.web.service import running_in_own_folder
from tests.web.signing import DATA, KEYS, NEW, OLD, address


async def refusal(service: Service, where: str) -> tuple[int, str]:
    """Status and code."""
    async with service.client.get(where) as answer:
        return answer.status, (await answer.json())["code"]


@pytest.fixture(scope="module")
async def signing() -> AsyncIterator[Service]:
    """A service with keys, and with tokens, which signed addresses need none of."""
    async with running_in_own_folder(signing_keys=KEYS, tokens="web=web-token-0123456789") as found:
        yield found


async def test_an_address_gives_its_picture_and_may_be_kept_as_long_as_it_is_good(
    signing: Service, caplog: pytest.LogCaptureFixture
) -> None:
    """The same as POST /render gives; with HEAD its head; the log names the key."""
    caplog.set_level("INFO")
    headers = {"Authorization": "Bearer web-token-0123456789"}
    job = {"template": "article-card", "data": DATA, "width": 300, "height": 200}
    async with signing.client.post(
        f"{signing.address}/render", json=job, headers=headers
    ) as posted:
        wanted = await posted.read()
        assert posted.status == 200, wanted
    where = address(signing, width=300, height=200)
    async with signing.client.get(where) as answer:
        assert answer.status == 200, await answer.text()
        assert await answer.read() == wanted
        assert answer.content_type == "image/png"
        kind, _, seconds = answer.headers["Cache-Control"].partition(", max-age=")
        assert kind == "public"
        assert 20 < int(seconds) <= 60
        assert answer.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    async with signing.client.head(where) as head:
        assert (head.status, head.content_length) == (200, len(wanted))
        assert await head.read() == b""
    fields = [getattr(one, "fields", {}) for one in caplog.records if one.getMessage() == "render"]
    assert [one.get("caller") for one in fields] == ["web", "key:new", "key:new"]
    assert "signature" not in caplog.text


async def test_flat_data_and_options_are_read(signing: Service) -> None:
    """As in a form."""
    pairs = [
        ("data.title", "字 & more"), ("data.summary", "s"), ("data.author.name", "n"),
        ("format", "webp"), ("device_scale_factor", "0.5"),
        ("key", "old"), ("expires", str(int(time.time()) + 60)),
    ]  # fmt: skip
    query = f"{signed.query_of(pairs)}&signature={signed.signature(OLD, 'article-card', pairs)}"
    async with signing.client.get(f"{signing.address}/render/article-card?{query}") as answer:
        assert answer.status == 200, await answer.text()
        assert (await answer.read()).startswith(b"RIFF")


async def test_each_way_of_not_being_good_is_a_403_with_its_code(
    start_service: StartService,
) -> None:
    """Tampered, expired, good for too long, by a key that is not in force."""
    service = await start_service(signing_keys=KEYS, signed_url_max_seconds=100)
    good = address(service)
    assert await refusal(service, good.replace("key=new", "key=gone")) == (403, "unknown_key")
    assert await refusal(service, good.replace("key=new", "key=old")) == (403, "bad_signature")
    assert await refusal(service, good + "&width=10") == (403, "bad_signature")
    assert await refusal(service, good[:-1]) == (403, "bad_signature")
    assert await refusal(service, good.partition("&signature")[0]) == (403, "bad_signature")
    other = good.replace("/article-card", "/share-poster")
    assert await refusal(service, other) == (403, "bad_signature")
    later = good.replace("expires=", "expires=1")
    assert await refusal(service, later) == (403, "bad_signature")
    assert await refusal(service, address(service, -1)) == (403, "url_expired")
    assert await refusal(service, address(service, 200)) == (403, "expiry_too_far")
    async with service.client.get(address(service, -1)) as answer:
        assert answer.headers["Cache-Control"] == "no-store"


async def test_a_signed_address_is_still_checked_like_any_job(signing: Service) -> None:
    """Options, data, template."""
    assert await refusal(signing, address(signing, width=0)) == (400, "invalid_field")
    assert await refusal(signing, address(signing, data={})) == (422, "invalid_data")
    assert await refusal(signing, address(signing, template="nope")) == (404, "unknown_template")


async def test_without_a_key_there_is_no_such_address(service: Service) -> None:
    """404, signed or not."""
    assert (await refusal(service, address(service)))[0] == 404
    assert (await refusal(service, f"{service.address}/render/article-card"))[0] == 404


async def test_keys_rotate_with_their_file(start_service: StartService, tmp_path: Path) -> None:
    """An address is good as long as its key is there."""
    file = tmp_path / "keys"
    file.write_text("old 0123456789abcdef\n")
    file.chmod(0o600)
    service = await start_service(signing_keys_file=file)
    small = {"width": 300, "height": 200}
    by_old, by_new = address(service, key=OLD, **small), address(service, key=NEW, **small)
    assert await refusal(service, by_new) == (403, "unknown_key")
    async with service.client.get(by_old) as answer:
        assert answer.status == 200
    file.write_text("new fedcba9876543210\n")
    await asyncio.to_thread(service.server.keys.look)
    assert await refusal(service, by_old) == (403, "unknown_key")
    async with service.client.get(by_new) as answer:
        assert answer.status == 200


@pytest.mark.slow
async def test_the_command_makes_an_address_that_the_service_takes(
    signing: Service, work_dir: Path, tmp_path: Path
) -> None:
    """Nothing but the address on stdout; by the first key, or by the one that is named."""
    data = tmp_path / "data.json"
    data.write_text(json.dumps(DATA))
    words = ["sign", "article-card", "--data", str(data), "--expires", "10m", "--width", "300",
             "--height", "200", "--base-url", signing.address]  # fmt: skip
    for more, key in (([], "old"), (["--key", "new"], "new")):
        status, out, err = await run(work_dir, *words, *more, POSTER_SIGNING_KEYS=KEYS)
        assert (status, err) == (0, "")
        assert f"key={key}&" in out
        async with signing.client.get(out.strip()) as answer:
            assert answer.status == 200, await answer.text()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "keys", "reported"),
    [
        ((), "", "POSTER_SIGNING_KEYS=name=key"),
        (("--key", "gone"), KEYS, "there are: new, old"),
        (("--expires", "soon"), KEYS, "30s, 10m, 1h or 7d"),
        (("--expires", "0s"), KEYS, "30s, 10m, 1h or 7d"),
        (("--expires", "8d"), KEYS, "POSTER_SIGNED_URL_MAX_SECONDS"),
        (("--width", "0"), KEYS, "width"),
        (("--max-length", "0"), KEYS, "--max-length 0: must be a whole number"),
        (("--max-length", "9" * 5000), KEYS, "must be a whole number"),
        (("--max-length", "50"), KEYS, "characters, more than the 50 of --max-length"),
    ],
)
async def test_what_cannot_be_signed_is_one_line(
    work_dir: Path, words: tuple[str, ...], keys: str, reported: str
) -> None:
    """And nothing on stdout."""
    more = {"POSTER_SIGNING_KEYS": keys}
    status, out, err = await run(work_dir, "sign", "article-card", *words, **more)
    assert (status, out) == (1, "")
    assert reported in err
    assert len(err.splitlines()) == 1


@pytest.mark.slow
async def test_an_address_with_a_picture_in_it_is_refused_and_a_long_one_warned_of(
    work_dir: Path, tmp_path: Path
) -> None:
    """By its length and by the value that is too large; nothing is printed that will not work."""
    data = tmp_path / "data.json"
    keys = {"POSTER_SIGNING_KEYS": KEYS}
    words = ["sign", "share-poster", "--data", str(data), "--base-url", "https://p.example.com"]
    photo = "data:image/png;base64," + "A" * 110_000
    data.write_text(json.dumps({"title": "x", "image": photo}))
    status, out, err = await run(work_dir, *words, **keys)
    assert (status, out) == (1, "")
    assert "more than the 8,000 of --max-length" in err
    assert "data.image alone has 110,022." in err
    status, out, err = await run(work_dir, *words, "--max-length", "999999", **keys)
    assert (status, out) == (1, "")
    assert "POSTER_MAX_HEADER_BYTES=16384" in err
    data.write_text(json.dumps({"title": "x" * 2_000}))
    status, out, err = await run(work_dir, *words, **keys)
    assert status == 0
    assert out.startswith("https://p.example.com/render/share-poster?data=")
    assert err.startswith("poster-service: warning: the URL has 2,")
    assert len(err.splitlines()) == 1
