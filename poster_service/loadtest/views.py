"""Two ways to inspect a process table: this machine's /proc, or a container's from inside.

Both answer the same requests (proctable.Answers); neither blocks the event loop.
"""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from poster_service.loadtest import proctable
from poster_service.loadtest.errors import CannotTest
from poster_service.loadtest.proctable import Row

#: The longest answer from inside a container, in bytes: 10,000 processes with long command lines.
LONGEST_ANSWER = 64 << 20
SCRIPT = Path(proctable.__file__)


class View(Protocol):
    """Something that can inspect a process table."""

    async def ask(self, do: str, **words: Any) -> dict[str, Any]:
        """The answer to one request."""
        ...

    async def close(self) -> None:
        """Stop; nothing of the view is left."""
        ...


class HereView:
    """Reads this machine's /proc, in a thread, so that the load goes on meanwhile."""

    def __init__(self) -> None:
        self._answers = proctable.Answers()
        self._one = asyncio.Lock()

    async def ask(self, do: str, **words: Any) -> dict[str, Any]:
        """The answer to one request."""
        async with self._one:  # a table remembers earlier snapshots; two at once would mix them
            return await asyncio.to_thread(self._answers.answer, {"do": do, **words})

    async def close(self) -> None:
        """There is nothing to close."""


class InsideView:
    """Reads /proc inside a container, by a small Python that `docker exec -i NAME` starts there."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._one = asyncio.Lock()

    @classmethod
    async def start(cls, prefix: Sequence[str], python: str = "python3") -> "InsideView":
        """Start the Python inside.

        Args:
            prefix: What starts a command there, e.g. `docker exec -i NAME`.
            python: The interpreter there.

        Raises:
            CannotTest: It could not be started there.
        """
        script = await asyncio.to_thread(SCRIPT.read_text, "utf-8")
        words = [*prefix, python, "-I", "-S", "-c", script]
        process = await asyncio.create_subprocess_exec(
            *words,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            limit=LONGEST_ANSWER,
            start_new_session=True,
        )
        view = cls(process)
        await view.ask("alive", pid=1, start=0)
        return view

    async def ask(self, do: str, **words: Any) -> dict[str, Any]:
        """The answer to one request.

        Raises:
            CannotTest: The Python inside is gone, most likely with its container.
        """
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            raise CannotTest("the process inside was started without pipes")
        async with self._one:
            try:
                stdin.write(json.dumps({"do": do, **words}).encode() + b"\n")
                await stdin.drain()
                line = await asyncio.wait_for(stdout.readline(), 30)
            except (OSError, TimeoutError) as error:
                raise CannotTest(f"inspecting the container from inside failed: {error}") from error
        if not line:
            raise CannotTest(
                "inspecting the container from inside failed: the process there is gone"
            )
        answer: dict[str, Any] = json.loads(line)
        if "rows" in answer:
            answer["rows"] = [Row(*one) for one in answer["rows"]]
        return answer

    async def close(self) -> None:
        """End the Python inside: it exits when its stdin ends."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), 5)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
