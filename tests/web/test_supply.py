"""What old libraries come with pyppeteer, and that a service never runs a line of them."""

import re
import sys
import threading
import tomllib
from collections import Counter
from pathlib import Path
from types import FrameType

from tests.web.conftest import StartService

ROOT = Path(__file__).parents[2]
SECURITY = (ROOT / "SECURITY.md").read_text("utf-8")


async def test_no_line_of_urllib3_or_websockets_is_run(start_service: StartService) -> None:
    """Pyppeteer imports both, and that is all, from a service's start to its end.

    The same net sees pyee, which is in use: so it does catch.
    """
    called: Counter[str] = Counter()

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call":
            called[frame.f_globals.get("__name__", "").partition(".")[0]] += 1

    threading.setprofile(note)
    sys.setprofile(note)
    try:
        service = await start_service()
        await service.picture(html="<img src='https://a.invalid/x'><script>fetch('/y')</script>")
        await service.server.stop()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    assert {"urllib3", "websockets"} <= sys.modules.keys()
    assert called["pyee"] > 0
    assert called["urllib3"] == called["websockets"] == 0


def test_the_run_time_lock_has_nothing_that_only_builds() -> None:
    """What builds the service is locked apart, and is otherwise only in the lock of the tests."""
    build = locked("requirements-build.lock")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    asked = (
        project["build-system"]["requires"] + project["project"]["optional-dependencies"]["build"]
    )
    wanted = {re.split(r"[<>=~]", one)[0] for one in asked}
    assert wanted <= build.keys()
    assert not build.keys() & locked("requirements.lock").keys()
    assert build.items() <= locked("requirements-dev.lock").items()


def test_serving_has_a_redis_client_and_nothing_of_the_load_test() -> None:
    """The image serves with a Redis; plots are for those who run the load test.

    Tables (rich) come with the queue of jobs, which has a command line of its own.
    """
    assert "redis" in locked("requirements.lock")
    assert "pygal" not in locked("requirements.lock")
    assert {"redis", "rich", "pygal"} <= locked("requirements-dev.lock").keys()


def locked(name: str) -> dict[str, str]:
    """Versions by package of a lock file; each has a hash."""
    text = (ROOT / name).read_text("utf-8")
    found = dict(re.findall(r"^([\w.-]+)==(\S+)", text, re.MULTILINE))
    for entry in re.split(r"^(?=\w)", text, flags=re.MULTILINE)[1:]:
        assert "--hash=sha256:" in entry, entry
    return found


def test_what_the_audit_passes_over_is_explained() -> None:
    """Nothing is ignored that SECURITY.md does not name, and the versions it speaks of are ours."""
    audit = (ROOT / "tools/audit.sh").read_text("utf-8")
    ignored = set(re.findall(r"--ignore-vuln (\S+)", audit))
    assert ignored
    assert ignored <= set(re.findall(r"CVE-\d+-\d+", SECURITY))
    lock = (ROOT / "requirements.lock").read_text("utf-8")
    for name in ("urllib3", "websockets", "pyee"):
        (version,) = re.findall(rf"^{name}==(\S+)", lock, re.MULTILINE)
        assert f"| {name} {version} |" in SECURITY
