"""What init leaves with: the child's own status, unless an option maps it to 0."""

import signal

import pytest

from tests.process.init_harness import Starter

pytest_plugins = ("tests.process.init_fixtures",)

REAL_TIME = signal.SIGRTMIN + 3


@pytest.mark.parametrize("status", [0, 1, 2, 77, 126, 127, 128, 254, 255])
def test_init_leaves_with_the_childs_status(start_init: Starter, status: int) -> None:
    """For exits and signals of every kind."""
    assert start_init.run("sh", "-c", f"exit {status}")[0] == status


@pytest.mark.parametrize(
    "number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV, signal.SIGPIPE, REAL_TIME]
)
def test_a_child_ended_by_a_signal_is_128_plus_its_number(start_init: Starter, number: int) -> None:
    """Also after SIGKILL, where my_init says 0, and for a real-time signal."""
    assert start_init.run("sh", "-c", f"kill -{int(number)} $$")[0] == 128 + number


def test_statuses_are_remapped_to_0_and_others_are_not(start_init: Starter) -> None:
    """As tini's -e, as often as one likes, also stuck to the letter."""
    options = ("-e", "143", "-e7")
    assert start_init.run(*options, "sh", "-c", "exit 7")[0] == 0
    assert start_init.run(*options, "sh", "-c", "kill -TERM $$")[0] == 0
    assert start_init.run(*options, "sh", "-c", "exit 8")[0] == 8


def test_remapping_comes_from_the_environment_too(start_init: Starter) -> None:
    """A list, with commas or spaces."""
    env = {"PATH": "/usr/bin:/bin", "POSTER_INIT_REMAP_EXIT": "7,143"}
    assert start_init.run("sh", "-c", "exit 7", env=env)[0] == 0
    assert start_init.run("sh", "-c", "kill -TERM $$", env=env)[0] == 0


def test_orphans_statuses_do_not_matter(start_init: Starter) -> None:
    """Only the main child speaks for init."""
    assert start_init.run("sh", "-c", "(exit 9 &); (kill -9 $$ &) ; sleep 1000")[0] == 137
    assert start_init.run("sh", "-c", "sh -c 'exit 9' & exit 2")[0] == 2
