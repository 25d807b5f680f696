"""A render job: every fault of a request on its own is found when the job is made."""

import itertools
import json
from dataclasses import FrozenInstanceError
from typing import Any

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from poster_service.browser.types import MAX_SIDE
from poster_service.errors import Fault, InvalidField
from poster_service.render.faults import allowed_for
from poster_service.render.formats import CONTENT_TYPES
from poster_service.render.request import Asset, Limits, RenderRequest, check_pixels
from poster_service.render.source import KINDS, Html, Template

LIMITS = Limits(timeout_ms=1000, max_timeout_ms=5000, max_pixels=1_000_000)


def parse(*, strict: bool = True, **given_: Any) -> RenderRequest:
    """A job with a page, if nothing else is said."""
    source: dict[str, Any] = {} if {"html", "template"} & given_.keys() else {"html": "<p>"}
    return RenderRequest.parse({**source, **given_}, LIMITS, strict=strict)


def values(request: RenderRequest) -> dict[str, Any]:
    """Source and options side by side, as a JSON body has them."""
    return request.source.model_dump() | request.options.model_dump()


def faults(*, strict: bool = True, **given_: Any) -> tuple[Fault, ...]:
    """What is found wrong."""
    with pytest.raises(InvalidField) as caught:
        parse(strict=strict, **given_)
    return caught.value.faults


def test_the_defaults_are_those_promised() -> None:
    """PNG at one device pixel each, of the viewport; size and time are others' to choose."""
    job = parse().options
    assert (job.format, job.device_scale_factor, job.full_page) == ("png", 1.0, False)
    assert (job.width, job.height, job.quality, job.timeout_ms) == (None,) * 4
    assert job.colour() == (0, 0, 0, 0)


@pytest.mark.parametrize(
    ("field", "good"),
    [
        ("width", [1, 750, MAX_SIDE]),
        ("height", [1, 1334, MAX_SIDE]),
        ("device_scale_factor", [0.1, 1, 2.5, 5]),
        ("format", ["png", "jpeg", "webp", "pdf"]),
        ("full_page", [True, False]),
        ("background", ["transparent", "#000000", "#AbCdEf"]),
        ("timeout_ms", [100, 5000]),
        ("html", ["x", " ", "你好 👋", "\0"]),
    ],
)
def test_what_is_within_bounds_is_taken(field: str, good: list[Any]) -> None:
    """The bounds themselves too."""
    for value in good:
        assert values(parse(**{field: value}))[field] == value


@pytest.mark.parametrize(
    ("field", "bad"),
    [
        ("width", [0, -1, MAX_SIDE + 1, 750.5, "750", True, None.__class__, [], {}, 10**400]),
        ("height", [0, -1, MAX_SIDE + 1, 750.5, "750", True, [], {}]),
        (
            "device_scale_factor",
            [0, 0.09, 5.01, "2", True, [], float("nan"), float("inf"), 10**400],
        ),
        ("format", ["gif", "PNG", "", 1, None, ["png"]]),
        ("quality", [0, 101, 80.5, "80", True, []]),
        ("full_page", ["true", 1, 0, None, []]),
        ("background", ["white", "#fff", "#1234567", "#12345g", "#ffffff\n", "", 0, []]),
        ("timeout_ms", [99, 0, -1, "1000", 1000.5, True, 5001]),
        ("html", ["", 1, b"x", [], {}, "\ud800"]),
        ("template", ["", "Share", "a/b", "../x", "-a", "a\n", "a" * 65, 1, []]),
    ],
)
def test_what_is_out_of_bounds_or_of_the_wrong_type_names_its_field(
    field: str, bad: list[Any]
) -> None:
    """And the values allowed: JSON has types, so no text is read as a number there."""
    for value in bad:
        more: dict[str, Any] = {"format": "jpeg"} if field == "quality" else {}
        (fault,) = faults(**{field: value}, **more)
        assert fault.field == field, value
        assert fault.allowed, value
        assert fault.message, value


@pytest.mark.parametrize("data", ["text", [], 1, True])
def test_data_is_an_object(data: object) -> None:
    """The schema of the template judges what is in it."""
    (fault,) = faults(template="card", data=data)
    assert fault.field == "data"
    data = {"any": [1, None, {"x": 1.5}]}
    assert parse(template="card", data=data).source == Template(template="card", data=data)


@pytest.mark.parametrize(
    "given_",
    ["<p>secret", {"template": "card", "data": '{"name": "secret"}'}, {"html": ["secret"]},
     {"template": "card", "data": 5550123}, {"html": 5550123}],
)  # fmt: skip
def test_no_fault_shows_a_page_or_its_data(given_: object) -> None:
    """Faults are logged; JSON put into a string once more is a common mistake."""
    with pytest.raises(InvalidField) as caught:
        RenderRequest.parse(given_, LIMITS)
    reported = str(caught.value)
    assert "secret" not in reported
    assert "555" not in reported
    assert "not a" in reported


@pytest.mark.parametrize(
    ("query", "field", "value"),
    [
        ("750", "width", 750),
        ("2.5", "device_scale_factor", 2.5),
        ("true", "full_page", True),
        ("0", "full_page", False),
        ("webp", "format", "webp"),
        ("5000", "timeout_ms", 5000),
    ],
)
def test_a_query_has_only_text_and_is_read_so(query: str, field: str, value: object) -> None:
    """Leniently, with the same bounds."""
    assert getattr(parse(strict=False, **{field: query}).options, field) == value


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("width", "wide"), ("width", ""), ("width", "750.5"), ("width", "0"), ("width", "1e3"),
        ("device_scale_factor", "nan"), ("device_scale_factor", "inf"), ("full_page", "maybe"),
        ("full_page", ""), ("format", "PNG"), ("timeout_ms", "99"), ("timeout_ms", "5001"),
        ("width", "1" * 5000), ("quality", "80"),
    ],
)  # fmt: skip
def test_a_query_out_of_bounds_names_its_field(field: str, text: str) -> None:
    """As JSON does."""
    (fault,) = faults(strict=False, **{field: text})
    assert fault.field == field
    assert fault.allowed


@pytest.mark.parametrize(
    ("given_", "field"),
    [
        ({"html": "x", "template": "card"}, "html"),
        ({"html": None}, "html"),
        ({"html": "x", "data": {}}, "data"),
        ({"html": "x", "quality": 80}, "quality"),
        ({"html": "x", "format": "webp", "png_compression": "small"}, "png_compression"),
        ({"html": "x", "quality": 80, "format": "pdf"}, "quality"),
        ({"html": "x", "background": "transparent", "format": "jpeg"}, "background"),
    ],
)
def test_options_at_odds_are_reported(given_: dict[str, Any], field: str) -> None:
    """Both or neither source, data without template, options that a format does not know."""
    (fault,) = faults(**given_)
    assert fault.field == field
    assert fault.allowed


def test_all_faults_are_reported_together() -> None:
    """Each once; the first in the sentence."""
    found = faults(width=0, height="x", colour="red")
    assert {fault.field for fault in found} == {"width", "height", "colour"}
    unknown = next(fault for fault in found if fault.field == "colour")
    assert "background" in (unknown.allowed or "")


@pytest.mark.parametrize("given_", [None, [], "text", 1, True])
def test_what_is_no_object_is_reported_so(given_: object) -> None:
    """A JSON body may be any JSON."""
    with pytest.raises(InvalidField) as caught:
        RenderRequest.parse(given_, LIMITS)
    assert caught.value.faults[0].allowed == "an object"


def test_a_job_is_frozen() -> None:
    """What was checked stays."""
    with pytest.raises(pydantic.ValidationError):
        parse().options.width = 1
    with pytest.raises(pydantic.ValidationError):
        parse(html="x").source.html = "y"  # type: ignore[union-attr]  # it has one
    with pytest.raises(FrozenInstanceError):
        parse().files = ()  # type: ignore[misc]


@pytest.mark.parametrize(
    ("background", "format_", "colour"),
    [
        (None, "png", (0, 0, 0, 0)),
        (None, "webp", (0, 0, 0, 0)),
        (None, "jpeg", (255, 255, 255, 255)),
        (None, "pdf", (255, 255, 255, 255)),
        ("transparent", "png", (0, 0, 0, 0)),
        ("transparent", "pdf", (0, 0, 0, 0)),
        ("#0a0B0c", "jpeg", (10, 11, 12, 255)),
    ],
)
def test_the_background_is_what_was_asked_for(
    background: str | None, format_: str, colour: tuple[int, ...]
) -> None:
    """By default transparent where the format can be, white where it cannot."""
    assert parse(background=background, format=format_).options.colour() == colour


@pytest.mark.parametrize(
    ("width", "height", "scale", "fits"),
    [
        (1000, 1000, 1.0, True),
        (1000, 1001, 1.0, False),
        (500, 500, 2.0, True),
        (501, 500, 2.0, False),
        (MAX_SIDE, 1, 1.0, True),
        (MAX_SIDE, 1, 1.1, False),
        (1, MAX_SIDE, 1.1, False),
        (10, 10, 0.1, True),
    ],
)
def test_the_picture_is_bounded_in_device_pixels(
    width: int, height: int, scale: float, fits: bool
) -> None:
    """In area and in each side; the fault tells the size it would have."""
    job = parse(device_scale_factor=scale).options
    if fits:
        check_pixels(job, width, height, LIMITS)
        return
    with pytest.raises(InvalidField, match=r"\d+ x \d+ device pixels"):
        check_pixels(job, width, height, LIMITS)


def test_every_source_says_what_it_allows() -> None:
    """As every option does (test_options.py)."""
    for kind in KINDS:
        for name in kind.model_fields:
            assert allowed_for(kind, name)


def test_requests_with_other_files_are_other_requests() -> None:
    """A file is its name, its type and its bytes, which may be any."""
    files = [Asset("a", "image/png", b"\xff"), Asset("a", "image/png", b"\xfe"),
             Asset("b", "image/png", b"\xff"), Asset("a", "text/css", b"\xff")]  # fmt: skip
    jobs = [RenderRequest.parse({"html": "x"}, LIMITS, files=(one,)) for one in files]
    jobs.append(RenderRequest.parse({"html": "x"}, LIMITS))
    assert all(one != other for one, other in itertools.combinations(jobs, 2))
    assert len({one.digest() for one in files}) == 4
    assert RenderRequest.parse({"html": "x"}, LIMITS, files=(files[0],)) == jobs[0]


def test_every_format_has_a_content_type() -> None:
    """And each its own."""
    assert len(set(CONTENT_TYPES.values())) == len(CONTENT_TYPES) == 7


ANYTHING: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters())
    | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
OBJECTS = st.dictionaries(
    st.sampled_from(RenderRequest.names()) | st.text(st.characters()) | st.integers(),
    ANYTHING,
    max_size=6,
)


@given(given_=OBJECTS | ANYTHING, strict=st.booleans())
def test_nothing_but_an_invalid_field_ever_comes_out(given_: object, strict: bool) -> None:
    """For any body; and what the error says of it can be sent back as JSON."""
    try:
        job = RenderRequest.parse(given_, LIMITS, strict=strict)
    except InvalidField as error:
        reported = [str(fault) for fault in error.faults]
    else:
        reported = [str(job.options.colour())]
        assert isinstance(job.source, Html | Template)
    assert reported
    assert json.loads(json.dumps(reported)) == reported


@given(
    width=st.integers(1, MAX_SIDE), scale=st.floats(0.1, 5.0), html=st.text(min_size=1),
    format_=st.sampled_from(sorted(set(CONTENT_TYPES) - {"elements"})),
)  # fmt: skip
def test_a_good_job_reads_the_same_from_json_and_from_a_query(
    width: int, scale: float, html: str, format_: str
) -> None:
    """The two ways in differ in form only."""
    typed = parse(html=html, width=width, device_scale_factor=scale, format=format_)
    texts: dict[str, Any] = {
        "width": str(width),
        "device_scale_factor": str(scale),
        "format": format_,
    }
    assert parse(strict=False, html=html, **texts) == typed
