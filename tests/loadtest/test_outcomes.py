"""The outcomes: what counts as a failure, and what is excused by what."""

import math

import pytest

from poster_service.loadtest.mix import Case, Kind, Stage
from poster_service.loadtest.outcomes import (
    Outcome,
    Outcomes,
    Span,
    Verdict,
    judge,
    percentile,
    summary,
)

NOTHING: list[Span] = []


def outcome(status: int, kind: Kind = Kind.POSTER, *, begin: float = 10, code: str = "") -> Outcome:
    """A request that took two seconds."""
    stage = Stage.DELAY if kind is Kind.CALLER else None
    case = Case(0, "card", kind, {}, stage)
    return Outcome(case, begin, begin + 2, status, code, status == 200)


@pytest.mark.parametrize(
    ("kind", "status", "verdict"),
    [
        (Kind.POSTER, 200, Verdict.RENDERED),
        (Kind.POSTER, 502, Verdict.FAILED),
        (Kind.POSTER, 504, Verdict.FAILED),
        (Kind.POSTER, 500, Verdict.FAILED),
        (Kind.POSTER, 400, Verdict.FAILED),
        (Kind.POSTER, 0, Verdict.FAILED),
        (Kind.POSTER, 503, Verdict.TURNED_AWAY),
        (Kind.POSTER, 429, Verdict.TURNED_AWAY),
        (Kind.HOSTILE, 200, Verdict.RENDERED),
        (Kind.HOSTILE, 502, Verdict.HOSTILE),
        (Kind.HOSTILE, 504, Verdict.HOSTILE),
        (Kind.HOSTILE, 500, Verdict.FAILED),
        (Kind.HOSTILE, 0, Verdict.FAILED),
        (Kind.MALFORMED, 400, Verdict.EXPECTED),
        (Kind.MALFORMED, 500, Verdict.FAILED),
        (Kind.CALLER, 0, Verdict.HUNG_UP),
    ],
)
def test_undisturbed_requests(kind: Kind, status: int, verdict: Verdict) -> None:
    """Only a request's own nature excuses it where the load test did not disturb it."""
    assert judge(outcome(status, kind), NOTHING, NOTHING) is verdict


def test_a_picture_that_is_not_what_was_asked_for_is_a_failure() -> None:
    """200 alone proves nothing."""
    wrong = Outcome(Case(0, "card", Kind.POSTER, {}), 0, 1, 200, "wrong picture", is_right=False)
    assert judge(wrong, NOTHING, NOTHING) is Verdict.FAILED


@pytest.mark.parametrize(
    ("span", "verdict"),
    [
        (Span(5, 9.9), Verdict.FAILED),
        (Span(5, 10.1), Verdict.EXPOSED),
        (Span(11, 11.5), Verdict.EXPOSED),
        (Span(11.9), Verdict.EXPOSED),
        (Span(5), Verdict.EXPOSED),
        (Span(12.1, 13), Verdict.FAILED),
    ],
)
def test_a_hit_excuses_only_what_ran_before_its_chrome_was_gone(
    span: Span, verdict: Verdict
) -> None:
    """The request ran from second 10 to second 12."""
    assert judge(outcome(502), [span], NOTHING) is verdict
    assert judge(outcome(500), [span], NOTHING) is Verdict.FAILED


def test_a_restart_excuses_a_lost_connection_and_a_503_and_nothing_else() -> None:
    """They are counted apart."""
    restart = [Span(11, 14)]
    assert judge(outcome(0), NOTHING, restart) is Verdict.INTERRUPTED
    assert judge(outcome(503), NOTHING, restart) is Verdict.INTERRUPTED
    assert judge(outcome(500), NOTHING, restart) is Verdict.FAILED
    assert judge(outcome(502), NOTHING, restart) is Verdict.FAILED
    assert judge(outcome(0, begin=20), NOTHING, restart) is Verdict.FAILED


def test_each_hit_explains_one_lost_chrome_at_most() -> None:
    """Three renders lost their Chrome and one was hit: two are a fault that hides."""
    outcomes = Outcomes()
    outcomes.hits = [Span(9, 13)]
    for _ in range(3):
        outcomes.add(outcome(502, code="chrome_died"))
    outcomes.add(outcome(504, code="render_timeout"))
    judged = outcomes.judged()
    assert outcomes.unexplained(judged) == 2
    counts = summary(judged)
    assert counts["failed while a Chrome was hit"] == 4
    assert sum(counts.values()) == 4
    assert set(counts) == {verdict.value for verdict in Verdict}


def test_percentiles_are_values_that_were_measured() -> None:
    """Nearest rank; nothing gives 0."""
    ordered = [float(number) for number in range(1, 101)]
    assert [percentile(ordered, share) for share in (0.5, 0.95, 0.99, 1)] == [50, 95, 99, 100]
    assert percentile([3.0], 0.99) == 3.0
    assert percentile([1.0, 2.0], 0.5) == 1.0
    assert percentile([1.0, 2.0], 0.51) == 2.0
    assert percentile([], 0.5) == 0.0


def test_a_hit_is_felt_until_it_is_known_to_be_over() -> None:
    """An open span reaches into the future."""
    assert Span(1).end == math.inf
