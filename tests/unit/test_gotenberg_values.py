"""The values of Gotenberg's form fields: Go's spellings, and what is none."""

from typing import Any

import pytest

from poster_service.errors import InvalidField
from poster_service.web.bodies import BodyLimits
from poster_service.web.compat.gotenberg import fields, markdown, values
from poster_service.web.compat.gotenberg.form import base_name
from poster_service.web.compat.gotenberg.translation import iso_date

LIMITS = BodyLimits(1000, 1, 10, 100)


@pytest.mark.parametrize(
    ("read", "text", "value"),
    [
        (values.boolean, "true", True), (values.boolean, "T", True), (values.boolean, "0", False),
        (values.whole, "800", 800), (values.whole, "-1", -1), (values.number, "1e-1", 0.1),
        (values.number, ".5", 0.5), (values.length, "1", 96), (values.length, "72pt", 96),
        (values.length, "96px", 96), (values.length, "1in", 96), (values.length, "25.4mm", 96),
        (values.length, "2.54cm", 96), (values.length, "6pc", 96), (values.length, "8.27", 793.92),
        (values.milliseconds, "500ms", 500), (values.milliseconds, "2.5s", 2500),
        (values.milliseconds, "1m30s", 90_000), (values.milliseconds, "1h", 3_600_000),
        (values.milliseconds, "10us", 1), (values.milliseconds, "0", 0),
        (values.milliseconds, "-5s", 0), (values.milliseconds, "1.5µs", 1),
        (fields.statuses, [499, 404, 200, 7], ("4xx", "404", "200")),
        (base_name, "C:\\Windows\\foo", "foo"), (base_name, "/tmp/a\x00b.md", "ab.md"),
        (iso_date, "2006:09:18 16:27:50-04:00", "2006-09-18T16:27:50-04:00"),
        (iso_date, "2006:09:18", "2006-09-18"), (iso_date, "2006-09-18", "2006-09-18"),
    ],
)  # fmt: skip
def test_values_are_read(read: Any, text: Any, value: Any) -> None:
    """Each spelling."""
    assert read(text) == pytest.approx(value) if isinstance(value, float) else read(text) == value


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (values.boolean, "yes"), (values.boolean, "tRUE"), (values.whole, "1.0"),
        (values.whole, "1" * 30), (values.number, "nan"), (values.number, "inf"),
        (values.number, "1e999"), (values.number, "1_0"), (values.length, "1em"),
        (values.length, "px"), (values.length, "foo"), (values.milliseconds, "5"),
        (values.milliseconds, "1s foo"), (values.milliseconds, "1d"), (values.milliseconds, "s"),
        (values.milliseconds, "1s" * 100), (fields.statuses, ["404"]), (fields.statuses, [True]),
    ],
)  # fmt: skip
def test_what_is_no_value(read: Any, text: Any) -> None:
    """With a sentence that does not show it."""
    with pytest.raises(ValueError, match=r"^(it is|it has|wrong)"):
        read(text)


@pytest.mark.parametrize("text", ["{", "NaN", '{"a": Infinity}', "[" * 11 + "]" * 11, "[,]"])
def test_what_is_no_json(text: str) -> None:
    """Or is more complex than a body may be."""
    with pytest.raises(ValueError, match=r"^it is"):
        values.parsed(text, LIMITS)


def test_placeholders_are_filled() -> None:
    """In both kinds of quotes, with the marks that trim white space, as often as they are there."""
    page = '<h1>{{toHTML "a.md"}}</h1>{{- toHTML `b.md` -}} {{/* no */}}{{ toHTML "a.md" }}{ {x}'
    found = markdown.fill(page, {"a.md": "**A**", "b.md": "*B* <b>c</b>\n\n<script>1</script>"})
    assert found == (
        "<h1><p><strong>A</strong></p>\n</h1><p><em>B</em> <b>c</b></p>\n"
        " <p><strong>A</strong></p>\n{ {x}"
    )


@pytest.mark.parametrize(
    ("page", "words"),
    [
        ('{{ toHTML "no.md" }}{{ toHTML "nor.md" }}', "not found: 'no.md', 'nor.md'"),
        ("{{ if .X }}", "placeholder {{ if .X }}"), ("{{ . }}", "placeholder"),
        ("{{ toHTML a.md }}", "placeholder"), ('{{ toHTML "a.md" "b.md" }}', "placeholder"),
        ('{{ toHTML "long.md" }}', "more than 200000 characters"),
        ('{{ toHTML "a.md" }}' * 80_000, "more than 8000000 characters"),
    ],
)  # fmt: skip
def test_a_page_that_cannot_be_filled(page: str, words: str) -> None:
    """Says what is wrong."""
    texts = {"a.md": "a" * 100, "long.md": "a" * 200_001}
    with pytest.raises(InvalidField) as refused:
        markdown.fill(page, texts)
    assert words in str(refused.value)


@pytest.mark.parametrize(
    "text",
    [
        "<script>fetch('/')</script>", "<img src=x onerror=alert(1)>", "<iframe src=/></iframe>",
        "<style>p { color: red }</style>", "[a](javascript:alert(1))", "<object data=x></object>",
        "<a href='javascript:1'>a</a>", "<p style='background:url(x)'>", "<svg onload=1></svg>",
        "<base href=//evil/>", "<meta http-equiv=refresh content=0>", "<link rel=stylesheet>",
    ],
)  # fmt: skip
def test_nothing_in_a_text_acts(text: str) -> None:
    """Its author may not be that of the page."""
    found = markdown.fill('{{ toHTML "a.md" }}', {"a.md": f"x\n\n{text}\n"})
    for word in ("<script", "onerror", "<iframe", "<style", "style=", "href=", "<object",
                 "<svg", "<base", "<meta", "<link", "fetch"):  # fmt: skip
        assert word not in found
