"""Templates: found at the start, their data checked, rendered without trusting either."""

import copy
import functools
import json
import re
import time
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import escape

from poster_service.errors import InvalidData, PageFailed, TemplatesBroken, UnknownTemplate
from poster_service.render.markup import Template, Templates, check
from poster_service.render.qr import qr_svg
from poster_service.settings import default_templates
from tests.bundled import NAMES, filled, main_text

SCHEMA = {"type": "object", "properties": {"title": {"type": "string", "maxLength": 5}},
          "required": ["title"], "additionalProperties": False}  # fmt: skip


@functools.cache
def ours() -> Templates:
    """The bundled ones; to compile them takes longer than to collect all of a suite's units."""
    return Templates(default_templates())


def required_of(name: str) -> list[str]:
    """The fields that the schema of a bundled template requires."""
    schema = json.loads((default_templates() / name / "schema.json").read_text("utf-8"))
    return list(schema["required"])


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


def test_every_template_is_listed_with_all_that_a_caller_needs() -> None:
    """By name, with size, schema, sample, title and description; as JSON."""
    listed = ours().list()
    assert [one["name"] for one in listed] == NAMES
    assert all(one["width"] and one["height"] for one in listed)
    (card,) = (one for one in listed if one["name"] == "quote-card")
    assert [one["name"] for one in card["sizes"]] == ["square", "story"]
    assert all(one["title"] and one["description"] for one in listed)
    assert json.loads(json.dumps(listed)) == listed


@pytest.mark.parametrize("name", NAMES)
def test_a_sample_renders_with_every_text_of_it(name: str) -> None:
    """What is in the data is in the page."""
    template = ours().find(name)
    page = ours().render(template, template.sample)
    assert page.lstrip().lower().startswith("<!doctype html>")
    texts = list(texts_of(template.schema, template.sample))
    assert len(texts) > 3
    assert [text for text in texts if str(escape(text)) not in page] == []


def texts_of(schema: Any, data: Any) -> Iterator[str]:
    """Every free text of some data, at every level."""
    if isinstance(data, dict):
        for key, value in data.items():
            yield from texts_of(schema["properties"][key], value)
    elif isinstance(data, list):
        for value in data:
            yield from texts_of(schema["items"], value)
    elif schema.get("pattern") == "\\S":
        yield data


@pytest.mark.parametrize("name", NAMES)
def test_required_data_alone_is_enough(name: str) -> None:
    """Everything else may be left out."""
    template = ours().find(name)
    required = template.schema["required"]
    page = ours().render(template, {field: template.sample[field] for field in required})
    assert str(escape(template.sample[main_text(name)])) in page
    assert "undefined" not in page.lower()


@pytest.mark.parametrize(
    ("name", "field"),
    [(name, field) for name in NAMES for field in required_of(name)],
)
def test_what_is_required_and_missing_is_named(name: str, field: str) -> None:
    """In the fault's own words and in what it allows."""
    template = ours().find(name)
    with pytest.raises(InvalidData) as caught:
        ours().render(template, without(dict(template.sample), field))
    (fault,) = caught.value.faults
    assert f"'{field}'" in fault.message or fault.field.endswith(field)
    assert field in (fault.allowed or "")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("change", "field", "in_allowed"),
    [
        ({"MAIN": 5}, "data.MAIN", "string"),
        ({"MAIN": ""}, "data.MAIN", "1"),
        ({"MAIN": "x" * 1000}, "data.MAIN", "maxLength"),
        ({"lang": "tlh"}, "data.lang", "zh-CN"),
        ({"surprise": 1}, "data", "MAIN"),
    ],
)
def test_data_that_does_not_fit_names_the_field_and_what_is_allowed(
    name: str, change: dict[str, Any], field: str, in_allowed: str
) -> None:
    """Dotted from `data`; the message is not the size of a picture."""
    template = ours().find(name)
    change = {key.replace("MAIN", main_text(name)): value for key, value in change.items()}
    with pytest.raises(InvalidData) as caught:
        ours().render(template, {**template.sample, **change})
    fault = caught.value.faults[0]
    assert fault.field == field.replace("MAIN", main_text(name))
    assert in_allowed.replace("MAIN", main_text(name)) in (fault.allowed or "")
    assert len(fault.message) <= 200


def test_every_place_that_does_not_fit_is_reported_up_to_twenty() -> None:
    """A list full of faults does not become a page of them."""
    template = ours().find("article-card")
    with pytest.raises(InvalidData) as caught:
        ours().render(template, {"title": 1, "author": {"name": 2, "avatar": "ftp://x"}})
    fields = [fault.field for fault in caught.value.faults]
    assert fields == ["data.author.avatar", "data.author.name", "data.title"]
    many: dict[str, Any] = {f"x{number}": {} for number in range(50)}
    schema = {"type": "object", "additionalProperties": {"type": "string"}}
    with pytest.raises(InvalidData) as caught:
        ours().render(Template("card", Path(), schema, {}, None, None), many)
    assert len(caught.value.faults) == 20


@pytest.mark.parametrize(
    "address",
    ["javascript:alert(1)", "file:///etc/passwd", "http://a/b.png", "data:text/html;base64,AAAA",
     "https://a/\"onerror=alert(1)", "https://a/ b", "javascript:x.png", "//a.example/x.png",
     "/x.png", "../x.png", "x.css", "x.png?y", "x.png#y", "\\\\a\\x.png", "a%2f..%2fx.png", ""],
)  # fmt: skip
def test_pictures_are_https_or_data_or_come_along_and_nothing_else(address: str) -> None:
    """The schema says so, before Chrome is asked."""
    template = ours().find("share-poster")
    with pytest.raises(InvalidData):
        ours().render(template, {**template.sample, "image": address})


@pytest.mark.parametrize(
    "link", ["javascript:x", "https://", "ftp://a", "https://a b", "https://a\n"]
)
def test_a_link_that_no_phone_would_follow_is_refused(link: str) -> None:
    """It would be in the QR code."""
    template = ours().find("share-poster")
    with pytest.raises(InvalidData):
        ours().render(template, {**template.sample, "link": link})


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "evil", ["<script>alert(1)</script>", '"><img src=x>', "{{ 7 * 7 }}", "'&"]
)
def test_data_is_text_and_never_markup(name: str, evil: str) -> None:
    """Escaped in every place, and not rendered a second time."""
    page = ours().render(ours().find(name), filled(name, evil))
    assert "<script>alert" not in page
    assert "<img src=x>" not in page
    assert "49" not in re.sub(r"<svg.*?</svg>|base64,\S*", "", page, flags=re.DOTALL)


def test_an_unknown_template_names_those_there_are() -> None:
    """The remedy is in the fault."""
    with pytest.raises(UnknownTemplate) as caught:
        ours().find("poster")
    (fault,) = caught.value.faults
    assert (fault.field, fault.allowed) == ("template", ", ".join(NAMES))


def test_an_unknown_template_names_the_one_that_was_meant() -> None:
    """Before all others."""
    with pytest.raises(UnknownTemplate, match=r"'tiket'; did you mean ticket\?"):
        ours().find("tiket")


@pytest.mark.parametrize(
    "name", ["", "..", "../templates/share-poster", "share-poster/", "SHARE-POSTER"]
)
def test_a_name_is_no_path(name: str) -> None:
    """Only what was found at the start is ever opened."""
    with pytest.raises(UnknownTemplate):
        ours().find(name)


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
    with pytest.raises(TemplatesBroken, match="line 1: `titel` is undefined"):
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
    """One error of ours for each failure inside; the cause stays with it for the log."""
    templates, template = late(tmp_path, page)
    with pytest.raises(PageFailed) as caught:
        templates.render(template, {"title": "bad"})
    assert caught.value.__cause__ is not None
    assert "card" in str(caught.value)


def damage_file(
    name: str, content: bytes | None, expected: str | None = None
) -> Callable[[Path], str]:
    """One file that is missing or faulty."""

    def damage(folder: Path) -> str:
        file = make(folder / "t") / "card" / name
        file.unlink() if content is None else file.write_bytes(content)
        return expected or (name if name == "schema.json" else "card")

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
            damage_file("schema.json", schema(**{"$ref": "#/nowhere"}), expected="card"),
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
def test_a_broken_template_is_reported_at_the_start_with_its_file(
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


# --- data is never code ------------------------------------------------------------------------

#: What would be code, were it not data.
EVIL = st.one_of(
    st.sampled_from((
        "<script>alert(1)</script>", "</title><script>", "--><img src=x onerror=alert(1)>",
        '"><svg onload=alert(1)>', "' onerror='alert(1)", "javascript:alert(1)", "{{ 7 * 7 }}",
        "{% include 'x' %}", "]]>", "</style>", "url(https://10.0.0.1/)", "&lt;script&gt;",
        "\x00<b>", "<!--", "\u2028", "`${alert(1)}`", "</script", "<a href=//10.0.0.1>",
        "expression(alert(1))", "@import 'https://10.0.0.1/'", "<\u0000script>", "\ud7ff<x>",
    )),
    st.text(min_size=1, max_size=40).filter(lambda text: text.isprintable() or "<" in text),
    st.text(alphabet="<>&\"'/=;:(){}%#- \n\tabs", min_size=1, max_size=40),
)  # fmt: skip


class Skeleton(HTMLParser):
    """Tags, attribute names and what holds code: all of a page but its texts."""

    def __init__(self) -> None:
        super().__init__()
        self.bones: list[object] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        kept = [(name, value) for name, value in attrs if name in ("src", "href", "style", "rel")]
        self.bones.append((tag, sorted(name for name, _ in attrs), kept))

    def handle_endtag(self, tag: str) -> None:
        self.bones.append(tag)

    def handle_comment(self, data: str) -> None:
        self.bones.append(("comment", data))


def skeleton(page: str) -> list[object]:
    """What a page is made of, without the QR code, which is made of the data."""
    reader = Skeleton()
    reader.feed(re.sub(r'<svg[^>]*class="qr.*?</svg>', "", page, flags=re.DOTALL))
    reader.close()
    return reader.bones


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
def test_with_any_texts_the_page_has_the_same_tags(name: str, data: st.DataObject) -> None:
    """No tag, attribute, address or comment of a page is the caller's; only its texts are."""
    template = ours().find(name)
    try:
        page = ours().render(template, filled(name, data.draw(EVIL)))
    except InvalidData:
        return  # the schema was quicker
    assert skeleton(page) == skeleton(ours().render(template, filled(name, "harmless")))


#: The field with a picture of each template, as a path.
PICTURES = {
    "article-card": ("author", "avatar"), "certificate": ("issuer", "logo"),
    "invoice": ("seller", "logo"), "quote-card": ("author", "avatar"),
    "share-poster": ("seller", "avatar"), "ticket": ("image",),
}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
@given(address=st.one_of(EVIL, EVIL.map("https://a.example/".__add__), EVIL.map("data:".__add__)))
def test_an_address_is_a_picture_of_the_web_or_refused(name: str, address: str) -> None:
    """What comes through begins as it must, and has no blank, quote or angle."""
    template = ours().find(name)
    hostile = copy.deepcopy(dict(template.sample))
    *path, last = PICTURES[name]
    at = hostile
    for step in path:
        at = at[step]
    at[last] = address
    try:
        page = ours().render(template, hostile)
    except InvalidData:
        return
    assert re.match(r"https://|data:image/|[^:]+\.(png|jpe?g|webp|gif|svg|avif)\Z", address)
    assert not re.search(r"[\s\"'<>]", address)
    assert f'src="{escape(address)}"' in page


@pytest.mark.parametrize("field", ["price", "original_price", "link", "image"])
def test_an_end_of_line_is_no_end_of_a_pattern(field: str) -> None:
    """Python's `$` matches before a last newline; JSON Schema's does not."""
    template = ours().find("share-poster")
    data = {"original_price": "1", **template.sample}
    ours().render(template, data)
    with pytest.raises(InvalidData):
        ours().render(template, {**data, field: data[field] + "\n"})


def test_a_dollar_that_is_no_end_stays_what_it_is(tmp_path: Path) -> None:
    """Escaped, or in a set."""
    schema = {"type": "object", "properties": {"title": {"pattern": r"^[$]\$[^$\]$]x$"}}}
    templates = Templates(make(tmp_path, schema=schema, sample={"title": "$$ax"}))
    for bad in ("$$ax\n", "$$$x", "a$ax"):
        with pytest.raises(InvalidData):
            templates.render(templates.find("card"), {"title": bad})


@pytest.mark.parametrize(
    "tags",
    [["a"] * 3_000_000, [1, "a", None, 1.5, {}, []] * 1_500, [[i, str(i)] for i in range(3_000)],
     list(range(9_000)), [{"a": i} for i in range(4_000)]],
    ids=["many", "mixed", "lists", "numbers", "objects"],
)  # fmt: skip
def test_much_data_is_refused_before_it_costs_time(tags: list[Any]) -> None:
    """All would be compared with all, and an error made of each: minutes, for every caller."""
    template = ours().find("article-card")
    begin = time.process_time()
    with pytest.raises(InvalidData) as caught:
        ours().render(template, {**template.sample, "tags": tags})
    assert time.process_time() - begin < 5
    assert len(caught.value.faults) <= 20


def test_items_are_the_same_where_json_says_so() -> None:
    """1 and 1.0 are, 1 and true and "1" are not."""
    schema = {"type": "object", "properties": {"a": {"uniqueItems": True}}}
    template = Template("card", Path(), schema, {}, None, None)
    check(template, {"a": [1, True, "1", [1], {"b": 1}, None, 0, False]})
    for twice in ([1, 1.0], [{"b": 1, "c": 2}, {"c": 2.0, "b": 1}], [[True], [True]]):
        with pytest.raises(InvalidData):
            check(template, {"a": twice})


@pytest.mark.parametrize(
    ("page", "message"),
    [
        ("<img src={{ title }}>", "without quotes"),
        ("<img src=/a/{{ title }}>", "without quotes"),
        ("<p class = {{ title }} >", "without quotes"),
        ("<{{ title }}>", "name of a tag"),
        ("<p>x</{{ title }}>", "name of a tag"),
        ("<p{{ title }}>", "name of a tag"),
        ("<p {{ title }}>", "name of an attribute"),
        ('<p data-{{ title }}="x">', "name of an attribute"),
        ('<p style="color: {{ title }}">', "style="),
        ("<p onclick='f(\"{{ title }}\")'>", "onclick="),
        ('<iframe srcdoc="{{ title }}"></iframe>', "srcdoc="),
        ("<script>var a = '{{ title }}'</script>", "inside <script>"),
        ("<script>var a = {{ title | tojson }}</script>", "inside <script>"),
        ("<style>p { color: {{ title }} }</style>", "inside <style>"),
        ("<style>{% if title %}p { color: {{ title }} }{% endif %}</style>", "inside <style>"),
        ("<svg><style>{{ title }}</style></svg>", "inside <style>"),
        ("{{ title | safe }}", "safe"),
        ("{% autoescape false %}{{ title }}{% endautoescape %}", "autoescape"),
        ("{% set x %}{{ title | safe }}{% endset %}{{ x }}", "safe"),
    ],
)
def test_a_template_that_would_make_code_of_data_does_not_start(
    tmp_path: Path, page: str, message: str
) -> None:
    """Escaping does not help in these places, so the service refuses the template."""
    with pytest.raises(TemplatesBroken, match=re.escape(message)):
        Templates(make(tmp_path, page))


@pytest.mark.parametrize(
    "page",
    [
        "<p class=\"a {{ title }}\" title='{{ title }}'>{{ title }}</p>",
        "<p class=\"a{{ ' b' if title else '' }}\">",
        "<p class=a{{ ' b' if title }}>",
        "<!-- {{ title }} --><textarea>{{ title }}</textarea><title>{{ title }}</title>",
        "<script>var a = 1</script><style>p { color: red }</style><p>{{ title }}",
        "{% macro m(x) %}<b>{{ x }}</b>{% endmacro %}{{ m(title) }}",
        "{% for c in title %}<i>{{ c }}</i>{% endfor %}",
    ],
)
def test_a_template_that_does_not_starts(tmp_path: Path, page: str) -> None:
    """Text, attributes in quotes, and the template's own words anywhere."""
    Templates(make(tmp_path, page))
