"""Items of a batch: what they share, what each gives, and what is wrong with which."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poster_service.errors import InvalidField
from poster_service.jobs.items import (
    Common,
    Item,
    ItemBounds,
    ItemReader,
    Lines,
    WrongItem,
    common_of,
)
from poster_service.render.request import Limits
from poster_service.render.source import Html, Template, Url

BOUNDS = ItemBounds(max_items=5, max_line_bytes=1000, max_depth=5, max_values=50)


def common(**given: object) -> Common:
    """A common part."""
    return Common(given, Limits())


def reader(where: str = ItemReader.LINE, **given: object) -> ItemReader:
    """The reader of a batch with such a common part."""
    return ItemReader(common(**given), BOUNDS, where)


def right(found: Item | WrongItem) -> Item:
    """An item that is right."""
    assert isinstance(found, Item), found
    return found


def wrong(found: Item | WrongItem) -> tuple[str, str]:
    """The first fault of an item that is wrong: its field and its message."""
    assert isinstance(found, WrongItem), found
    return found.error.faults[0].field, found.error.faults[0].message


def test_an_item_is_the_common_part_and_its_own() -> None:
    """Options of its own win; null is the option's default."""
    items = reader(template="card", width=600, height=300, format="webp")
    first = right(items.of_line(1, b'{"data": {"title": "x"}, "width": 100, "height": null}'))
    assert first.request.source == Template(template="card", data={"title": "x"})
    assert (first.request.options.width, first.request.options.height) == (100, None)
    assert first.request.options.format == "webp"
    assert first.own == {"data": {"title": "x"}, "width": 100, "height": None}


def test_an_item_may_have_a_source_of_its_own() -> None:
    """It stands in place of the common one; the options stay."""
    items = reader(html="<p>{{ name }}", width=600)
    assert right(items.of_line(1, b'{"data": {"name": "A"}}')).request.source == Html(html="<p>A")
    own = right(items.of_line(2, b'{"url": "https://example.com/"}')).request
    assert own.source == Url(url="https://example.com/")
    assert own.options.width == 600
    as_it_is = right(items.of_line(3, b'{"html": "<p>{{ name }}"}')).request
    assert as_it_is.source == Html(html="<p>{{ name }}")


def test_items_without_a_common_source_have_their_own() -> None:
    """Options alone may be common."""
    items = reader(width=600)
    assert right(items.of_line(1, b'{"html": "<p>"}')).request.options.width == 600
    assert wrong(items.of_line(2, b"{}")) == ("line 2: html", "the source is missing")


def test_the_name_is_the_id_or_the_number() -> None:
    """A number is a name too."""
    items = reader(html="<p>")
    lines = [b'{"id": "Anna_7.x=@-"}', b'{"id": 12}', b"{}"]
    found = [right(items.of_line(number, line)).id for number, line in enumerate(lines, 1)]
    assert found == ["Anna_7.x=@-", "12", "3"]


def test_a_name_is_used_once() -> None:
    """Also where the earlier name is a number that was not given."""
    items = reader(html="<p>")
    for number, line in enumerate((b'{"id": "a"}', b"{}"), 1):
        right(items.of_line(number, line))
    assert wrong(items.of_line(3, b'{"id": "a"}'))[1] == "a is the id of an earlier item"
    assert wrong(items.of_line(4, b'{"id": "2"}'))[1] == "2 is the id of an earlier item"


@pytest.mark.parametrize("name", ["", "..", ".a", "a/b", "a b", "ä", "x" * 101, True, 1.5, {}, []])
def test_what_is_no_name_is_refused(name: object) -> None:
    """A name becomes that of a file."""
    field, message = wrong(reader(html="<p>").of_value(7, {"id": name}))
    assert field == "line 7: id"
    assert "is not a valid id" in message


@pytest.mark.parametrize(
    ("line", "field", "message"),
    [
        (b"nope", "line 9", "is not JSON"),
        (b"\xff", "line 9", "is not UTF-8"),
        (b"[]", "line 9", "must be an object, not a list"),
        (b'"text"', "line 9", "must be an object"),
        (b'{"width": 0, "html": "x"}', "line 9: width", "0 is out of range"),
        (b'{"width": "7", "html": "x"}', "line 9: width", "is not a whole number"),
        (b'{"widht": 7, "html": "x"}', "line 9: widht", "unknown option"),
        (b'{"a": 1, "a": 2}', "line 9: a", "is given more than once"),
        (b'{"data": [[[[[[]]]]]]}', "line 9", "the JSON is nested too deeply"),
        (b'{"data": {"a": {}}, "data2": 1}', "line 9: data.a", "is an object"),
        (b'{"data": []}', "line 9: data", "must be an object"),
        (None, "line 9", "is longer than 1000 bytes"),
    ],
)  # fmt: skip
def test_a_wrong_line_is_reported_with_its_number(
    line: bytes | None, field: str, message: str
) -> None:
    """And its field; the next line is read all the same."""
    items = reader(html="{{ a }}")
    found = wrong(items.of_line(9, line))
    assert found[0] == field
    assert message in found[1]
    right(items.of_line(10, b'{"data": {"a": 1}}'))


def test_an_item_of_a_list_is_reported_with_its_place() -> None:
    """As options of a request are named."""
    items = reader(ItemReader.PLACE, template="card")
    assert wrong(items.of_value(1, {"width": 0}))[0] == "items.0.width"
    assert wrong(items.of_value(2, 7))[0] == "items.1"


@pytest.mark.parametrize(
    ("line", "field", "message"),
    [
        (b'{"common": {}, "html": "x"}', "line 9: common", "stands alone, in the first line"),
        (b'{"items": [{"html": "x"}]}', "line 9: items", "is for a body of application/json"),
    ],
)
def test_what_belongs_to_a_batch_says_where(line: bytes, field: str, message: str) -> None:
    """The message names the place where it belongs, and not an unknown option."""
    assert wrong(reader(html="<p>").of_line(9, line)) == (field, message)


def test_common_in_an_item_of_json_says_where_it_belongs() -> None:
    """Beside the items, without a name of its own."""
    found = wrong(reader(ItemReader.PLACE, html="<p>").of_value(1, {"common": {}}))
    assert found[0] == "items.0.common"
    assert "stands beside items" in found[1]


def test_a_reader_alone_names_the_field_as_a_request_does() -> None:
    """For a report that has the line beside it."""
    items = reader(ItemReader.ALONE, html="<p>")
    assert wrong(items.of_line(9, b'{"width": 0}'))[0] == "width"
    field, message = wrong(items.of_line(10, b"nope"))
    assert field == ""
    assert message.startswith("is not JSON")


def test_items_are_counted() -> None:
    """Wrong ones too."""
    items = reader(html="<p>")
    for number in range(1, 6):
        items.of_line(number, b"{}" if number % 2 else b"no")
    with pytest.raises(InvalidField, match="more than 5"):
        items.of_line(6, b"{}")


@pytest.mark.parametrize(
    ("given_", "field"),
    [
        ({"width": 0}, "width"),
        ({"widht": 1}, "widht"),
        ({"html": "{{ a b }}"}, "html"),
        ({"html": "x", "template": "card"}, "html"),
        ({"template": "card", "data": {}}, "data"),
        ({"template": "card", "id": "a"}, "id"),
        ({"template": "A B"}, "template"),
        ([], "common"),
    ],
)  # fmt: skip
def test_a_wrong_common_part_is_wrong_once(given_: object, field: str) -> None:
    """Before any item is read."""
    with pytest.raises(InvalidField) as caught:
        Common(given_, Limits())
    assert caught.value.faults[0].field == field


def test_the_first_line_may_be_the_common_part() -> None:
    """An object of `common` and nothing else."""
    assert common_of({"common": {"width": 1}}) == {"width": 1}
    others: list[Any] = [{"common": {}, "id": "a"}, {"data": {}}, [], None]
    assert all(common_of(one) is None for one in others)


@given(st.lists(st.binary(max_size=12)), st.integers(1, 7))
def test_lines_are_the_same_however_the_bytes_come(lines: list[bytes], size: int) -> None:
    """Numbered from 1, blank ones counted and left out, too long ones without their bytes."""
    text = b"\n".join(lines)
    cut = Lines(8)
    found = [
        line for at in range(0, len(text), size) for line in cut.feed(text[at : at + size])
    ] + [*cut.end()]
    wanted = [
        (number, None if len(line) > 8 else line.strip(b" \t\r"))
        for number, line in enumerate(text.split(b"\n"), 1)
    ]
    assert found == [(number, line) for number, line in wanted if line != b""]
