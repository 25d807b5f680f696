"""The name that was probably meant."""

import pytest

from poster_service.render.request import OPTIONS
from poster_service.similar import MAX_NAME, did_you_mean, nearest


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("widht", "width"), ("WIDTH", "width"), ("wdith", "width"), ("fullPage", "full_page"),
        ("full-page", "full_page"), ("FULL_PAGE", "full_page"), ("tempalte", "template"),
        ("deviceScaleFactor", "device_scale_factor"), ("timeout", "timeout_ms"), ("htlm", "html"),
        ("formatt", "format"), ("xyzzy", None), ("", None), ("w" * (MAX_NAME + 1), None),
    ],
)  # fmt: skip
def test_the_nearest_option_is_found(given: str, meant: str | None) -> None:
    """In another spelling too; none is named where none is near."""
    assert nearest(given, OPTIONS) == meant


def test_a_message_ends_with_the_name() -> None:
    """In the marks of the message, or not at all."""
    assert did_you_mean("nmae", ["name", "title"], "`") == "; did you mean `name`?"
    assert did_you_mean("POSTER_PROT", ["POSTER_PORT"]) == "; did you mean POSTER_PORT?"
    assert did_you_mean("nmae", []) == ""


def test_of_two_that_are_as_near_the_one_that_goes_on_is_meant() -> None:
    """Most names that are cut have lost their unit."""
    assert nearest("timeout", ["on_timeout", "timeout_ms"]) == "timeout_ms"
    assert nearest("timeout", ["timeout_ms", "on_timeout"]) == "timeout_ms"
