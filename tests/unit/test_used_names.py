"""Names that have been used, in little memory."""

import random
import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from poster_service.jobs.used_names import UsedNames


@given(st.lists(st.text(max_size=3)))
def test_a_name_is_new_once(names: list[str]) -> None:
    """As in a set."""
    used, expected = UsedNames(), set[str]()
    for name in names:
        assert used.add(name) == (name not in expected)
        expected.add(name)


def test_many_names_take_little_memory_and_are_all_known() -> None:
    """A batch of the largest size, in any order."""
    names = [f"item-{place}" for place in range(100_000)]
    tracemalloc.start()
    used = UsedNames()
    assert all(used.add(name) for name in names)
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert taken < 2 << 20
    random.Random(1).shuffle(names)
    assert not any(used.add(name) for name in names[:10_000])
