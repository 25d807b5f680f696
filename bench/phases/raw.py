"""Lives of a Chrome of ours by the raw protocol, step by step: the floor.

    python -m bench.phases.raw FILE_WITH_THE_CPU_OF_OUR_GROUP LIVES [context]

Run by `python -m bench.phases` inside a control group. The switches are ours, the page is opened
and held as the service's is, and nothing else happens: no shim, no sandbox, no other user, nothing
that watches or asks the page. With `context` it is one Chrome, and a life is that of a browser
context. Prints a JSON list.
"""

import base64
import json
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bench.floor.__main__ import METRICS, OURS, PATIENCE, SHOT, Raw, opened
from bench.phases.meter import QUIET_SECONDS, Meter, Step
from bench.render.posters import REFERENCE, html
from poster_service.browser import frames
from poster_service.browser.types import ADDRESS
from poster_service.process.shim import PR_SET_CHILD_SUBREAPER, prctl

PAGE = html(REFERENCE.name)
Done = Callable[[str], None]


def measured(usage: Path) -> tuple[Meter, Done]:
    """A meter, and what to call after each step."""
    meter = Meter(usage)

    def done(step: str) -> None:
        meter.stop()
        time.sleep(QUIET_SECONDS)
        meter.note(step)

    return meter, done


def started(folder: str) -> Raw:
    """A Chrome that has answered."""
    chrome = Raw((*OURS, *frames.SWITCHES), folder)
    chrome.call("Fetch.enable", {"patterns": [{"urlPattern": "*"}]})
    return chrome


def life(usage: Path) -> dict[str, Step]:
    """One Chrome from its start to its end."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        meter, done = measured(usage)
        chrome = started(folder)
        done("start")
        render(chrome, {}, done)
        chrome.end()
        done("end")
    return meter.steps


def contexts(usage: Path, number: int) -> list[dict[str, Step]]:
    """So many browser contexts of one Chrome, after one that is not measured."""
    found = []
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        chrome = started(folder)
        for _ in range(number + 1):
            signal.alarm(PATIENCE)
            meter, done = measured(usage)
            context = chrome.call("Target.createBrowserContext")
            render(chrome, context, done)
            chrome.call("Target.disposeBrowserContext", context)
            done("end")
            found.append(meter.steps)
        chrome.end()
    return found[1:]


def render(chrome: Raw, context: Mapping[str, Any], done: Done) -> None:
    """One render, from the opening of its page to its picture."""
    name = opened(chrome, context, ADDRESS)
    chrome.call("Emulation.setDeviceMetricsOverride", METRICS, name)
    done("page")
    done("ready")
    load(chrome)
    done("load")
    done("wait")
    frame = {"screenshot": SHOT}
    while not chrome.call("HeadlessExperimental.beginFrame", frame, name).get("screenshotData"):
        continue
    done("capture")


def load(chrome: Raw) -> None:
    """Give the held page its document, and wait until it has loaded."""
    document = {
        "requestId": chrome.event("Fetch.requestPaused")["requestId"],
        "responseCode": 200,
        "responseHeaders": [{"name": "Content-Type", "value": "text/html; charset=utf-8"}],
        "body": base64.b64encode(PAGE.encode()).decode(),
    }
    chrome.call("Fetch.fulfillRequest", document)
    chrome.event("Page.loadEventFired")


def main() -> None:
    """Measure and print."""
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    usage, number = Path(sys.argv[1]), int(sys.argv[2])
    if "context" in sys.argv[3:]:
        found = contexts(usage, number)
    else:
        found = []
        for _ in range(number):
            signal.alarm(PATIENCE)
            found.append(life(usage))
    signal.alarm(0)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
