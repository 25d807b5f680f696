"""An unknown option, or value of a list, is answered with the one that was probably meant."""

from typing import Any

import pytest

from poster_service.cli import main
from poster_service.errors import MOST_FAULTS, Fault, InvalidField
from poster_service.jobs.records import JobRequest
from poster_service.render.flat import nest
from poster_service.render.option_list import entries_by_name
from poster_service.render.options import RenderOptions
from poster_service.render.other_names import MEANT, option_in
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


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"dpi": 300}, "device_scale_factor: 1 is 96 dpi"),
        ({"omitBackground": True}, "background: transparent"),
        ({"viewport": {"width": 1}}, "width and height"),
        ({"colorScheme": "dark"}, 'media_features: {"prefers-color-scheme": "dark"}'),
        ({"setExtraHTTPHeaders": {}}, "headers"),
        ({"extraHTTPHeaders": {}}, "headers"),
        ({"javaScriptEnabled": False}, "javascript"),
        ({"page-size": "A4"}, "pdf.paper"),
        ({"pdf": {"format": "a4"}}, "pdf.paper"),
        ({"pdf": {"width": "3cm"}}, "pdf.paper.width"),
        ({"pdf.format": "a4"}, "pdf.paper"),
        ({"pdf": {"headerTemplate": "<b>"}}, "pdf.header"),
        ({"waitForSelector": "p"}, "wait_for.selector"),
        ({"wait_for": {"fn": "x"}}, "wait_for.expression"),
        ({"styles": [{"css": "p {}"}]}, "styles.0.content"),
        ({"outputs": [{"name": "a", "type": "png"}]}, "format"),
        ({"outputs": [{"name": "a", "format": "pdf", "pdf": {"format": "a4"}}]}, "pdf.paper"),
    ],
)
def test_names_of_other_services_are_answered_with_ours(given: Any, words: str) -> None:
    """However they are spelled, in a group and in an output too."""
    message = f"unknown option; here that is {words}"
    assert (message, words) in [(one.message, one.allowed) for one in faults(given)]


def test_names_of_other_services_are_of_options_that_exist() -> None:
    """And none of them is an option itself, which would never be answered so."""
    known = {*OPTIONS, *entries_by_name(RenderOptions)}
    for name, words in MEANT.items():
        is_header = words.startswith("the header Accept")
        assert is_header or option_in(words) in known, (name, words)
        assert name not in {one.lower() for one in known}, name


def test_a_flag_of_another_program_is_answered_with_ours(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With what to write; on a command that has no such option nothing is made up."""
    cases = {
        "--dpi": "--device-scale-factor (device_scale_factor: 1 is 96 dpi)",
        "--page-size": "--pdf-paper",
        "--print-media-type": "--media (media: print)",
        "--fullscreen": "--full-page",
        "--title": "--pdf-metadata-title",
    }
    for flag, meant in cases.items():
        with pytest.raises(SystemExit):
            main(["render", "page.html", "-o", "x.png", flag, "1"])
        output = capsys.readouterr().err
        assert f"there is no {flag}; here that is {meant}\n" in output, output
    with pytest.raises(SystemExit):
        main(["doctor", "--dpi", "1"])
    assert "here that is" not in capsys.readouterr().err


def test_queries_and_forms_have_it_too() -> None:
    """Where names are dotted."""
    pairs = [("clip.widht", "3"), ("clip.height", "3"), ("widht", "3")]
    messages = {one.field: one.message for one in faults(nest(pairs, RenderOptions), strict=False)}
    assert messages["clip.widht"] == "unknown option; did you mean clip.width?"
    assert messages["widht"] == "unknown option; did you mean width?"
    pairs = [("pdf.format", "a4"), ("format", "pdf"), ("dpi", "96")]
    messages = {one.field: one.message for one in faults(nest(pairs, RenderOptions), strict=False)}
    assert messages["pdf.format"] == "unknown option; here that is pdf.paper"
    assert messages["dpi"] == "unknown option; here that is device_scale_factor: 1 is 96 dpi"


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
