"""Text from outside in answers and logs: escaped, and cut."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poster_service.errors import Fault, InvalidField
from poster_service.quoting import QUOTED, escaped, plain_json, quoted
from poster_service.render.request import Limits, RenderRequest


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('海报 é 🗼 a"b', '海报 é 🗼 a"b'),
        ("a\nb\r\tc", r"a\nb\r\tc"),
        ("\x1b[31mred\x9b0m\x7f", r"\x1b[31mred\x9b0m\x7f"),
        ("a\u2028b\u2029c", r"a\u2028b\u2029c"),
        ("abc\u202edef\u2066g", r"abc\u202edef\u2066g"),
        ("\ud800x", r"\ud800x"),
    ],
)
def test_what_breaks_a_line_is_escaped_and_the_rest_is_not(text: str, shown: str) -> None:
    """Line feeds, terminal sequences, other separators, directions, half characters."""
    assert escaped(text) == shown


@given(st.text(alphabet=st.characters(), max_size=300))
def test_a_quotation_is_one_line_of_so_many_characters(text: str) -> None:
    """For any text; and it can be written."""
    shown = quoted(text)
    assert len(shown) <= QUOTED
    assert len(shown.splitlines()) <= 1
    shown.encode("utf-8")
    reported = plain_json(json.dumps({"a": text}, ensure_ascii=False))
    assert json.loads(reported) == {"a": text}
    assert len(reported.splitlines()) == 1


def test_a_fault_quotes_no_more_than_that() -> None:
    """Fifteen megabytes of a name are a hundred characters of an answer."""
    fault = Fault("x\n" * 8_000_000, "y" * 15_000_000)
    assert len(fault.field) == QUOTED
    assert len(fault.message) <= 500
    assert "\n" not in str(fault)


@pytest.mark.parametrize("count", [1, 20, 21, 19_000])
def test_an_error_lists_twenty_faults_and_counts_the_others(count: int) -> None:
    """Unknown options, one by one."""
    with pytest.raises(InvalidField) as caught:
        RenderRequest.parse({"html": "x", **{f"o{n}": n for n in range(count)}}, Limits())
    assert len(caught.value.faults) == min(count, 20)
    assert caught.value.faults[0].field == "o0"
    assert (f"(and {count - 1} more)" in str(caught.value)) == (count > 1)
    assert len(str(caught.value)) < 1000
