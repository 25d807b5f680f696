"""The hostile world as a fixture: one for headless-shell, one for full Chromium."""

import base64
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

FULL = Path("/usr/lib/chromium/chromium")
#: The last thing of a page: what else it asks for has so long to get somewhere.
HOLD = "<img src='https://hostile.test/slow?ms={}'>"


@dataclass(frozen=True)
class Seen:
    """An answer of the service, and what was seen in its world meanwhile.

    Attributes:
        canaries: Connections to forbidden addresses, by address and port.
        packets: Packets that were neither for hostile servers nor questions for names.
        names: Names asked for.
        hits: What hostile servers were asked for.
        plain: That of it which was asked for in plain http.
        open: Most sockets of fetches, and of look-ups, that were open at a time, if counted.
        reported: Warnings of the other pages that were rendered meanwhile to their end.
    """

    status: int
    headers: dict[str, str]
    body: bytes
    canaries: dict[str, int]
    packets: dict[str, int]
    names: list[str]
    hits: list[str]
    plain: list[str]
    open: tuple[int, int] = (0, 0)
    reported: tuple[str, ...] = ()

    @property
    def warnings(self) -> str:
        """What the answer says that the page went without."""
        return self.headers.get("X-Render-Warnings", "")

    def warned(self, verb: str, host: str, reason: str = "") -> bool:
        """Whether the answer names something of a host that the page went without."""
        what = rf'{verb};url="[a-z]+://{re.escape(host)}[/:"][^"]*"?;reason={reason}'
        return re.search(what, self.warnings) is not None

    @property
    def problem(self) -> dict[str, Any]:
        """The body of an answer that is no picture."""
        reported: dict[str, Any] = json.loads(self.body)
        return reported

    def assert_nothing_got_through(self) -> None:
        """The promise: no connection, and not one packet."""
        assert self.canaries == {}
        assert self.packets == {}


class World:
    """The process in its network namespace; see `network.py` and `world.py`."""

    def __init__(self, **settings: Any) -> None:
        self._settings = settings
        words = ["unshare", "--net", "--mount"]
        if os.geteuid() != 0:
            words.append("--map-root-user")
        # Under our own init, as the suite itself, so that nothing is left to chance.
        words += [sys.executable, "-I", "-S", "-E", "poster_service/init.py", "--"]
        words += [sys.executable, "-m", "tests.hostile.network"]
        self._process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "WORLD_SECRET": "secret-of-the-service", "HTTP_PROXY": "http://x:1"},
        )  # fmt: skip
        if not self._read().get("ready"):
            pytest.fail("the hostile world does not come up")

    def command(self, **order: Any) -> dict[str, Any]:
        """Send a command; returns its result."""
        order["settings"] = {**self._settings, **order.get("settings", {})}
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        reported = self._read()
        assert "failed" not in reported, reported
        return reported

    def render(
        self, page: str, *, hold: int = 300, settings: dict[str, Any] | None = None, **options: Any
    ) -> Seen:
        """Render a page in a small picture, kept open by a slow hostile server."""
        if hold:
            page += HOLD.format(hold)
        given = {"html": page, "width": 200, "height": 100, "timeout_ms": 60_000, **options}
        reported = self.command(render=given, settings=settings or {})
        return Seen(**{**reported, "body": base64.b64decode(reported["body"])})

    def send_form(
        self,
        path: str,
        fields: dict[str, str],
        files: dict[str, str],
        settings: dict[str, Any],
        **headers: str,
    ) -> Seen:
        """Send a form to a route of another service's API; a webhook in its headers is tried."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        reported = self.command(
            do="form", path=path, fields=fields, files=files, headers=named, settings=settings
        )
        return Seen(**{**reported, "body": base64.b64decode(reported["body"])})

    def visit(self, url: str, **options: Any) -> Seen:
        """Render the page at an address in a small picture."""
        return self.paint(url=url, **options)

    def paint(self, **options: Any) -> Seen:
        """Render a source of any kind in a small picture."""
        given = {"width": 200, "height": 100, "timeout_ms": 60_000, **options}
        reported = self.command(render=given)
        return Seen(**{**reported, "body": base64.b64decode(reported["body"])})

    def post(self, path: str, body: dict[str, Any], **settings: Any) -> Seen:
        """Send JSON to a route, of an API that the settings switch on."""
        reported = self.command(render=body, path=path, settings=settings)
        return Seen(**{**reported, "body": base64.b64decode(reported["body"])})

    def submit(self, settings: dict[str, Any], **options: Any) -> Seen:
        """Submit a job; its webhook is tried."""
        reported = self.command(
            do="job", job={"width": 20, "height": 20, **options}, settings=settings
        )
        return Seen(**{**reported, "body": base64.b64decode(reported["body"])})

    def job(self, **options: Any) -> Seen:
        """Have a job done; what is answered to the question for it when it has ended."""
        given = {"width": 200, "height": 100, "timeout_ms": 60_000, **options}
        reported = self.command(do="ended", job=given)
        return Seen(**{**reported, "body": base64.b64decode(reported["body"])})

    def batch(
        self, items: list[dict[str, Any]], settings: dict[str, Any] | None = None, **common: Any
    ) -> Seen:
        """Have a batch done; its items, a line of JSON for each, when it has ended."""
        given = {"width": 200, "height": 100, "timeout_ms": 60_000, **common, "items": items}
        reported = self.command(do="batch", batch=given, settings=settings or {})
        return Seen(**{**reported, "body": base64.b64decode(reported["body"])})

    def visit_page(
        self, page: str, *, at: str = "https://hostile.test", hold: int = 300, **headers: str
    ) -> Seen:
        """Render a page that a hostile server has, with these headers; kept open as `render`."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        pages = {"/page": (page + HOLD.format(hold), named)}
        given = {"url": f"{at}/page", "width": 200, "height": 100, "timeout_ms": 60_000}
        reported = self.command(render=given, pages=pages)
        return Seen(**{**reported, "body": base64.b64decode(reported["body"])})

    def render_beside(
        self, crowd: list[str], page: str, *, settings: dict[str, Any], **order: Any
    ) -> Seen:
        """Render a page while a crowd of pages is rendered, whose callers then hang up."""
        size = {"width": 200, "height": 100, "timeout_ms": 60_000}
        reported = self.command(
            do="crowd",
            crowd=[{"html": one, **size} for one in crowd],
            render={"html": page, **size},
            settings={"concurrency": len(crowd) + 1, **settings},
            **order,
        )
        return Seen(**{**reported, "body": base64.b64decode(reported["body"])})

    @property
    def shares_chromes(self) -> bool:
        """Whether a Chrome serves more than one render here."""
        return bool(self._settings.get("isolation") == "context")

    def renewed(self) -> int:
        """Leases after which a Chrome was made ready for another, so far."""
        return int(self.command(do="look")["renewed"])

    def end(self) -> None:
        """Have it stop, which checks that no process and no folder is left."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        status = self._process.wait(60)
        self._process.stdout.close()
        assert status == 0

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        reported: dict[str, Any] = json.loads(line) if line else {}
        return reported


def _can_have_a_world() -> str | None:
    for tool in ("unshare", "ip", "mount", "openssl"):
        if shutil.which(tool) is None:
            return f"there is no {tool}"
    words = ["unshare", "--net", "--mount"] + ["--map-root-user"] * (os.geteuid() != 0)
    words += ["ip", "link", "set", "lo", "up"]
    tried = subprocess.run(words, capture_output=True, check=False)
    return None if tried.returncode == 0 else "no network namespace can be made here"


class Worlds:
    """The worlds that run, each with its settings; started when first needed."""

    def __init__(self) -> None:
        self._running: dict[str, World] = {}

    def get(self, **settings: Any) -> World:
        """The world with these settings."""
        if reason := _can_have_a_world():
            pytest.skip(reason)
        key = json.dumps(settings, sort_keys=True)
        if key not in self._running:
            # Pages with hundreds of requests must not be cut short by a limit that others test.
            limits = {"fetch_max_requests": 100_000, "page_max_messages": 1_000_000}
            self._running[key] = World(**limits, **settings)
        return self._running[key]

    def end(self) -> None:
        """End them all, each of which checks that nothing is left."""
        for world in self._running.values():
            world.end()
        self._running.clear()


HERE = Path(__file__).parent
WORLDS_THAT_RUN = Worlds()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(nextitem: pytest.Item | None) -> Generator[None, None, None]:
    """End the worlds after the last test here: tests elsewhere count this process's children.

    Files of this folder that run one after the other have the same worlds.
    """
    yield
    if nextitem is None or HERE not in nextitem.path.parents:
        WORLDS_THAT_RUN.end()


@pytest.fixture(scope="session")
def worlds() -> Worlds:
    """All worlds: fixtures that ask for the same settings get the same world."""
    return WORLDS_THAT_RUN


#: Program and isolation level of each world that hostile pages are tried in.
WORLDS: dict[str, dict[str, Any]] = {
    "shell": {},
    "shell-shared": {"isolation": "context"},
    "chromium": {"chrome": str(FULL)},
    "chromium-shared": {"chrome": str(FULL), "isolation": "context"},
}
#: Whether a Chrome serves one render or many.
MODES = {"a Chrome each": "", "a context each": "-shared"}


def _world(worlds: Worlds, name: str) -> World:
    """One of them; where Chromes are shared with few, so that each is had again soon."""
    if "chromium" in name and not FULL.exists():
        pytest.skip("no full Chromium here")
    few = {"concurrency": 1} if "shared" in name else {}
    return worlds.get(**WORLDS[name], **few)


@pytest.fixture(scope="module")
def world(worlds: Worlds) -> World:
    """A world around headless-shell."""
    return worlds.get()


@pytest.fixture(scope="module")
def shared_world(worlds: Worlds) -> World:
    """A world whose Chromes serve many renders, each page in a context of its own."""
    return _world(worlds, "shell-shared")


def _either(shared: pytest.MarkDecorator) -> list[Any]:
    """Parameters of `either_world`: both modes of the pool, of which the second has the mark."""
    ids = list(MODES)
    return [
        pytest.param(MODES[ids[0]], id=ids[0]),
        pytest.param(MODES[ids[1]], id=ids[1], marks=shared),
    ]


def _any(full_and_shared: pytest.MarkDecorator) -> list[Any]:
    """Parameters of `any_world`: all of them, of which the last has the mark.

    The first is quick, and those between are for `make endurance`.
    """
    marks = [[], [pytest.mark.endurance], [pytest.mark.endurance], [full_and_shared]]
    return [pytest.param(one, marks=some) for one, some in zip(WORLDS, marks, strict=True)]


#: For a test of `either_world` that `make test` runs in both: at least one of each kind, and those
#: of what one render leaves to the next. The others share Chromes in `make endurance`.
in_either_mode = pytest.mark.parametrize("either_world", _either(pytest.mark.slow), indirect=True)
#: For a test of `any_world` that `make test` also runs in full Chromium with a context each.
in_both_chromes = pytest.mark.parametrize("any_world", _any(pytest.mark.slow), indirect=True)


@pytest.fixture(scope="module", params=_either(pytest.mark.endurance))
def either_world(request: pytest.FixtureRequest, worlds: Worlds) -> World:
    """A world around headless-shell in either mode of the pool."""
    return _world(worlds, "shell" + request.param)


@pytest.fixture(
    scope="module",
    params=[
        pytest.param("", id="a Chrome each", marks=pytest.mark.endurance),
        pytest.param("-shared", id="a context each", marks=pytest.mark.slow),
    ],
)
def full_either(request: pytest.FixtureRequest, worlds: Worlds) -> World:
    """A world around full Chromium; with a Chrome for each render it is for `make endurance`."""
    return _world(worlds, "chromium" + request.param)


@pytest.fixture(scope="module", params=_any(pytest.mark.endurance))
def any_world(request: pytest.FixtureRequest, worlds: Worlds) -> World:
    """A world around each program in each mode of the pool; the first is for every suite."""
    return _world(worlds, request.param)
