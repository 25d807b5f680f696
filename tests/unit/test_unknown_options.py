"""An unknown option, or value of a list, is answered with the one that was probably meant."""

from typing import Any

import pytest

from poster_service.errors import MOST_FAULTS, Fault, InvalidField
from poster_service.jobs.records import JobRequest
from poster_service.render.flat import nest
from poster_service.render.options import RenderOptions
from poster_service.render.request import OPTIONS, Limits, RenderRequest


def faults(given: Any, kind: type[RenderRequest] = RenderRequest, **more: Any) -> list[Fault]:
    """What is wrong with a request."""
    with pytest.raises(InvalidField) as caught:
        kind.parse({"html": "<p>", **given}, Limits(), **more)
    return list(caught.value.faults)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("widht", "unknown option; did you mean width?"),
        ("fullPage", "unknown option; did you mean full_page?"),
        ("timeout", "unknown option; did you mean timeout_ms?"),
        ("clipWidth", "unknown option; did you mean clip.width?"),
        ("clip_width", "unknown option; did you mean clip.width?"),
        ("clip.width", 'unknown option; in JSON it is {"clip": {"width": ...}}'),
        ("headers.X-A", 'unknown option; in JSON it is {"headers": {"X-A": ...}}'),
        ("data.title", 'unknown option; in JSON it is {"data": {"title": ...}}'),
        ("xyzzy.a", "unknown option"),
        ("xyzzy", "unknown option"),
        ("items", "unknown option; it is for POST /batches"),
        ("common", "unknown option; it is for the first line of NDJSON for POST /batches"),
        ("webhook", "unknown option; it is for POST /jobs and POST /batches"),
    ],
)
def test_an_unknown_option_has_its_remedy(name: str, message: str) -> None:
    """The field is as it was given; all options are listed only where none is near."""
    (fault,) = faults({name: 1})
    assert (fault.field, fault.message) == (name, message)
    assert (fault.allowed == ", ".join(OPTIONS)) == (message == "unknown option")


@pytest.mark.parametrize(
    ("given", "field", "meant"),
    [
        ({"pdf": {"papre": "a4"}, "format": "pdf"}, "pdf.papre", "pdf.paper"),
        ({"outputs": [{"name": "a", "formt": "png"}]}, "outputs.0.formt", "outputs.0.format"),
        ({"wait_for": {"selectr": "p"}}, "wait_for.selectr", "wait_for.selector"),
        ({"pdf": {"paper": {"widht": 1}}}, "pdf.paper.widht", "pdf.paper.width"),
    ],
)
def test_a_nested_one_has_it_too(given: Any, field: str, meant: str) -> None:
    """Among the names of its own group."""
    messages = {one.field: one.message for one in faults(given)}
    assert messages[field] == f"unknown option; did you mean {meant}?"


def test_queries_and_forms_have_it_too() -> None:
    """Where names are dotted."""
    pairs = [("clip.widht", "3"), ("clip.height", "3"), ("widht", "3")]
    messages = {one.field: one.message for one in faults(nest(pairs, RenderOptions), strict=False)}
    assert messages["clip.widht"] == "unknown option; did you mean clip.width?"
    assert messages["widht"] == "unknown option; did you mean width?"


def test_a_job_knows_its_own_option() -> None:
    """And what was meant for it."""
    (fault,) = faults({"webhok": {}}, JobRequest)
    assert fault.message == "unknown option; did you mean webhook?"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"format": "jpg"}, '"jpg" is not allowed; did you mean jpeg?'),
        ({"format": "PNG"}, '"PNG" is not allowed; did you mean png?'),
        ({"format": "tiff"}, '"tiff" is not allowed'),
        ({"wait_until": "laod"}, '"laod" is not allowed; did you mean load?'),
        ({"outputs": [{"name": "a", "format": "pgn"}]}, '"pgn" is not allowed; did you mean png?'),
        ({"fail_on": ["missing_glyphs"]}, '"missing_glyphs" is not allowed; did you mean missing_'
         "glyph?"),
    ],
)  # fmt: skip
def test_a_value_of_a_list_has_it_too(given: Any, message: str) -> None:
    """And what is allowed, in full."""
    (fault,) = faults(given)
    assert fault.message == message
    assert fault.allowed


def test_a_hundred_thousand_unknown_options_are_counted() -> None:
    """The first have their remedy; the others are not looked at."""
    given = dict.fromkeys((f"widht{number}" for number in range(100_000)), 1)
    found = faults(given)
    assert len(found) == MOST_FAULTS
    assert {one.message for one in found} == {"unknown option; did you mean width?"}
