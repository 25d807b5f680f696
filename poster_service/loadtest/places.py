"""Where the processes and files of a service are, found from the process that listens."""

import re
from pathlib import Path
from typing import Any

from poster_service.loadtest.errors import CannotTest
from poster_service.loadtest.proctable import namespace
from poster_service.loadtest.views import HereView, View
from poster_service.loadtest.watch import Place


async def place_of(view: View, owner: int) -> Place:
    """The place of a listening process: under its namespace's PID 1, its init, or itself."""
    try:
        about = await view.ask("process", pid=owner)
    except OSError as error:
        raise CannotTest(f"process {owner} has exited: {error}") from error
    above, variables = about["above"], about["variables"]
    here = namespace("self")
    if about["namespace"] and about["namespace"] != here:
        inside = [pid for pid, _, other in above if other == about["namespace"]]
        files = f"/proc/{inside[-1]}/root"
        return Place(
            inside[-1], owner, files, _work_dir(about), alone=True, owns_tmp=not _is_shared(files)
        )
    init = variables.get("POSTER_INIT_PID", "")
    tops = [pid for pid, *_ in above if str(pid) == init]
    return Place(tops[0] if tops else owner, owner, "", _work_dir(about))


async def place_inside(view: View, root: int, port: int) -> Place:
    """The place of a container's service: its PID 1, and the process that listens in it."""
    owner = (await view.ask("owner", port=port, near=root))["pid"]
    if not owner:
        raise CannotTest(f"no process in the container listens on port {port}")
    about = await view.ask("process", pid=owner)
    files = f"/proc/{root}/root" if isinstance(view, HereView) else ""
    return Place(root, owner, files, _work_dir(about), alone=True, owns_tmp=True)


def _is_shared(files: str) -> bool:
    """Whether what is below a prefix has the /tmp of this process: a namespace of PIDs alone."""
    try:
        return Path(f"{files}/tmp").samefile("/tmp")  # noqa: S108 - looked at only
    except OSError:
        return False


def _work_dir(about: dict[str, Any]) -> str:
    """The folder of a service's leases, by its flag, its variable or its default."""
    flag = re.search(r"--work-dir[= ](\S+)", about["command"])
    variables = about["variables"]
    default = f"{variables.get('TMPDIR', '/tmp')}/poster-{about['uid']}"  # noqa: S108
    return flag[1] if flag else variables.get("POSTER_WORK_DIR", default)
