"""One service under test: started under our init and in a group of its own, asked, and ended.

Every candidate gets the same init, the same client and the same request; only our own pids are
ever ended.
"""

import asyncio
import json
import os
import re
import shutil
import signal
import struct
import tempfile
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import aiohttp

from bench.render import accounts
from bench.render.routes import ROUTES
from poster_service import init

ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+")
START_SECONDS = 60.0
STOP_SECONDS = 20.0
REST_STEP_SECONDS = 0.15
#: CPU in one step below which nothing is going on: 2 % of one core.
REST_CPU_SECONDS = 0.003
REST_LIMIT_SECONDS = 15.0
PNG, JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8"


class Refused(Exception):
    """The candidate cannot be measured as asked; the text is its own."""


@dataclass(frozen=True)
class Picture:
    """One answer.

    Attributes:
        seconds: From the request's first byte to the picture's last.
        body: The picture.
        timing: Phases in milliseconds, of Server-Timing; empty where there is none.
        level: The isolation level that the answer reports; "" where there is none.
    """

    seconds: float
    body: bytes
    timing: Mapping[str, float]
    level: str = ""


def size_of(picture: bytes) -> tuple[int, int]:
    """Width and height of a PNG (its IHDR). Raises Refused where it is none."""
    if not picture.startswith(PNG):
        raise Refused(f"no PNG: {picture[:200]!r}")
    width, height = struct.unpack(">II", picture[16:24])
    return width, height


def check_picture(picture: bytes) -> None:
    """Refuse what is neither a PNG nor a JPEG. Raises Refused."""
    if not picture.startswith(JPEG):
        size_of(picture)


def reason_of(body: bytes) -> str:
    """What an answer says of its failure: the detail of a problem (RFC 9457), or its beginning."""
    try:
        return str(json.loads(body)["detail"])
    except (ValueError, KeyError, TypeError):
        return body.decode(errors="replace")[:300]


def timing_of(header: str) -> dict[str, float]:
    """Phases of a Server-Timing header, in milliseconds."""
    entries = (entry.strip().split(";dur=") for entry in header.split(","))
    return {pair[0]: float(pair[1]) for pair in entries if len(pair) == 2}


class Service:
    """A running candidate; an async context manager.

    Attributes:
        first_seconds: From the address on stdout to the first picture; set by `render_first`.
        grouped: Whether CPU is counted by a control group.
    """

    def __init__(
        self, command: Sequence[str], env: Mapping[str, str], folder: Path, api: str = ""
    ) -> None:
        self._sent = ROUTES[api]
        self._command = command
        self._env = env
        self._folder = folder
        self._group: accounts.Group | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._drain: asyncio.Task[None] | None = None
        self._session: aiohttp.ClientSession | None = None
        self._made = Path(tempfile.mkdtemp(prefix="pb-"))  # short: Chrome's TMPDIR lies within
        self._address = ""
        self._announced = 0.0
        self.first_seconds = 0.0

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._end()

    @property
    def grouped(self) -> bool:
        """Whether CPU is counted by a control group."""
        return self._group is not None

    @property
    def root(self) -> int:
        """The pid of the init that everything is under."""
        assert self._process
        return self._process.pid

    @property
    def own(self) -> int:
        """The pid of the service itself: the eldest child of init, which adopts others."""
        return accounts.eldest_child(self.root)

    async def _start(self) -> None:
        self._group = accounts.make_group()
        inside = self._group.enter if self._group else ()
        python = shutil.which("python3") or "python3"
        keeper = (python, "-I", "-S", "-E", init.__file__, "--")
        work = self._made / "work"
        work.mkdir()
        for folder in (self._made, work):  # Chrome is another user, who must get to its folder
            folder.chmod(0o711)
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("POSTER_")}
        env = {
            **inherited, "POSTER_WORK_DIR": str(work), "TMPDIR": str(self._made), **self._env,
        }  # fmt: skip
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._made / "stderr").open("wb") as errors:
            self._process = await asyncio.create_subprocess_exec(
                *inside, *keeper, *self._command, env=env, cwd=self._folder, stderr=errors,
                stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
            )  # fmt: skip
        try:
            self._address = await asyncio.wait_for(self._find_address(), START_SECONDS)
        except TimeoutError:
            raise Refused(f"no address in {START_SECONDS:.0f} s: {self.stderr_tail()}") from None
        self._announced = time.perf_counter()
        self._drain = asyncio.create_task(self._read_on())
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=900)
        )

    async def _find_address(self) -> str:
        assert self._process
        assert self._process.stdout
        async for line in self._process.stdout:
            if found := ADDRESS.search(line.decode(errors="replace")):
                return found.group()
        raise Refused(f"it ended: {self.stderr_tail()}")

    async def _read_on(self) -> None:
        assert self._process
        assert self._process.stdout
        while await self._process.stdout.read(1 << 16):
            pass

    def stderr_tail(self) -> str:
        """The last words on stderr."""
        with (self._made / "stderr").open(errors="replace") as errors:
            return " / ".join(line.strip() for line in deque(errors, 3))

    async def _end(self) -> None:
        """Ask it to go, and see that nothing of it is left."""
        if self._session:
            await self._session.close()
        if self._process:
            await self._stop(self._process)
        if self._drain:
            await self._drain
        left = self._group.close() if self._group else []
        shutil.rmtree(self._made, ignore_errors=True)
        if left:
            raise Refused(f"it left processes: {left}")

    async def _stop(self, process: asyncio.subprocess.Process) -> None:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), STOP_SECONDS)
        except TimeoutError:
            for pid in reversed(accounts.family(process.pid)):
                os.kill(pid, signal.SIGKILL)
            await process.wait()

    async def ask(self, options: Mapping[str, Any]) -> Picture:
        """One render. Raises Refused with the answer where it is no picture."""
        assert self._session
        begin = time.perf_counter()
        headers = {"Cache-Control": "no-cache"}  # a render is measured, not a cache
        try:
            path, body_of = self._sent(options)
            async with self._session.post(
                self._address + path, headers=headers, **body_of
            ) as answer:
                body = await answer.read()
                timing = timing_of(answer.headers.get("Server-Timing", ""))
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Refused(f"{type(error).__name__}: {error}") from error
        seconds = time.perf_counter() - begin
        if answer.status != 200:
            raise Refused(f"{answer.status}: {reason_of(body)}")
        check_picture(body)
        return Picture(seconds, body, timing, answer.headers.get("X-Isolation", ""))

    async def ask_first(self, options: Mapping[str, Any]) -> Picture:
        """The first render, timed from the moment the address was announced."""
        picture = await self.ask(options)
        self.first_seconds = time.perf_counter() - self._announced
        return picture

    async def status(self) -> Any:
        """What ours says of itself."""
        assert self._session
        async with self._session.get(f"{self._address}/status") as answer:
            return await answer.json()

    def cpu_seconds(self) -> float:
        """CPU of all processes so far, dead ones too."""
        return self._group.cpu_seconds() if self._group else accounts.tree_seconds(self.root)

    def tree_seconds(self) -> float:
        """The same by the tree of processes; to be taken at rest."""
        return accounts.tree_seconds(self.root)

    def own_seconds(self) -> float:
        """CPU of the service's own process, without its Chromes and shims."""
        return accounts.own_seconds(self.own)

    def pss(self) -> int:
        """Memory of all processes, in bytes."""
        return accounts.pss(accounts.family(self.root))

    def pss_of_chromes(self) -> int:
        """Memory of all but init and the service itself, in bytes."""
        rest = set(accounts.family(self.root)) - {self.root, self.own}
        return accounts.pss(sorted(rest))

    async def at_rest(self) -> None:
        """Wait until nothing goes on: all is tidied, and what is started ahead is ready."""
        end = time.monotonic() + REST_LIMIT_SECONDS
        quiet, before = 0, self.cpu_seconds()
        while quiet < 2 and time.monotonic() < end:
            await asyncio.sleep(REST_STEP_SECONDS)
            now = self.cpu_seconds()
            quiet = quiet + 1 if now - before < REST_CPU_SECONDS else 0
            before = now
