"""Counts the processes of its container: a line of JSON for each line it is sent.

It stays for a whole row (`docker exec -i`), because a container at its limit of pids cannot start
another process just to be looked at. It starts nothing itself.
"""

import json
import sys
from pathlib import Path

PIDS = ("/sys/fs/cgroup/pids", "/sys/fs/cgroup")  # control groups v1 and v2


def number(file: str, word: int) -> int:
    """A number that the pids controller tells; -1 where it does not."""
    for folder in PIDS:
        try:
            return int(Path(folder, file).read_text().split()[word])
        except (OSError, IndexError):
            continue
    return -1


def look() -> dict[str, object]:
    """Zombies by name, Chrome's living processes, pids in use, forks that the kernel refused."""
    zombies: dict[str, int] = {}
    alive = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = stat.read_text(errors="replace")
        except OSError:  # it has just ended
            continue
        name, fields = text[text.index("(") + 1 : text.rindex(")")], text[text.rindex(")") + 2 :]
        # A leader whose threads live on looks like a zombie and cannot be waited for yet.
        if fields[0] == "Z" and int(fields.split()[17]) <= 1:
            zombies[name] = zombies.get(name, 0) + 1
        elif name.startswith(("chrom", "headless")):
            alive += 1
    used, refused = number("pids.current", 0), number("pids.events", 1)
    return {"zombies": zombies, "alive": alive, "used": used, "refused": refused}


for _ in sys.stdin:
    print(json.dumps(look()), flush=True)
