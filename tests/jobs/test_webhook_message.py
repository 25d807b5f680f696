"""The message to a webhook: its id, its body, its signature; secrets and options."""

import json
import time
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from standardwebhooks import Webhook as Receiver
from standardwebhooks import WebhookVerificationError

from poster_service import credentials
from poster_service.errors import InvalidSettings
from poster_service.jobs.turns import Turns
from poster_service.jobs.webhook_attempts import seconds_of
from poster_service.jobs.webhook_message import (
    MAX_BODY_BYTES,
    body_of,
    message_id,
    signed_headers,
)
from poster_service.jobs.webhook_options import Webhook
from poster_service.settings import Settings
from tests.jobs.receiver import new_secret

NOW = datetime.now(UTC)


def key_of(secret: str) -> bytes:
    """The bytes of a secret."""
    return credentials.webhook_secret("all", secret).key


def test_the_signature_is_that_of_the_specification() -> None:
    """The example that its libraries share (standard-webhooks, spec, `whsec_MfKQ...`)."""
    key = key_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    body = b'{"test": 2432232314}'
    headers = signed_headers("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body, [key])
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@given(body=st.text(), seconds=st.integers(-60, 60))
def test_a_receiver_accepts_what_is_signed_with_one_of_its_keys(body: str, seconds: int) -> None:
    """Old and new, while they rotate; with another key, or another body, it does not."""
    old, new, other = new_secret("o"), new_secret("n"), new_secret("x")
    at = int(time.time()) + seconds
    raw = body.encode("utf-8", "surrogatepass")
    if b"\xed" in raw:  # no UTF-8, which that package wants
        return
    headers = signed_headers("msg_1", at, raw, [key_of(old), key_of(new)])
    for secret in (old, new):
        Receiver(secret).verify(raw, headers, json_parse=False)
    for wrong, given_body in ((other, raw), (old, raw + b" ")):
        with pytest.raises(WebhookVerificationError):
            Receiver(wrong).verify(given_body, headers, json_parse=False)


def test_without_a_key_there_is_no_signature() -> None:
    """And the other two headers all the same."""
    assert set(signed_headers("msg_1", 1, b"", [])) == {"webhook-id", "webhook-timestamp"}


def test_the_id_is_of_the_event() -> None:
    """The same each time; another for another job, and for another event of the same job."""
    one = message_id("render.failed", "job")
    assert one == message_id("render.failed", "job")
    others = {message_id("render.failed", "job2"), message_id("render.succeeded", "job")}
    assert len({one, *others}) == 3
    assert one.startswith("msg_")
    assert len(one) == 36


def test_the_body_says_what_and_when() -> None:
    """In UTC, also where the time has another zone."""
    at = datetime(2026, 11, 29, 18, 0, 0, 1500, tzinfo=timezone(timedelta(hours=2)))
    body = json.loads(body_of("render.succeeded", at, {"job": "1"}))
    assert body == {
        "type": "render.succeeded", "timestamp": "2026-11-29T16:00:00.001Z", "data": {"job": "1"},
    }  # fmt: skip


@given(
    data=st.dictionaries(
        st.text(max_size=20), st.text(max_size=20).map(lambda text: text * 1_000), max_size=6
    )
)
def test_a_body_is_bounded(data: dict[str, str]) -> None:
    """The largest members are left out, and named."""
    text = body_of("batch.finished", NOW, data)
    assert len(text.encode()) <= MAX_BODY_BYTES
    found = json.loads(text)["data"]
    left_out = found.pop("left_out", [])
    assert set(found) | set(left_out) == set(data) or "left_out" in data
    assert all(found[name] == data[name] for name in found)


@pytest.mark.parametrize(
    "text",
    ["", "whsec_", new_secret(length=23), new_secret(length=65), "whsec_????" + "a" * 32,
     new_secret()[6:], "a-secret-of-another-kind-0001"],
)  # fmt: skip
def test_a_wrong_secret_is_refused_without_showing_it(text: str) -> None:
    """With what it must be."""
    with pytest.raises(InvalidSettings, match="WEBHOOK_SECRETS") as failure:
        Settings.load({"POSTER_WEBHOOK_SECRETS": f"all={text}"}, {})
    assert len(text) < 8 or text not in str(failure.value)


def test_a_caller_has_secrets_of_its_own_or_those_of_all() -> None:
    """Several sign side by side."""
    settings = Settings.load(
        {
            "POSTER_WEBHOOK_SECRETS": f"all={new_secret('a')},web={new_secret('b')},"
            f"web={new_secret('c', 64)}"
        },
        {},
    )
    secrets = settings.webhook_secrets
    assert credentials.secrets_of(secrets, "web") == (b"b" * 32, b"c" * 64)
    assert credentials.secrets_of(secrets, "app") == (b"a" * 32,)
    assert credentials.secrets_of(secrets, "") == (b"a" * 32,)
    assert credentials.secrets_of(secrets[1:], "app") == ()
    assert "b" * 32 not in repr(settings)


def test_the_webhook_of_a_request() -> None:
    """All events by default."""
    found = Webhook.model_validate({"url": "https://example.com/hook"})
    assert found.events == ("render.succeeded", "render.failed", "batch.finished")
    assert found.headers == {}


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": "ftp://example.com/"}, {"url": "https://user:word@example.com/"}, {"url": ""}, {},
        {"events": []}, {"events": ["render.begun"]}, {"events": "render.failed"},
        {"headers": {"Host": "x"}}, {"headers": {"Webhook-Id": "x"}},
        {"headers": {"webhook-signature": "x"}}, {"headers": {"X-A": "b\r\nX-B: c"}},
        {"headers": {"X A": "b"}}, {"headers": {"X-A": "é"}}, {"headers": {"Content-Length": "1"}},
        {"secret": "x"},
    ],
)  # fmt: skip
def test_a_wrong_webhook_is_refused(wrong: dict[str, object]) -> None:
    """As a destination is."""
    given = {**({} if "url" in wrong or not wrong else {"url": "https://example.com/"}), **wrong}
    with pytest.raises(ValidationError):
        Webhook.model_validate(given)


@pytest.mark.parametrize(
    ("value", "low", "high"),
    [
        ("0", 0, 0), ("120", 120, 120), ("999999999999999", 86_400, 86_400), ("-5", 0, 0),
        ("soon", 0, 0), ("", 0, 0), ("1.5", 0, 0), ("Fri, 31 Dec 1999 23:59:59 GMT", 0, 0),
        ("Fri, 31 Dec 2199 23:59:59 GMT", 86_400, 86_400), ("٣", 0, 0),
    ],
)  # fmt: skip
def test_retry_after_is_read_within_bounds(value: str, low: float, high: float) -> None:
    """Seconds or a date; anything else is none."""
    assert low <= seconds_of({"retry-after": value}) <= high


def test_one_host_has_a_few_turns_and_the_others_wait_longer_and_longer() -> None:
    """By the time that it takes; another host has its own, and what is over is forgotten."""
    turns = Turns(8)
    assert [turns.enter("slow") for _ in range(8)] == [0.0] * 8
    waits = [turns.enter("slow") for _ in range(20)]
    assert waits[0] > 0
    assert waits == sorted(waits)
    assert waits[-1] > 2.0
    assert turns.enter("fast") == 0.0
    turns.leave("fast", 0.01)
    assert len(turns) == 1
    for _ in range(8):
        turns.leave("slow", 20.0)
    assert turns.enter("slow") == 0.0
