"""What is sent to a webhook: its id, its body and its signature (Standard Webhooks 1.0.0).

The id of a message is derived from what it is about, so that a job that runs twice, and each retry,
sends the same one: receivers use it to ignore what they have already got. The signature covers the
id, the time of the attempt and the body.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Literal, get_args

EventType = Literal["render.succeeded", "render.failed", "batch.finished"]
EVENT_TYPES: tuple[EventType, ...] = get_args(EventType)
#: Largest body, in bytes: the specification wants less than 20 kB.
MAX_BODY_BYTES = 19_000


def message_id(kind: str, subject: str) -> str:
    """The id of the message about an event, the same however often the event is reported.

    Args:
        kind: Of the event.
        subject: The id of the job or batch.
    """
    return f"msg_{hashlib.sha256(f'{kind} {subject}'.encode()).hexdigest()[:32]}"


def body_of(kind: EventType, at: datetime, data: Mapping[str, Any]) -> str:
    """The JSON of a message.

    Members of `data` that would make it too large, the largest first, are replaced by their names
    in `left_out`.
    """
    kept = dict(data)
    left_out: list[str] = []
    while True:
        more = {"left_out": sorted(left_out)} if left_out else {}
        text = json.dumps(
            {"type": kind, "timestamp": timestamp_of(at), "data": {**kept, **more}},
            ensure_ascii=False,
            separators=(",", ":"),
        )
        if len(text.encode()) <= MAX_BODY_BYTES or not kept:
            return text
        largest = max(kept, key=lambda name: len(json.dumps(kept[name])))
        del kept[largest]
        left_out.append(largest)


def timestamp_of(at: datetime) -> str:
    """A time in ISO 8601, in UTC."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def signed_headers(
    identity: str, seconds: int, body: bytes, keys: Iterable[bytes]
) -> dict[str, str]:
    """The three headers of a message; without keys there is no signature.

    Args:
        identity: Of the message.
        seconds: When this attempt is made, in seconds since the epoch.
        body: As it is sent.
        keys: All that sign: a receiver accepts the message if it knows one of them.
    """
    signed = f"{identity}.{seconds}.".encode() + body
    signatures = [
        f"v1,{base64.b64encode(hmac.digest(key, signed, 'sha256')).decode()}" for key in keys
    ]
    headers = {"webhook-id": identity, "webhook-timestamp": str(seconds)}
    return headers | ({"webhook-signature": " ".join(signatures)} if signatures else {})
