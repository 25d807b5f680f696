"""What became of a pool's Chromes: counters, and the processes that outlived SIGKILL."""

import asyncio
import logging
from collections import Counter
from dataclasses import asdict

from poster_service.detached import detached
from poster_service.logs import event
from poster_service.process.census import Seen, inspect
from poster_service.process.spawn import Ending

logger = logging.getLogger(__name__)

#: How often survivors are checked, in seconds.
SURVIVOR_SECONDS = 1.0
#: Pauses between failed starts, in seconds; the last one repeats.
PAUSES = (0.1, 0.5, 1.0, 2.0, 5.0)
#: After so many failed starts in a row, callers that wait get an error instead of waiting on.
PATIENCE = 3


class PoolRecord:
    """Counts starts and endings since the pool began, and logs the unclean ones.

    Attributes:
        started: Chromes that became ready.
        renewed: Leases after which a Chrome was made ready for another.
        failed_starts: Chrome starts that failed, in all and in a row.
        endings: Ended Chromes by reason, of those that had become ready.
        unclean: Endings that needed the backstop, those of failed starts too.
        survivors: Processes that outlived even the backstop.
    """

    def __init__(self) -> None:
        self.started = 0
        self.renewed = 0
        self.failed_starts = FailedStarts()
        self.endings: Counter[str] = Counter()
        self.unclean = 0
        self.survivors = Survivors()

    def ended(self, number: int, ending: Ending) -> None:
        """Count the ending of a Chrome that had become ready.

        Args:
            number: The Chrome's.
            ending: How it ended.
        """
        self.endings[ending.reason] += 1
        self.note_unclean(number, ending)

    def note_unclean(self, number: int, ending: Ending) -> None:
        """Log and count an ending, if it needed the backstop; also that of a failed start."""
        if ending.clean:
            return
        self.unclean += 1
        event(
            logger,
            logging.ERROR,
            "a Chrome's shim did not report that nothing is left; the backstop ended the rest",
            chrome=number,
            reason=ending.reason,
            swept=ending.swept,
        )
        self.survivors.add(ending.survivors)


class FailedStarts:
    """Counts starts that failed: the next one waits, and callers do not wait for ever.

    Attributes:
        count: In all.
        in_a_row: Since the last start that succeeded.
    """

    def __init__(self) -> None:
        self.count = 0
        self.in_a_row = 0

    def add(self) -> None:
        """Count one more."""
        self.count += 1
        self.in_a_row += 1

    @property
    def are_many(self) -> bool:
        """Whether those who wait for a Chrome are to get an error."""
        return self.in_a_row >= PATIENCE

    async def pause(self) -> None:
        """Wait until the next start may be tried; not at all after one that succeeded."""
        if self.in_a_row:
            await asyncio.sleep(PAUSES[min(self.in_a_row, len(PAUSES)) - 1])


class Survivors:
    """The processes that outlived SIGKILL, each listed until it has exited."""

    def __init__(self) -> None:
        self._by_pid: dict[int, Seen] = {}
        self._watching: asyncio.Task[None] | None = None

    @property
    def seen(self) -> tuple[Seen, ...]:
        """Those that are still there."""
        return tuple(self._by_pid.values())

    def add(self, survivors: tuple[Seen, ...]) -> None:
        """List processes, and watch them until they have exited: SIGKILL is pending for each."""
        for survivor in survivors:
            event(logger, logging.ERROR, "a process outlived SIGKILL", **asdict(survivor))
            self._by_pid[survivor.pid] = survivor
        if self._by_pid and self._watching is None:
            self._watching = detached(self._watch())

    async def _watch(self) -> None:
        while self._by_pid:
            await asyncio.sleep(SURVIVOR_SECONDS)
            for pid, seen in list(self._by_pid.items()):
                now = await asyncio.to_thread(inspect, pid, seen.tag)
                if now is None or now.zombie or now.started != seen.started:
                    del self._by_pid[pid]
                    message = "a process that outlived SIGKILL has exited"
                    event(logger, logging.WARNING, message, pid=pid)
        self._watching = None

    def close(self) -> None:
        """Stop watching."""
        if self._watching is not None:
            self._watching.cancel()
