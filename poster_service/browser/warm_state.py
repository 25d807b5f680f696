"""Which warm pages of a pool stay, and which must go: plain decisions over the pool's state.

As in `pool_state.py`, nothing here awaits, starts or kills; the pool does what is decided.
"""

from collections import Counter

from poster_service.browser.pool_state import PoolEntry, PoolState, State
from poster_service.browser.spec import ChromeSpec
from poster_service.browser.warm import IsCurrent, WarmPage


class WarmPages:
    """The warm pages of one pool.

    Attributes:
        is_current: Whether a warm page is of a template as it is now.
    """

    def __init__(self, state: PoolState, most: int) -> None:
        """At most so many wait for a render."""
        self._state = state
        self._most = most
        self.is_current: IsCurrent = lambda _: True

    def may_stay(self, warm: WarmPage | None, spec: ChromeSpec) -> bool:
        """Whether a page that has just served a render may serve another."""
        if warm is None or warm.is_over(spec.page_renders) or not self.is_current(warm.key):
            return False
        return self._state.count(State.CLEANING) < self._most

    def surplus(self) -> list[PoolEntry]:
        """Those that must go so that one more may stay: those unused for longest."""
        waiting = self._state.in_state(State.WARM)
        return waiting[: max(0, len(waiting) + self._state.count(State.CLEANING) + 1 - self._most)]

    def useless(self, spec: ChromeSpec) -> list[PoolEntry]:
        """Those that have no use any more: idle, old, or of a template that changed."""
        return [
            entry
            for entry in self._state.in_state(State.WARM)
            if entry.warm is None
            or entry.warm.is_idle(spec.page_seconds)
            or not self.is_current(entry.warm.key)
        ]

    def counts(self) -> Counter[str]:
        """Those that wait for a render, by template."""
        entries = self._state.in_state(State.WARM)
        return Counter(entry.warm.key.template for entry in entries if entry.warm)
