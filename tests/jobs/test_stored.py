"""Results that are stored or sent instead of answered: addresses, names, callers, failures."""

import asyncio
import hashlib
import io
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from PIL import Image
from yarl import URL

from tests.jobs.s3_server import BUCKET, SECRET_KEY, S3Server
from tests.unit.fetching import serving
from tests.web.service import Service, running, running_in_own_folder
from tests.web.tokens import APP, TOKENS, WEB, bearer

RED = "<style>body { margin: 0; background: #ff0000 }</style>"
SMALL = {"width": 20, "height": 10}


@pytest.fixture(scope="module")
async def service() -> AsyncIterator[Service]:
    """With a storage in memory, and a cache."""
    async with running_in_own_folder(
        storage="memory://", cache_bytes=1 << 20, allow_private="127.0.0.0/8"
    ) as found:
        yield found


async def stored(service: Service, **options: Any) -> Any:
    """The answer to a request that must be stored."""
    response = await service.render(**{"html": RED, **SMALL, "store": True, **options})
    assert response.status == 201, await response.text()
    return await response.json()


def colour(body: bytes) -> Any:
    """Of the first pixel."""
    with Image.open(io.BytesIO(body)) as picture:
        return picture.convert("RGB").getpixel((0, 0))


async def test_the_answer_has_the_address_instead_of_the_bytes(service: Service) -> None:
    """And all that is known of the picture."""
    response = await service.render(html=RED, **SMALL, store=True)
    answer = await response.json()
    assert response.status == 201
    assert response.headers["Location"] == answer["url"]
    assert "data" not in answer
    assert (answer["width"], answer["height"], answer["format"]) == (20, 10, "png")
    found = await service.client.get(answer["url"])
    body = await found.read()
    assert colour(body) == (255, 0, 0)
    assert found.headers["Content-Type"] == "image/png"
    assert found.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert "sandbox" in found.headers["Content-Security-Policy"]
    assert answer["object"] == f"{hashlib.sha256(body).hexdigest()}.png"
    assert answer["bytes"] == len(body)
    metrics = await (await service.get("/metrics")).text()
    assert 'poster_deliveries_total{kind="store",outcome="ok"} 1.0' in metrics
    assert 'poster_deliveries_total{kind="store",outcome="storage_failed"} 0.0' in metrics
    assert 'poster_delivery_seconds_count{kind="store"} 1.0' in metrics


async def test_a_picture_of_the_cache_is_stored_too(service: Service) -> None:
    """Under the same name, which is not written twice."""
    page = RED + "<p>cached"
    first = await stored(service, html=page)
    second = await stored(service, html=page)
    assert (first["cache"], second["cache"]) == ("miss", "hit")
    assert first["object"] == second["object"]
    assert (first["is_new"], second["is_new"]) == (True, False)


@pytest.mark.parametrize(
    ("kind", "extension", "media_type"),
    [
        ("png", "png", "image/png"), ("jpeg", "jpg", "image/jpeg"), ("webp", "webp", "image/webp"),
        ("pdf", "pdf", "application/pdf"),
    ],
)  # fmt: skip
async def test_each_format_has_its_name_and_type(
    service: Service, kind: str, extension: str, media_type: str
) -> None:
    """So that any server of files sends the object with its type."""
    answer = await stored(service, format=kind)
    assert answer["object"].endswith(f".{extension}")
    found = await service.client.get(answer["url"])
    assert found.headers["Content-Type"] == media_type


async def test_a_name_of_the_callers_choice(service: Service) -> None:
    """Has its placeholders filled in, and is below a folder of the callers'."""
    name = "cards/{date}/{output}-{digest}.{extension}"
    answer = await stored(service, object={"name": name}, format="jpeg")
    pattern = r"all/cards/\d{4}-\d\d-\d\d/picture-[0-9a-f]{64}\.jpg"
    assert re.fullmatch(pattern, answer["object"])
    plain = await stored(service, object={"name": "card.png", "cache_control": "max-age=5"})
    assert plain["object"] == "all/card.png"
    found = await service.client.get(plain["url"])
    assert found.headers["Cache-Control"] == "max-age=5"
    again = await stored(service, html="<body bgcolor=#0000ff>", object={"name": "card.png"})
    found = await service.client.get(again["url"])
    assert colour(await found.read()) == (0, 0, 255)


async def test_a_file_name_is_that_of_the_object_too(service: Service) -> None:
    """As Content-Disposition."""
    answer = await stored(service, filename="Poster.png")
    found = await service.client.get(answer["url"])
    assert found.headers["Content-Disposition"] == 'attachment; filename="Poster.png"'
    plain = await stored(service)
    found = await service.client.get(plain["url"])
    assert "Content-Disposition" not in found.headers


async def test_each_output_is_stored(service: Service) -> None:
    """With its name and address."""
    outputs = [{"name": "a", "format": "png"}, {"name": "b", "format": "pdf"}]
    answer = await stored(service, outputs=outputs)
    assert [one["name"] for one in answer["outputs"]] == ["a", "b"]
    for one, start in zip(answer["outputs"], (b"\x89PNG", b"%PDF"), strict=True):
        body = await (await service.client.get(one["url"])).read()
        assert body.startswith(start)
    response = await service.render(
        html=RED, **SMALL, outputs=outputs, store=True, object={"name": "same"}
    )
    assert response.status == 400
    assert (await response.json())["field"] == "object.name"


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"object": {"name": "x"}}, "object"),
        ({"store": True, "object": {"name": "../x"}}, "object.name"),
        ({"store": True, "object": {"name": "{secret}"}}, "object.name"),
        ({"store": True, "object": {"url_seconds": 604_801}}, "object.url_seconds"),
        ({"destination": {"url": "ftp://host/x"}}, "destination.url"),
        ({"destination": {"url": "https://user:password@host/x"}}, "destination.url"),
        ({"destination": {"url": "https://host/x", "headers": {"Host": "y"}}},
         "destination.headers"),
        ({"destination": {}}, "destination.url"),
    ],
)  # fmt: skip
async def test_what_cannot_be_is_refused(
    service: Service, options: dict[str, Any], field: str
) -> None:
    """Before anything is rendered, and without what may be secret."""
    response = await service.render(html=RED, **options)
    problem = await response.json()
    assert (response.status, problem["field"]) == (400, field)
    assert "password" not in await response.text() or field == "destination.url"
    assert "user:password" not in await response.text()


async def test_nothing_is_stored_by_a_get(service: Service) -> None:
    """Which only reads, and may come from an image on any page."""
    async with running(work_dir=service.home.parent, get_render=True, storage="memory://") as other:
        response = await other.get("/render?html=x&store=true")
        assert response.status == 400
        assert (await response.json())["field"] == "store"


async def test_without_a_storage_it_is_refused(work_dir: Path) -> None:
    """With what to set; and there is no such path."""
    async with running(work_dir=work_dir) as service:
        response = await service.render(html=RED, store=True)
        assert response.status == 400
        assert "POSTER_STORAGE" in await response.text()
        assert (await service.get("/results/x.png")).status == 404


async def test_callers_have_folders_of_their_own(work_dir: Path) -> None:
    """None reads or replaces what another has named; what is named by its content, who knows it."""
    async with running(work_dir=work_dir, storage="memory://", tokens=TOKENS) as service:

        async def put(token: str, **options: Any) -> Any:
            request = {"html": RED, **SMALL, "store": True, **options}
            response = await service.client.post(
                f"{service.address}/render", json=request, headers=bearer(token)
            )
            assert response.status == 201
            return await response.json()

        async def status(url: str, headers: dict[str, str]) -> int:
            async with service.client.get(url, headers=headers) as response:
                return response.status

        named = await put(WEB, object={"name": "x.png"})
        other = await put(APP, object={"name": "x.png"})
        assert (named["object"], other["object"]) == ("web/x.png", "app/x.png")
        assert await status(named["url"], bearer(WEB)) == 200
        assert await status(named["url"], bearer(APP)) == 404
        assert await status(named["url"], {}) == 401
        by_content = await put(WEB)
        assert await status(by_content["url"], bearer(APP)) == 200


async def test_results_in_a_folder_outlive_the_service(tmp_path: Path, work_dir: Path) -> None:
    """And are served with the type of their name."""
    settings: dict[str, Any] = {"work_dir": work_dir, "storage": f"file://{tmp_path}/results"}
    async with running(**settings) as service:
        answer = await stored(service, format="webp")
    async with running(**settings) as service:
        path = answer["url"].partition("/results/")[2]
        found = await service.get(f"/results/{path}")
        assert found.status == 200
        assert found.headers["Content-Type"] == "image/webp"
        for name in ("../../etc/passwd", "%2e%2e/%2e%2e/etc/passwd", "a/../../x", "%00"):
            url = f"{service.address}/results/{name}"
            response = await service.client.get(URL(url, encoded=True))
            assert response.status in (400, 404, 502), name
            assert b"root:" not in await response.read()


async def test_a_bucket_of_a_real_server(
    credentials: S3Server, work_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Answers a presigned address, which needs no token; nothing of a secret is shown."""
    async with running(
        work_dir=work_dir, storage=f"s3://{BUCKET}/live", tokens=TOKENS,
        metrics_unauthenticated=True,
    ) as service:  # fmt: skip
        request = {"html": RED, **SMALL, "store": True, "object": {"url_seconds": 60}}
        response = await service.client.post(
            f"{service.address}/render", json=request, headers=bearer(WEB)
        )
        answer = await response.json()
        assert response.status == 201, answer
        assert answer["url"].startswith(f"{credentials.endpoint}/{BUCKET}/live/")
        assert answer["expires_seconds"] == 60
        found = await service.client.get(URL(answer["url"], encoded=True))
        assert colour(await found.read()) == (255, 0, 0)
        assert (await service.get("/results/x.png")).status == 404
        shown = await (await service.get("/status")).text()
    assert SECRET_KEY not in shown + caplog.text + await response.text()


async def test_a_storage_that_fails_is_502_and_the_picture_can_be_had(
    credentials: S3Server, work_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The service goes on; nothing of the storage's own words is answered."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong-secret")
    async with running(work_dir=work_dir, storage=f"s3://{BUCKET}") as service:
        response = await service.render(html=RED, **SMALL, store=True)
        problem = await response.json()
        assert (response.status, problem["code"]) == (502, "storage_failed")
        assert problem["detail"] == "the result could not be stored"
        assert (await service.render(html=RED, **SMALL)).status == 200


# --- sent to an address of the caller's own -----------------------------------------------------


class Receiver:
    """A server that takes what is put there.

    Attributes:
        status: That it answers.
        got: Path, headers and body of each request.
    """

    def __init__(self) -> None:
        self.status = 200
        self.address = ""
        self.got: list[tuple[str, dict[str, str], bytes]] = []

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Take it."""
        self.got.append((
            f"{request.method} {request.path_qs}", dict(request.headers), await request.read()
        ))  # fmt: skip
        if self.status == 302:
            return web.Response(status=302, headers={"Location": "/elsewhere"})
        if self.status == 0:
            await asyncio.sleep(30)
        return web.Response(status=self.status)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """One that accepts."""
    found = Receiver()
    async with serving(found.answer) as found.address:
        yield found


async def test_a_result_is_sent_to_a_destination(service: Service, receiver: Receiver) -> None:
    """By one PUT, with its type and the headers of the request."""
    to = {"url": f"{receiver.address}/a%20b?sig=%2F1", "headers": {"X-Amz-Acl": "private"}}
    response = await service.render(html=RED, **SMALL, destination=to)
    answer = await response.json()
    assert response.status == 201, answer
    assert answer["destination_status"] == 200
    assert "url" not in answer
    [(line, headers, body)] = receiver.got
    assert line == "PUT /a%20b?sig=%2F1"
    assert headers["Content-Type"] == "image/png"
    assert headers["X-Amz-Acl"] == "private"
    assert int(headers["Content-Length"]) == len(body) == answer["bytes"]
    assert colour(body) == (255, 0, 0)


@pytest.mark.parametrize("status", [403, 500, 302])
async def test_a_destination_that_refuses_is_502(
    service: Service, receiver: Receiver, status: int
) -> None:
    """With its status; a redirect is not followed, since what is signed is one address."""
    receiver.status = status
    response = await service.render(html=RED, **SMALL, destination={"url": receiver.address})
    problem = await response.json()
    assert (response.status, problem["code"]) == (502, "destination_failed")
    assert str(status) in problem["detail"]
    assert len(receiver.got) == 1


async def test_a_destination_is_bounded_in_time(work_dir: Path, receiver: Receiver) -> None:
    """By the setting."""
    receiver.status = 0
    async with running(
        work_dir=work_dir, storage_timeout_ms=300, allow_private="127.0.0.0/8"
    ) as service:
        response = await service.render(html=RED, **SMALL, destination={"url": receiver.address})
        problem = await response.json()
    assert (response.status, problem["code"]) == (502, "destination_failed")
    assert "timeout" in problem["detail"]


async def test_a_presigned_put_of_a_real_server(
    credentials: S3Server, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Signed by the holder of the keys; this service needs none."""
    from datetime import timedelta

    import obstore
    from obstore.store import S3Store

    store = S3Store(BUCKET, config={}, client_options={"allow_http": True})
    url = await obstore.sign_async(store, "PUT", "mine/poster.png", timedelta(seconds=60))
    response = await service.render(html=RED, **SMALL, destination={"url": url})
    assert response.status == 201, await response.text()
    found = await obstore.get_async(store, "mine/poster.png")
    assert colour(bytes(await found.bytes_async())) == (255, 0, 0)


async def test_a_document_and_what_is_in_it_are_stored_as_such(service: Service) -> None:
    """As text and JSON; a browser that opens the document runs nothing of it."""
    outputs = [
        {"name": "page", "format": "html"},
        {"name": "found", "format": "elements", "elements": ["p"]},
    ]
    page = "<p>ok<script>document.title = 'ran'</script>"
    answer = await stored(service, html=page, outputs=outputs)
    document, found = [await service.client.get(one["url"]) for one in answer["outputs"]]
    assert document.content_type == "text/html"
    assert "sandbox" in document.headers["Content-Security-Policy"]
    assert "<p>ok" in await document.text()
    assert found.content_type == "application/json"
    assert "ok" in await found.text()
