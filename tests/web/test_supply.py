"""What old libraries come with pyppeteer, and that a service never runs a line of them."""

import re
import sys
import threading
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
        await service.parts.stop()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    assert {"urllib3", "websockets"} <= sys.modules.keys()
    assert called["pyee"] > 0
    assert called["urllib3"] == called["websockets"] == 0


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
