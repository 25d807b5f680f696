"""Webhooks that take the result itself, and of a failure a line of JSON.

Its statuses and headers are decided where the request is accepted, and stand in its document, so
that a worker needs to know no other service's API.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from poster_service.jobs.records import Job
from poster_service.jobs.webhook_message import message_id, timestamp_of
from poster_service.jobs.webhook_records import Message

#: The member of a job's webhook that says that it is one of these.
FORM = "file"


@dataclass(frozen=True)
class FileWebhook:
    """Where a result is sent, or why there is none; nothing is sent to an empty address.

    Attributes:
        url: Takes the result.
        method: By which method.
        error_url: Takes `{"status", "message"}` if there is none, or if it could not be delivered.
        error_method: By which method.
        events_url: Takes an event by POST for both, after the result was delivered.
        headers: Sent with all of them; may be secret.
        file_headers: Sent with the result.
        correlation: The id in events.
        statuses: The status of an error by its code and field (`fetch_denied url`), or by its code
            alone, where it is not that of the problem.
    """

    url: str
    method: str = "POST"
    error_url: str = ""
    error_method: str = "POST"
    events_url: str = ""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    file_headers: Mapping[str, str] = field(default_factory=dict)
    correlation: str = ""
    statuses: Mapping[str, int] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """The webhook of a job."""
        return {"form": FORM, **vars(self)}

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> "FileWebhook | None":
        """The webhook of a job, if it is one of these."""
        if document.get("form") != FORM:
            return None
        return cls(**{name: value for name, value in document.items() if name != "form"})

    def messages(self, job: Job) -> Iterator[Message]:
        """What is sent now that a job has ended; nothing of one that was cancelled."""
        if job.state == "done" and job.result is not None:
            yield self._result(job, job.result)
        elif job.state == "failed":
            yield from self._failure(job, job.problem or {})

    def _result(self, job: Job, result: Mapping[str, Any]) -> Message:
        undelivered = {"status": 502, "detail": "the webhook did not accept the result"}
        return Message(
            id=message_id("file", job.id),
            caller=job.caller,
            kind="file",
            subject=job.id,
            url=self.url,
            headers={**self.file_headers, **self.headers},
            object=result["object"],
            size=int(result.get("bytes", 0)),
            method=self.method,
            content_type=result["content_type"],
            is_signed=False,
            follow={
                "delivered": [one.as_json() for one in self._event(job, {})],
                "dead": [one.as_json() for one in self._failure(job, undelivered)],
            },
        )

    def _failure(self, job: Job, problem: Mapping[str, Any]) -> Iterator[Message]:
        error = {"status": self._status(problem), "message": str(problem.get("detail", ""))}
        if self.error_url:
            yield self._json(job, "file-error", (self.error_method, self.error_url), error)
        yield from self._event(job, error)

    def _status(self, problem: Mapping[str, Any]) -> int:
        code, field_ = problem.get("code", ""), problem.get("field", "")
        known = (self.statuses.get(name) for name in (f"{code} {field_}", code))
        found = next((one for one in known if one is not None), problem.get("status", 500))
        return int(found)

    def _event(self, job: Job, error: Mapping[str, Any]) -> Iterator[Message]:
        if self.events_url:
            kind = "webhook.error" if error else "webhook.success"
            body = {
                "event": kind,
                "correlationId": self.correlation,
                "timestamp": timestamp_of(datetime.now(UTC)),
                **({"error": error} if error else {}),
            }
            yield self._json(job, kind, ("POST", self.events_url), body)

    def _json(self, job: Job, kind: str, to: tuple[str, str], body: Mapping[str, Any]) -> Message:
        method, url = to
        return Message(
            id=message_id(kind, job.id),
            caller=job.caller,
            kind=kind,
            subject=job.id,
            url=url,
            headers=self.headers,
            body=json.dumps(body, ensure_ascii=False),
            method=method,
            is_signed=False,
        )
