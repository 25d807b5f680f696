"""Which request is number n: drawn from a weighted mix by seed and number alone.

The n-th case of a seed is the same on every machine, however many callers run beside each other.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random
from typing import Any

from poster_service.loadtest import pages

#: Timeout of a poster, in ms: long enough that only a disturbance can exceed it.
POSTER_MS = 12_000
#: Timeout of a page that may never finish, in ms: it occupies a Chrome that long.
HOSTILE_MS = 1_000
#: Share of cases in which a Chrome is hit, by signal. A stopped one occupies its slot until its
#: render's timeout, so those are rare: 12 of 2,000.
KILL_SHARE, STOP_SHARE = 0.06, 0.006


class Kind(StrEnum):
    """What a case is for, which decides how it may end."""

    POSTER = "poster"
    HOSTILE = "hostile"
    MALFORMED = "malformed"
    CALLER = "caller"


class Stage(StrEnum):
    """Where a caller hangs up."""

    CONNECT = "connect"
    SENDING = "sending"
    DELAY = "delay"
    READING = "reading"


@dataclass(frozen=True)
class Case:
    """One request.

    Attributes:
        index: Its number in the sequence, from 0.
        name: Its name in tables.
        kind: Decides how it may end.
        body: The JSON that is sent.
        stage: Where the caller hangs up; None when it waits for the response.
        delay: Seconds until it hangs up (stage delay), or until the hit.
        hit: "kill" or "stop" one Chrome process of the service while this runs; "" for none.
        which: A number that picks the kind of process and the process to hit.
    """

    index: int
    name: str
    kind: Kind
    body: Mapping[str, Any] = field(hash=False)
    stage: Stage | None = None
    delay: float = 0.0
    hit: str = ""
    which: float = 0.0


Maker = Callable[[Random], dict[str, Any]]


def _poster(page: Callable[[Random], str], **options: Any) -> Maker:
    return lambda dice: {"html": page(dice), "timeout_ms": POSTER_MS, **options}


def _hostile(page: Callable[[Random], str]) -> Maker:
    return lambda dice: {"html": page(dice), "timeout_ms": HOSTILE_MS, "width": 400, "height": 300}


#: (weight, name, maker) of posters; templates are added with `TEMPLATES`.
POSTERS: tuple[tuple[float, str, Maker], ...] = (
    (10, "card", _poster(pages.card, width=600, height=400)),
    (4, "card jpeg", _poster(pages.card, width=750, height=1334, format="jpeg", quality=80)),
    (3, "card webp", _poster(pages.card, width=600, height=400, format="webp")),
    (3, "chinese", _poster(pages.chinese, width=900, height=1200)),
    (2, "long", _poster(pages.long, width=600, height=400, full_page=True)),
    (2, "pdf", _poster(pages.chinese, format="pdf")),
)
#: The weight of all templates together, in equal parts.
TEMPLATES = 16.0
HOSTILE: tuple[tuple[float, str, Maker], ...] = (
    (2, "crash", _hostile(pages.crash)),
    (2, "loop", _hostile(pages.loop)),
    (2, "popups", _hostile(pages.popups)),
    (1, "workers", _hostile(pages.workers)),
    (1, "memory", _hostile(pages.memory)),
    (1, "reloads", _hostile(pages.reloads)),
    (1, "waits", _hostile(pages.waits)),
    (1, "frames", _hostile(pages.frames)),
)
MALFORMED: tuple[tuple[float, str, Maker], ...] = (
    (1, "no page", lambda _: {"width": 100}),
    (1, "bad width", lambda _: {"html": "<p>", "width": -1}),
    (1, "bad format", lambda _: {"html": "<p>", "format": "gif"}),
)
CALLERS = _poster(pages.card, width=600, height=400)

#: Shares of the kinds, in per cent.
CALM = {Kind.POSTER: 97, Kind.MALFORMED: 3}
CHAOS = {Kind.POSTER: 74, Kind.HOSTILE: 14, Kind.CALLER: 9, Kind.MALFORMED: 3}


class Mix:
    """The sequence of cases of one seed.

    `templates` are (name, sample data) as `GET /templates` returns them.
    """

    def __init__(
        self, seed: int, *, chaos: bool, templates: Sequence[tuple[str, Any]] = ()
    ) -> None:
        self._seed = seed
        self._chaos = chaos
        self._posters = (
            *POSTERS,
            *(
                (TEMPLATES / len(templates), name, _template(name, data))
                for name, data in templates
            ),
        )

    def __iter__(self) -> Iterator[Case]:
        return map(self.case, itertools.count())

    def case(self, index: int) -> Case:
        """The case of one number."""
        dice = Random(f"{self._seed}:{index}")
        shares = CHAOS if self._chaos else CALM
        kind = dice.choices(list(shares), list(shares.values()))[0]
        if kind is Kind.CALLER:
            stage = dice.choice(list(Stage))
            return Case(
                index, f"hang-up: {stage}", kind, CALLERS(dice), stage, dice.uniform(0.0, 0.8)
            )
        makers = {Kind.POSTER: self._posters, Kind.HOSTILE: HOSTILE, Kind.MALFORMED: MALFORMED}
        chosen = makers[kind]
        _, name, make = dice.choices(chosen, [weight for weight, _, _ in chosen])[0]
        body = make(dice)
        hit = self._hit(dice)
        return Case(index, name, kind, body, None, dice.uniform(0.0, 0.4), hit, dice.random())

    def _hit(self, dice: Random) -> str:
        drawn = dice.random()
        if not self._chaos or drawn >= KILL_SHARE + STOP_SHARE:
            return ""
        return "stop" if drawn < STOP_SHARE else "kill"


def _template(name: str, data: Any) -> Maker:
    return lambda _: {"template": name, "data": data, "timeout_ms": POSTER_MS}
