"""Files of items: CSV, and what a thread reads ahead."""

import asyncio
import io
from collections.abc import Iterator
from pathlib import Path

import pytest

from poster_service.errors import Fault, OperatorError
from poster_service.jobs.item_files import CsvRows, Feed, count_items
from poster_service.jobs.items import ItemBounds

BOUNDS = ItemBounds(max_depth=3, max_line_bytes=100)


def rows(text: str | bytes, *, blank: bool = False) -> list[tuple[int, object]]:
    """The values of a CSV file."""
    raw = text if isinstance(text, bytes) else text.encode()
    return list(CsvRows(io.BytesIO(raw), BOUNDS).values(blank=blank))


def test_each_row_is_the_data_of_an_item() -> None:
    """Under the names of the first row; `id` is the item's; quotes may hide commas and lines."""
    text = '\ufeffid,title,author.name\r\na,"Hello, ""you""",Lin\r\n'
    text += '\r\n,"two\nlines",X\r\nb,third,Y\r\n'
    assert rows(text) == [
        (2, {"id": "a", "data": {"title": 'Hello, "you"', "author": {"name": "Lin"}}}),
        (4, {"data": {"title": "two\nlines", "author": {"name": "X"}}}),
        (6, {"id": "b", "data": {"title": "third", "author": {"name": "Y"}}}),
    ]


def test_an_empty_cell_is_not_given() -> None:
    """Unless it is for a page, which shows nothing there."""
    assert rows("a,b\n1,\n") == [(2, {"data": {"a": "1"}})]
    assert rows("a,b\n1,\n", blank=True) == [(2, {"data": {"a": "1", "b": ""}})]


def test_a_wrong_row_is_a_fault_of_its_own() -> None:
    """The next row is read all the same."""
    (_, first), (_, second), (_, third) = rows("a,b\n1\n2,3\n4,5,6\n")
    assert isinstance(first, Fault)
    assert second == {"data": {"a": "2", "b": "3"}}
    assert isinstance(third, Fault)
    ((_, fault), (_, last)) = rows(b"a\n\xff\n2\n")
    assert isinstance(fault, Fault)
    assert fault.message == "is not UTF-8"
    assert last == {"data": {"a": "2"}}
    ((_, fault),) = rows("a,a.b\n1,2\n")
    assert isinstance(fault, Fault)
    assert fault.field == "data.a.b"


@pytest.mark.parametrize("text", ["", "a,\n1,2\n", "a,a\n1,2\n", "\n"])
def test_the_first_row_must_name_the_columns(text: str) -> None:
    """Each once."""
    with pytest.raises(OperatorError, match="first row"):
        rows(text)


@pytest.mark.parametrize("row", [b'"a', b'"a"b', b"x" * 200], ids=["cut", "quote", "long"])
def test_what_is_no_csv_is_reported_with_its_line(row: bytes) -> None:
    """It cannot be read further."""
    with pytest.raises(OperatorError, match="line 3 is not CSV"):
        rows(b"a\n1\n" + row + b"\n2\n")


def test_items_are_counted_without_a_look_at_them(tmp_path: Path) -> None:
    """Blank lines do not count, lines in quotes are one."""
    file = tmp_path / "items"
    file.write_bytes(b"{}\n\n  \nno\n" + b"x" * 500 + b"\n{}")
    assert count_items(file, BOUNDS, is_csv=False) == 4
    file.write_bytes(b'a\n1\n"2\n3"\n')
    assert count_items(file, BOUNDS, is_csv=True) == 2


async def test_a_thread_reads_only_a_few_items_ahead() -> None:
    """So that no more are in memory than are rendered soon."""
    read: list[int] = []

    def numbers() -> Iterator[int]:
        for number in range(100):
            read.append(number)
            yield number

    feed = Feed(numbers(), 3)
    for number in range(50):
        assert await feed.next() == number
        assert len(read) <= number + 5
    feed.close()


async def test_all_who_wait_learn_of_the_end() -> None:
    """Of an error too."""
    feed = Feed(iter(["only"]), 3)
    found = await asyncio.gather(*(feed.next() for _ in range(4)))
    assert sorted(map(str, found)) == ["None", "None", "None", "only"]

    def broken() -> Iterator[str]:
        yield "one"
        raise OperatorError("the file is broken")

    feed = Feed(broken(), 3)
    assert await feed.next() == "one"
    for _ in range(2):
        with pytest.raises(OperatorError, match="broken"):
            await feed.next()
