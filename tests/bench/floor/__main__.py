"""What one render with a Chrome of its own costs at the very least, and what switches change.

`python -m tests.bench.floor [--rounds N] [--out FILE]`; a minute, no privilege needed. Each life is
a headless-shell started directly and spoken to by the raw protocol: no service, no HTTP, no policy.
It starts, paints the reference poster of `tests.bench.render` once and is killed. CPU is of all its
processes, dead ones too: this program is their subreaper and waits for each, so the kernel has
added them up (getrusage(2), RUSAGE_CHILDREN). Never part of the suite.
"""

import argparse
import json
import os
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from poster_service.browser import chrome
from poster_service.process.shim import PR_SET_CHILD_SUBREAPER, prctl
from tests.bench.render.posters import REFERENCE, html

PROGRAM = "/usr/lib/chromium/chromium-headless-shell"
PLAIN = (
    "--headless", "--no-first-run", "--hide-scrollbars", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-gpu",
)  # fmt: skip
LEAN = (
    *PLAIN, "--in-process-gpu", "--enable-features=NetworkServiceInProcess2", "--incognito",
    "--disable-software-rasterizer",
)  # fmt: skip
OURS = tuple(
    one for one in (*chrome.SWITCHES, *chrome.FEWER_PROCESSES) if one != "--remote-debugging-pipe"
)
#: Name and switches; `ours` without the display clock, which needs a page made for it.
VARIANTS: Mapping[str, Sequence[str]] = {
    "plain": PLAIN,
    "lean (FACTS)": LEAN,
    "lean, one zygote": (*LEAN, "--no-unsandboxed-zygote"),
    "lean, no zygote (no sandbox possible)": (*LEAN, "--no-zygote"),
    "ours": OURS,
}


class Raw:
    """One Chrome and its pipe; one call at a time."""

    def __init__(self, switches: Sequence[str], folder: str) -> None:
        theirs, self._commands = os.pipe()
        self._replies, ours = os.pipe()
        self._number, self._rest = 0, b""

        def pipes_in_place() -> None:
            high = os.dup2(theirs, 103), os.dup2(ours, 104)
            os.dup2(high[0], 3)
            os.dup2(high[1], 4)

        more = ("--no-sandbox", "--remote-debugging-pipe", f"--user-data-dir={folder}")
        self.process = subprocess.Popen(
            [PROGRAM, *switches, *more, "about:blank"],
            preexec_fn=pipes_in_place,  # noqa: PLW1509 - no threads here
            close_fds=False, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        os.close(theirs)
        os.close(ours)

    def call(
        self, method: str, parameters: Mapping[str, Any] | None = None, session: str = ""
    ) -> dict[str, Any]:
        """Send a command and wait for its answer; events are dropped."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters or {}}
        if session:
            message["sessionId"] = session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while True:
            told = self._message()
            if told.get("id") == self._number:
                result: dict[str, Any] = told["result"]
                return result

    def _message(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            if not (more := os.read(self._replies, 1 << 20)):
                raise EOFError("Chrome left")
            self._rest += more
        raw, _, self._rest = self._rest.partition(b"\0")
        message: dict[str, Any] = json.loads(raw)
        return message

    def end(self) -> None:
        """Kill the group, and wait for every process of it."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        while True:
            try:
                os.waitpid(-1, 0)
            except ChildProcessError:
                break
        os.close(self._commands)
        os.close(self._replies)


def cpu() -> float:
    """User and system time of all that was waited for, in milliseconds."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (spent.ru_utime + spent.ru_stime) * 1000


def life(switches: Sequence[str], page: str) -> dict[str, float]:
    """One Chrome from its start to its end; CPU and times in milliseconds."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        before, begin = cpu(), time.perf_counter()
        one = Raw(switches, folder)
        while not (found := page_of(one)):
            pass
        session = one.call("Target.attachToTarget", {"targetId": found, "flatten": True})
        name = session["sessionId"]
        one.call("Page.enable", session=name)
        ready = time.perf_counter()
        metrics = {"width": 750, "height": 1334, "deviceScaleFactor": 1, "mobile": False}
        one.call("Emulation.setDeviceMetricsOverride", metrics, name)
        one.call("Page.setDocumentContent", {"frameId": found, "html": page}, name)
        shot = {"format": "png", "optimizeForSpeed": True}
        assert one.call("Page.captureScreenshot", shot, name)["data"]
        painted = time.perf_counter()
        one.end()
        gone = time.perf_counter()
    walls = {"ready": ready - begin, "painted": painted - ready, "gone": gone - painted}
    return {"cpu": cpu() - before} | {key: value * 1000 for key, value in walls.items()}


def page_of(one: Raw) -> str:
    """The page that it starts with, "" while there is none."""
    told = one.call("Target.getTargets")["targetInfos"]
    return next((str(each["targetId"]) for each in told if each["type"] == "page"), "")


def main() -> None:
    """Measure every variant in turn, round after round, and print medians."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.floor", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--rounds", type=int, default=12, help="lives of each variant (12)")
    parser.add_argument("--out", type=Path, help="write the raw figures here as JSON")
    given = parser.parse_args()
    if not Path(PROGRAM).exists():
        sys.exit(f"{PROGRAM} is not there; {chrome.INSTALL_LINE}")
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    page = html(REFERENCE.name)
    lives: dict[str, list[dict[str, float]]] = {name: [] for name in VARIANTS}
    for _ in range(given.rounds):
        for name, switches in VARIANTS.items():
            lives[name].append(life(switches, page))
    base = statistics.median(one["cpu"] for one in lives["lean (FACTS)"])
    print("| switches | CPU, ms | relative | ready after, ms | painted, ms | gone, ms |")
    print("|---|--:|--:|--:|--:|--:|")
    for name, found in lives.items():
        told = {key: statistics.median(one[key] for one in found) for key in found[0]}
        print(
            f"| {name} | {told['cpu']:.0f} | {told['cpu'] / base:.2f} | {told['ready']:.0f}"
            f" | {told['painted']:.0f} | {told['gone']:.0f} |"
        )
    if given.out:
        given.out.write_text(json.dumps(lives, indent=1) + "\n")


if __name__ == "__main__":
    main()
