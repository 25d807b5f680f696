"""Which requests are the same, and which pages may come out differently."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poster_service.render.cache import (
    CHUNK,
    DYNAMIC_MARKERS,
    OVERLAP,
    is_static,
    key_of,
)
from poster_service.render.markup import Templates
from poster_service.render.options import RenderOptions
from poster_service.render.renderer import Renderer, Work
from poster_service.render.request import Asset, Limits, RenderRequest
from poster_service.settings import default_templates

TEMPLATES = Templates(default_templates())


def work(**options: Any) -> Work:
    """Prepared as for a render; nothing of that needs a pool or a network."""
    nothing: Any = None
    renderer = Renderer(nothing, nothing, TEMPLATES, nothing, Limits())
    return renderer.prepare(RenderRequest.parse(options, Limits()))


def key(**options: Any) -> bytes:
    """The key of a job."""
    return key_of(work(**options), ("caller",))


@pytest.mark.parametrize(
    "same",
    [
        {"width": 750}, {"height": 1334}, {"format": "png"}, {"full_page": False},
        {"background": "transparent"}, {"device_scale_factor": 1}, {"device_scale_factor": 1.0},
        {"strict": False}, {"timeout_ms": 5000}, {"cache_ttl": 5}, {"quality": None},
    ],
    ids=str,
)  # fmt: skip
def test_a_default_spelled_out_and_what_does_not_matter_change_nothing(
    same: dict[str, Any],
) -> None:
    """The picture is the same."""
    assert key(html="<p>x", **same) == key(html="<p>x")


@pytest.mark.parametrize(
    "other",
    [
        {"html": "<p>y"}, {"width": 749}, {"height": 1}, {"format": "webp"}, {"format": "pdf"},
        {"full_page": True}, {"background": "#ffffff"}, {"device_scale_factor": 2.0},
        {"strict": True}, {"png_compression": "small"},
    ],
    ids=str,
)  # fmt: skip
def test_what_changes_the_picture_changes_the_key(other: dict[str, Any]) -> None:
    """One by one."""
    assert key(**{"html": "<p>x", **other}) != key(html="<p>x")


def test_quality_is_part_of_it_where_it_has_a_meaning() -> None:
    """80 is the default."""
    lossy = {"html": "<p>x", "format": "jpeg"}
    assert key(**lossy, quality=80) == key(**lossy) != key(**lossy, quality=81)


def test_no_option_is_forgotten() -> None:
    """An option counts unless its declaration says that it does not change the output."""
    made = work(html="x")
    excluded = set(RenderOptions.model_fields) - set(made.job.options.output_options())
    assert excluded == {"timeout_ms", "cache_ttl"}


def test_files_are_part_of_it() -> None:
    """By name, type and bytes."""
    files = [(), (Asset("a", "b", b"c"),), (Asset("a", "b", b"d"),), (Asset("b", "b", b"c"),)]
    made = [replace(work(html="x").job, files=one) for one in files]
    assert len({key_of(replace(work(html="x"), job=one), ()) for one in made}) == 4


def test_the_place_is_part_of_it() -> None:
    """Whose it is, the template's version, and Chrome's."""
    one = work(html="<p>x")
    assert key_of(one, ("a", 1)) != key_of(one, ("b", 1)) != key_of(one, ("b", 2))


def test_data_is_the_same_in_any_order() -> None:
    """What counts is the page that comes of it."""
    told = TEMPLATES.find("article-card").sample
    backwards = dict(reversed(list(told.items())))
    one = key(template="article-card", data=dict(told))
    assert one == key(template="article-card", data=backwards)
    assert one != key(template="article-card", data={**told, "title": "another"})


@pytest.mark.parametrize(
    "page",
    [
        "<SCRIPT>1</SCRIPT>", "<img src=x onerror=alert(1)>", "<img src='x'onerror ='1'>",
        "<svg/onload=1>", "<body\nONLOAD\n=1>", "<iframe src=x>", "<object data=x>", "<embed>",
        "<a href='JavaScript:1'>", "<style>p{animation:x 1s}</style>", "<svg><animate></svg>",
        "<video src=x>", "<marquee>", "<input autofocus>", "<progress>", "<svg><set></svg>",
    ],
)  # fmt: skip
def test_a_page_that_may_run_or_move_is_not_still(page: str) -> None:
    """However it is written."""
    assert not is_static(f"<!doctype html><p>x{page}")


@pytest.mark.parametrize(
    "page",
    [
        "<h1>Hello</h1>", "<svg version='1.1' viewBox='0 0 1 1'><path/></svg>",
        "<style>@font-face{src:url(x)}</style><img src=x>", "<p title='on x = y'>position=1",
        "<link rel=stylesheet href=https://a.example/b.css>",
    ],
)  # fmt: skip
def test_a_plain_page_is(page: str) -> None:
    """What does neither is not mistaken for one that does."""
    assert is_static(page)


@given(st.text(), st.sampled_from([*DYNAMIC_MARKERS, " onload="]), st.text())
def test_no_text_around_hides_it(before: str, word: str, after: str) -> None:
    """In any case."""
    assert not is_static(before + word + after)
    assert not is_static(before + word.upper() + after)


@pytest.mark.parametrize(
    "before", [CHUNK - 9, CHUNK - 5, CHUNK, CHUNK + OVERLAP - 3, 3 * CHUNK - 1]
)
def test_a_handler_is_found_wherever_it_stands(before: int) -> None:
    """A large page is looked at in pieces, and nothing falls between two."""
    assert not is_static("x" * before + "<p onclick = x>")
    assert is_static("x" * before + "<p title = x>")
