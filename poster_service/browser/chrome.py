"""One Chrome: where it is, how it is started, what "ready" means, how it ends.

A Chrome never shares a folder, a session or a shim with another. It is ready when its page is
attached and answers, not when its process exists.
"""

import asyncio
import contextlib
import logging
import os
import re
import secrets
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from poster_service.browser import frames
from poster_service.browser.fonts import Fonts
from poster_service.browser.page import PosterPage
from poster_service.browser.page_factory import PageFactory
from poster_service.browser.pipe import PipeConnection
from poster_service.browser.types import ViewportHint
from poster_service.errors import ChromeDied, ChromeNotFound, ChromeNotStarted
from poster_service.process import census
from poster_service.process.cgroup import CannotLimit, Cgroups, remove
from poster_service.process.exits import gone
from poster_service.process.forkserver import ForkServer
from poster_service.process.spawn import CannotGive, Command, Ending, Group, pipes
from poster_service.process.user import User
from poster_service.stats import ignore

logger = logging.getLogger(__name__)

#: In this order: headless-shell costs a quarter of full Chrome's CPU (FACTS: 195 to 844 ms a
#: life). Debian's /usr/bin/chromium* are shell wrappers that add switches and 14 ms of CPU, so the
#: programs behind them come first.
CANDIDATES = (
    "/usr/lib/chromium/chromium-headless-shell",
    "chromium-headless-shell",
    "chrome-headless-shell",
    "/usr/lib/chromium/chromium",
    "chromium",
    "chromium-browser",
    "/opt/google/chrome/chrome",
    "google-chrome",
    "google-chrome-stable",
    "chrome",
)
INSTALL_LINE = (
    "apt-get install -y chromium-headless-shell fontconfig fonts-liberation fonts-noto-core"
    " fonts-noto-cjk fonts-noto-color-emoji"
)

#: Blink's own settings; Chrome heeds one switch with all of them.
#:
#: `mainFrameClipsContent=false`: what lies outside the viewport can be painted too. Full pages are
#: taken by a clip (capture.py). What nothing asks for is not rasterised: no CPU more for a poster
#: (100 to 102 ms a render, both ways), 5 % for the viewport of a page of 400 boxes with shadows.
#: `lazyLoadEnabled=false`: `loading=lazy` means nothing, so that what is lazy is there wherever it
#: is: below the viewport, in frames, and in shadow trees that no script can look into.
BLINK_SETTINGS = ("mainFrameClipsContent=false", "lazyLoadEnabled=false")

#: What every Chrome gets. The pictures are byte for byte those of a Chrome without the lean ones,
#: at 195 instead of 251 ms of CPU and 4 instead of 6 processes (FACTS, "Switches").
SWITCHES = (
    "--headless",
    "--remote-debugging-pipe",
    "--no-first-run",
    "--no-default-browser-check",
    "--hide-scrollbars",
    "--mute-audio",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-dev-shm-usage",  # nothing with 156, which uses memfd; older ones need it in Docker
    "--disable-sync",
    "--disable-gpu",
    "--incognito",  # leaves no file behind at all with headless-shell
    # Chrome itself has no network: everything a page fetches goes through the service, which
    # decides on the resolved address (render/assets.py). The discard port refuses what is left.
    "--proxy-server=http://127.0.0.1:9",
    "--proxy-bypass-list=<-loopback>",
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--force-webrtc-ip-handling-policy=disable_non_proxied_udp",
    f"--blink-settings={','.join(BLINK_SETTINGS)}",
    # Otherwise a picture that is large or says decoding=async is left out of a screenshot that
    # comes before it is decoded; one in a tree closed to scripts cannot be decoded before.
    "--disable-checker-imaging",
    "--block-new-web-contents",  # headless-shell opens no window; page.py closes those of others
)


#: Without WebGL, and with it: painted by SwiftShader on the CPU, which is off where no other switch
#: says so (Chrome 137 and later), in the GPU process or, as here, inside the browser process.
NO_WEBGL = ("--disable-software-rasterizer",)
WEBGL = ("--enable-unsafe-swiftshader",)

#: fontconfig's configuration in the lease folder, where the operator has fonts of his own.
FONTS_CONFIG = "fonts.conf"

#: Where headless-shell logs to, in the lease folder: a link to /dev/null. Otherwise it writes a
#: page's console to its stderr, 440 MB in 2.5 s (measured), and no log level changes that. What it
#: says when it does not start still comes on stderr. The device is not named itself, lest a Chrome
#: that begins by removing an old log removes that. Full Chromium writes no console, unless told so.
CONSOLE = "console"

#: Where full Chromium reads what a person would have set, in the lease folder, and what is set: no
#: viewer of PDFs. It is an extension with a renderer of its own, which a page could start by a
#: frame, and which at times never gets ready, so that neither does the page. headless-shell has
#: none.
PREFERENCES = Path("profile", "Default", "Preferences")
PREFERRED = '{"plugins":{"always_open_pdf_externally":true}}'

#: What is kept of a Chrome's stderr at most, in bytes of disk.
MAX_STDERR_BYTES = 1 << 20

#: How long a page may take to be gone after its render, with the next one opened, in seconds;
#: then its Chrome is replaced.
RENEW_SECONDS = 5.0

#: Fewer processes: GPU and network inside the browser process, no crash handlers (of full Chrome,
#: which leave the group). Left out only in the tests that hit each of these.
FEWER_PROCESSES = (
    "--in-process-gpu",
    "--enable-features=NetworkServiceInProcess2",
    "--disable-crashpad-for-testing",
    # It is there for GPU and network processes, of which there are none; renderers come from the
    # other, sandboxed one. A start of a Chrome less: 11 % of the CPU of a whole life (measured).
    "--no-unsandboxed-zygote",
    # A renderer that full Chromium starts ahead for a next page, which never comes.
    "--disable-features=SpareRendererForSitePerProcess",
)


class Sandbox(Enum):
    """Whether Chrome's own sandbox is on."""

    ON = "on"
    OFF = "off"


@dataclass(frozen=True)
class ChromeSpec:
    """What all Chromes of one service share.

    Attributes:
        program: Absolute path.
        sandbox: Chrome's own sandbox, on or off.
        home: Folder that lease folders are made in.
        instance: Number of this service's life, part of every tag.
        start_timeout: Seconds for one Chrome to become ready.
        renders: How many renders one Chrome serves, each in a browser context of its own if more
            than one.
        cgroups: Where the control groups of leases are made; makes none where no limit is set.
        user: Whom Chrome runs as; None is the service's own user.
        usual: What their pages are prepared for.
        server: Forks their shims; without one each is run by path.
        fonts: The fonts that they find.
        webgl: Whether pages have WebGL, painted by the CPU.
    """

    program: Path
    sandbox: Sandbox
    home: Path
    instance: int
    start_timeout: float
    renders: int = 1
    cgroups: Cgroups = field(default_factory=lambda: Cgroups(()))
    user: User | None = None
    usual: ViewportHint = field(default_factory=ViewportHint, compare=False)
    server: ForkServer | None = field(default=None, compare=False)
    fonts: Fonts = field(default_factory=Fonts, compare=False)
    webgl: bool = False


def new_instance() -> int:
    """A number for this life of the service; part of the tag, so never 0."""
    return secrets.randbelow((1 << census.INSTANCE_BITS) - 1) + 1


def find(chosen: Path | None, environ: Mapping[str, str] = os.environ) -> Path:
    """The Chrome to use: the one chosen, else the first candidate there is.

    Raises:
        ChromeNotFound: With the line that installs one.
    """
    if chosen is not None:
        found = shutil.which(chosen, path=environ.get("PATH"))
        if found is None:
            raise ChromeNotFound(f"POSTER_CHROME={chosen}: no such program")
        return Path(found).absolute()
    for candidate in CANDIDATES:
        if found := shutil.which(candidate, path=environ.get("PATH")):
            return Path(found).absolute()
    raise ChromeNotFound(f"no Chrome found; install one: {INSTALL_LINE}")


def version(program: Path) -> str:
    """What `--version` prints, e.g. "Chromium 156.0.8078.79".

    Raises:
        ChromeNotStarted: The program does not run.
    """
    try:
        told = subprocess.run(  # noqa: S603 - a path of ours or the operator's
            [program, "--version"], capture_output=True, text=True, timeout=20, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise ChromeNotStarted(f"{program} --version does not run: {error}") from error
    return " ".join(told.stdout.split())


def argv(spec: ChromeSpec, folder: Path) -> list[str]:
    """The whole command line of one Chrome."""
    switches = [*SWITCHES, f"--user-data-dir={folder / 'profile'}"]
    switches += WEBGL if spec.webgl else NO_WEBGL
    if os.environ.get("POSTER_TEST_ALL_PROCESSES") != "1":
        switches += FEWER_PROCESSES
    if supports_begin_frame(spec):
        switches.append(f"--enable-logging={folder / CONSOLE}")
    if spec.sandbox is Sandbox.OFF:
        switches.append("--no-sandbox")
    if supports_begin_frame(spec):
        # Without an address it opens no page when it is driven over the pipe: one that was not
        # made for it has a clock of its own.
        return [str(spec.program), *switches, *frames.SWITCHES]
    return [str(spec.program), *switches, "about:blank"]


def supports_begin_frame(spec: ChromeSpec) -> bool:
    """Whether this Chrome lets its display clock be ticked by others: headless-shell does."""
    return "headless" in spec.program.name


def environment(folder: Path, fonts: Fonts) -> dict[str, str]:
    """All that Chrome sees of an environment: nothing of the service's, all folders one."""
    here = str(folder)
    folders = ("HOME", "TMPDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME")
    passed = {name: os.environ[name] for name in ("TZ", "LANG", "LC_ALL") if name in os.environ}
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        **passed,
        **fonts.environment(folder / FONTS_CONFIG),
        **dict.fromkeys((*folders, "XDG_RUNTIME_DIR"), here),
        # There is no bus for it; an address that cannot be had saves the search.
        "DBUS_SESSION_BUS_ADDRESS": "disabled:",
    }


class Chrome:
    """A running, ready Chrome with its one page; made by `start`."""

    def __init__(
        self, group: Group, connection: PipeConnection, door: PageFactory, page: PosterPage
    ) -> None:
        self.group = group
        self.page = page
        self._connection = connection
        self._door = door

    @classmethod
    async def start(
        cls, spec: ChromeSpec, lease: int, on_unready: Callable[[Ending], None] = ignore
    ) -> "Chrome":
        """Start a Chrome and wait until its page answers.

        `on_unready` is told the ending of one that did not get that far.

        Raises:
            ChromeNotStarted: It died or was not ready in time. Nothing of it is left then.
        """
        group, connection = _launch(spec, lease)
        try:
            async with asyncio.timeout(spec.start_timeout):
                door = await PageFactory.open(
                    connection, spec.usual, supports_begin_frame=supports_begin_frame(spec)
                )
                page = await door.new_page(own_context=spec.renders > 1)
        except BaseException as error:  # a cancelled one is ended and seen gone all the same
            connection.lost()
            group.end()
            await _see_out(group, on_unready)
            spec.usual.forget()
            said = group.errors()
            if isinstance(error, TimeoutError):
                raise _not_started(
                    spec, f"not ready after {spec.start_timeout:g} s", said
                ) from error
            if isinstance(error, ChromeDied):
                raise _not_started(spec, "it left at once", said) from error
            raise
        return cls(group, connection, door, page)

    async def renew(self) -> None:
        """Close the page with all that its context holds, open the next one, see the last one gone.

        Raises:
            ChromeDied: It is not as good as new, and must be replaced.
        """
        try:
            async with asyncio.timeout(RENEW_SECONDS):
                renderers = await self._close_page()
                self.page = await self._door.new_page(own_context=True)
                await gone(renderers)
        except TimeoutError as error:
            raise ChromeDied(f"a page was not gone after {RENEW_SECONDS:g} s") from error

    async def _close_page(self) -> list[int]:
        """See the page's processes dead; which they were.

        Of a Chrome that has told too much, answers are not heard either.

        Raises:
            ChromeDied: It has, or it is gone.
        """
        closing = asyncio.ensure_future(self._door.close(self.page))
        flooded = self._connection.flooded
        ends: set[asyncio.Future[Any]] = {closing, flooded}
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if flooded.done():
                raise ChromeDied("it told too much")
            return closing.result()
        finally:
            closing.cancel()

    @property
    def lost(self) -> "asyncio.Future[None]":
        """Done when the pipe to Chrome is closed, from whichever side."""
        return self._connection.closed

    def trim(self) -> None:
        """Keep small what it writes to its stderr, of which a page may have its share."""
        self.group.trim_errors(MAX_STDERR_BYTES)

    def memory(self) -> int:
        """Bytes of memory that its processes hold for themselves or share among them.

        The walk along parents is enough here: it is a page's memory that is watched, and a page
        cannot start processes of its own. 0.9 ms of CPU; what is shared counts once for each.
        """
        return census.memory_below(self.group.shim_pid)

    def end(self) -> None:
        """Kill it; returns at once. `group.wait_gone` tells when nothing is left.

        The pipe is closed by its death: closed before, it would have Chrome begin to leave by
        itself, which costs CPU for nothing.
        """
        self.group.end()
        self.group.on_gone(lambda _: self._connection.lost())

    async def wait_gone(self) -> Ending:
        """Wait until nothing of it is left, neither process nor folder."""
        return await self.group.wait_gone()


def drop(folder: Path) -> None:
    """Remove a lease folder that no Chrome has written to; needs no descriptor, unlike rmtree."""
    with contextlib.suppress(OSError):
        for name in ("stderr", CONSOLE, PREFERENCES, FONTS_CONFIG):
            (folder / name).unlink(missing_ok=True)
        for made in (*_folders(folder), folder):
            made.rmdir()


def _folders(folder: Path) -> list[Path]:
    """The folders in a lease folder that its Chrome finds there, the innermost first."""
    made = [folder / PREFERENCES.parent, folder / PREFERENCES.parent.parent]
    return [one for one in made if one.is_dir()]


def _furnish(spec: ChromeSpec, folder: Path) -> None:
    """Put into a lease folder what its Chrome is to find there."""
    (folder / CONSOLE).symlink_to(os.devnull)
    _give(folder / FONTS_CONFIG, spec.fonts.config())
    if not supports_begin_frame(spec):
        file = folder / PREFERENCES
        file.parent.mkdir(parents=True)
        _give(file, PREFERRED)


def _give(file: Path, text: str) -> None:
    file.write_text(text)
    file.chmod(0o644)  # whatever our umask: it may be another user who reads it


def _launch(spec: ChromeSpec, lease: int) -> tuple[Group, PipeConnection]:
    try:
        groups = spec.cgroups.make(f"poster-{spec.instance:x}-{lease}")
    except CannotLimit as error:
        raise ChromeNotStarted(f"no control group for a Chrome: {error}") from error
    folder = spec.home / str(lease)
    try:
        folder.mkdir(mode=0o700)
    except OSError as error:
        remove(groups)
        raise ChromeNotStarted(f"cannot make the lease folder: {error.strerror}") from error
    undo = contextlib.ExitStack()
    undo.callback(remove, groups)
    undo.callback(drop, folder)
    try:
        _furnish(spec, folder)
        (commands, commands_held), (replies_held, replies) = pipes(2)
    except OSError as error:
        undo.close()
        raise ChromeNotStarted(f"cannot make its files or pipes: {error.strerror}") from error
    undo.callback(os.close, commands_held)
    undo.callback(os.close, replies_held)
    command = Command(
        argv=argv(spec, folder),
        folder=folder,
        tag=census.make_tag(spec.instance, lease),
        environment=environment(folder, spec.fonts),
        descriptors=((3, commands), (4, replies)),
        groups=groups,
        user=spec.user,
        folders=_folders(folder),
        # Off only in the tests that show what reaping prevents.
        reap=os.environ.get("POSTER_TEST_NO_REAP") != "1",
    )
    try:
        group = Group.start(command, spec.server)
    except OSError as error:
        undo.close()
        raise ChromeNotStarted(
            f"cannot start a process: {error.strerror}", user=isinstance(error, CannotGive)
        ) from error
    undo.pop_all()  # the group owns the folder now, the connection the descriptors
    return group, PipeConnection(replies_held, commands_held)


#: The shim's word that the user may not, or cannot be: EPERM, EACCES, EINVAL. Anything else (no
#: memory, no processes, no such program) is no reason to make Chrome root.
_NOT_LET = re.compile(r"shim: cannot start .*\[Errno (1|13|22)\]")


async def _see_out(group: Group, on_unready: Callable[[Ending], None]) -> None:
    """Wait until nothing of a group is left; cancelled meanwhile, wait on, and then be cancelled.

    Its place in the books comes back with our return, and a pool that closes cancels its starts,
    those too that have failed and are being ended. The backstops bound the wait.
    """
    gone = asyncio.ensure_future(group.wait_gone())
    cut_off: asyncio.CancelledError | None = None
    while not gone.done():
        try:
            await asyncio.wait([gone])
        except asyncio.CancelledError as error:
            cut_off = error
    on_unready(gone.result())
    if cut_off is not None:
        raise cut_off


def _not_started(spec: ChromeSpec, what: str, said: str) -> ChromeNotStarted:
    """One sentence of a Chrome that did not come up; all that it said goes to the debug log."""
    logger.debug("Chrome said: %s", said)
    sandbox = "sandbox" in said.lower()
    user = spec.user is not None and bool(_NOT_LET.search(said))
    whom = f" as {spec.user}" if user else ""
    message = f"Chrome does not start{whom}: {what}; {_gist(said)}"
    return ChromeNotStarted(message, sandbox=sandbox, user=user)


def _gist(said: str) -> str:
    """The last line that tells something, without Chrome's own prefix of time and place."""
    lines = [line for line in said.splitlines() if "dbus" not in line and line.strip()]
    fatal = [line for line in lines if "FATAL" in line or "sandbox" in line or "shim:" in line]
    return (fatal or lines or ["it said nothing"])[-1].strip()
