"""A test that cannot fail proves nothing: what is left is found, named, and the status is 1."""

import sys
from pathlib import Path

import pytest

from tests.loadtest.harness import PROGRAMS, UNSHARE, load_test, need_namespaces

#: Our own service as PID 1 of its namespace: the shim does not reap, and no init stands in front.
BARE = (
    "env", "POSTER_TEST_NO_REAP=1", "POSTER_TEST_NO_INIT=1",
    "sh", "-c", f'exec "{sys.executable}" -m poster_service serve --port "$PORT"',
)  # fmt: skip


@pytest.mark.slow
async def test_the_incident_is_found(tmp_path: Path) -> None:
    """A Chrome launched per render, python as PID 1: zombies, named with the parent that fails."""
    need_namespaces()
    program = str(PROGRAMS / "launch_per_render.py")
    tested = await load_test(
        tmp_path, "--renders", "8", "--concurrency", "2", "--settle", "2",
        "--command", *UNSHARE, "python3", program,
    )  # fmt: skip
    assert tested.status == 1, tested.output
    seen = tested.seen
    assert seen["left"]["zombie"] >= 8, tested.output
    assert seen["outcomes"]["rendered"] >= 4, tested.output
    zombies = [one for one in seen["left_listed"] if one["what"] == "zombie"]
    assert all(one["pid"] for one in zombies)
    assert all(program in one["detail"].split("not waited for by")[1] for one in zombies)
    assert f"zombie {zombies[0]['pid']}" in tested.out


@pytest.mark.slow
async def test_our_service_without_reaping_and_without_init_is_found(tmp_path: Path) -> None:
    """The hidden settings for tests: zombies of named leases, and a status of 1."""
    need_namespaces()
    tested = await load_test(
        tmp_path, "--renders", "8", "--settle", "2", "--command", *UNSHARE, *BARE
    )  # fmt: skip
    assert tested.status == 1, tested.output
    seen = tested.seen
    assert seen["left"]["zombie"] >= 8, tested.output
    named = [one for one in seen["left_listed"] if one["what"] == "zombie"]
    assert {one["lease"] for one in named} - {None}
    assert f"(lease {named[0]['lease']})" in tested.out


@pytest.mark.slow
async def test_our_service_with_init_as_pid_1_of_a_namespace_leaves_nothing(
    tmp_path: Path,
) -> None:
    """The same namespace without the hidden settings: so it was they who made the difference."""
    need_namespaces()
    tested = await load_test(
        tmp_path, "--renders", "8", "--command", *UNSHARE, *BARE[3:]
    )  # fmt: skip
    assert tested.status == 0, tested.output


@pytest.mark.slow
async def test_what_leaves_the_services_tree_is_found(tmp_path: Path) -> None:
    """Daemons that fork twice end up with the load test itself, which says so."""
    program = str(PROGRAMS / "leaky.py")
    words = ("--renders", "5", "--settle", "1", "--command", sys.executable, program)
    tested = await load_test(tmp_path, *words, LEAK="1")
    assert tested.status == 1, tested.output
    assert tested.seen["left"]["escaped"] >= 5, tested.output
    assert "sleep 6" in tested.out


async def test_what_leaks_nothing_passes_also_when_it_is_not_ours(tmp_path: Path) -> None:
    """The same program without its leak: the difference is the leak, but for its deaf end."""
    program = str(PROGRAMS / "leaky.py")
    words = ("--renders", "5", "--settle", "1", "--command", sys.executable, program)
    tested = await load_test(tmp_path, *words)
    assert not any(tested.seen["left"].values()), tested.output
