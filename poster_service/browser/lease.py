"""A lease of a pool's Chrome, and how many Chromes a pool has."""

from dataclasses import dataclass

from poster_service.browser.chrome import Chrome


@dataclass(frozen=True)
class PoolSize:
    """How many Chromes a pool has.

    Attributes:
        ready: Kept ready when there are no requests.
        capacity: Chromes at most, including those that are being ended; of several pools, that of
            their `Premises` counts.
        most_ready: Kept ready when there are many requests (see `Demand`); `ready` if None.
        starts: Chromes that may start at once, so that starts do not slow renders down; None for
            any number.
        leases: Leases at most at once, each until nothing of its page is left; None for any number.
        warm: Warm pages at most that wait for a render, each with a Chrome, beside `capacity`.
    """

    ready: int
    capacity: int
    most_ready: int | None = None
    starts: int | None = None
    leases: int | None = None
    warm: int = 0


class Lease:
    """The use of one Chrome by one render; unusable after the render.

    The lease as such has ended when `on_gone` of `Pool.lease` is called.

    Attributes:
        may_stay: Whether its page may be used again; set by the render, when all went well.
        evicts: Whether what its page has loaded must be removed from Chrome's memory before.
    """

    def __init__(self, chrome: Chrome) -> None:
        self._chrome: Chrome | None = chrome
        self.may_stay = False
        self.evicts = True

    @property
    def chrome(self) -> Chrome:
        """The leased Chrome.

        Raises:
            RuntimeError: The render is over.
        """
        if self._chrome is None:
            raise RuntimeError("this lease has ended")
        return self._chrome

    def finish(self) -> None:
        """Make it unusable, before its Chrome is ended or renewed; only the pool calls this."""
        self._chrome = None
