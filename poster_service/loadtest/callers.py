"""One caller: sends a case and waits for the picture, or hangs up where the case says.

It obeys refusals and retries after Retry-After, up to a limit.
"""

import asyncio
import contextlib
import json
import random
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

import aiohttp

from poster_service.loadtest.mix import POSTER_MS, Case, Stage
from poster_service.loadtest.outcomes import Outcome

#: More than the time a render may take; a service that takes longer has failed.
PATIENCE_SECONDS = POSTER_MS / 1000 + 20
#: Tries of a refused render, and the longest pause between two, in seconds.
TRIES, LONGEST_PAUSE = 20, 5.0
#: How a picture of each format begins, and its media type.
PICTURES = {
    "png": (b"\x89PNG", "image/png"),
    "jpeg": (b"\xff\xd8", "image/jpeg"),
    "webp": (b"RIFF", "image/webp"),
    "avif": (b"\0\0\0 ftypavif", "image/avif"),
    "pdf": (b"%PDF", "application/pdf"),
}


@dataclass
class Caller:
    """Sends cases to one service.

    Attributes:
        address: Called for each try, since a restarted service has a new one.
        clock: Seconds since the load began.
        may_send: Waits while the service restarts.
    """

    client: aiohttp.ClientSession
    address: Callable[[], str]
    clock: Callable[[], float]
    may_send: Callable[[], Awaitable[object]]

    async def send(self, case: Case) -> Outcome:
        """Send a case; returns how it ended. Never raises for what the service does."""
        if case.stage is not None:
            return await self._hang_up(case, case.stage)
        refusals = 0
        while True:
            outcome, pause = await self._try(case, refusals)
            if outcome.status not in (429, 503) or refusals >= TRIES:
                return outcome
            refusals += 1
            # Spread out, or callers that were refused together would retry together.
            await asyncio.sleep(min(pause, LONGEST_PAUSE) * random.uniform(0.5, 1.0))

    async def _try(self, case: Case, refusals: int) -> tuple[Outcome, float]:
        await self.may_send()
        begin = self.clock()
        status, code, right, pause, level = 0, "", False, 1.0, ""
        try:
            async with self.client.post(f"{self.address()}/render", json=case.body) as answer:
                body = await answer.read()
                status = answer.status
                right = is_picture(answer.content_type, body, case) if status == 200 else False
                code = code_of(body) if status != 200 else "" if right else "wrong picture"
                pause = seconds_of(answer.headers.get("Retry-After", "1"))
                level = answer.headers.get("X-Isolation", "")
        except (aiohttp.ClientError, OSError) as error:
            code = f"no answer: {type(error).__name__}"
        except TimeoutError:
            code = f"no answer within {PATIENCE_SECONDS:g} s"
        sent = replace(case, body={})  # 20,000 pages need not stay in memory
        return Outcome(sent, begin, self.clock(), status, code, right, refusals, level), pause

    async def _hang_up(self, case: Case, stage: Stage) -> Outcome:
        await self.may_send()
        begin = self.clock()
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(PATIENCE_SECONDS):
                await self._until(case, stage)
        sent = replace(case, body={})
        return Outcome(sent, begin, self.clock(), 0, f"hung up: {stage}")

    async def _until(self, case: Case, stage: Stage) -> None:
        where = urlsplit(self.address())
        reader, writer = await asyncio.open_connection(where.hostname, where.port)
        try:
            request = request_of(case, where.netloc, self.client.headers)
            if stage is Stage.SENDING:
                request = request[: len(request) * 2 // 3]
            if stage is not Stage.CONNECT:
                writer.write(request)
                await writer.drain()
            if stage in (Stage.DELAY, Stage.SENDING):
                await asyncio.sleep(case.delay)
            if stage is Stage.READING:
                await reader.read(1)
        finally:
            # A reset instead of an orderly close, as real callers do.
            held = writer.get_extra_info("socket")
            held.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()


def headers_of(token: str) -> dict[str, str]:
    """Headers of every request: no picture from a cache, each must be rendered."""
    return {"Cache-Control": "no-store"} | ({"Authorization": f"Bearer {token}"} if token else {})


def request_of(case: Case, host: str, headers: Mapping[str, str]) -> bytes:
    """A whole HTTP request as bytes."""
    body = json.dumps(dict(case.body)).encode()
    more = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    head = (
        f"POST /render HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
        f"{more}Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def is_picture(content_type: str, body: bytes, case: Case) -> bool:
    """Whether a response is a picture of the format asked for."""
    begins, media_type = PICTURES.get(case.body.get("format", "png"), (b"?", ""))
    return content_type == media_type and body.startswith(begins)


def code_of(body: bytes) -> str:
    """The stable code of a problem, or the beginning of the body if it is no problem."""
    try:
        return str(json.loads(body)["code"])
    except (ValueError, KeyError, TypeError):
        return body[:80].decode(errors="replace") or "no code"


def seconds_of(retry_after: str) -> float:
    """Retry-After in seconds; its other form, a date, counts as one second."""
    return float(retry_after) if retry_after.isdigit() else 1.0
