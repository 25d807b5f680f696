"""Lease folders are removed with all that a program left in them, and removal never raises."""

import subprocess
import sys
from pathlib import Path

import pytest

from poster_service.process.shim import remove_folder, remove_tree
from tests.process.harness import cannot, dig

NOBODY = 65534


def open_descriptors() -> int:
    """How many there are."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@pytest.mark.parametrize(("levels", "name"), [(1100, "d"), (300, "x" * 250), (40, "\udcff\udcfe")])
def test_neither_depth_nor_length_nor_spelling_of_a_path_stops_it(
    work_dir: Path, levels: int, name: str
) -> None:
    """Deeper than Python calls itself, longer than PATH_MAX, not UTF-8."""
    dig(work_dir, levels, name)
    dig(work_dir, 2, "beside")
    before = open_descriptors()
    assert remove_tree(str(work_dir), 60) == 0
    assert list(work_dir.iterdir()) == []
    assert open_descriptors() == before


def test_a_link_is_removed_and_not_followed(work_dir: Path) -> None:
    """Neither one in the folder nor the folder itself."""
    outside = work_dir / "outside"
    (outside / "below").mkdir(parents=True)
    folder = work_dir / "folder"
    folder.mkdir()
    (folder / "link").symlink_to(outside)
    assert remove_folder(str(folder), None) == 0
    folder.symlink_to(outside)
    assert remove_tree(str(folder)) == 1
    assert (outside / "below").is_dir()


def test_what_has_lost_its_modes_is_removed_by_its_owner(work_dir: Path) -> None:
    """`chmod 000` and read-only folders, as a plain user; what is another's resists and stays."""
    script = (
        "import os, sys\n"
        "from poster_service.process.shim import remove_folder\n"
        f"if os.geteuid() == 0: os.setgid({NOBODY}); os.setuid({NOBODY})\n"
        "os.chdir(sys.argv[1])\n"
        "os.makedirs('f/closed/below'); os.makedirs('f/fixed/below'); os.mkdir('f/moved')\n"
        "open('f/fixed/file', 'w').close()\n"
        "for name in ('f/closed/below', 'f/closed', 'f/fixed/below', 'f'): os.chmod(name, 0)\n"
        "os.chmod('f', 0o700); os.chmod('f/fixed', 0o500); os.chmod('f', 0)\n"
        "print(remove_folder('f', None), os.path.lexists('f'))\n"
    )
    work_dir.chmod(0o777)
    words = [sys.executable, "-c", script, str(work_dir)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.stdout == "0 False\n", done.stderr


def test_what_is_mounted_in_it_is_not_touched(work_dir: Path) -> None:
    """Also of the same file system; it counts as left, and goes once it is unmounted."""
    outside, mount = work_dir / "outside", work_dir / "folder" / "mount"
    outside.mkdir()
    (outside / "file").write_text("mine")
    mount.mkdir(parents=True)
    if subprocess.run(["mount", "--bind", outside, mount], check=False).returncode:
        cannot("nothing can be mounted here")
    try:
        assert remove_folder(str(mount.parent), None) == 2
        assert (outside / "file").read_text() == "mine"
    finally:
        subprocess.run(["umount", mount], check=True)
    assert remove_folder(str(mount.parent), None) == 0


def test_it_takes_no_longer_than_it_may(work_dir: Path) -> None:
    """What is left then is counted, and goes the next time."""
    dig(work_dir, 100, "d")
    assert remove_tree(str(work_dir), 0) > 0
    assert remove_tree(str(work_dir), 60) == 0


def test_what_is_missing_or_no_folder_is_no_fault(work_dir: Path) -> None:
    """Nothing is left of a folder that is not there; a file is not removed as one."""
    assert remove_folder(str(work_dir / "missing"), None) == 0
    (work_dir / "file").touch()
    assert remove_folder(str(work_dir / "file"), None) > 0
