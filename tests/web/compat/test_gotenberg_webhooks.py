"""Gotenberg's webhooks: the file, the error and the events, each to its address."""

import json
from collections.abc import AsyncIterator

import pytest

from tests.jobs.receiver import Answer, WebhookReceiver, new_secret, receiving
from tests.web.compat.forms import Answered, post
from tests.web.compat.gotenberg import CONVERT, PAGE, RED, SHOT
from tests.web.local_web import local_server
from tests.web.pictures import decode
from tests.web.service import Service, running_in_own_folder

SECRET = new_secret()
URL_SHOT = "/forms/chromium/screenshot/url"


@pytest.fixture(scope="module")
async def service() -> AsyncIterator[Service]:
    """One service for all tests of this file."""
    async with running_in_own_folder(
        compat="gotenberg", allow_private="127.0.0.0/8", webhook_retry_seconds="0,0",
        webhook_secrets=f"all={SECRET}",
    ) as found:  # fmt: skip
        yield found


@pytest.fixture
async def receiver() -> AsyncIterator[WebhookReceiver]:
    """One that accepts."""
    async with receiving() as found:
        yield found


async def send(
    service: Service, receiver: WebhookReceiver, path: str = SHOT, /, **headers: str
) -> Answered:
    """A form whose file goes to /file of the receiver, with errors at /error and events."""
    given = {
        "Gotenberg-Webhook-Url": f"{receiver.address}/file",
        "Gotenberg-Webhook-Error-Url": f"{receiver.address}/error",
        "Gotenberg-Webhook-Events-Url": f"{receiver.address}/events",
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    kept = {name: value for name, value in given.items() if value}
    return await post(service, path, {"index.html": PAGE}, kept)


async def test_the_file_goes_to_its_address(service: Service, receiver: WebhookReceiver) -> None:
    """The answer is empty at once; then the event that it has been delivered. All are signed."""
    found = await send(
        service, receiver, Gotenberg_Output_Filename="poster", Gotenberg_Trace="trace-1",
        Gotenberg_Webhook_Method="put",
        Gotenberg_Webhook_Extra_Http_Headers=json.dumps({"X-Own": "1", "Content-Type": "a/b"}),
    )  # fmt: skip
    assert (found.status, found.body) == (204, b"")
    file, event = await receiver.wait_for(2)
    assert file.line == "PUT /file"
    assert decode(file.body).convert("RGB").getpixel((200, 200)) == RED
    assert file.headers["content-type"] == "image/png"
    assert file.headers["content-length"] == str(len(file.body))
    assert file.headers["content-disposition"] == 'attachment; filename="poster.png"'
    assert file.headers["gotenberg-trace"] == "trace-1"
    assert file.headers["x-own"] == "1"
    assert file.headers["webhook-signature"].startswith("v1,")
    assert event.line == "POST /events"
    content = event.verified(SECRET)
    assert (content["event"], content["correlationId"]) == ("webhook.success", "trace-1")
    assert "error" not in content


async def test_a_pdf_goes_there_too(service: Service, receiver: WebhookReceiver) -> None:
    """By the routes that convert; with a name of the caller's if it sends one."""
    extra = json.dumps({"content-disposition": "inline"})
    await send(service, receiver, CONVERT, Gotenberg_Webhook_Extra_Http_Headers=extra)
    file = (await receiver.wait_for(1))[0]
    assert file.body.startswith(b"%PDF")
    assert file.headers["content-type"] == "application/pdf"
    assert file.headers["content-disposition"] == "inline"


async def test_an_error_goes_to_its_address(service: Service, receiver: WebhookReceiver) -> None:
    """With Gotenberg's status, and as an event."""
    headers = {
        "Gotenberg-Webhook-Url": f"{receiver.address}/file",
        "Gotenberg-Webhook-Error-Url": f"{receiver.address}/error",
        "Gotenberg-Webhook-Events-Url": f"{receiver.address}/events",
        "Gotenberg-Webhook-Error-Method": "PATCH",
    }
    found = await post(service, SHOT, {"index.html": PAGE}, headers, selector="#none")
    assert found.status == 204
    by_path = {one.line: one.message for one in await receiver.wait_for(2)}
    error = by_path["PATCH /error"]
    assert error["status"] == 400
    assert "#none" in error["message"] or "selector" in error["message"]
    event = by_path["POST /events"]
    assert (event["event"], event["error"]) == ("webhook.error", error)


async def test_a_file_that_is_not_accepted_is_an_error(
    service: Service, receiver: WebhookReceiver
) -> None:
    """After the last attempt."""
    receiver.answers = [Answer(500), Answer(403)]
    await send(service, receiver, Gotenberg_Webhook_Events_Url="")
    got = await receiver.wait_for(3)
    assert [one.line for one in got] == ["POST /file", "POST /file", "POST /error"]
    assert got[0].id == got[1].id
    assert got[2].message["status"] == 502


@pytest.mark.parametrize(
    ("leads_to", "fields", "status"),
    [
        ("http://10.0.0.1/", {}, 403),
        ("file:///etc/passwd", {}, 403),
        (None, {"failOnResourceLoadingFailed": "true"}, 409),
    ],
)
async def test_what_the_network_policy_denies_has_the_status_of_an_answer(
    service: Service, receiver: WebhookReceiver, leads_to: str | None, fields: dict[str, str],
    status: int,
) -> None:  # fmt: skip
    """403 if it is the page itself, also by a redirect; 409 if it is something of the page."""
    async with local_server() as web:
        picture = "<img src='http://10.0.0.1/a.png'>"
        url = f"{web.address}/go?to={leads_to}" if leads_to else web.page("/denied", picture)
        answered = await post(service, URL_SHOT, {}, url=url, **fields)
        assert answered.status == status, answered.text
        headers = {
            "Gotenberg-Webhook-Url": f"{receiver.address}/file",
            "Gotenberg-Webhook-Error-Url": f"{receiver.address}/error",
        }
        assert (await post(service, URL_SHOT, {}, headers, url=url, **fields)).status == 204
        (error,) = await receiver.wait_for(1)
    assert error.line == "POST /error"
    assert error.message["status"] == status


@pytest.mark.parametrize(
    ("headers", "status", "text"),
    [
        ({"Error_Url": "", "Events_Url": ""}, 400, "At least one of"),
        ({"Method": "GET"}, 400, "Invalid 'Gotenberg-Webhook-Method' header value: expected"
         " 'POST', 'PATCH' or 'PUT', but got 'GET'"),
        ({"Error_Method": "DELETE"}, 400, "Invalid 'Gotenberg-Webhook-Error-Method'"),
        ({"Extra_Http_Headers": "{"}, 400, "Invalid 'Gotenberg-Webhook-Extra-Http-Headers'"),
        ({"Extra_Http_Headers": "[]"}, 400, "must be a JSON object of texts"),
        ({"Extra_Http_Headers": '{"Host": "x"}'}, 400, "Host cannot be set"),
        ({"Extra_Http_Headers": '{"webhook-id": "x"}'}, 400, "webhook-id cannot be set"),
        ({"Url": "file:///etc/passwd"}, 400, "Invalid 'Gotenberg-Webhook-Url'"),
        ({"Url": "https://10.0.0.1/"}, 403, "Forbidden"),
        ({"Error_Url": "https://169.254.169.254/"}, 403, "Forbidden"),
        ({"Events_Url": "http://93.184.216.34/"}, 403, "Forbidden"),
    ],
)  # fmt: skip
async def test_wrong_headers_are_refused(
    service: Service, receiver: WebhookReceiver, headers: dict[str, str], status: int, text: str
) -> None:
    """Before anything is rendered; nothing is sent."""
    given = {f"Gotenberg_Webhook_{name}": value for name, value in headers.items()}
    found = await send(service, receiver, **given)
    assert (found.status, text in found.text) == (status, True), found.text
    assert receiver.got == []
