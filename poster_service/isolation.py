"""Isolation levels: what two renders share.

Its own module because settings, options, templates and pools all name a level, and none of them may
import the others.
"""

from typing import Literal, get_args

#: `process`: nothing, a Chrome each. `context`: a browser process; each has a browser context and
#: renderer processes of its own, which have ended before the next render of that Chrome begins.
#: `page`: a page of one template in which no script runs; only its document is another each time.
Isolation = Literal["process", "context", "page"]
#: Of untrusted HTML, which never shares a page.
HtmlIsolation = Literal["process", "context"]
#: From the strictest to the laxest.
LEVELS: tuple[Isolation, ...] = get_args(Isolation)


def is_laxer(level: Isolation, than: Isolation) -> bool:
    """Whether two renders share more at the one level than at the other."""
    return LEVELS.index(level) > LEVELS.index(than)


def up_to(level: Isolation) -> tuple[Isolation, ...]:
    """A level and all that are stricter, the strictest first."""
    return LEVELS[: LEVELS.index(level) + 1]
