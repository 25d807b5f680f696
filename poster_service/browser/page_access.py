"""What the parts of a page share: calls to it, its isolated world, its witness and its frames."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass

from poster_service.browser.page_calls import PageCalls
from poster_service.browser.witness import Witness
from poster_service.browser.world import World


@dataclass(frozen=True)
class PageAccess:
    """How one page is reached by what loads it, changes its look, waits for it and reads it.

    Attributes:
        calls: Sends commands to the page.
        world: Its isolated world.
        witness: Collects what the page did not load and what its scripts failed with.
        frames: While inside, frames are drawn: the first after so many seconds, then one every so
            many. Does nothing where Chrome has a display clock of its own.
    """

    calls: PageCalls
    world: World
    witness: Witness
    frames: Callable[[float, float], contextlib.AbstractAsyncContextManager[None]]
