"""A job: a render that outlives the request for it, as one record with one state.

    queued -> running -> done | failed | cancelled        queued -> cancelled
    running -> queued                                     given back by a worker that stops, or
                                                          cannot store the result

Each change is a compare-and-set in the store (`scripts.py`), so a job ends exactly once, however
often it is delivered. The request of a job is in its record and nowhere else; the queue has only
ids.
"""

import base64
import hashlib
import json
import secrets
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal, cast

from poster_service import telemetry
from poster_service.jobs.webhook_options import Webhook
from poster_service.render.declaration import Option
from poster_service.render.options import RenderOptions
from poster_service.render.request import Asset, RenderRequest
from poster_service.render.storage_options import ObjectOptions

State = Literal["queued", "running", "done", "failed", "cancelled"]
#: How a job may end.
Outcome = Literal["done", "failed", "cancelled"]
ENDED: frozenset[State] = frozenset({"done", "failed", "cancelled"})
#: What a running job does.
Phase = Literal["rendering", "storing", "waiting"]
#: Bytes of randomness of an id, so that it cannot be guessed.
ID_BYTES = 16


class StoredOptions(RenderOptions):
    """The options of a render whose result is stored, whether it asks for that or not."""

    object: Annotated[
        ObjectOptions | None,
        Option("How the stored result is named and served.", changes_output=False),
    ] = None


class StoredRequest(RenderRequest):
    """A render request whose result is stored."""

    declared: ClassVar[type[RenderOptions]] = StoredOptions


class JobOptions(StoredOptions):
    """The options of a stored render, and those that only a job has."""

    webhook: Annotated[
        Webhook | None,
        Option("Reports the end of the job to an address of the caller's.", changes_output=False),
    ] = None


class JobRequest(StoredRequest):
    """A render request with the options of a job."""

    declared: ClassVar[type[RenderOptions]] = JobOptions

    @property
    def webhook(self) -> Webhook | None:
        """Where the end of the job is reported."""
        assert isinstance(self.options, JobOptions)
        return self.options.webhook


@dataclass(frozen=True)
class NewJob:
    """What a caller wants done.

    Attributes:
        caller: The caller's name; "" without tokens.
        request: What `document_of` gives.
        webhook: Where to report its end; None for nowhere. Its shape is the webhooks' own matter.
        batch: The id of the batch that it is a part of; "" for none.
        id: Its id; with the id of a job that is there already nothing is created.
        trace: The `traceparent` of the request that asked for it; "" while nothing is traced.
    """

    caller: str
    request: Mapping[str, Any]
    webhook: Mapping[str, Any] | None = None
    batch: str = ""
    id: str = field(default_factory=lambda: secrets.token_hex(ID_BYTES))
    trace: str = field(default_factory=telemetry.traceparent)


@dataclass(frozen=True)
class Job:
    """One job, as the store had it at one moment.

    Attributes:
        id: 32 hexadecimal digits if it was made here.
        caller: Whose it is.
        state: Of `State`.
        request: As `NewJob.request`; empty once it has ended, except of a part of a batch that
            failed, which may be tried again.
        created: When it was accepted, in seconds since the epoch.
        started: When it last began to run; None before.
        finished: When it ended; None before.
        attempts: How often a worker has begun it; one that was given back does not count.
        deaths: How often a worker was not heard of again while it rendered this job.
        is_announced: Whether all who have to hear of its end have heard.
        unstored: When the storage first failed it for so long that it was queued again; None if it
            never was.
        phase: What it does while it runs; "" before and after.
        result: What was made, as `results.known` has it, without addresses: these are made for each
            answer. None if it is not done.
        problem: The problem (RFC 9457) of the render that failed; None of any other job.
        batch: The id of its batch, or "".
        webhook: As `NewJob.webhook`.
        trace: As `NewJob.trace`.
    """

    id: str
    caller: str
    state: State
    request: Mapping[str, Any]
    created: float
    started: float | None = None
    finished: float | None = None
    attempts: int = 0
    phase: str = ""
    result: Mapping[str, Any] | None = None
    problem: Mapping[str, Any] | None = None
    batch: str = ""
    webhook: Mapping[str, Any] | None = None
    trace: str = ""
    deaths: int = 0
    unstored: float | None = None
    is_announced: bool = False

    @property
    def has_ended(self) -> bool:
        """Whether its state changes no more."""
        return self.state in ENDED

    @classmethod
    def of(cls, fields: Mapping[bytes, bytes]) -> "Job":
        """The job of a hash in Redis."""
        text = {name.decode(): value for name, value in fields.items()}

        def word(name: str) -> str:
            return text.get(name, b"").decode()

        def moment(name: str) -> float | None:
            return float(word(name)) if word(name) else None

        def value(name: str) -> Any:
            return unpacked(text[name]) if text.get(name) else None

        return cls(
            word("id"),
            word("caller"),
            cast(State, word("state")),
            value("request") or {},
            moment("created") or 0.0,
            moment("started"),
            moment("finished"),
            int(word("attempts") or 0),
            word("phase"),
            value("result"),
            value("problem"),
            word("batch"),
            value("webhook"),
            word("trace"),
            int(word("deaths") or 0),
            moment("unstored"),
            word("announced") == "1",
        )


def packed(value: Any) -> bytes:
    """A JSON value as bytes, compressed: HTML takes a fifth of its size."""
    return zlib.compress(json.dumps(value, ensure_ascii=False).encode(), 1)


def unpacked(raw: bytes) -> Any:
    """The value that `packed` was given."""
    return json.loads(zlib.decompress(raw))


def document_of(request: RenderRequest) -> dict[str, Any]:
    """A render request as JSON: source and options by name, and its files in base64.

    Only what the caller gave is in it; `request_of` makes the same request of it.
    """
    document = {
        **request.source.model_dump(mode="json", exclude_unset=True),
        **request.options.model_dump(mode="json", exclude_unset=True),
    }
    files = [
        {
            "name": one.name,
            "content_type": one.content_type,
            "data": base64.b64encode(one.body).decode(),
        }
        for one in request.files
    ]
    return {"request": document, "files": files} if files else {"request": document}


def files_of(document: Mapping[str, Any]) -> tuple[Asset, ...]:
    """The files in what `document_of` gave."""
    return tuple(
        Asset(one["name"], one["content_type"], base64.b64decode(one["data"]))
        for one in document.get("files", ())
    )


def fingerprint(document: Mapping[str, Any]) -> str:
    """The same for two requests that say the same, in any order of their options."""
    text = json.dumps(document, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()
