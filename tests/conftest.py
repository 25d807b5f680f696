"""What all tests share: the search for anything left behind.

Every test that starts processes ends by finding none of them, no zombie and no folder.
"""

import asyncio
import contextlib
import gc
import os
import tempfile
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from poster_service.process import reaper
from tests.collecting import drop_parameters, is_for_endurance, leaves_out_endurance
from tests.leftovers import left
from tests.long_files import FilesTogether, place_of
from tests.quick import mark_all_but_the_first

__all__ = ["REAPS_AT_ONCE_SECONDS", "SETTLE_SECONDS", "is_shim", "left", "settled", "short_folder"]

# The suite may run under our init (`make test`); the services it starts are to bring their own.
for _name in ("POSTER_INIT_PID", "POSTER_INIT_STATUS"):
    os.environ.pop(_name, None)

# How long an example takes says more of the machine than of the code.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makeitem(
    collector: pytest.Module | pytest.Class, obj: object
) -> list[pytest.Item] | None:
    """Collect no test that is wholly for `make endurance`, unless that is what runs."""
    marks = getattr(obj, "pytestmark", ())
    if is_for_endurance(marks) and leaves_out_endurance(collector.config):
        return []
    return None


@pytest.hookimpl(wrapper=True)  # around all that parametrize, fixtures too
def pytest_generate_tests(metafunc: pytest.Metafunc) -> Generator[None, None, None]:
    """Collect no parameter of that suite either."""
    yield
    if leaves_out_endurance(metafunc.config):
        drop_parameters(metafunc)


@pytest.hookimpl(tryfirst=True)  # before `-m` leaves out what is marked
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the long files first; the tests of a file stay as they are."""
    mark_all_but_the_first(items)
    items.sort(key=lambda item: place_of(item.nodeid.partition("::")[0]))


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Keep how the run ended, which the list of failed tests does not say (tools/again.py)."""
    keeps = session.config.pluginmanager.has_plugin("cacheprovider")
    if keeps and not hasattr(session.config, "workerinput"):
        session.config.cache.set("poster/exitstatus", int(exitstatus))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Look for garbage neither while tests are collected nor among them later.

    Each worker collects 11,000, and all of them stay; the search took a quarter of the time.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> FilesTogether:
    """Have the workers share the files as `long_files` says."""
    return FilesTogether(config, log)


#: Long enough for a loaded machine, where a Chrome that starts in 0.2 s has been seen to take 10; a
#: test that waits this long has failed.
SETTLE_SECONDS = 60.0


# A killed child that has had no turn is not frozen: in the tests it is waited for, or who ends with
# its loop would leave it uncollected. The tests of frozen ones set this back.
REAPS_AT_ONCE_SECONDS, reaper.AT_ONCE_SECONDS = reaper.AT_ONCE_SECONDS, SETTLE_SECONDS


async def settled(condition: Callable[[], bool], seconds: float = SETTLE_SECONDS) -> bool:
    """Wait until a condition holds; False when it never did. Never a plain sleep in its place."""
    loop = asyncio.get_running_loop()
    give_up = loop.time() + seconds
    while not condition():
        if loop.time() > give_up:
            return False
        await asyncio.sleep(0.01)
    return True


def is_shim(pid: int) -> bool:
    """Whether a process is a shim, which carries the tag too and is no process of its program."""
    try:
        if Path(f"/proc/{pid}/comm").read_bytes() == b"poster-shim\n":
            return True  # a forked one: its command line is the server's
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    runs_shim = any(b"/shim." in word for word in words)
    return runs_shim and any(word.startswith(b"control=") for word in words)


@contextlib.contextmanager
def short_folder() -> Iterator[Path]:
    """A folder for leases with a short path (full Chrome dies of a long TMPDIR).

    It is not below pytest's tmp_path, which only its owner may enter: Chrome may be another user.
    """
    with tempfile.TemporaryDirectory(prefix="t-", ignore_cleanup_errors=True) as base:
        Path(base).chmod(0o711)
        folder = Path(base) / "w"
        folder.mkdir()
        yield folder


@pytest.fixture
def work_dir() -> Iterator[Path]:
    """A folder for the leases of one test."""
    with short_folder() as folder:
        yield folder
