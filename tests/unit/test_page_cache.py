"""Chrome's program is read again into the page cache, within its time, and never in the way."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from poster_service.browser.page_cache import PIECE, WINDOW, refill

SIZE = WINDOW + 3 * PIECE + 5


@pytest.fixture
def program() -> Iterator[Path]:
    """A file of more than one window, on a disk: /tmp may be none."""
    with tempfile.NamedTemporaryFile(dir="/var/tmp") as written:
        for _ in range(SIZE // PIECE):
            written.write(os.urandom(PIECE))
        written.write(b"12345")
        written.flush()
        os.fsync(written.fileno())
        yield Path(written.name)


def from_disk() -> int:
    """What this process has had read from disks so far, in bytes."""
    return int(psutil.Process().io_counters().read_bytes)


def test_all_of_it_is_read_from_the_disk_again(program: Path) -> None:
    """Though it was cached; and afterwards it is."""
    before = from_disk()
    program.read_bytes()
    assert from_disk() == before
    assert refill(program, 60) == SIZE
    assert from_disk() - before >= SIZE - 5
    before = from_disk()
    assert len(program.read_bytes()) == SIZE
    assert from_disk() == before


def test_it_ends_in_its_time(program: Path) -> None:
    """And leaves the rest as it was."""
    before = from_disk()
    assert refill(program, 0) == 0
    program.read_bytes()
    assert from_disk() == before


def test_what_cannot_be_read_is_left(tmp_path: Path) -> None:
    """The start of Chrome says better what is wrong with it."""
    assert refill(tmp_path / "nothing", 60) == 0
    assert refill(tmp_path, 60) == 0
    (tmp_path / "empty").touch()
    assert refill(tmp_path / "empty", 60) == 0
