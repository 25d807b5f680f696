"""The mix: the same seed sends the same requests, and everything in it comes up."""

import itertools
import json
from collections import Counter

from poster_service.loadtest.mix import (
    HOSTILE,
    HOSTILE_MS,
    KILL_SHARE,
    POSTERS,
    STOP_SHARE,
    Case,
    Kind,
    Mix,
    Stage,
)

TEMPLATES = [("article-card", {"title": "one"}), ("share-poster", {"title": "two"})]


def first(seed: int, number: int, *, chaos: bool = True) -> list[Case]:
    """The beginning of a sequence."""
    return list(itertools.islice(Mix(seed, chaos=chaos, templates=TEMPLATES), number))


def test_the_same_seed_gives_the_same_sequence_and_another_one_another() -> None:
    """Bodies, hang-ups and hits alike."""
    assert first(7, 300) == first(7, 300)
    assert first(7, 300) != first(8, 300)


def test_a_case_depends_on_seed_and_number_only() -> None:
    """For any number of callers that draw from it, in any order."""
    mix = Mix(7, chaos=True, templates=TEMPLATES)
    assert [mix.case(number) for number in (250, 3, 99)] == [
        first(7, 300)[number] for number in (250, 3, 99)
    ]


def test_with_chaos_everything_comes_up_in_its_share() -> None:
    """Every poster, both templates, every hostile page, every stage of hanging up, both signals."""
    cases = first(1, 4000)
    names = Counter(case.name for case in cases)
    assert {name for _, name, _ in (*POSTERS, *HOSTILE)} <= names.keys()
    assert {"article-card", "share-poster"} <= names.keys()
    assert {case.stage for case in cases} == {None, *Stage}
    hits = Counter(case.hit for case in cases)
    assert 0.7 < hits["kill"] / (len(cases) * KILL_SHARE) < 1.3
    assert 0.3 < hits["stop"] / (len(cases) * STOP_SHARE) < 2.0
    kinds = Counter(case.kind for case in cases)
    assert kinds[Kind.POSTER] > 0.7 * len(cases)


def test_without_chaos_nothing_is_hostile() -> None:
    """Posters, and requests that must be refused."""
    cases = first(1, 1000, chaos=False)
    assert {case.kind for case in cases} == {Kind.POSTER, Kind.MALFORMED}
    assert {case.hit for case in cases} == {""}


def test_hostile_pages_are_given_little_time_and_all_bodies_are_json() -> None:
    """A page that never ends holds its Chrome for a second."""
    for case in first(1, 1000):
        assert json.dumps(dict(case.body))
        if case.kind is Kind.HOSTILE:
            assert case.body["timeout_ms"] == HOSTILE_MS
