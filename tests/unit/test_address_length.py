"""A signed address that would be refused on its way is not printed."""

import pytest

from poster_service.errors import OperatorError
from poster_service.web.address_length import LONG, LONGEST, check_length


def test_a_short_address_is_none_of_our_business() -> None:
    """To the character."""
    assert check_length("x" * LONG, {"a": "b"}, LONGEST, 16_384) == ""


def test_a_long_one_is_warned_of_and_a_longer_one_refused() -> None:
    """With its length, the bound, and the value that makes it so long."""
    data = {"author": {"name": "x", "avatar": "y" * 1500}, "tags": ["z" * 10]}
    warning = check_length("x" * (LONG + 1), data, LONGEST, 16_384)
    assert "2,001 characters" in warning
    assert "data.author.avatar alone has 1,500." in warning
    assert check_length("x" * LONGEST, data, LONGEST, 16_384)
    with pytest.raises(OperatorError, match=r"8,001 characters, more than the 8,000 of --max-len"):
        check_length("x" * (LONGEST + 1), data, LONGEST, 16_384)


def test_no_option_allows_what_the_service_would_refuse() -> None:
    """Its own bound is named then."""
    with pytest.raises(OperatorError, match="POSTER_MAX_HEADER_BYTES=16384: the service"):
        check_length("x" * 16_385, None, 100_000, 16_384)
    with pytest.raises(OperatorError, match="POSTER_MAX_HEADER_BYTES=1024"):
        check_length("x" * 1_025, None, LONGEST, 1_024)
    assert check_length("x" * 16_384, None, 100_000, 16_384)


def test_a_bound_of_ones_own_may_be_lower() -> None:
    """Also lower than what is warned of."""
    with pytest.raises(OperatorError, match="more than the 100 of --max-length"):
        check_length("x" * 101, None, 100, 16_384)
    assert check_length("x" * 100, None, 100, 16_384) == ""
