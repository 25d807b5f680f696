"""Pages of templates, remembered by their data."""

import os
from pathlib import Path
from typing import Any

import pytest

from poster_service.render import page_memo
from poster_service.render.markup import Templates
from poster_service.render.page_memo import PageMemo
from poster_service.settings import default_templates
from tests.unit.template_folders import make


class Pages:
    """Makes a page of a number, and counts."""

    def __init__(self, text: str = "page") -> None:
        self.made, self._text = 0, text

    def __call__(self) -> str:
        """The next page."""
        self.made += 1
        return f"{self._text}{self.made}"


def test_equal_data_gives_the_page_that_was_made_before() -> None:
    """The same object, so that nothing of it is held twice."""
    memo, pages = PageMemo(), Pages()
    first = memo.page(1, {"a": 1, "b": [None, "é"]}, pages)
    assert memo.page(1, {"a": 1, "b": [None, "é"]}, pages) is first
    assert pages.made == 1


@pytest.mark.parametrize(
    ("version", "data"),
    [
        (2, {"a": 1, "b": 2}), (1, {"a": 1}), (1, {"b": 2, "a": 1}), (1, {"a": 1.0, "b": 2}),
        (1, {"a": True, "b": 2}), (1, {"a": "1", "b": 2}), (1, {}),
    ],
)  # fmt: skip
def test_what_may_give_another_page_is_made_again(version: int, data: dict[str, Any]) -> None:
    """Another version, value, type, or order of names."""
    memo, pages = PageMemo(), Pages()
    memo.page(1, {"a": 1, "b": 2}, pages)
    memo.page(version, data, pages)
    assert pages.made == 2


@pytest.mark.parametrize("data", [{"a": float("nan")}, {"a": float("inf")}, {"a": {1, 2}}])
def test_data_that_is_no_json_is_not_remembered(data: dict[str, Any]) -> None:
    """Nothing tells two such values apart."""
    memo, pages = PageMemo(), Pages()
    assert memo.page(1, data, pages) != memo.page(1, data, pages)


def test_what_fails_is_tried_again() -> None:
    """An error is no page."""
    memo = PageMemo()

    def fails() -> str:
        raise ValueError("first")

    with pytest.raises(ValueError, match="first"):
        memo.page(1, {}, fails)
    assert memo.page(1, {}, Pages()) == "page1"


def test_the_bytes_of_all_pages_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest go; a large one is not remembered at all."""
    monkeypatch.setattr(page_memo, "MAX_BYTES", 4000)
    monkeypatch.setattr(page_memo, "MAX_PAGE_BYTES", 2000)
    memo, pages = PageMemo(), Pages("x" * 1000)
    for number in range(5):
        memo.page(1, {"a": number}, pages)
    memo.page(1, {"a": 4}, pages)
    assert pages.made == 5
    memo.page(1, {"a": 0}, pages)
    assert pages.made == 6
    large = Pages("字" * 1000)
    assert memo.page(2, {}, large) != memo.page(2, {}, large)


@pytest.mark.parametrize(
    ("page", "is_pure"),
    [
        ("<p>{{ name }}{% for one in rows %}{{ one.price }}{% endfor %}", True),
        ("{{ rows | map(attribute='price') | join(',') }}", True),
        ("{{ [1, 2] | random }}", False),
        ("{{ [[1, 2]] | map('random') | list }}", False),
        ("{% set f = 'random' %}{{ [[1, 2]] | map(f) | list }}", False),
        ("{{ [[1, 2]] | map(name) | list if false }}", False),
        ("{{ lipsum(1) }}", False),
        ("{% set words = lipsum %}{{ words(1) }}", False),
        ("{% include name ignore missing %}", False),
        ("{% include 'card/part.html' %}", False),
        ("{% include 'card/plain.html' %}", True),
    ],
)
def test_a_template_that_uses_chance_is_made_each_time(
    tmp_path: Path, page: str, is_pure: bool
) -> None:
    """By every function that brings the chance in, and in what it includes too."""
    parts = {"part__html": "{{ [1, 2] | random }}", "plain__html": "<b>{{ name }}</b>"}
    template = Templates(make(tmp_path, page, **parts)).find("card")
    assert template.is_pure is is_pure


def test_a_template_of_chance_gives_another_page_for_equal_data(tmp_path: Path) -> None:
    """Sooner or later."""
    templates = Templates(make(tmp_path, "{{ range(99999) | random }}"))
    template = templates.find("card")
    assert len({templates.render(template, template.sample) for _ in range(5)}) > 1


def test_a_changed_template_gives_its_new_page(tmp_path: Path) -> None:
    """At once, also where only an included file changed."""
    folder = make(tmp_path, "{% include 'card/part.html' %}", part__html="<b>{{ name }}</b>")
    templates = Templates(folder)
    template = templates.find("card")
    assert templates.render(template, template.sample) == "<b>N</b>"
    part = folder / "card/part.html"
    part.write_text("<i>{{ name }}</i>")
    os.utime(part, ns=(1, 1))
    template = templates.find("card")
    assert templates.render(template, template.sample) == "<i>N</i>"


def test_the_bundled_templates_are_remembered() -> None:
    """Each makes one page of its sample."""
    templates = Templates(default_templates())
    for listed in templates.list():
        template = templates.find(listed["name"])
        first = templates.render(template, template.sample)
        assert templates.render(template, template.sample) is first
