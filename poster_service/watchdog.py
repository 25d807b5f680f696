"""Tells when the event loop is stuck, with what it is stuck in, and ends a service that stays so.

A thread, because a stuck loop cannot tell of itself. When the service is ended this way its control
pipes close, the shims end their Chromes, and init reaps and leaves with the status given here.
"""

import asyncio
import contextlib
import logging
import os
import sys
import threading
import time
import traceback

from poster_service.logs import event

logger = logging.getLogger(__name__)

#: Exit status of a service that was wedged (EX_SOFTWARE of sysexits.h).
WEDGED = 70


class Watchdog:
    """Watches the loop it was started in.

    Attributes:
        stalls: How often the loop was stuck for longer than `warn_seconds`.
        longest: The longest stall so far, in seconds.
    """

    def __init__(self, warn_seconds: float, exit_seconds: float) -> None:
        self.stalls = 0
        self.longest = 0.0
        self._warn = warn_seconds
        self._exit = exit_seconds
        self._beat = time.monotonic()
        self._watched = threading.get_ident()
        self._over = threading.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to watch the running loop."""
        self._watched = threading.get_ident()
        self._beat = time.monotonic()
        self._task = asyncio.get_running_loop().create_task(self._keep_beating())
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    async def stop(self) -> None:
        """Stop watching."""
        self._over.set()
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _keep_beating(self) -> None:
        while True:
            now = time.monotonic()
            self.longest = max(self.longest, now - self._beat - self._warn / 4)
            self._beat = now
            await asyncio.sleep(self._warn / 4)

    def _watch(self) -> None:
        told = 0.0
        while not self._over.wait(self._warn / 4):
            beat = self._beat
            stuck = time.monotonic() - beat
            if stuck > self._exit:
                self._tell("the event loop is wedged; ending the service", stuck)
                os._exit(WEDGED)
            if stuck > self._warn and told != beat:
                told = beat  # once a stall
                self.stalls += 1
                self._tell("the event loop is stuck", stuck)

    def _tell(self, what: str, seconds: float) -> None:
        frame = sys._current_frames().get(self._watched)
        stack = "".join(traceback.format_stack(frame)) if frame else "unknown"
        event(logger, logging.ERROR, what, seconds=round(seconds, 1), stack=stack)
