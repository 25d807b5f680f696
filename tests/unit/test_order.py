"""How the tests are sorted and shared among workers: the lists name files that there are."""

from pathlib import Path

import pytest

from tests.long_files import LONG_FILES, TOGETHER, place_of, unit_of
from tests.quick import SAMPLED, mark_all_but_the_first

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("file", sorted({*LONG_FILES, *SAMPLED}))
def test_a_file_of_the_lists_is_there(file: str) -> None:
    """Else a renamed one would come last, or be in the quick suite as a whole."""
    assert (ROOT / file).exists()


def test_long_files_begin_and_those_that_share_come_together() -> None:
    """By unit; the others are in no order."""
    small = [f"{TOGETHER}/test_jobs.py", f"{TOGETHER}/test_webhooks.py"]
    assert place_of(LONG_FILES[0]) < place_of(LONG_FILES[1]) < place_of("tests/unit/test_a.py")
    assert {unit_of(one) for one in small} == {TOGETHER}
    assert len({place_of(one) for one in small}) == 1
    assert unit_of(f"{TOGETHER}/test_reach.py") == f"{TOGETHER}/test_reach.py"


class Made(pytest.Item):
    """A test of a file that is not read."""

    def runtest(self) -> None:
        """It is never run."""


def test_of_a_sampled_file_the_first_quick_test_stays_quick(request: pytest.FixtureRequest) -> None:
    """Of any other file, all do."""

    def found(file: str, *marks: str) -> list[bool]:
        made = [
            Made.from_parent(request.node.parent, name="test", nodeid=f"{file}::test")
            for _ in marks
        ]
        for item, mark in zip(made, marks, strict=True):
            if mark:
                item.add_marker(mark)
        mark_all_but_the_first(made)
        return [any(one.iter_markers("slow")) for one in made]

    assert found(min(SAMPLED), "slow", "", "", "") == [True, False, True, True]
    assert found("tests/unit/test_a.py", "", "") == [False, False]
