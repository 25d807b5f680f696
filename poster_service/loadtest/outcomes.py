"""How every request ended, and whether its own page, the chaos, or the service is the cause."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from poster_service.loadtest.mix import Case, Kind

#: Codes of a render whose Chrome died: each Chrome that was hit explains one at most.
DIED = frozenset({"chrome_died", "page_crashed"})


class Verdict(StrEnum):
    """How a request is counted."""

    RENDERED = "rendered"
    EXPECTED = "refused as expected"
    HOSTILE = "hostile page failed"
    HUNG_UP = "hung up"
    EXPOSED = "failed while a Chrome was hit"
    INTERRUPTED = "lost to the restart"
    TURNED_AWAY = "turned away"
    FAILED = "failed"


@dataclass(frozen=True)
class Outcome:
    """How one request ended.

    Attributes:
        case: What was sent; its body is dropped.
        begin: Seconds since the load began; of the last try if earlier ones were refused.
        end: The same.
        status: HTTP status; 0 when no answer came.
        code: The service's error code, or what went wrong here; "" when rendered.
        is_right: Whether the response was a picture of the format asked for.
        refusals: How many times the service asked it to retry later.
        isolation: The isolation level that the response reports; "" where it reports none.
    """

    case: Case
    begin: float
    end: float
    status: int
    code: str = ""
    is_right: bool = False
    refusals: int = 0
    isolation: str = ""

    @property
    def seconds(self) -> float:
        """How long the last try took."""
        return self.end - self.begin


@dataclass
class Span:
    """A time in which failures are excused, in seconds since the load began; open until ended."""

    begin: float
    end: float = math.inf

    def touches(self, outcome: Outcome) -> bool:
        """Whether a request ran within it."""
        return outcome.begin <= self.end and outcome.end >= self.begin


@dataclass(frozen=True)
class JudgedOutcome:
    """An outcome and how it counts."""

    outcome: Outcome
    verdict: Verdict


def judge(outcome: Outcome, hits: Iterable[Span], restarts: Iterable[Span]) -> Verdict:
    """How one request counts.

    A failure is excused only by the request's own nature, by a hit Chrome that was not yet gone,
    or by a restart, each while the request ran.
    """
    if outcome.case.kind is Kind.CALLER:
        return Verdict.HUNG_UP
    if outcome.case.kind is Kind.MALFORMED and 400 <= outcome.status < 500:
        return Verdict.EXPECTED
    if outcome.is_right:
        return Verdict.RENDERED
    if outcome.status in (0, 503) and any(span.touches(outcome) for span in restarts):
        return Verdict.INTERRUPTED
    if outcome.case.kind is Kind.HOSTILE and outcome.status in (422, 502, 504):
        return Verdict.HOSTILE
    if outcome.status in (429, 503):
        return Verdict.TURNED_AWAY
    if outcome.status in (502, 504) and any(span.touches(outcome) for span in hits):
        return Verdict.EXPOSED
    return Verdict.FAILED


class Outcomes:
    """All outcomes of one run."""

    def __init__(self) -> None:
        self.all: list[Outcome] = []
        self.hits: list[Span] = []
        self.restarts: list[Span] = []

    def add(self, outcome: Outcome) -> None:
        """Record how a request ended."""
        self.all.append(outcome)

    @property
    def refusals(self) -> int:
        """How many times the service asked for a retry."""
        return sum(outcome.refusals for outcome in self.all)

    def judged(self) -> list[JudgedOutcome]:
        """Every outcome with its verdict; hits and restarts must be over."""
        return [JudgedOutcome(each, judge(each, self.hits, self.restarts)) for each in self.all]

    def unexplained(self, judged: Sequence[JudgedOutcome]) -> int:
        """Renders whose Chrome died beyond the number of Chromes that were hit.

        A hit Chrome ends one render; more would be a bug that the chaos hides.
        """
        died = sum(each.verdict is Verdict.EXPOSED and each.outcome.code in DIED for each in judged)
        return max(0, died - len(self.hits))

    def rendered_since(self, begin: float) -> int:
        """How many pictures were rendered since a time; cheap, for the display."""
        count = 0
        for outcome in reversed(self.all):
            if outcome.end < begin:
                break
            count += outcome.is_right
        return count

    def isolation(self) -> Counter[str]:
        """Rendered pictures by the isolation level that their responses report."""
        return Counter(one.isolation for one in self.all if one.is_right and one.isolation)

    def latencies(self) -> list[float]:
        """Seconds of every rendered picture, sorted."""
        return sorted(outcome.seconds for outcome in self.all if outcome.is_right)


def percentile(ordered: Sequence[float], share: float) -> float:
    """The smallest value that is not below a share (0 to 1) of all; 0 when there is none."""
    if not ordered:
        return 0.0
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def summary(judged: Iterable[JudgedOutcome]) -> dict[str, int]:
    """How many there are of each verdict, zeros too."""
    counts = Counter(one.verdict for one in judged)
    return {verdict.value: counts[verdict] for verdict in Verdict}
