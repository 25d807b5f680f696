"""Which templates and renders may have a warm page; the others have a stricter level."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from poster_service.browser.fonts import Fonts
from poster_service.browser.warm import WarmKey
from poster_service.errors import InvalidField, TemplatesBroken
from poster_service.render.job import RenderContext, RenderJob
from poster_service.render.job_builder import JobBuilder, PaintIdentity
from poster_service.render.markup import Templates
from poster_service.render.request import Limits, RenderRequest
from poster_service.render.warm_fit import SUITABLE
from tests.unit.template_folders import make

LIMITS = Limits(template_isolation="page")
SCHEMA = {"type": "object", "x-poster": {"isolation": "page"}}


def job(root: Path, **options: Any) -> RenderJob:
    """The job of a render of the template in a folder."""
    identity = PaintIdentity(Path("chrome"), Fonts())
    builder = JobBuilder(Templates(root), LIMITS, identity, shares_pictures=True)
    given = options if {"html", "markdown", "url"} & set(options) else {"template": "card"}
    request = RenderRequest.parse(given | options, LIMITS)
    no_deadline: Any = None
    return builder.build_now(request, RenderContext(), no_deadline)


def test_a_template_without_scripts_has_a_warm_page(tmp_path: Path) -> None:
    """Of its name, version and page, in which no script runs; the cache key is that of others."""
    root = make(tmp_path)
    found = job(root)
    assert found.isolation == "page"
    assert found.warm is not None
    assert found.warm == WarmKey("card", found.warm.version, found.page)
    assert not found.page.environment.javascript
    own = job(root, isolation="process")
    assert (own.isolation, own.warm) == ("process", None)
    assert own.page.environment.javascript
    assert own.cache_key == found.cache_key
    assert found.warm != replace(found.warm, page=own.page)


@pytest.mark.parametrize(
    ("page", "why"),
    [
        ("<script src=a.js></script>", "has a script"),
        ("<SCRIPT src=a.js></SCRIPT>", "has a script"),
        ("<noscript>x</noscript>", "has a noscript element"),
        ("<canvas>x</canvas>", "has a canvas"),
        ('<meta http-equiv="refresh" content="1">', "has a meta element with http-equiv"),
        ("<p onclick='x()'>", "runs or moves by itself"),
        ("<video src=a.mp4></video>", "runs or moves by itself"),
        ("<p>{% include 'card/part.html' %}", "has a script"),
    ],
)
def test_what_a_warm_page_would_paint_differently_keeps_a_template_from_it(
    tmp_path: Path, page: str, why: str
) -> None:
    """Where the template asks for the level by itself it is a mistake, with file and remedy."""
    files = {"page": page, "part__html": "<script src=a.js></script>"}
    root = make(tmp_path / "silent", **files)
    assert job(root).isolation == "context"
    with pytest.raises(TemplatesBroken, match=f"{why}.*remove it, or `isolation` from x-poster"):
        Templates(make(tmp_path / "asking", **files, schema__json=SCHEMA))


def test_a_style_sheet_that_sees_that_no_script_runs_keeps_a_template_from_it(
    tmp_path: Path,
) -> None:
    """The media feature, and not any word that is like it."""
    plain = make(tmp_path / "plain", style__css=".scripting { color: red }", schema__json=SCHEMA)
    assert job(plain).isolation == "page"
    asks = {"style__css": "@media ( Scripting: none) { p { color: red } }"}
    assert job(make(tmp_path / "silent", **asks)).isolation == "context"
    with pytest.raises(TemplatesBroken, match=r"card/style\.css: asks for the media feature"):
        Templates(make(tmp_path / "asking", **asks, schema__json=SCHEMA))


def test_a_template_may_ask_for_any_level(tmp_path: Path) -> None:
    """Its own level counts, with any level of the others."""
    for level in ("process", "context", "page"):
        schema = {"type": "object", "x-poster": {"isolation": level}}
        assert job(make(tmp_path / level, schema__json=schema)).isolation == level


def test_html_and_what_is_like_it_have_no_warm_page(tmp_path: Path) -> None:
    """Nor can a caller ask for one."""
    root = make(tmp_path)
    for source in ({"html": "<p>"}, {"markdown": "x"}, {"url": "https://a.example/"}):
        assert job(root, **source).isolation == "process"
        with pytest.raises(InvalidField):
            job(root, **source, isolation="page")


def test_options_that_a_warm_page_knows_nothing_of_give_a_stricter_level(tmp_path: Path) -> None:
    """Each of them; those that are left change the document or its capture only."""
    root = make(tmp_path)
    for more in (
        {"format": "pdf"},
        {"format": "html"},
        {"freeze": True},
        {"delay_ms": 1},
        {"hide": ["p"]},
        {"block": {"types": ["image"]}},
        {"allow": {"types": ["image"]}},
        {"wait_until": "domcontentloaded"},
        {"on_timeout": "capture"},
    ):
        assert job(root, **more).isolation == "context"
    assert set(RenderRequest.parse({"html": "x"}, LIMITS).options.model_dump()) > SUITABLE
    for more in ({"full_page": True}, {"media": "print"}, {"format": "avif"}, {"strict": True}):
        assert job(root, **more).isolation == "page"
