"""A style sheet that was fetched is added to another's page: its addresses stay what they were."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poster_service.render.insertions import with_base

BASE = "https://a.example/one/two.css?three"


@pytest.mark.parametrize(
    ("css", "found"),
    [
        ("a { b: url(x.png) }", 'a { b: url("https://a.example/one/x.png") }'),
        ("URL( '../x y.png' )", 'url("https://a.example/x%20y.png")'),
        ('url("//b.example/#i")', 'url("https://b.example/#i")'),
        ("url('?q')", 'url("https://a.example/one/two.css?q")'),
        ("url('a\"b')", 'url("https://a.example/one/a%22b")'),
    ],
)
def test_a_relative_address_becomes_absolute(css: str, found: str) -> None:
    """However it is quoted."""
    assert with_base(css, BASE) == found


@pytest.mark.parametrize(
    "css",
    [
        "/* url(x) */", "/* url(x)", "b { content: 'url(x)' }", 'b { content: "a\\"url(x)" }',
        "url(data:text/css,x)", "url('https://b.example/x y')", "url(#gradient)", "url()", "url(",
        "my-url(x)", "url(http://[x)", "url(a\\29 b)", "url('a\nb')", "p { color: red }",
    ],
)  # fmt: skip
def test_everything_else_stays(css: str) -> None:
    """Comments, strings, absolute addresses, and what is none."""
    assert with_base(css, BASE) == css


@given(css=st.text(alphabet="url('\"/*\\) \na", max_size=60))
def test_any_text_is_read(css: str) -> None:
    """And comes out the same a second time."""
    once = with_base(css, BASE)
    assert with_base(once, BASE) == once


@pytest.mark.parametrize("part", ["url(", '"', "/*", "url('", 'url("\\', "url( ", "'\n", "u"])
def test_it_takes_a_time_in_proportion_to_the_text(part: str) -> None:
    """A quadratic search of a megabyte would take minutes."""
    begin = time.process_time()
    with_base(part * (1_000_000 // len(part)), BASE)
    assert time.process_time() - begin < 10
