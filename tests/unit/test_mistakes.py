"""A template's mistakes are explained: the file, the line, the variable, and what to do."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from poster_service.errors import InvalidData, PageFailed, TemplatesBroken
from poster_service.render.markup import Templates
from tests.unit.template_folders import SAMPLE, make


def startup_error(root: Path) -> str:
    """The message with which the service refuses to start."""
    with pytest.raises(TemplatesBroken) as caught:
        Templates(root)
    return str(caught.value)


PART = "a\n\n{{ titel }}\n"


@pytest.mark.parametrize(
    ("page", "place", "what"),
    [
        ("<p>\n{{ nmae }}", "card/poster.html, line 2", "`nmae` is undefined; did you mean `na"),
        ("{{ author.nmae }}", "line 1", "`author.nmae` is undefined; did you mean `author.name`?"),
        ("{{ author['nmae'] }}", "line 1", "did you mean `name`?"),
        ("{{ autor.name }}", "line 1", "`autor` is undefined; did you mean `author`?"),
        ("{{ agee }}", "line 1", "did you mean `author.age`?"),
        ("{{ author.age }}", "line 1", "{% if author.age is defined %}"),
        ("\n{% for r in rows %}\n{{ r.pric }}{% endfor %}", "line 3", "did you mean `r.price`?"),
        ("{% if nmae == 1 %}{% endif %}", "line 1", "`nmae` is undefined"),
        ("{% for x in rwos %}{% endfor %}", "line 1", "did you mean `rows`?"),
        ("{% macro m(x) %}\n{{ x.naem }}{% endmacro %}\n\n{{ m(author) }}", "line 2", "`x.naem`"),
        ("{% set x = author %}\n{{ x.a.b }}", "line 2", "`x.a` is undefined"),
        ("{{ rows[5].price }}", "line 1", "no element 5"),
        ("{% include 'card/part.html' %}", "card/part.html, line 3", "`titel` is undefined"),
        ("{% extends 'card/part.html' %}", "card/part.html, line 3", "`titel` is undefined"),
        ("{% from 'card/part.html' import x %}{{ x() }}", "card/part.html, line 3", "`titel`"),
        ("\n{% include 'card/hed.html' %}", "line 2", "did you mean `card/head.html`?"),
        ("\n{% include 'head.html' %}", "line 2", "did you mean `card/head.html`?"),
        ("{% extends 'card/gone.html' %}", "line 1", "`card/gone.html`, which does not exist"),
        ("{% import 'card/gone.html' as g %}", "line 1", "`card/gone.html`, which does not exist"),
        ("{% if 0 %}\n{% include 'card/gone.html' %}{% endif %}", "line 2", "does not exist"),
        ("{% if 0 %}{% include 'card/cut.html' %}{% endif %}", "cut.html, line 2", "`{% for %}`"),
        ("{% include ['card/gone.html', 'x'] %}", "line 1", "`card/gone.html` or `x`"),
        ("{% include '../secret.html' %}", "line 1", "does not exist"),
        ("\n{% if title %}\n{% if name %}{% endif %}\n\n", "line 2", "`{% endif %}` is missing"),
        ("{% for x in rows %}{{ x }}", "line 1", "`{% for %}` is never closed"),
        ("{% block a %}", "line 1", "`{% endblock %}` is missing"),
        ("{% if title %}\n{% endfor %}", "line 2", "before the `{% if %}` of line 1 is closed"),
        ("{% endif %}", "line 1", "`{% endif %}` closes no open block"),
        ("{% esle %}", "line 1", "there is no tag `esle`; did you mean `else`?"),
        ("{{ title", "line 1", "end of print statement"),
        ("\n{# x", "line 2", "comment"),
        ("{% set x = %}", "line 1", "expected an expression"),
        ("{{ title | uper }}", "line 1", "there is no filter named `uper`; did you mean `upper`?"),
        ("{% if title %}\n{{ title | uper }}{% endif %}", "line 2", "did you mean `upper`?"),
        ("{{ title is defind }}", "line 1", "no test named `defind`; did you mean `defined`?"),
        ("{{ title | safe }}", "line 1", "data is always escaped"),
        ("{{ title | truncate(lenght=3) }}", "line 1", "`truncate` got an unexpected keyword"),
        ("{% macro m(a) %}{{ a }}{% endmacro %}\n{{ m(b=1) }}", "line 2", "`m` takes no keyword"),
        ("{% macro m(a) %}\n{{ a }}{% endmacro %}\n{{ m() }}", "line 2", "parameter 'a' was not"),
        ("\n{{ rows[0].price / 0 }}", "line 2", "divides by zero"),
        ("{{ title + author }}", "line 1", "wrong type for this operation, with `title`, `a"),
        ("{{ range(9**9) }}", "line 1", "range is too large"),
        ("{{ 'x' * 10**12 }}", "line 1", "too much memory"),
        ("{{ ''.__class__ }}", "line 1", "sandbox forbids"),
        ("{% include 'card/poster.html' %}", "line 1", "endlessly"),
        ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "line 1", "endlessly"),
        ("<p>\n\n<a onclick='{{ title }}'>", "line 3", "`title`: data in onclick= of <a>"),
        ("{{ title }}\n<script>\n{{ author.name }}</script>", "line 3", "`author.name`: data in"),
        ("{# a\nb #}\n<img src={{ title }}>", "line 3", "without quotes"),
        ("\n{% autoescape false %}{% endautoescape %}", "line 2", "autoescape is always on"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_page_names_file_line_and_variable(
    tmp_path: Path, page: str, place: str, what: str
) -> None:
    """And what may be meant, where something is near."""
    message = startup_error(
        make(tmp_path, page, part__html=PART, head__html="x", cut__html="\n{% for a in b %}")
    )
    assert place in message
    assert what in message
    assert "card/" in message
    assert len(message.splitlines()) == 1


@pytest.mark.parametrize(
    ("files", "place", "what"),
    [
        ({"schema__json": None}, "card/schema.json", "is missing"),
        ({"sample__json": None}, "card/sample.json", "is missing"),
        ({"schema__json": None, "Schema__json": "{}"}, "card/schema.json", "rename `Schema.json`"),
        ({"poster__html": None, "index__html": "x"}, "card/poster.html", "rename `index.html`"),
        ({"poster__html": None, "Poster__html": "x"}, "card/poster.html", "rename `Poster.html`"),
        ({"poster__html": None, "poster__htm": "x"}, "card/poster.html", "rename `poster.htm`"),
        ({"poster__html": None}, "card/poster.html", "is missing"),
        ({"schema__json": '{\n "type": }'}, "card/schema.json, line 2, column 10", "valid JSON"),
        ({"sample__json": '{"a": 1,\n}'}, "card/sample.json, line ", "not valid JSON"),
        ({"sample__json": ""}, "card/sample.json, line 1", "not valid JSON"),
        ({"schema__json": []}, "card/schema.json", "must be a JSON object, but is a list"),
        ({"sample__json": '"x"'}, "card/sample.json", "must be a JSON object, but is a string"),
        ({"poster__html": b"a\nb\xe9c"}, "card/poster.html, line 2", "not UTF-8 (byte 0xe9)"),
        ({"sample__json": b'{"name": "\xe9"}'}, "card/sample.json, line 1", "not UTF-8"),
        ({"schema__json": {"type": "objekt"}}, "card/schema.json", "valid JSON Schema: type"),
        ({"schema__json": {"properties": {"a": {"minLength": "x"}}}}, "card/schema.json",
         "properties.a.minLength"),
        ({"schema__json": {"$ref": "#/$defs/rwo", "$defs": {"row": {}}}},
         "card/schema.json, line 2", "did you mean `#/$defs/row`?"),
        ({"schema__json": {"properties": {"name": {"$ref": "#/nowhere"}}}},
         "card/schema.json, line 4", "points at nothing in this file"),
        ({"schema__json": {"properties": {"z": {"$ref": "https://a.example/s.json"}}}},
         "card/schema.json, line 4", "the service fetches no schemas"),
        ({"schema__json": {"properties": {"name": {"$ref": "other.json"}}}},
         "card/schema.json", "other.json"),
        ({"schema__json": {"x-poster": {"width": "600"}}}, "card/schema.json, line 2",
         'width is "600"; allowed: an integer from 1 to 16384'),
        ({"schema__json": {"x-poster": {"height": 0}}}, "card/schema.json, line 2", "height is 0"),
        ({"schema__json": {"x-poster": [1]}}, "card/schema.json, line 2", "but is a list"),
        ({"schema__json": {"x-poster": {"sizes": {}}}}, "card/schema.json, line 2",
         "sizes is an object; allowed: a list of up to 20"),
        ({"schema__json": {"x-poster": {"sizes": [{"name": "a"}]}}}, "card/schema.json, line 2",
         'sizes.0 is {"name": "a"}; allowed: an object like {"name": "square"'),
        ({"schema__json": {"x-poster": {"sizes": [{"name": "A", "width": 1, "height": 1}]}}},
         "card/schema.json, line 2", 'sizes.0.name is "A"; allowed: a-z'),
        ({"schema__json": {"x-poster": {"sizes": [{"name": "a", "width": 0, "height": 1}]}}},
         "card/schema.json, line 2", "sizes.0.width is 0; allowed: an integer from 1 to"),
        ({"schema__json": {"x-poster": {"sizes": [{"name": "a", "width": 1, "height": 1}] * 2}}},
         "card/schema.json, line 2", 'two sizes have the name "a"'),
        ({"sample__json": {"title": 5}}, "card/sample.json", "title: 5 is not of type 'string'"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_file_names_it_and_the_remedy(
    tmp_path: Path, files: dict[str, Any], place: str, what: str
) -> None:
    """A line and a column where there are any."""
    message = startup_error(make(tmp_path, **files))
    assert place in message
    assert what in message


def test_all_mistakes_of_all_templates_are_reported_together(tmp_path: Path) -> None:
    """Not one for each start."""
    make(tmp_path, "{% if %}", "one", schema__json="{", sample__json="[")
    make(tmp_path, "{{ nmae }}", "two")
    make(tmp_path, "<p>", "three")
    message = startup_error(tmp_path).splitlines()
    assert message[0] == f"POSTER_TEMPLATES={tmp_path}: 4 mistakes:"
    assert [line.strip().partition(",")[0] for line in message[1:]] == [
        "one/schema.json", "one/sample.json", "one/poster.html", "two/poster.html"
    ]  # fmt: skip


@contextlib.contextmanager
def as_a_user() -> Iterator[None]:
    """Root may read everything: be another user for a while."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(before)


def test_what_cannot_be_read_is_reported(work_dir: Path) -> None:
    """A file, and a whole folder."""
    make(work_dir)
    (work_dir / "card/schema.json").chmod(0)
    make(work_dir, name="shut")
    (work_dir / "shut").chmod(0)
    with as_a_user():
        message = startup_error(work_dir)
    (work_dir / "shut").chmod(0o755)
    assert "card/schema.json: cannot be read: Permission denied; make it readable" in message
    assert "shut: cannot be opened: make the folder readable" in message


def test_a_folder_that_callers_cannot_name_is_startup_error(tmp_path: Path) -> None:
    """By the folder's name."""
    assert "My_Card: is not a valid template name" in startup_error(make(tmp_path, name="My_Card"))


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    """Editors of Windows write one."""
    files: dict[str, Any] = {"schema__json": b'\xef\xbb\xbf{"type": "object"}'}
    templates = Templates(make(tmp_path, b"\xef\xbb\xbf<p>{{ name }}", **files))
    assert templates.render(templates.find("card"), SAMPLE) == "<p>N"


@pytest.mark.parametrize(
    ("page", "data", "what"),
    [
        ("{{ secrte }}", {}, "`secrte` is undefined"),
        ("\n{{ author.age }}", {}, "line 4: `author.age` is undefined"),
        ("{{ {'a': 1}[name] }}", {"name": "PRIVATE"}, "is missing"),
        ("{{ author[name].x }}", {"name": "PRIVATE"}, "is missing"),
        ("{{ name | int + none }}", {"name": "PRIVATE"}, "wrong type"),
        ("{% include name %}", {"name": "PRIVATE"}, "includes a file that does not exist"),
        ("{{ ('%d' | format(name)) }}", {"name": "PRIVATE"}, "line 3"),
        ("{{ title | attr(name) }}{{ (title | attr(name)).x }}", {"name": "PRIVATE"}, "line 3"),
        ("{{ rows[0].price / rows[0].price }}", {"rows": [{"price": 0}]}, "divides by zero"),
    ],
)
def test_a_caller_is_shown_where_and_never_a_value(
    tmp_path: Path, page: str, data: dict[str, Any], what: str
) -> None:
    """Of the data or of the machine; the cause goes to the log."""
    templates = Templates(make(tmp_path, "<p>{% if title == 'bad' %}\n\n" + page + "{% endif %}"))
    with pytest.raises(PageFailed) as caught:
        templates.render(templates.find("card"), {**SAMPLE, "title": "bad", **data})
    message = str(caught.value)
    assert "card/poster.html, line " in message
    assert what in message
    assert "PRIVATE" not in message
    assert str(tmp_path) not in message
    assert caught.value.__cause__ is not None


def test_an_include_that_may_be_missing_is_no_mistake(tmp_path: Path) -> None:
    """Nor a list of which one is there."""
    page = "{% include 'card/x.html' ignore missing %}{% include ['card/x.html', 'card/y.html'] %}"
    templates = Templates(make(tmp_path, page, y__html="y"))
    assert templates.render(templates.find("card"), SAMPLE) == "y"


def test_a_reference_is_followed_within_the_schema_and_never_to_the_web(tmp_path: Path) -> None:
    """By pointer, by `$id`, to JSON Schema's own; any other fails without a request."""
    own = "https://json-schema.org/draft/2020-12/schema"
    properties = {
        "name": {"$ref": "#/$defs/a"}, "title": {"$ref": "other.json"}, "rule": {"$ref": own},
        "late": {"$ref": "https://gone.invalid/s.json"},
    }  # fmt: skip
    defs = {"a": {"type": "string"}, "b": {"$id": "other.json", "type": "string"}}
    schema = {"$id": "https://a.invalid/card.json", "properties": properties, "$defs": defs}
    templates = Templates(make(tmp_path, schema__json=schema))
    card = templates.find("card")
    templates.render(card, {**SAMPLE, "rule": {"type": "string"}})
    for wrong in ({"name": 1}, {"title": 1}, {"rule": {"type": 5}}):
        with pytest.raises(InvalidData):
            templates.render(card, {**SAMPLE, **wrong})
    with pytest.raises(PageFailed, match="card cannot be rendered") as caught:
        templates.render(card, {**SAMPLE, "late": 1})
    assert "Unresolvable" in repr(caught.value.__cause__)


# --- POSTER_TEMPLATES --------------------------------------------------------------------------


def test_the_folder_of_one_template_is_reported_with_its_parent(tmp_path: Path) -> None:
    """The commonest mistake; also with the page under another name."""
    root = make(tmp_path / "all")
    assert startup_error(root / "card").endswith(f"name its parent folder: POSTER_TEMPLATES={root}")
    (root / "card/poster.html").rename(root / "card/index.html")
    assert "is the folder of one template" in startup_error(root / "card")


def test_a_file_an_empty_folder_and_none_are_distinguished(tmp_path: Path) -> None:
    """Each with the variable and what it must be."""
    (tmp_path / "file").write_text("x")
    (tmp_path / "empty").mkdir()
    (tmp_path / "other/shared").mkdir(parents=True)
    (tmp_path / "other/README.md").write_text("x")
    variable = f"POSTER_TEMPLATES={tmp_path}"
    assert startup_error(tmp_path / "none") == f"{variable}/none: no such folder"
    assert startup_error(tmp_path / "file").startswith(f"{variable}/file: is not a folder")
    for name in ("empty", "other"):
        assert startup_error(tmp_path / name).startswith(
            f"{variable}/{name}: contains no template; a template"
        )
