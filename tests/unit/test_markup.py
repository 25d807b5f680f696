"""Templates: found at the start, their data checked, rendered without trusting either."""

import copy
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from poster_service.errors import InvalidData, PageFailed, TemplatesBroken, UnknownTemplate
from poster_service.render.markup import Template, Templates, qr_svg
from poster_service.settings import default_templates

OURS = Templates(default_templates())
NAMES = ["article-card", "share-poster"]
SCHEMA = {"type": "object", "properties": {"title": {"type": "string", "maxLength": 5}},
          "required": ["title"], "additionalProperties": False}  # fmt: skip


def make(
    folder: Path, page: str = "<p>{{ title }}</p>", *, schema: Any = SCHEMA, sample: Any = None
) -> Path:
    """A folder with one template in it, `card`."""
    card = folder / "card"
    card.mkdir(parents=True)
    (card / "poster.html").write_text(page, "utf-8")
    (card / "schema.json").write_text(json.dumps(schema), "utf-8")
    (card / "sample.json").write_text(json.dumps(sample or {"title": "x"}), "utf-8")
    return folder


def rendered(folder: Path, page: str, **data: Any) -> str:
    """What a page becomes with this data; its sample is the data as well."""
    templates = Templates(make(folder, page, schema={"type": "object"}, sample=data))
    return templates.render(templates.find("card"), data)


def without(sample: dict[str, Any], field: str) -> dict[str, Any]:
    """The sample without one field."""
    return {name: value for name, value in sample.items() if name != field}


# --- ours --------------------------------------------------------------------------------------


def test_both_templates_are_listed_with_all_that_a_caller_needs() -> None:
    """By name, with size, schema, sample, title and description; as JSON."""
    listed = OURS.list()
    assert [one["name"] for one in listed] == NAMES
    assert [(one["width"], one["height"]) for one in listed] == [(1200, 630), (750, 1334)]
    assert all(one["title"] and one["description"] for one in listed)
    assert json.loads(json.dumps(listed)) == listed


@pytest.mark.parametrize("name", NAMES)
def test_a_sample_renders_with_every_text_of_it(name: str) -> None:
    """What is in the data is in the page."""
    template = OURS.find(name)
    page = OURS.render(template, template.sample)
    assert page.lstrip().lower().startswith("<!doctype html>")
    assert template.sample["title"] in page
    assert (template.sample.get("seller") or template.sample["author"])["name"] in page


@pytest.mark.parametrize("name", NAMES)
def test_required_data_alone_is_enough(name: str) -> None:
    """Everything else may be left out."""
    template = OURS.find(name)
    required = template.schema["required"]
    page = OURS.render(template, {field: template.sample[field] for field in required})
    assert template.sample["title"] in page
    assert "undefined" not in page.lower()


@pytest.mark.parametrize(
    ("name", "field"),
    [(name, field) for name in NAMES for field in OURS.find(name).schema["required"]],
)
def test_what_is_required_and_missing_is_named(name: str, field: str) -> None:
    """In the fault's own words and in what it allows."""
    template = OURS.find(name)
    with pytest.raises(InvalidData) as caught:
        OURS.render(template, without(dict(template.sample), field))
    (fault,) = caught.value.faults
    assert f"'{field}'" in fault.message or fault.field.endswith(field)
    assert field in (fault.allowed or "")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("change", "field", "in_allowed"),
    [
        ({"title": 5}, "data.title", "string"),
        ({"title": ""}, "data.title", "1"),
        ({"title": "x" * 1000}, "data.title", "maxLength"),
        ({"lang": "tlh"}, "data.lang", "zh-CN"),
        ({"surprise": 1}, "data", "title"),
    ],
)
def test_data_that_does_not_fit_names_the_field_and_what_is_allowed(
    name: str, change: dict[str, Any], field: str, in_allowed: str
) -> None:
    """Dotted from `data`; the message is not the size of a picture."""
    template = OURS.find(name)
    with pytest.raises(InvalidData) as caught:
        OURS.render(template, {**template.sample, **change})
    fault = caught.value.faults[0]
    assert fault.field == field
    assert in_allowed in (fault.allowed or "")
    assert len(fault.message) <= 200


def test_every_place_that_does_not_fit_is_told_up_to_twenty() -> None:
    """A list full of faults does not become a page of them."""
    template = OURS.find("article-card")
    with pytest.raises(InvalidData) as caught:
        OURS.render(template, {"title": 1, "author": {"name": 2, "avatar": "ftp://x"}})
    fields = [fault.field for fault in caught.value.faults]
    assert fields == ["data.author.avatar", "data.author.name", "data.title"]
    many: dict[str, Any] = {f"x{number}": {} for number in range(50)}
    schema = {"type": "object", "additionalProperties": {"type": "string"}}
    with pytest.raises(InvalidData) as caught:
        OURS.render(Template("card", Path(), schema, {}, None, None), many)
    assert len(caught.value.faults) == 20


@pytest.mark.parametrize(
    "address",
    ["javascript:alert(1)", "file:///etc/passwd", "http://a/b.png", "data:text/html;base64,AAAA",
     "https://a/\"onerror=alert(1)", "https://a/ b",],
)  # fmt: skip
def test_pictures_are_https_or_data_and_nothing_else(address: str) -> None:
    """The schema says so, before Chrome is asked."""
    template = OURS.find("share-poster")
    with pytest.raises(InvalidData):
        OURS.render(template, {**template.sample, "image": address})


@pytest.mark.parametrize(
    "link", ["javascript:x", "https://", "ftp://a", "https://a b", "https://a\n"]
)
def test_a_link_that_no_phone_would_follow_is_refused(link: str) -> None:
    """It would be in the QR code."""
    template = OURS.find("share-poster")
    with pytest.raises(InvalidData):
        OURS.render(template, {**template.sample, "link": link})


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "evil", ["<script>alert(1)</script>", '"><img src=x>', "{{ 7 * 7 }}", "'&"]
)
def test_data_is_text_and_never_markup(name: str, evil: str) -> None:
    """Escaped in every place, and not rendered a second time."""
    template = OURS.find(name)
    data = copy.deepcopy(dict(template.sample))
    person = "seller" if name == "share-poster" else "author"
    data["title"] = data[person]["name"] = evil
    page = OURS.render(template, data)
    assert "<script>alert" not in page
    assert "<img src=x>" not in page
    assert "49" not in re.sub(r"<svg.*?</svg>|base64,\S*", "", page, flags=re.DOTALL)


def test_an_unknown_template_names_those_there_are() -> None:
    """The remedy is in the fault."""
    with pytest.raises(UnknownTemplate) as caught:
        OURS.find("poster")
    (fault,) = caught.value.faults
    assert (fault.field, fault.allowed) == ("template", "article-card, share-poster")


@pytest.mark.parametrize(
    "name", ["", "..", "../templates/share-poster", "share-poster/", "SHARE-POSTER"]
)
def test_a_name_is_no_path(name: str) -> None:
    """Only what was found at the start is ever opened."""
    with pytest.raises(UnknownTemplate):
        OURS.find(name)


def test_the_qr_code_is_inline_svg_without_the_links_text() -> None:
    """With its quiet zone, in a box that scales."""
    svg = str(qr_svg("https://example.com/<script>"))
    assert svg.startswith("<svg")
    assert "viewBox" in svg
    assert "script" not in svg
    assert qr_svg("https://a.example") != qr_svg("https://b.example")


# --- those of others ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "page",
    [
        "{{ ''.__class__ }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ title['__class__'] }}",
        "{{ title|attr('__class__') }}",
        "{{ cycler.__init__.__globals__ }}",
        "{{ self._TemplateReference__context }}",
        "{{ '{0.__class__.__mro__}'.format(title) }}",
        "{{ rows.append(1) }}",
        "{{ rows.clear() }}",
    ],
)
def test_the_sandbox_lets_no_template_out(tmp_path: Path, page: str) -> None:
    """It fails, or shows nothing of Python's inside; and it changes no data."""
    try:
        shown = rendered(tmp_path, f"[{page}]", title="x", rows=["a"])
    except TemplatesBroken as broken:
        shown = str(broken.__cause__)
    assert "<class" not in shown.replace("&lt;", "<")
    assert "__globals__" not in shown or "unsafe" in shown or "cannot" in shown


def test_a_template_cannot_read_beyond_the_template_folder(tmp_path: Path) -> None:
    """`include` knows only what is below it."""
    (tmp_path / "secret.html").write_text("secret")
    with pytest.raises(TemplatesBroken):
        Templates(make(tmp_path / "t", "{% include '../secret.html' %}"))


def test_a_variable_that_is_not_there_is_a_fault_of_the_template(tmp_path: Path) -> None:
    """Not an empty place in the picture."""
    with pytest.raises(TemplatesBroken, match="its sample fails"):
        Templates(make(tmp_path, "{{ titel }}"))


def late(folder: Path, page: str) -> tuple[Templates, Template]:
    """A template that fails only for other data than its sample."""
    templates = Templates(make(folder, "{% if title == 'bad' %}" + page + "{% endif %}"))
    return templates, templates.find("card")


FAULTY = [
    "{{ nothing }}", "{{ 1 / 0 }}", "{{ title + 1 }}", "{{ range(999999999) | list }}",
    "{{ {}['a'].b }}", "{{ title | int + none }}", "{{ ('x' * 9000) | qr_svg }}",
    "{{ [1, 'a'] | sort }}",
]  # fmt: skip


@pytest.mark.parametrize("page", FAULTY)
def test_a_template_that_fails_for_some_data_is_a_page_that_failed(
    tmp_path: Path, page: str
) -> None:
    """One error of ours, whatever went wrong inside; the cause stays with it for the log."""
    templates, template = late(tmp_path, page)
    with pytest.raises(PageFailed) as caught:
        templates.render(template, {"title": "bad"})
    assert caught.value.__cause__ is not None
    assert "card" in str(caught.value)


def damage_file(name: str, content: bytes | None, told: str | None = None) -> Callable[[Path], str]:
    """One file that is missing or not as it must be."""

    def damage(folder: Path) -> str:
        file = make(folder / "t") / "card" / name
        file.unlink() if content is None else file.write_bytes(content)
        return told or (name if name == "schema.json" else "card")

    return damage


def schema(**words: Any) -> bytes:
    """A schema with these words."""
    return json.dumps({"type": "object", **words}).encode()


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(damage_file("schema.json", None), id="no-schema"),
        pytest.param(damage_file("sample.json", None), id="no-sample"),
        pytest.param(damage_file("schema.json", b"{"), id="schema-cut"),
        pytest.param(damage_file("schema.json", b"[]"), id="schema-list"),
        pytest.param(damage_file("schema.json", b"\xff"), id="schema-not-utf8"),
        pytest.param(damage_file("schema.json", schema(type="objekt")), id="schema-wrong"),
        pytest.param(damage_file("schema.json", schema(pattern="(")), id="schema-pattern"),
        pytest.param(
            damage_file("schema.json", schema(**{"$ref": "#/nowhere"}), told="card"),
            id="schema-ref",
        ),
        pytest.param(damage_file("schema.json", schema(**{"x-poster": []})), id="about-a-list"),
        pytest.param(
            damage_file("schema.json", schema(**{"x-poster": {"width": "wide"}})), id="about-width"
        ),
        pytest.param(damage_file("sample.json", b'"x"'), id="sample-text"),
        pytest.param(damage_file("sample.json", b'{"title": 5}'), id="sample-unfit"),
        pytest.param(damage_file("poster.html", b"{% if %}"), id="page-syntax"),
        pytest.param(damage_file("poster.html", b"\xff{{ title }}"), id="page-not-utf8"),
        pytest.param(damage_file("poster.html", b"{{ 1 / 0 }}"), id="page-divides"),
        pytest.param(damage_file("poster.html", b"{{ ''.__class__ }}"), id="page-unsafe"),
    ],
)
def test_a_broken_template_is_told_at_the_start_with_its_file(
    tmp_path: Path, damage: Callable[[Path], str]
) -> None:
    """The service does not start with it; the message says where to look."""
    file = damage(tmp_path)
    with pytest.raises(TemplatesBroken) as caught:
        Templates(tmp_path / "t")
    assert file in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_a_template_folder_that_is_missing_names_the_variable(tmp_path: Path) -> None:
    """With the value it has."""
    with pytest.raises(TemplatesBroken, match=r"POSTER_TEMPLATES=.*missing: no such folder"):
        Templates(tmp_path / "missing")


def test_folders_without_a_page_are_no_templates(tmp_path: Path) -> None:
    """Nor are files beside them."""
    make(tmp_path)
    (tmp_path / "shared").mkdir()
    (tmp_path / "README.md").write_text("x")
    assert [one["name"] for one in Templates(tmp_path).list()] == ["card"]


def test_a_template_without_a_size_has_no_opinion(tmp_path: Path) -> None:
    """Then the caller's or the default holds."""
    (one,) = Templates(make(tmp_path)).list()
    assert (one["width"], one["height"], one["title"]) == (None, None, "card")
