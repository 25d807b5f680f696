"""Buckets of Azure and of Google: Microsoft's Azurite, and fake-gcs-server behind a front."""

import asyncio
import io
import json
import logging
import subprocess
import time
import urllib.error
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest
from PIL import Image
from yarl import URL

from poster_service.errors import InvalidSettings, StorageFailed
from tests.jobs.azure_server import ACCOUNT, CONTAINER, KEY, AzureServer
from tests.jobs.gcs_server import ACCOUNT as GOOGLE_ACCOUNT
from tests.jobs.gcs_server import BUCKET, GcsServer, new_key
from tests.jobs.storages import an_object, built, fetched
from tests.web.compat.environments import python_with
from tests.web.served import run
from tests.web.service import running

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
RED = {"html": "<body style='background:#ff0000'>", "width": 20, "height": 10, "store": True}
SIGNER = Path(__file__).parent / "programs/sign_with_google.py"
WRONG_KEY = "d3Jvbmcga2V5IHRoYXQgbXVzdCBub3QgYmUgc2Vlbg=="


@dataclass(frozen=True)
class Cloud:
    """A bucket, and what its clients need.

    Attributes:
        address: Of the bucket, for POSTER_STORAGE.
        begins: How the addresses of its objects begin.
        wrong: Variables with credentials that it refuses.
        secrets: What must never be shown.
    """

    address: str
    begins: str
    wrong: Mapping[str, str]
    secrets: tuple[str, ...]

    @property
    def absent(self) -> str:
        """A bucket that it has not."""
        scheme, _, _ = self.address.partition("://")
        return f"{scheme}://no-such-bucket/prefix"


@pytest.fixture(params=["az", "gs"])
def cloud(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    """Each of both, with its credentials in this process's environment."""
    server = request.getfixturevalue("azure" if request.param == "az" else "gcs")
    for name, value in server.variables.items():
        monkeypatch.setenv(name, value)
    return azure_cloud(server) if request.param == "az" else google_cloud(server)


def azure_cloud(server: AzureServer) -> Cloud:
    """The container of Azurite."""
    return Cloud(
        f"az://{CONTAINER}/some/prefix",
        f"{server.endpoint}/{ACCOUNT}/{CONTAINER}/some/prefix/",
        {"AZURE_STORAGE_ACCOUNT_KEY": WRONG_KEY},
        (KEY, WRONG_KEY),
    )


def google_cloud(server: GcsServer) -> Cloud:
    """The bucket of fake-gcs-server."""
    other = new_key(server.folder / "other.pem")
    keys = [one.read_text().splitlines() for one in (server.key, other)]
    return Cloud(
        f"gs://{BUCKET}/some/prefix",
        f"{server.endpoint}/{BUCKET}/some/prefix/",
        {"GOOGLE_SERVICE_ACCOUNT": str(server.account(other, "wrong.json"))},
        tuple(line for lines in keys for line in lines[1:-1]),
    )


async def test_a_presigned_address_works_without_credentials(cloud: Cloud) -> None:
    """It serves what was stored, with its headers, and has no key in it."""
    storage, given = built(storage=cloud.address), an_object("all/2026-11-30/a=b@c_d.png")
    assert await storage.put(given, replaces=True)
    address = await storage.address(given.name, 60)
    assert address.seconds == 60
    assert address.url.startswith(cloud.begins)
    assert not any(one in address.url for one in cloud.secrets)
    body, headers = await asyncio.to_thread(fetched, address.url)
    assert body == given.body
    assert headers["content-type"] == "image/png"
    assert headers["cache-control"] == "public, max-age=60"
    assert headers["content-disposition"] == 'attachment; filename="a"'


async def test_azure_refuses_an_address_that_was_changed_or_has_expired(
    azure: AzureServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its signature is for one object, and for as long as was asked."""
    for name, value in azure.variables.items():
        monkeypatch.setenv(name, value)
    storage = built(storage=f"az://{CONTAINER}")
    given, other = an_object("given.png"), an_object("other.png")
    for one in (given, other):
        await storage.put(one, replaces=True)
    good = (await storage.address(given.name, 60)).url
    assert await asyncio.to_thread(status_of, good) == 200
    assert await asyncio.to_thread(status_of, good.replace(given.name, other.name)) == 403
    short = (await storage.address(given.name, 1)).url
    give_up = time.monotonic() + 30
    while await asyncio.to_thread(status_of, short) != 403:
        assert time.monotonic() < give_up
        await asyncio.sleep(0.2)


def status_of(url: str) -> int:
    """What is answered there."""
    try:
        fetched(url)
    except urllib.error.HTTPError as error:
        return error.code
    return 200


async def test_google_s_own_client_signs_the_same_address(
    gcs: GcsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the last bit: with one key, at one time, there is one signature.

    With either variable that names the file of the key. Not compared are names with `=` or `@`,
    which Google's client percent-encodes and obstore does not.
    """
    account = gcs.account(
        gcs.key, "real.json", gcs_base_url="https://storage.googleapis.com",
        token_uri="https://oauth2.googleapis.com/token",
    )  # fmt: skip
    ours = {}
    for variable, name in (
        ("GOOGLE_SERVICE_ACCOUNT", "all/2026-11-30/with space/中.png"),
        ("GOOGLE_APPLICATION_CREDENTIALS", "a_b-c.pdf"),
    ):
        with monkeypatch.context() as patch:
            patch.setenv(variable, str(account))
            storage = built(storage=f"gs://{BUCKET}/some/prefix")
            ours[name] = (await storage.address(name, 60)).url
    times = [dict(parse_qsl(urlsplit(url).query))["X-Goog-Date"] for url in ours.values()]
    python = await asyncio.to_thread(python_with, "google-cloud-storage==3.17.1")
    asked = [f"{moment} some/prefix/{name}" for moment, name in zip(times, ours, strict=True)]
    command = [str(python), str(SIGNER), str(account), BUCKET, "60", *asked]
    theirs = json.loads(await asyncio.to_thread(subprocess.check_output, command))
    assert list(map(taken_apart, ours.values())) == list(map(taken_apart, theirs))


def taken_apart(url: str) -> tuple[str, str, list[tuple[str, str]]]:
    """Host, path and query in any order."""
    split = urlsplit(url)
    return split.netloc, split.path, sorted(parse_qsl(split.query))


async def test_wrong_credentials_are_an_error_without_them(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither the error nor the log has what is secret."""
    for name, value in cloud.wrong.items():
        monkeypatch.setenv(name, value)
    storage = built(storage=cloud.address)
    with caplog.at_level(logging.DEBUG):
        for doing in (storage.put(an_object(), replaces=True), storage.has("a"), storage.get("a")):
            with pytest.raises(StorageFailed) as failure:
                await doing
            seen = f"{failure.value!r} {failure.value.__cause__!r}"
            assert not any(one in seen for one in cloud.secrets)
    assert not any(one in caplog.text for one in (*cloud.secrets, ACCOUNT, GOOGLE_ACCOUNT))
    assert caplog.text.count("object storage failed") == 3


async def test_an_absent_bucket_is_an_error_at_a_put(
    cloud: Cloud, caplog: pytest.LogCaptureFixture
) -> None:
    """Which names no bucket to the caller; nothing can be read there either."""
    storage = built(storage=cloud.absent)
    with pytest.raises(StorageFailed, match="the result could not be stored") as failure:
        await storage.put(an_object(), replaces=False)
    assert "no-such-bucket" not in f"{failure.value!r} {caplog.text}"
    assert "object storage failed" in caplog.text
    assert not await storage.has("a.png")
    assert await storage.get("a.png") is None


async def test_a_service_stores_there(
    cloud: Cloud, work_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The same picture once; nothing of a secret is shown."""
    async with running(work_dir=work_dir, storage=cloud.address) as service:
        answers = []
        for is_new in (True, False):
            response = await service.render(**RED, object={"url_seconds": 60})
            answers.append(await response.text())
            answer = json.loads(answers[-1])
            assert (response.status, answer["is_new"]) == (201, is_new), answer
            assert answer["url"].startswith(cloud.begins)
            assert answer["expires_seconds"] == 60
            found = await service.client.get(URL(answer["url"], encoded=True))
            with Image.open(io.BytesIO(await found.read())) as picture:
                assert picture.convert("RGB").getpixel((0, 0)) == (255, 0, 0)
        shown = await (await service.get("/status")).text()
    everything = "".join([shown, caplog.text, *answers])
    assert not any(one in everything for one in cloud.secrets)


async def test_a_service_with_wrong_credentials_goes_on(
    cloud: Cloud, work_dir: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """502 in its own words; the picture can be had."""
    for name, value in cloud.wrong.items():
        monkeypatch.setenv(name, value)
    async with running(work_dir=work_dir, storage=cloud.address) as service:
        response = await service.render(**RED)
        text = await response.text()
        assert (response.status, json.loads(text)["code"]) == (502, "storage_failed")
        assert json.loads(text)["detail"] == "the result could not be stored"
        shown = await (await service.get("/status")).text()
        plain = {name: value for name, value in RED.items() if name != "store"}
        assert (await service.render(**plain)).status == 200
    everything = shown + caplog.text + text
    assert not any(one in everything for one in (*cloud.secrets, ACCOUNT, GOOGLE_ACCOUNT))


@pytest.mark.parametrize(
    ("variables", "hint"),
    [
        ({"POSTER_STORAGE": "az://posters"}, "AZURE_STORAGE_ACCOUNT_NAME"),
        (
            {
                "POSTER_STORAGE": "az://posters/x",
                "AZURE_STORAGE_ACCOUNT_NAME": "posteraccount",
                "AZURE_STORAGE_ACCOUNT_KEY": "!!hunter2!!",
            },
            "AZURE_STORAGE_ACCOUNT_KEY",
        ),
        ({"POSTER_STORAGE": "gs://posters", "GOOGLE_SERVICE_ACCOUNT": "{broken}"}, "GOOGLE_"),
        ({"POSTER_STORAGE": "gs://posters", "GOOGLE_SERVICE_ACCOUNT": "{absent}"}, "GOOGLE_"),
        ({"POSTER_STORAGE": "file:///proc/no/such"}, "the owner of the folder"),
    ],
)
async def test_credentials_of_a_wrong_form_end_the_start(
    tmp_path: Path, variables: Mapping[str, str], hint: str
) -> None:
    """With status 1 and one line that says where to look, and nothing of what is there."""
    broken = tmp_path / "hunter2.json"
    key = {"type": "service_account", "client_email": "hunter2", "private_key": "hunter2"}
    broken.write_text(json.dumps({**key, "private_key_id": "hunter2"}))
    places = {"broken": broken, "absent": tmp_path / "none.json"}
    given = {name: value.format_map(places) for name, value in variables.items()}
    status, _, err = await run(tmp_path, "serve", "--port", "0", **given)
    assert status == 1
    scheme = given["POSTER_STORAGE"].partition(":")[0]
    assert f"the storage {scheme}:// cannot be set up" in err
    assert hint in err
    assert "hunter2" not in err
    assert "Traceback" not in err


def test_a_client_that_cannot_be_set_up_is_a_fault_of_the_settings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also where it is made by another command."""
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME", raising=False)
    with pytest.raises(InvalidSettings, match="az://"):
        built(storage="az://posters")
