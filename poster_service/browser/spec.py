"""What all Chromes of one service share, and the command line and environment that follow from it.

Its own file because every switch has a reason that was measured, and nothing here starts anything.
"""

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path

from poster_service.browser import frames
from poster_service.browser.fonts import Fonts
from poster_service.browser.types import ViewportHint
from poster_service.process import census
from poster_service.process.cgroup import Cgroups
from poster_service.process.forkserver import ForkServer
from poster_service.process.user import User

#: Blink's own settings; Chrome reads one switch with all of them.
#:
#: `mainFrameClipsContent=false`: what lies outside the viewport can be painted too. Full pages are
#: captured with a clip (capture.py). What is not asked for is not rasterised: no CPU more for a
#: poster (100 to 102 ms a render, both ways), 5 % for the viewport of a page of 400 boxes with
#: shadows.
#: `lazyLoadEnabled=false`: `loading=lazy` has no effect, so that lazy content loads at any place:
#: below the viewport, in frames, and in shadow trees that no script can look into.
BLINK_SETTINGS = ("mainFrameClipsContent=false", "lazyLoadEnabled=false")

#: What every Chrome gets. The pictures are byte for byte those of a Chrome without the switches
#: that save resources, at 195 instead of 251 ms of CPU and 4 instead of 6 processes (docs/facts.md,
#: "Switches").
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
    "--disable-dev-shm-usage",  # no effect in 156, which uses memfd; older ones need it in Docker
    "--disable-sync",
    "--disable-gpu",
    "--incognito",  # with it headless-shell leaves no file at all
    # Chrome itself has no network: everything a page fetches goes through the service, which
    # decides on the resolved address (fetch/client.py). The discard port refuses what is left.
    "--proxy-server=http://127.0.0.1:9",
    "--proxy-bypass-list=<-loopback>",
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--force-webrtc-ip-handling-policy=disable_non_proxied_udp",
    f"--blink-settings={','.join(BLINK_SETTINGS)}",
    # Otherwise a screenshot leaves out a large or decoding=async picture that is not decoded yet,
    # and scripts cannot wait for one in a closed shadow tree.
    "--disable-checker-imaging",
    "--block-new-web-contents",  # headless-shell opens no window; page.py closes full Chromium's
)

#: Without WebGL, and with it: SwiftShader paints it on the CPU. Since Chrome 137 that is off unless
#: a switch asks for it. It runs in the GPU process or, as here, inside the browser process.
NO_WEBGL = ("--disable-software-rasterizer",)
WEBGL = ("--enable-unsafe-swiftshader",)

#: Where headless-shell logs to, in the lease folder: a link to /dev/null. Otherwise it writes a
#: page's console to its stderr, 440 MB in 2.5 s (measured), and no log level changes that. What it
#: writes when it does not start still comes on stderr. The device itself is not named, so that a
#: Chrome that begins by removing an old log file cannot remove the device. Full Chromium writes no
#: console unless a switch asks for it.
CONSOLE = "console"

#: fontconfig's configuration in the lease folder, where the operator has fonts of his own.
FONTS_CONFIG = "fonts.conf"

#: Fewer processes: GPU and network inside the browser process, no crash handlers (full Chrome's
#: leave the process group).
FEWER_PROCESSES = (
    "--in-process-gpu",
    "--enable-features=NetworkServiceInProcess2",
    "--disable-crashpad-for-testing",
    # This zygote serves GPU and network processes, of which there are none; renderers come from the
    # other, sandboxed zygote. Saves 11 % of the CPU of a Chrome's whole life (measured).
    "--no-unsandboxed-zygote",
    # Full Chromium starts a renderer ahead for a next page, which never comes, and loads pages of
    # its address bar, unseen: 0.8 of its 1.3 s of CPU to start, and 60 MiB (measured).
    "--disable-features=SpareRendererForSitePerProcess,WebUIOmniboxPopup,WebUIOmniboxAimPopup",
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
        instance_dir: Folder in which lease folders are created.
        instance: Number of this run of the service, part of every tag.
        start_timeout: Seconds for one Chrome to become ready.
        renders: How many renders one Chrome serves, each in a browser context of its own if more
            than one.
        page_renders: How many renders a warm page serves.
        page_seconds: For how long a warm page waits for the next one, in seconds.
        cgroups: Where the control groups of leases are created; creates none where no limit is set.
        user: The user that Chrome runs as; None is the service's own.
        viewport_hint: What their pages are prepared with.
        server: Forks their shims; without one each is run by path.
        fonts: The fonts that they find.
        webgl: Whether pages have WebGL, painted by the CPU.
        renew_timeout: How long a page may take to be gone after its render, with the next one
            opened, in seconds; then its Chrome is replaced.
        fewer_processes: Switches that save processes; off only in tests that hit each process.
        reap: Off only in tests that show what reaping prevents.
    """

    program: Path
    sandbox: Sandbox
    instance_dir: Path
    instance: int
    start_timeout: float
    renders: int = 1
    page_renders: int = 200
    page_seconds: float = 300.0
    cgroups: Cgroups = field(default_factory=lambda: Cgroups(()))
    user: User | None = None
    viewport_hint: ViewportHint = field(default_factory=ViewportHint, compare=False)
    server: ForkServer | None = field(default=None, compare=False)
    fonts: Fonts = field(default_factory=Fonts, compare=False)
    webgl: bool = False
    renew_timeout: float = 5.0
    fewer_processes: bool = True
    reap: bool = True


def new_instance() -> int:
    """A random number for this run of the service; part of the tag, so never 0."""
    return secrets.randbelow((1 << census.INSTANCE_BITS) - 1) + 1


def with_test_switches(spec: ChromeSpec, environ: Mapping[str, str]) -> ChromeSpec:
    """The spec with what tests of a whole service set by its environment.

    POSTER_TEST_ALL_PROCESSES=1 starts Chromes with all their processes, POSTER_TEST_NO_REAP=1 has
    their shims leave zombies. Read once, where the service is put together.
    """
    return replace(
        spec,
        fewer_processes=environ.get("POSTER_TEST_ALL_PROCESSES") != "1",
        reap=environ.get("POSTER_TEST_NO_REAP") != "1",
    )


def supports_begin_frame(spec: ChromeSpec) -> bool:
    """Whether this Chrome lets its client drive the display clock: headless-shell does."""
    return "headless" in spec.program.name


def argv(spec: ChromeSpec, folder: Path) -> list[str]:
    """The whole command line of one Chrome; `folder` is its lease folder."""
    switches = [*SWITCHES, f"--user-data-dir={folder / 'profile'}"]
    switches += WEBGL if spec.webgl else NO_WEBGL
    if spec.fewer_processes:
        switches += FEWER_PROCESSES
    if supports_begin_frame(spec):
        switches.append(f"--enable-logging={folder / CONSOLE}")
    if spec.sandbox is Sandbox.OFF:
        switches.append("--no-sandbox")
    if supports_begin_frame(spec):
        # Without an address headless-shell opens no page when it is driven over the pipe; a page
        # that it opens by itself has its own display clock.
        return [str(spec.program), *switches, *frames.SWITCHES]
    return [str(spec.program), *switches, "about:blank"]


def environment(folder: Path, fonts: Fonts) -> dict[str, str]:
    """The whole environment of one Chrome: nothing of the service's, every folder is `folder`."""
    here = str(folder)
    folders = ("HOME", "TMPDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME")
    passed = {name: os.environ[name] for name in ("TZ", "LANG", "LC_ALL") if name in os.environ}
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        **passed,
        **fonts.environment(folder / FONTS_CONFIG),
        **dict.fromkeys((*folders, "XDG_RUNTIME_DIR"), here),
        # There is no bus for it; an invalid address saves the search.
        "DBUS_SESSION_BUS_ADDRESS": "disabled:",
    }
