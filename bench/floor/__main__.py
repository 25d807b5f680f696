"""What one render costs at the very least, and what switches and ways of loading change.

`python -m bench.floor [--rounds N] [--out FILE]`; a minute, no privilege needed. Each life is
a headless-shell started directly and spoken to by the raw protocol: no service, no HTTP, no policy.
It starts, paints the reference poster of `bench.render` once and is killed. CPU is of all its
processes, dead ones too: this program is their subreaper and waits for each, so the kernel has
added them up (getrusage(2), RUSAGE_CHILDREN). Never part of the suite.

Up to "ours" the poster is put into the blank page that Chrome starts with, and the switches differ.
The others have our switches and differ in how the page gets its document: "navigated" goes to an
address from a blank page when the render begins, "held" was opened at that address and waits there;
"contexts" paints ten in one Chrome, each held in a browser context of its own, and is per render.
In all of these the program was read into the page cache from end to end, as the service does at its
start (`poster_service.browser.page_cache`); in the last one, lives before it left what is there.
"""

import argparse
import base64
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

from bench.render.posters import REFERENCE, html
from poster_service.browser import frames, installed, page_cache
from poster_service.browser.spec import FEWER_PROCESSES, NO_WEBGL, SWITCHES
from poster_service.browser.types import ADDRESS
from poster_service.process.shim import PR_SET_CHILD_SUBREAPER, prctl

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
    one for one in (*SWITCHES, *NO_WEBGL, *FEWER_PROCESSES) if one != "--remote-debugging-pipe"
)
#: Name and switches; those of `WAYS` have the display clock, which needs a page made for it.
VARIANTS: Mapping[str, Sequence[str]] = {
    "plain": PLAIN,
    "lean": LEAN,
    "lean, one zygote": (*LEAN, "--no-unsandboxed-zygote"),
    "lean, no zygote (no sandbox possible)": (*LEAN, "--no-zygote"),
    "ours": OURS,
}
#: How the document comes, and renders in one life.
WAYS: Mapping[str, tuple[bool, int]] = {
    "ours, navigated": (False, 1),
    "ours, held": (True, 1),
    "ours, held, ten contexts": (True, 10),
}
#: Held, after this program was dropped from the page cache and came back by the faults of a life.
BY_FAULTS = "ours, held, page cache filled by faults"
#: Longer than reading the program in takes, in seconds.
ENOUGH = 60.0
METRICS = {"width": 750, "height": 1334, "deviceScaleFactor": 1, "mobile": False}
SHOT = {"format": "png", "optimizeForSpeed": True}
#: Longer than any step takes, in seconds: a call that Chrome never answers ends the program.
PATIENCE = 60


class Raw:
    """One Chrome and its pipe; one call at a time."""

    def __init__(self, switches: Sequence[str], folder: str) -> None:
        theirs, self._commands = os.pipe()
        self._replies, ours = os.pipe()
        self._number, self._rest = 0, b""
        self._reported: list[dict[str, Any]] = []

        def pipes_in_place() -> None:
            high = os.dup2(theirs, 103), os.dup2(ours, 104)
            os.dup2(high[0], 3)
            os.dup2(high[1], 4)

        more = ("--no-sandbox", "--remote-debugging-pipe", f"--user-data-dir={folder}")
        self.process = subprocess.Popen(
            [PROGRAM, *switches, *more],
            preexec_fn=pipes_in_place,  # noqa: PLW1509 - no threads here
            close_fds=False, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        os.close(theirs)
        os.close(ours)

    def call(
        self, method: str, parameters: Mapping[str, Any] | None = None, session: str = ""
    ) -> dict[str, Any]:
        """Send a command and wait for its answer; events are kept for `event`."""
        number = self.post(method, parameters, session)
        while True:
            reported = self._message()
            if reported.get("id") == number:
                result: dict[str, Any] = reported["result"]
                return result
            self._reported.append(reported)

    def event(self, name: str) -> dict[str, Any]:
        """Wait for an event, or take one that has come; those before it are dropped."""
        while True:
            reported = self._reported.pop(0) if self._reported else self._message()
            if reported.get("method") == name:
                parameters: dict[str, Any] = reported["params"]
                return parameters

    def put_back(self, paused: Mapping[str, Any]) -> None:
        """Keep a paused request for the code that answers it."""
        self._reported.append({"method": "Fetch.requestPaused", "params": paused})

    def post(
        self, method: str, parameters: Mapping[str, Any] | None = None, session: str = ""
    ) -> int:
        """Send a command and do not wait; its number."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters or {}}
        if session:
            message["sessionId"] = session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        return self._number

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
        one = Raw((*switches, "about:blank"), folder)
        while not (found := page_of(one)):
            pass
        session = one.call("Target.attachToTarget", {"targetId": found, "flatten": True})
        name = session["sessionId"]
        one.call("Page.enable", session=name)
        ready = time.perf_counter()
        one.call("Emulation.setDeviceMetricsOverride", METRICS, name)
        one.call("Page.setDocumentContent", {"frameId": found, "html": page}, name)
        assert one.call("Page.captureScreenshot", SHOT, name)["data"]
        painted = time.perf_counter()
        one.end()
        gone = time.perf_counter()
    walls = {"ready": ready - begin, "painted": painted - ready, "gone": gone - painted}
    return {"cpu": cpu() - before} | {key: value * 1000 for key, value in walls.items()}


def life_of_ours(page: str, *, is_held: bool, renders: int) -> dict[str, float]:
    """One Chrome of ours with so many renders; CPU and times in milliseconds, per render."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        before, begin = cpu(), time.perf_counter()
        one = Raw((*OURS, *frames.SWITCHES), folder)
        one.call("Fetch.enable", {"patterns": [{"urlPattern": "*"}]})
        walls = {"ready": 0.0, "painted": 0.0, "gone": 0.0}
        for _ in range(renders):
            context = one.call("Target.createBrowserContext") if renders > 1 else {}
            name = opened(one, context, ADDRESS if is_held else "about:blank")
            ready = time.perf_counter()
            one.call("Emulation.setDeviceMetricsOverride", METRICS, name)
            if not is_held:
                one.post("Page.navigate", {"url": ADDRESS}, name)
            document = {
                "requestId": one.event("Fetch.requestPaused")["requestId"],
                "responseCode": 200,
                "responseHeaders": [{"name": "Content-Type", "value": "text/html; charset=utf-8"}],
                "body": base64.b64encode(page.encode()).decode(),
            }
            one.call("Fetch.fulfillRequest", document)
            one.event("Page.loadEventFired")
            frame = {"screenshot": SHOT}
            # A frame in which nothing changed has no picture; the service asks again, too.
            while "screenshotData" not in one.call("HeadlessExperimental.beginFrame", frame, name):
                continue
            painted = time.perf_counter()
            if context:
                one.call("Target.disposeBrowserContext", context)
            walls["ready"] += ready - begin
            walls["painted"] += painted - ready
            begin = time.perf_counter()
        one.end()
        walls["gone"] = time.perf_counter() - begin
    each = {key: value * 1000 / renders for key, value in walls.items()}
    return {"cpu": (cpu() - before) / renders} | each


def life_by_faults(page: str) -> dict[str, float]:
    """One held life with the page cache as earlier ones left it."""
    with Path(PROGRAM).open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    life_of_ours(page, is_held=True, renders=1)
    return life_of_ours(page, is_held=True, renders=1)


def opened(one: Raw, context: Mapping[str, Any], url: str) -> str:
    """The session of a new page; of a held one once it has asked for its document."""
    wanted = {"url": url, "enableBeginFrameControl": True, **context}
    found = one.call("Target.createTarget", wanted)["targetId"]
    if url == ADDRESS:
        one.put_back(one.event("Fetch.requestPaused"))
    session = one.call("Target.attachToTarget", {"targetId": found, "flatten": True})
    name = str(session["sessionId"])
    one.call("Page.enable", session=name)
    return name


def page_of(one: Raw) -> str:
    """The page that it starts with, "" while there is none."""
    reported = one.call("Target.getTargets")["targetInfos"]
    return next((str(each["targetId"]) for each in reported if each["type"] == "page"), "")


def main() -> None:
    """Measure every variant in turn, round after round, and print medians."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.floor", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--rounds", type=int, default=12, help="lives of each variant (12)")
    parser.add_argument("--out", type=Path, help="write the raw figures here as JSON")
    given = parser.parse_args()
    if not Path(PROGRAM).exists():
        sys.exit(f"{PROGRAM} is not there; {installed.INSTALL_LINE}")
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    page = html(REFERENCE.name)
    lives: dict[str, list[dict[str, float]]] = {name: [] for name in (*VARIANTS, *WAYS, BY_FAULTS)}
    for _ in range(given.rounds):
        page_cache.refill(Path(PROGRAM), ENOUGH)
        for name, switches in VARIANTS.items():
            signal.alarm(PATIENCE)
            lives[name].append(life(switches, page))
        for name, (is_held, renders) in WAYS.items():
            signal.alarm(PATIENCE)
            lives[name].append(life_of_ours(page, is_held=is_held, renders=renders))
        signal.alarm(PATIENCE)
        lives[BY_FAULTS].append(life_by_faults(page))
    signal.alarm(0)
    base = statistics.median(one["cpu"] for one in lives["lean"])
    print("| switches and way | CPU, ms | relative | ready after, ms | painted, ms | gone, ms |")
    print("|---|--:|--:|--:|--:|--:|")
    for name, found in lives.items():
        row = {key: statistics.median(one[key] for one in found) for key in found[0]}
        print(
            f"| {name} | {row['cpu']:.0f} | {row['cpu'] / base:.2f} | {row['ready']:.0f}"
            f" | {row['painted']:.0f} | {row['gone']:.0f} |"
        )
    if given.out:
        given.out.write_text(json.dumps(lives, indent=1) + "\n")


if __name__ == "__main__":
    main()
