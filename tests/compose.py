"""The ways in which compose is there: Docker's plugin (v2), and Debian's package of v1 beside it.

`docker compose` and `docker-compose` take the same words. Debian's package of that name is v1 up to
bookworm, and v2, under both names, from trixie on.
"""

import functools
import shutil
import subprocess

#: The newer first.
SPELLINGS = (("docker", "compose"), ("docker-compose",))


@functools.cache
def is_installed(spelling: tuple[str, ...]) -> bool:
    """Whether a command line that begins so is compose's."""
    if shutil.which(spelling[0]) is None:
        return False
    asked = subprocess.run([*spelling, "version"], capture_output=True, check=False)
    return asked.returncode == 0


def composer() -> list[str]:
    """The first spelling that works here; empty where none does."""
    for spelling in SPELLINGS:
        if is_installed(spelling):
            return list(spelling)
    return []
