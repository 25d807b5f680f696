"""How many attempts run at once for one host or one caller, and when those come that have to wait.

An attempt that waits does so in the queue and not in a worker, so that ten thousand messages for a
receiver that never answers occupy no more of the workers than a few do.
"""

from dataclasses import dataclass

from poster_service import clock

#: The least that an attempt waits, in seconds: it goes through the queue again.
LEAST_WAIT = 0.25
#: How long an attempt is taken to last where nothing is known, in seconds.
FIRST_MEAN = 1.0
#: Weight of the last attempt in the mean.
WEIGHT = 0.3


@dataclass
class _Entry:
    running: int = 0
    mean: float = FIRST_MEAN
    next_turn: float = 0.0


class Turns:
    """Turns of one process, by name; a name is forgotten when no turn of it is left."""

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._entries: dict[str, _Entry] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def enter(self, name: str) -> float:
        """Begin an attempt: 0 if it may run now, and then it must `leave`; else seconds to wait.

        Those that wait are spread by the time that attempts of this name take, so that each comes
        when a turn is likely to be free.
        """
        one = self._entries.setdefault(name, _Entry())
        if one.running < self._at_once:
            one.running += 1
            return 0.0
        now = clock.now()
        one.next_turn = max(one.next_turn, now) + one.mean / self._at_once
        return max(LEAST_WAIT, one.next_turn - now)

    def leave(self, name: str, seconds: float | None) -> None:
        """End an attempt that took so many seconds; None if it was not made."""
        one = self._entries[name]
        one.running -= 1
        if seconds is not None:
            one.mean += WEIGHT * (seconds - one.mean)
        if not one.running and one.next_turn <= clock.now():
            del self._entries[name]
