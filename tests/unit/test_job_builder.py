"""The job built from a request: which are the same, and which pages may come out differently."""

import itertools
import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poster_service.browser.fonts import Fonts
from poster_service.render import job_builder
from poster_service.render.job import RenderContext
from poster_service.render.job_builder import JobBuilder, PaintIdentity, cache_key
from poster_service.render.options import RenderOptions
from poster_service.render.request import Asset, Limits, RenderRequest
from poster_service.render.static_page import CHUNK, DYNAMIC_MARKERS, OVERLAP, is_static
from tests.unit.jobs import build, templates


def key(**options: Any) -> bytes:
    """The cache key of a job."""
    return build(**options).cache_key


@pytest.mark.parametrize(
    "same",
    [
        {"width": 750}, {"height": 1334}, {"format": "png"}, {"full_page": False},
        {"background": "transparent"}, {"device_scale_factor": 1}, {"device_scale_factor": 1.0},
        {"strict": False}, {"fail_on": []}, {"filename": "a.png"}, {"timeout_ms": 5000},
        {"cache_ttl": 5}, {"quality": None},
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
        {"strict": True}, {"fail_on": ["script_error"]},
        {"fail_on_status": {"resources": ["404"]}}, {"png_compression": "small"},
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
    options = build(html="x").options.output_options()
    assert set(RenderOptions.model_fields) - set(options) == {
        "timeout_ms",
        "cache_ttl",
        "filename",
        "isolation",
        "store",
        "object",
        "destination",
    }


def test_files_are_part_of_it() -> None:
    """By name, type and bytes."""
    job = build(html="x")
    files = [(), (Asset("a", "b", b"c"),), (Asset("a", "b", b"d"),), (Asset("b", "b", b"c"),)]
    requests = [replace(job.request, files=some) for some in files]
    assert len({cache_key(one, job.captures, job.html, ()) for one in requests}) == 4


def test_callers_and_chromes_have_pictures_of_their_own(tmp_path: Path) -> None:
    """A caller's key is its own unless pictures are shared; another Chrome paints another."""
    one, other = RenderContext("a"), RenderContext("b")
    assert key(context=one, html="x") != key(context=other, html="x")
    assert key(context=one, html="x", shared=True) == key(context=other, html="x", shared=True)
    program = tmp_path / "chrome"
    program.write_text("one")
    assert key(program=str(program), html="x") != key(html="x")


def test_an_upgraded_chrome_has_other_keys(tmp_path: Path) -> None:
    """An upgrade in place is noticed by the file's size or its time."""
    program = tmp_path / "chrome"
    program.write_text("one")
    before = key(program=str(program), html="x")
    program.write_text("another")
    assert key(program=str(program), html="x") != before


def test_data_is_the_same_in_any_order() -> None:
    """What counts is the page that comes of it."""
    reported = templates().find("article-card").sample
    backwards = dict(reversed(list(reported.items())))
    one = key(template="article-card", data=dict(reported))
    assert one == key(template="article-card", data=backwards)
    assert one != key(template="article-card", data={**reported, "title": "another"})


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
def test_a_handler_is_found_at_any_place(before: int) -> None:
    """A large page is looked at in pieces, and nothing falls between two."""
    assert not is_static("x" * before + "<p onclick = x>")
    assert is_static("x" * before + "<p title = x>")


@pytest.mark.parametrize(
    "page", ["<script>x()</script>", "<a href=javascript:x()>", "<p onclick=x>"]
)
def test_a_page_whose_scripts_do_not_run_is_static_with_them(page: str) -> None:
    """But what moves without a script, moves."""
    assert is_static(page, runs_scripts=False)
    assert not is_static(page)
    assert not is_static(page + "<style>p { animation: x 1s }</style>", runs_scripts=False)
    assert not is_static(page + "<iframe src=x>", runs_scripts=False)


class RecordingIdentity(PaintIdentity):
    """Records the threads in which the state of the files is read."""

    readers: list[threading.Thread]

    def text(self) -> str:
        """As it is, and who asks."""
        if self.recent() is None:
            self.readers.append(threading.current_thread())
        return super().text()


@pytest.mark.parametrize("first", range(6))
async def test_the_event_loop_reads_no_file_even_if_the_identity_grows_old_meanwhile(
    monkeypatch: pytest.MonkeyPatch, first: int
) -> None:
    """The clock passes the identity's second at the Nth time it is read, for each N."""
    identity = RecordingIdentity(Path("chrome"), Fonts())
    identity.readers = []
    identity.text()
    identity.readers.clear()
    looks = itertools.count()
    # Far apart, so that the identity is recent at the first looks and old at all that follow.
    clock = SimpleNamespace(monotonic=lambda: -1e9 if next(looks) < first else 1e9)
    builder = JobBuilder(templates(), Limits(), identity, shares_pictures=False)
    request = RenderRequest.parse({"html": "<p>x"}, Limits())
    monkeypatch.setattr(job_builder, "time", clock)
    job = await builder.build(request, RenderContext("caller"))
    assert job.cache_key
    assert threading.main_thread() not in identity.readers
