"""Items out of files: NDJSON and CSV, read in a thread and handed over one at a time."""

import asyncio
import codecs
import contextlib
import csv
import io
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Generic, TypeVar

from poster_service.errors import Fault, InvalidField, OperatorError
from poster_service.jobs.items import Item, ItemBounds, ItemReader, Lines, WrongItem
from poster_service.render.flat import nested

T = TypeVar("T")

#: Bytes of a file that are read at once.
CHUNK = 1 << 16
#: The column of a CSV file that is not data, but the item's name.
ID_COLUMN = "id"


def lines_of(file: BinaryIO, max_bytes: int) -> Iterator[tuple[int, bytes | None]]:
    """The lines of a file that are not blank, with their numbers; None for one that is too long."""
    lines = Lines(max_bytes)
    # What is there, and no more: a pipe's lines are rendered as they come.
    while chunk := file.read1(CHUNK) if isinstance(file, io.BufferedReader) else file.read(CHUNK):
        yield from lines.feed(chunk)
    yield from lines.end()


class CsvRows:
    """A CSV file: a row of names, then one item a row; each value is text.

    A name with dots leads into objects of the data. An empty cell is not given, except to a page
    with placeholders, which shows nothing there.
    """

    def __init__(self, file: BinaryIO, bounds: ItemBounds) -> None:
        """Read the row of names.

        Raises:
            OperatorError: There is none, or a name is missing or there twice.
        """
        csv.field_size_limit(bounds.max_line_bytes)
        self._rows = csv.reader(_text_of(file, bounds.max_line_bytes), strict=True)
        self._depth = bounds.max_depth
        self.number = 1
        self._names = self._next() or []
        if not self._names or "" in self._names or len(set(self._names)) < len(self._names):
            raise OperatorError("the first row of a CSV file must name each column, each name once")

    def values(self, *, blank: bool) -> Iterator[tuple[int, object]]:
        """Each row as an item, with the number of its line; a fault instead of a wrong row.

        Args:
            blank: Whether an empty cell is empty text, instead of not given.

        Raises:
            OperatorError: It is not CSV.
        """
        while (row := self._next()) is not None:
            if row:
                yield self.number, self._value(row, blank=blank)

    def _next(self) -> list[str] | None:
        self.number = self._rows.line_num + 1
        try:
            return next(self._rows, None)
        except csv.Error as error:
            raise OperatorError(f"line {self.number} is not CSV: {error}") from error

    def _value(self, row: list[str], *, blank: bool) -> object:
        if len(row) != len(self._names):
            message = f"has {len(row)} cells"
            return Fault("", message, f"{len(self._names)}, as the first row")
        if not "".join(row).isprintable() and any(map(_is_no_text, row)):
            return Fault("", "is not UTF-8", "text in UTF-8")
        cells = dict(zip(self._names, row, strict=True))
        item: dict[str, Any] = {}
        if name := cells.pop(ID_COLUMN, ""):
            item["id"] = name
        given = ((f"data.{name}", value) for name, value in cells.items() if value or blank)
        try:
            item["data"] = nested(given, self._depth)
        except InvalidField as error:
            return error.faults[0]
        return item


def _text_of(file: BinaryIO, max_bytes: int) -> Iterator[str]:
    """The lines of a file, with their ends; bytes that are not UTF-8 as lone surrogates.

    Raises:
        Error: A line is too long; the csv module's error.
    """
    mark = codecs.BOM_UTF8
    while line := file.readline(max_bytes + 1):
        if len(line) > max_bytes:
            raise csv.Error(f"longer than {max_bytes} bytes")
        yield line.removeprefix(mark).decode("utf-8", "surrogateescape")
        mark = b""


def _is_no_text(cell: str) -> bool:
    return any("\udc80" <= character <= "\udcff" for character in cell)


def csv_items(rows: CsvRows, reader: ItemReader, *, blank: bool) -> Iterator[Item | WrongItem]:
    """The items of a CSV file."""
    for number, value in rows.values(blank=blank):
        if isinstance(value, Fault):
            yield reader.of_fault(number, value)
        else:
            yield reader.of_value(number, value)


def count_items(file: Path, bounds: ItemBounds, *, is_csv: bool) -> int:
    """How many items a file has, whether they are right or not; reads all of it.

    Raises:
        OSError: It cannot be read.
        OperatorError: It is CSV without a row of names.
    """
    with file.open("rb") as opened:
        if is_csv:
            return sum(1 for _ in CsvRows(opened, bounds).values(blank=False))
        return sum(1 for _ in lines_of(opened, bounds.max_line_bytes))


class Feed(Generic[T]):
    """Reads an iterator in a thread, a few items ahead of those who take them.

    The thread does not keep a command from ending: it may wait for a pipe that stays silent.
    """

    def __init__(self, source: Iterator[T], ahead: int) -> None:
        """Start to read.

        Args:
            source: Reads files, and may wait for them.
            ahead: Items in memory that have not been taken.
        """
        self._loop = asyncio.get_running_loop()
        self._source = source
        self._room = threading.Semaphore(ahead)
        self._found: asyncio.Queue[T | None] = asyncio.Queue()
        self._error: BaseException | None = None
        self._is_closed = False
        threading.Thread(target=self._read, name="items", daemon=True).start()

    async def next(self) -> T | None:
        """The next item; None after the last.

        Raises:
            Exception: What the source has raised, to each who asks after that.
        """
        found = await self._found.get()
        if found is None:
            self._found.put_nowait(None)
            if self._error is not None:
                raise self._error
            return None
        self._room.release()
        return found

    def close(self) -> None:
        """Read no more; the thread ends as soon as it does not wait for its file."""
        self._is_closed = True
        self._room.release()

    def _read(self) -> None:
        try:
            for one in self._source:
                self._room.acquire()
                if self._is_closed:
                    return
                self._hand_over(one)
        except Exception as error:  # any: those who wait must learn of it
            self._error = error
        self._hand_over(None)

    def _hand_over(self, one: T | None) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: no task waits any more
            self._loop.call_soon_threadsafe(self._found.put_nowait, one)
