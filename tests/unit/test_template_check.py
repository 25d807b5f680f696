"""What `poster-service template check` finds beside what keeps the service from starting."""

from pathlib import Path
from typing import Any

import pytest

from poster_service.commands.template import STARTER
from poster_service.render.template_check import Finding, examine, templates_in
from tests.bundled import FOLDER, NAMES
from tests.unit.template_folders import SCHEMA, make

#: A page that uses every field of the schema of `template_folders`.
WHOLE = (
    '<!doctype html><link rel="stylesheet" href="style.css">\n{{ name }}{{ title }}'
    "{{ author.name }}{{ author.age }}{% for row in rows %}{{ row.price }}{% endfor %}\n"
)
DATA = {"name": "N", "title": "T", "author": {"name": "A", "age": 1}, "rows": [{"price": 1}]}


#: The same schema, in which every field is required.
STRICT: dict[str, Any] = {
    **SCHEMA,
    "required": list(SCHEMA["properties"]),
    "properties": {
        **SCHEMA["properties"],
        "author": {**SCHEMA["properties"]["author"], "required": ["name", "age"]},
    },
    "$defs": {"row": {**SCHEMA["$defs"]["row"], "required": ["price"]}},
}


def found(root: Path, page: str = "", **files: Any) -> list[Finding]:
    """The findings of a template whose page is fine but for what is added."""
    whole = {"style__css": "p { margin: 0 }", "schema__json": STRICT, "sample__json": DATA}
    make(root, WHOLE + page, **{**whole, **files})
    return examine(root / "card")


@pytest.mark.parametrize(
    "folder", [*(FOLDER / name for name in NAMES), STARTER], ids=lambda f: f.name
)
def test_nothing_is_wrong_with_ours(folder: Path) -> None:
    """The bundled templates, and what `new` begins with."""
    assert examine(folder) == []


@pytest.mark.parametrize(
    ("page", "line", "what"),
    [
        ("<p>\n<img src='a.png'>", 4, "there is no file `a.png` in the folder"),
        ("<img src='styl.css'>", 3, "there is no file `styl.css`"),
        ("<img src='styl.css'>", 3, "did you mean `style.css`?"),
        ("<link rel=stylesheet href='x/y.css?v=1'>", 3, "there is no file `x/y.css`"),
        ("<img src='../b/a.png'>", 3, "leaves the folder"),
        ("<img src='/a.png'>", 3, "paths are relative to the template's folder; put the file into"),
        ("<link rel=stylesheet href='/style.css'>", 3, "paths are relative to the template's"
         " folder; write `style.css`"),
        ("<link rel=stylesheet href='/styel.css'>", 3, "did you mean `style.css`?"),
        ("<link rel=stylesheet href='../style.css'>", 3, "write `style.css`"),
        ("<link rel=stylesheet href='../card/style.css'>", 3, "write `style.css`"),
        ("<link rel=stylesheet href='card/style.css'>", 3, "did you mean `style.css`?"),
        ("<link rel=stylesheet href='.\\style.css'>", 3, "write `style.css`"),
        ("<link rel=stylesheet href='Style.css'>", 3, "did you mean `style.css`?"),
        ("<img src='file:///a.png'>", 3, "is refused: write https:"),
        ("<img src='http://a.example/a.png'>", 3, "is refused: write https:"),
        ("<p>\n\n<p style='color: red'>", 5, "style= has no effect"),
        ("<style>p {}</style>", 3, "<style> has no effect"),
        ("<script>1</script>", 3, "a script in the page has no effect"),
        ("<p onclick='x()'>", 3, "onclick= has no effect"),
        ("<iframe src='https://a.example/'></iframe>", 3, "<iframe> has no effect"),
        ("<p title={{ name }}>", 3, "`name`: data in an attribute of <p> without quotes"),
        ("<style>{{ name }}</style>", 3, "`name`: data inside <style>"),
        ("<script>{{ name }}</script>", 3, "`name`: data inside <script>"),
        ("{# a\ncomment #}{% if name -%}\n\n<p style='x'>{% endif %}", 6, "style= has no effect"),
        ("{{ titel }}", 3, "did you mean `title`?"),
    ],
)  # fmt: skip
def test_a_mistake_on_a_page_has_its_line_and_a_remedy(
    tmp_path: Path, page: str, line: int, what: str
) -> None:
    """Each is an error: it is refused, or has no effect."""
    mistakes = [one.mistake for one in found(tmp_path, page) if one.severity == "error"]
    assert [one for one in mistakes if what in one.what and one.line == line], mistakes
    assert {one.file for one in mistakes} == {"card/poster.html"}


@pytest.mark.parametrize(
    "page",
    ["<img src='data:image/gif;base64,AAAA'>", "<img src='https://a.example/a.png'>",
     "<img src='{{ name }}'>", "<img src='{{ name }}.png'>", "<a href='x.html'>x</a>",
     "<link rel=author href='x'>", "<img src='%73tyle.css#a'>", "<script src='style.css'></script>",
     "<svg><use href='#a'></use></svg>", "<img alt=''>", "<!-- <img src='a.png'> -->"],
)  # fmt: skip
def test_what_is_fine_is_not_reported(tmp_path: Path, page: str) -> None:
    """Addresses of the web, of data, of parts of the page, and what no page fetches."""
    assert found(tmp_path, page) == []


def test_style_sheets_name_files_that_are_there(tmp_path: Path) -> None:
    """Relative to the sheet, not the page; comments do not count."""
    css = (
        '/* url("no.svg") */\n@import "other.css";\np { background: url(pic.svg) }\n'
        "@font-face { src: url( 'https://a.example/a.woff2' ), url('../style.css') }\n"
        "p { background: url(/pic.svg) }"
    )
    make(tmp_path, WHOLE, schema__json=STRICT, sample__json=DATA, style__css="", pic__svg="<svg/>")
    (tmp_path / "card/assets").mkdir()
    (tmp_path / "card/assets/more.css").write_text(css)
    findings = examine(tmp_path / "card")
    assert [(one.mistake.file, one.mistake.line) for one in findings] == [
        ("card/assets/more.css", 2), ("card/assets/more.css", 3), ("card/assets/more.css", 5),
    ]  # fmt: skip
    assert "relative to the style sheet's folder; write `../pic.svg`" in findings[2].mistake.what
    assert "`assets/other.css`" in findings[0].mistake.what


def test_a_field_that_no_page_uses_is_a_warning_with_its_line(tmp_path: Path) -> None:
    """Not where an include uses it, or the page hands all data on as JSON."""
    page = "{{ name }}{% include 'card/part.html' %}"
    make(tmp_path, page, schema__json=STRICT, sample__json=DATA, part__html="{{ author.name }}")
    findings = examine(tmp_path / "card")
    assert {one.severity for one in findings} == {"warning"}
    unused = ["title", "author.age", "rows", "rows.price"]
    assert sorted(one.mistake.what.split("`")[1] for one in findings) == sorted(unused)
    assert all(one.mistake.line for one in findings)
    page = "<p title='{{ author | tojson }}'>"
    make(tmp_path, page, "other", schema__json=STRICT, sample__json=DATA)
    assert examine(tmp_path / "other") == []


def test_an_include_is_looked_at_as_the_page_is(tmp_path: Path) -> None:
    """Contexts, policy and files, with the include's own lines."""
    part = "\n<p style='x'>\n<img src='a.png'>\n<style>{{ name }}</style>"
    findings = found(tmp_path, "{% include 'card/part.html' %}", part__html=part)
    places = {(one.mistake.file, one.mistake.line) for one in findings}
    assert places == {("card/part.html", line) for line in (2, 3, 4)}
    assert any("data inside <style>" in one.mistake.what for one in findings)


def test_every_mistake_of_the_start_is_found_too(tmp_path: Path) -> None:
    """A sample that does not fit, and JSON that is none."""
    make(tmp_path, "<p>", sample__json='{"title": 5}')
    assert "title: 5 is not of type" in examine(tmp_path / "card")[0].mistake.what
    make(tmp_path, "{% if %}", "torn", schema__json="{")
    assert {one.mistake.file for one in examine(tmp_path / "torn")} == {
        "torn/poster.html", "torn/schema.json",
    }  # fmt: skip


def test_a_folder_is_a_template_or_has_some(tmp_path: Path) -> None:
    """Others in it are passed over."""
    make(tmp_path), make(tmp_path, name="second")
    (tmp_path / "pictures").mkdir()
    assert templates_in(tmp_path) == [tmp_path / "card", tmp_path / "second"]
    assert templates_in(tmp_path / "card") == [tmp_path / "card"]
    assert templates_in(tmp_path / "pictures") == []
