"""A client of poster-service for asyncio, in one file: it needs aiohttp and nothing else of ours.

    async with Client("http://127.0.0.1:8080", token="...") as client:
        picture = await client.render(html="<h1>Hello</h1>", width=600, height=300)
        Path("hello.png").write_bytes(picture.body)

        page = "<link rel=stylesheet href=style.css><img src=img/logo.svg>"
        files = {"style.css": b"body { margin: 0 }", "img/logo.svg": Path("logo.svg")}
        picture = await client.render(html=page, files=files)

        job = await client.submit(url="https://example.com", format="pdf", key="order-4711")
        job = await client.wait(job)
        pdf = await client.fetch(job.result["url"])

        batch = await client.batch([{"data": row} for row in rows], template="article-card")
        batch = await client.wait_batch(batch)
        urls = [item["url"] for item in await client.batch_items(batch)]

Copy it into a project that does not install the service. Options are those of `POST /render`, by
the same names; what the service knows and this file does not works too. An answer that is no
success raises an `ApiError` with the problem (RFC 9457) that the service sent. What is refused for
lack of room (429, 503), and what a lost connection left open, is tried again, after the time that
the service names.
"""

import asyncio
import base64
import hashlib
import hmac
import json
import random
import re
import secrets
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote, urlsplit

import aiohttp

__all__ = [
    "ApiError",
    "Batch",
    "Busy",
    "Client",
    "ConnectionLost",
    "Files",
    "InvalidWebhook",
    "Job",
    "JobFailed",
    "Picture",
    "RenderFailed",
    "RequestRefused",
    "verify_webhook",
]

#: Statuses after which the same request may succeed a moment later.
BUSY = frozenset({429, 503})
#: Waits before another attempt, in seconds: the first, which doubles, and the longest.
FIRST_WAIT, LONGEST_WAIT = 0.5, 30.0
#: How old, or how far in the future, a webhook may be, in seconds (Standard Webhooks).
TOLERANCE_SECONDS = 300.0
#: An item of `X-Render-Warnings`, a list of RFC 9651, and a parameter of one.
_ITEM = re.compile(r'\s*((?:[^",]|"(?:[^"\\]|\\.)*")+)')
_PARAMETER = re.compile(r';\s*([a-z_]+)=(?:"((?:[^"\\]|\\.)*)"|([^";,]*))')
_TIMING = re.compile(r"([a-z_]+);dur=([0-9.]+)")

#: Files beside a page: each one's path below the page, and its bytes or where they are read from.
Files = Mapping[str, bytes | Path]


class ConnectionLost(Exception):
    """The service could not be reached, or did not answer in time."""


class InvalidWebhook(Exception):
    """A webhook is not from the service, or is too old."""


class ApiError(Exception):
    """The service answered with a problem.

    Attributes:
        status: The HTTP status; that of the render, where a job failed.
        code: The stable code of the error, such as `invalid_field`.
        title: What kind of error it is, for people.
        detail: What is wrong, the value seen, and what is allowed.
        field: The option at fault; "" if there is none.
        allowed: Which values it may have; "" if that is not known.
        errors: All fields at fault, each with `field`, `message` and `allowed`.
        request_id: By which the log of the service names the request.
        retry_after: Seconds after which the service wants to be asked again; None if it names none.
    """

    def __init__(
        self, status: int, problem: Mapping[str, Any], retry_after: float | None = None
    ) -> None:
        self.status = status
        self.code = str(problem.get("code", f"http_{status}"))
        self.title = str(problem.get("title", ""))
        self.detail = str(problem.get("detail", ""))
        self.field = str(problem.get("field") or "")
        self.allowed = str(problem.get("allowed") or "")
        self.errors: list[Mapping[str, Any]] = list(problem.get("errors", ()))
        self.request_id = str(problem.get("request_id", ""))
        self.retry_after = retry_after
        super().__init__(f"{status} {self.code}: {self.detail or self.title}")


class RequestRefused(ApiError):
    """The request is at fault (4xx): the same one fails again."""


class Busy(ApiError):
    """There was no room for it (429, 503), also not when it was tried again."""


class RenderFailed(ApiError):
    """The page, its Chrome, or the service failed (500, 502, 504)."""


class JobFailed(ApiError):
    """A job has failed, or was cancelled (`code` is `cancelled` then)."""


@dataclass(frozen=True)
class Picture:
    """What a render has made.

    Attributes:
        body: The bytes of the picture, PDF or text.
        media_type: Such as `image/png`.
        warnings: What it lacks, each with its `warning` and parameters such as `url`.
        timing: Milliseconds of each phase.
        cache: How the cache took part: `hit`, `miss`, `coalesced` or `bypass`.
        etag: Of the bytes, without quotes.
        request_id: By which the log of the service names the request.
    """

    body: bytes = field(repr=False)
    media_type: str
    warnings: tuple[Mapping[str, Any], ...] = ()
    timing: Mapping[str, float] = field(default_factory=dict)
    cache: str = ""
    etag: str = ""
    request_id: str = ""


@dataclass(frozen=True)
class Job:
    """A render that outlives the request for it.

    Attributes:
        id: Its id.
        state: `queued`, `running`, `done`, `failed` or `cancelled`.
        result: Of a job that is done: what was stored, with its `url`; None of any other.
        problem: Of a job that failed: what `POST /render` would have answered; None of any other.
        answer: All that the service says of it.
        retry_after: Seconds after which to ask again; 0 once it has ended.
    """

    id: str
    state: str
    result: Mapping[str, Any] | None
    problem: Mapping[str, Any] | None
    answer: Mapping[str, Any] = field(repr=False)
    retry_after: float = 0.0

    @property
    def has_ended(self) -> bool:
        """Whether its state changes no more."""
        return self.state in ("done", "failed", "cancelled")


@dataclass(frozen=True)
class Batch:
    """Many renders of one kind.

    Attributes:
        id: Its id.
        state: `running`, `done` (each item has ended, also by a failure) or `cancelled`.
        items: How many it has.
        left: How many have not ended.
        counts: How many are `waiting`, `running`, `done`, `failed` and `cancelled`.
        answer: All that the service says of it.
        retry_after: Seconds after which to ask again; 0 once it has ended.
    """

    id: str
    state: str
    items: int
    left: int
    counts: Mapping[str, int]
    answer: Mapping[str, Any] = field(repr=False)
    retry_after: float = 0.0

    @property
    def has_ended(self) -> bool:
        """Whether each of its items has ended."""
        return self.state != "running" and self.left == 0


class Client:
    """A client of one service; close it, or use it as a context manager."""

    def __init__(
        self,
        base_url: str,
        token: str = "",
        *,
        retries: int = 4,
        timeout: float = 120.0,
        session: aiohttp.ClientSession | None = None,
    ) -> None:
        """Connect to nothing yet.

        Args:
            base_url: Of the service, such as `https://posters.example.com`.
            token: Of the caller; "" where the service asks for none.
            retries: Attempts after the first.
            timeout: Of one attempt, in seconds; longer than the `timeout_ms` of a render.
            session: One to use and leave open; by default one of its own.
        """
        self._base = base_url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._retries = retries
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._session = session
        self._owns_session = session is None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close its connections."""
        if self._owns_session and self._session is not None:
            await self._session.close()
            self._session = None

    async def render(self, *, files: Files | None = None, **options: Any) -> Picture:
        """Render a page.

        Args:
            files: What lies beside the page, by the names that the page has for it; sent as a form,
                in memory as a whole.
            options: Those of `POST /render`: a source (`html`, `template` with `data`, `url` or
                `markdown`), `width`, `height`, `format` and all others.

        Raises:
            RequestRefused: An option is wrong, or not allowed.
            Busy: There was no room for it.
            RenderFailed: The page or its Chrome failed, or time ran out.
            ConnectionLost: There was no answer.
        """
        if options.get("outputs"):
            raise ValueError("outputs: use render_outputs")
        return _picture(await self._post("/render", options, files))

    async def render_outputs(
        self, *, files: Files | None = None, **options: Any
    ) -> dict[str, Picture]:
        """Render a page into several `outputs`; the pictures by name.

        Args:
            files: As of `render`.
            options: As of `render`, with `outputs`.

        Raises:
            ApiError, ConnectionLost: As `render`.
        """
        accept = {"Accept": "application/json"}
        answer = await self._post("/render", options, files, accept)
        found = answer.json()
        return {
            one["name"]: Picture(
                base64.b64decode(one["data"]),
                one["content_type"],
                tuple(found["warnings"]),
                found["timing_ms"],
                found["cache"],
                one["etag"],
                answer.headers.get("X-Request-Id", ""),
            )
            for one in found["outputs"]
        }

    async def store(self, *, files: Files | None = None, **options: Any) -> Mapping[str, Any]:
        """Render a page and have the service store the result; its `url` and what is known of it.

        Args:
            files: As of `render`.
            options: As of `render`.

        Raises:
            ApiError, ConnectionLost: As `render`.
        """
        given = {"store": True, **options}
        found: Mapping[str, Any] = (await self._post("/render", given, files)).json()
        return found

    async def render_many(
        self, requests: Iterable[Mapping[str, Any]], *, at_once: int = 4
    ) -> AsyncGenerator[tuple[int, Picture | ApiError], None]:
        """Render several pages, some at a time; each one's place and picture, as they come.

        The error of one does not end the others: it comes in the place of its picture.

        Raises:
            ConnectionLost: There was no answer; what runs is cancelled.
        """

        async def one(place: int, options: Mapping[str, Any]) -> tuple[int, Picture | ApiError]:
            try:
                return place, await self.render(**options)
            except ApiError as error:
                return place, error

        left = enumerate(requests)
        running: set[asyncio.Task[tuple[int, Picture | ApiError]]] = set()
        try:
            while True:
                for place, options in left:
                    running.add(asyncio.create_task(one(place, options)))
                    if len(running) >= at_once:
                        break
                if not running:
                    return
                done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    yield task.result()
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def submit(self, *, key: str = "", files: Files | None = None, **options: Any) -> Job:
        """Have a page rendered later, and its result stored.

        Args:
            key: Of the wish: the same key gives the same job, also from another process. By default
                a new one, so that a repeated attempt makes no second job.
            files: As of `render`.
            options: As of `render`.

        Raises:
            ApiError, ConnectionLost: As `render`; nothing is rendered yet.
        """
        headers = {"Idempotency-Key": key or secrets.token_hex(16)}
        return _job(await self._post("/jobs", options, files, headers))

    async def job(self, identity: str) -> Job:
        """A job as it is now.

        Raises:
            RequestRefused: There is no such job, or it has expired.
            Busy, ConnectionLost: As `render`.
        """
        return _job(await self._ask("GET", f"/jobs/{identity}"))

    async def wait(self, job: Job | str, *, timeout: float | None = None) -> Job:  # noqa: ASYNC109
        """Wait until a job is done.

        Args:
            job: The job, or its id.
            timeout: For how long, in seconds; None for as long as it takes.

        Raises:
            JobFailed: It failed or was cancelled.
            TimeoutError: It has not ended; it goes on.
            ApiError, ConnectionLost: As `job`.
        """
        async with asyncio.timeout(timeout):
            found = await self.job(_id(job))
            while not found.has_ended:
                await asyncio.sleep(found.retry_after or 1.0)
                found = await self.job(found.id)
        if found.state != "done":
            problem = found.problem or {"code": found.state, "detail": f"the job is {found.state}"}
            raise JobFailed(int(problem.get("status", 0)), problem)
        return found

    async def cancel(self, job: Job | str) -> Job:
        """Cancel a job, also while it runs.

        Raises:
            RequestRefused: It is done or has failed, or there is no such job.
            Busy, ConnectionLost: As `render`.
        """
        return _job(await self._ask("DELETE", f"/jobs/{_id(job)}"))

    async def batch(
        self, items: Iterable[Mapping[str, Any]], *, key: str = "", **common: Any
    ) -> Batch:
        """Have many pages of one kind rendered later, and their results stored.

        Args:
            items: Each has `data`, options of its own, and perhaps an `id`; else that is its place
                from 1.
            key: As of `submit`.
            common: What all items share: a source, and options.

        Raises:
            RequestRefused: An item is wrong, and nothing was accepted; `errors` names the lines, of
                which the first is what all share.
            Busy, ConnectionLost: As `render`.
        """
        named = [{"id": str(place), **item} for place, item in enumerate(items, 1)]
        lines = [{"common": common}, *named]
        body = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
        headers = {
            "Content-Type": "application/x-ndjson",
            "Idempotency-Key": key or secrets.token_hex(16),
        }
        return _batch(await self._ask("POST", "/batches", data=body, headers=headers))

    async def wait_batch(
        self,
        batch: Batch | str,
        *,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> Batch:
        """Wait until each item of a batch has ended, well or not.

        Args:
            batch: The batch, or its id.
            timeout: For how long, in seconds; None for as long as it takes.

        Raises:
            TimeoutError: It has not ended; it goes on.
            ApiError, ConnectionLost: As `job`.
        """
        path = f"/batches/{_id(batch)}"
        async with asyncio.timeout(timeout):
            found = _batch(await self._ask("GET", path))
            while not found.has_ended:
                await asyncio.sleep(found.retry_after or 1.0)
                found = _batch(await self._ask("GET", path))
        return found

    async def batch_items(self, batch: Batch | str, state: str = "") -> list[Mapping[str, Any]]:
        """The items of a batch in their order: `id`, `number`, `job`, `state`, `url`, `problem`.

        Args:
            batch: The batch, or its id.
            state: Only those of this state, such as `failed`; "" for all.

        Raises:
            ApiError, ConnectionLost: As `job`.
        """
        query = f"?state={quote(state, safe='')}" if state else ""
        answer = await self._ask("GET", f"/batches/{_id(batch)}/items{query}")
        return [json.loads(line) for line in answer.body.splitlines()]

    async def cancel_batch(self, batch: Batch | str) -> Batch:
        """Cancel a batch: what runs is stopped, what waits never begins.

        Raises:
            ApiError, ConnectionLost: As `cancel`.
        """
        return _batch(await self._ask("DELETE", f"/batches/{_id(batch)}"))

    async def fetch(self, url: str) -> Picture:
        """The bytes of a stored result, by the `url` that the service named.

        The token is sent to the service itself and to no other address, such as a bucket's.

        Raises:
            ApiError, ConnectionLost: As `render`.
        """
        return _picture(await self._ask("GET", url))

    async def _post(
        self,
        path: str,
        options: Mapping[str, Any],
        files: Files | None,
        headers: Mapping[str, str] | None = None,
    ) -> "_Answer":
        """Ask for a render: in JSON, or as a form where there are files."""
        if not files:
            return await self._ask("POST", path, json=options, headers=headers)
        boundary = secrets.token_hex(16)
        kind = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        read = {
            name: await asyncio.to_thread(one.read_bytes) if isinstance(one, Path) else one
            for name, one in files.items()
        }
        body = _form(boundary, options, read)
        return await self._ask("POST", path, data=body, headers={**(headers or {}), **kind})

    async def _ask(
        self,
        method: str,
        path: str,
        *,
        json: Mapping[str, Any] | None = None,
        data: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> "_Answer":
        """Ask, again where that makes sense; an answer that is a success."""
        url = f"{self._base}{path}" if path.startswith("/") else path
        own = self._headers if _origin(url) == _origin(self._base) else {}
        for attempt in range(self._retries + 1):
            is_last = attempt == self._retries
            try:
                given = {"json": json, "data": data, "headers": {**own, **(headers or {})}}
                answer = await self._once(method, url, given)
            except (aiohttp.ClientConnectionError, TimeoutError) as error:
                if is_last:
                    raise ConnectionLost(f"{method} {urlsplit(url).netloc}: {error!r}") from error
                await asyncio.sleep(_pause(attempt, None))
                continue
            if answer.status < 300:
                return answer
            refusal = answer.error()
            if answer.status not in BUSY or is_last:
                raise refusal
            await asyncio.sleep(_pause(attempt, refusal.retry_after))
        raise AssertionError("unreachable")

    async def _once(self, method: str, url: str, given: Mapping[str, Any]) -> "_Answer":
        if self._session is None:
            self._session = aiohttp.ClientSession()
        async with self._session.request(
            method, url, timeout=self._timeout, allow_redirects=False, **given
        ) as response:
            return _Answer(response.status, response.headers, await response.read())


@dataclass(frozen=True)
class _Answer:
    """An answer that was read to its end."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """Its body as JSON."""
        return json.loads(self.body)

    @property
    def retry_after(self) -> float | None:
        """Seconds after which to ask again; None if it names none."""
        after = self.headers.get("Retry-After", "")
        return float(after) if after.isdecimal() else None

    def error(self) -> ApiError:
        """The error that it stands for."""
        kind: Callable[..., ApiError] = RenderFailed if self.status >= 500 else RequestRefused
        if self.status in BUSY:
            kind = Busy
        return kind(self.status, self._problem(), self.retry_after)

    def _problem(self) -> Mapping[str, Any]:
        try:
            found = self.json()
        except ValueError:  # of a proxy in front, as a rule
            found = None
        is_problem = isinstance(found, dict)
        return found if is_problem else {"detail": self.body[:200].decode(errors="replace")}


def verify_webhook(
    secret: str | bytes, headers: Mapping[str, str], body: bytes, *, now: float | None = None
) -> Any:
    """The JSON of a webhook, if it comes from who knows the secret and not from long ago.

    By Standard Webhooks 1.0. Its `webhook-id` is the same each time that it is sent: who has seen
    it may drop it.

    Args:
        secret: `whsec_` and base64, as it was given to the service, or the key's bytes.
        headers: Of the request, in any case.
        body: Of the request, exactly as it came.
        now: The time, in seconds since the epoch; by default that of this machine.

    Raises:
        InvalidWebhook: A header is missing, the time is off by 5 minutes, or no signature fits.
    """
    given = {name.lower(): value for name, value in headers.items()}
    try:
        identity, at = given["webhook-id"], given["webhook-timestamp"]
        signatures = given["webhook-signature"].split()
    except KeyError as error:
        raise InvalidWebhook(f"the header {error.args[0]} is missing") from None
    if not (at.isascii() and at.isdecimal() and len(at) < 16):
        raise InvalidWebhook("webhook-timestamp is no number of seconds")
    if abs((time.time() if now is None else now) - int(at)) > TOLERANCE_SECONDS:
        raise InvalidWebhook("webhook-timestamp is too old, or in the future")
    message = f"{identity}.{at}.".encode() + body
    digest = hmac.new(_key(secret), message, hashlib.sha256).digest()
    expected = b"v1," + base64.b64encode(digest)
    fits = [hmac.compare_digest(expected, one.encode()) for one in signatures]
    if not any(fits):
        raise InvalidWebhook("no signature fits")
    return json.loads(body)


def _key(secret: str | bytes) -> bytes:
    """The key of a secret.

    Raises:
        ValueError: It is empty, or not base64.
    """
    if isinstance(secret, str):
        text = secret.removeprefix("whsec_")
        secret = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    if not secret:
        raise ValueError("the secret of webhooks is empty")
    return secret


def _form(boundary: str, options: Mapping[str, Any], files: Mapping[str, bytes]) -> bytes:
    """Options and files as a form (RFC 7578)."""
    given = dict(options)
    parts = []
    if (html := given.pop("html", None)) is not None:
        page = 'filename="index.html"\r\nContent-Type: text/html; charset=utf-8'
        parts.append(("index.html", page, str(html).encode()))
    if (data := given.pop("data", None)) is not None:
        parts.append(("data", "", json.dumps(data).encode()))
    parts += [(name, "", text.encode()) for name, text in _fields(given)]
    for name, body in files.items():
        parts.append((name, f'filename="{_quoted(name)}"', body))
    lines = []
    for name, more, body in parts:
        head = f'form-data; name="{_quoted(name)}"' + (f"; {more}" if more else "")
        lines += [f"--{boundary}\r\nContent-Disposition: {head}\r\n\r\n".encode(), body, b"\r\n"]
    return b"".join([*lines, f"--{boundary}--\r\n".encode()])


def _quoted(name: str) -> str:
    """A name in a header of a part, as browsers write it (WHATWG HTML, 4.10.21.8)."""
    return name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")


def _fields(options: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    """Options as fields of a form: `clip.width`, `wait_until.0`; None is left out."""
    for name, value in options.items():
        is_list = isinstance(value, list | tuple)
        inner = {str(place): one for place, one in enumerate(value)} if is_list else value
        if isinstance(inner, Mapping):
            yield from _fields(inner, f"{above}{name}.")
        elif value is not None:
            yield f"{above}{name}", json.dumps(value) if isinstance(value, bool) else str(value)


def _warnings(header: str) -> Iterator[dict[str, Any]]:
    """The warnings in `X-Render-Warnings`."""
    for text in _ITEM.findall(header):
        kind, _, rest = text.strip().partition(";")
        found: dict[str, Any] = {"warning": kind}
        for name, string, token in _PARAMETER.findall(f";{rest}"):
            plain = re.sub(r"\\(.)", r"\1", string)
            found[name] = int(token) if token.isdecimal() else token or plain
        yield found


def _picture(answer: _Answer) -> Picture:
    headers = answer.headers
    timing = _TIMING.findall(headers.get("Server-Timing", ""))
    return Picture(
        answer.body,
        headers.get("Content-Type", ""),
        tuple(_warnings(headers.get("X-Render-Warnings", ""))),
        {name: float(took) for name, took in timing},
        headers.get("X-Cache", ""),
        headers.get("ETag", "").removeprefix("W/").strip('"'),
        headers.get("X-Request-Id", ""),
    )


def _job(answer: _Answer) -> Job:
    found = answer.json()
    after = answer.retry_after or 0.0
    return Job(found["id"], found["state"], found["result"], found["problem"], found, after)


def _batch(answer: _Answer) -> Batch:
    found = answer.json()
    counted = {name: found[name] for name in ("id", "state", "items", "left", "counts")}
    return Batch(**counted, answer=found, retry_after=answer.retry_after or 0.0)


def _id(given: Job | Batch | str) -> str:
    return given if isinstance(given, str) else given.id


def _origin(url: str) -> tuple[str, str]:
    split = urlsplit(url)
    return split.scheme, split.netloc


def _pause(attempt: int, asked: float | None) -> float:
    """Seconds before another attempt, a little random, so that callers do not come back at once."""
    seconds = FIRST_WAIT * 2**attempt if asked is None else asked
    return min(LONGEST_WAIT, seconds) * random.uniform(1.0, 1.25)
