"""POST /jobs, GET and DELETE /jobs/ID: renders that outlive the request for them."""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from aiohttp import hdrs, web
from typing_extensions import TypedDict

from poster_service.errors import Fault, InvalidField
from poster_service.jobs.delivery import with_addresses
from poster_service.jobs.records import Job, JobRequest, NewJob, State, document_of
from poster_service.jobs.storage import ObjectAddress
from poster_service.jobs.webhooks import document_of as webhook_document
from poster_service.render.job import RenderContext
from poster_service.web.bodies import read_request
from poster_service.web.caller import CALLER
from poster_service.web.incoming import expect_later
from poster_service.web.problems import Problem
from poster_service.web.room import check_room
from poster_service.web.service import SERVICE, Service
from poster_service.web.stored import StoredOutputs, StoredRender

PATH = "/jobs"
ONE = f"{PATH}/{{id}}"
#: A caller's name for one wish: what comes twice with it is done once
#: (draft-ietf-httpapi-idempotency-key-header).
KEY = "Idempotency-Key"
_KEY = re.compile(r"[!-~]{1,255}")
#: When to ask again for a job that has not ended, in seconds.
POLL_SECONDS = 1


class JobAnswer(TypedDict):
    """A job: its state, and its result or the problem of its render."""

    id: str
    state: State
    progress: str | None
    created: str
    started: str | None
    finished: str | None
    attempts: int
    result: StoredRender | StoredOutputs | None
    problem: Problem | None


async def submit(request: web.Request) -> web.Response:
    """POST /jobs: accepts a render, which is checked as that of POST /render."""
    service, caller = request.app[SERVICE], request.get(CALLER, "")
    key = key_of(request)
    check_room(request, service, caller)
    wanted = await read_request(request, service.engine.limits, JobRequest)
    service.webhooks.check(wanted.webhook, caller)
    webhook = webhook_document(wanted.webhook, str(request.url.origin()))
    job = await accept(request, wanted, webhook, key)
    answer = await _answer(request, job)
    answer.set_status(202)
    answer.headers[hdrs.LOCATION] = f"{PATH}/{job.id}"
    answer.headers[hdrs.RETRY_AFTER] = str(POLL_SECONDS)
    return answer


async def state(request: web.Request) -> web.Response:
    """GET /jobs/{id}: how far it is, and its result with an address that is good from now on."""
    service, caller = request.app[SERVICE], request.get(CALLER, "")
    return await _answer(request, await service.jobs.get(request.match_info["id"], caller))


async def cancel(request: web.Request) -> web.Response:
    """DELETE /jobs/{id}: cancels it; one that runs gives its Chrome back at once."""
    service, caller = request.app[SERVICE], request.get(CALLER, "")
    return await _answer(request, await service.jobs.cancel(request.match_info["id"], caller))


async def accept(
    request: web.Request, wanted: JobRequest, webhook: Mapping[str, Any] | None, key: str = ""
) -> Job:
    """Accept a render that has been read, within the caller's quota.

    Args:
        request: Whose caller is charged for it.
        wanted: What to render.
        webhook: Where its end is reported, as it is stored.
        key: Its Idempotency-Key.

    Raises:
        PosterError: It could not be rendered, or there is no room for it.
    """
    service, caller = request.app[SERVICE], request.get(CALLER, "")
    async with service.quotas.charge(caller, service.engine.admission.mean_seconds):
        # Faults that need no Chrome are found now, while the caller waits for an answer.
        await service.engine.jobs.build(wanted, RenderContext(caller))
        return await service.jobs.submit(NewJob(caller, document_of(wanted), webhook), key)


def routes() -> list[web.RouteDef]:
    """The routes of jobs."""
    return [
        web.post(PATH, submit, expect_handler=expect_later),
        web.get(ONE, state),
        web.delete(ONE, cancel),
    ]


def key_of(request: web.Request) -> str:
    """The Idempotency-Key of a request; "" without one.

    Raises:
        InvalidField: It is not one that can be used.
    """
    given = request.headers.getall(KEY, [])
    if not given:
        return ""
    # The draft has it as a string of structured fields, in quotes; many send it without.
    key = given[0].strip().removeprefix('"').removesuffix('"')
    if len(given) > 1 or not _KEY.fullmatch(key):
        raise InvalidField.of(
            Fault(KEY, "is not usable", "one header with 1 to 255 visible ASCII characters")
        )
    return key


async def job_answer(service: Service, job: Job, origin: str) -> JobAnswer:
    """A job as JSON.

    Args:
        service: Whose storage has its result.
        job: The job.
        origin: Of this service, for the results that it serves itself.
    """

    async def address(name: str) -> ObjectAddress:
        return await service.results.address(name, None)

    result: Any = await with_addresses(job.result, address, origin) if job.result else None
    problem: Any = job.problem
    return {
        "id": job.id,
        "state": job.state,
        "progress": job.phase or None,
        "created": moment(job.created) or "",
        "started": moment(job.started),
        "finished": moment(job.finished),
        "attempts": job.attempts,
        "result": result,
        "problem": problem,
    }


def moment(seconds: float | None) -> str | None:
    """A time as RFC 3339 has it, in UTC and milliseconds."""
    if seconds is None:
        return None
    text = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


async def _answer(request: web.Request, job: Job) -> web.Response:
    body = await job_answer(request.app[SERVICE], job, str(request.url.origin()))
    headers = {hdrs.CACHE_CONTROL: "no-store"}
    if not job.has_ended:
        headers[hdrs.RETRY_AFTER] = str(POLL_SECONDS)
    return web.json_response(
        body, headers=headers, dumps=lambda value: json.dumps(value, ensure_ascii=False)
    )
