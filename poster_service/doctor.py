"""`poster-service doctor`: what is found on this machine, a line each, and a test picture.

It changes nothing; what is missing is named with its remedy. It asks
`chrome_setup` how the engine would start Chrome.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from poster_service.browser import installed
from poster_service.chrome_setup import fonts_of, user_of
from poster_service.errors import PosterError
from poster_service.process.user import is_root
from poster_service.render.store import Store
from poster_service.settings import Settings
from poster_service.web.service import Service

#: Scripts that a poster may contain, and the Debian package with a font for each.
FONTS = (
    ("Latin", ":lang=en", "fonts-liberation"),
    ("Chinese", ":lang=zh-cn", "fonts-noto-cjk"),
    ("Japanese", ":lang=ja", "fonts-noto-cjk"),
    ("Korean", ":lang=ko", "fonts-noto-cjk"),
    ("emoji", ":lang=und-zsye", "fonts-noto-color-emoji"),
    ("Thai", ":lang=th", "fonts-noto-core"),
    ("Hindi", ":lang=hi", "fonts-noto-core"),
    ("Arabic", ":lang=ar", "fonts-noto-core"),
)


def chrome_path(settings: Settings) -> Path:
    """The Chrome that would be used.

    Raises:
        ChromeNotFound: With the line that installs one.
    """
    return installed.find(settings.chrome)


async def examine(settings: Settings) -> int:
    """Print all findings; the exit status is 0 only when the test picture was rendered."""
    ok = True
    for name, finding in findings(settings):
        _say(name, finding)
    if settings.redis_url is not None:
        _say("redis", await redis(settings.redis_url))
    try:
        _say("test picture", await _test_picture(settings))
    except PosterError as error:
        _say("test picture", f"FAILED: {error}")
        ok = False
    return 0 if ok else 1


def findings(settings: Settings) -> Iterator[tuple[str, str]]:
    """Everything that can be seen without starting the service."""
    try:
        program = chrome_path(settings)
        yield "chrome", str(program)
        yield "version", installed.version(program)
    except PosterError as error:
        yield "chrome", f"MISSING: {error}"
    yield "user", user(settings)
    yield "user namespaces", user_namespaces()
    yield from ((f"fonts, {name}", font(pattern, package)) for name, pattern, package in FONTS)
    yield "fonts, yours", own_fonts(settings)
    yield "avif", avif()
    yield "init", init()
    yield "/dev/shm", free(Path("/dev/shm"))  # noqa: S108 - looked at, not written to
    yield "work folder", f"{settings.work_dir}, {free(settings.work_dir.parent)}"
    yield "cgroup", cgroup()
    yield "limits", limits()


def user(settings: Settings) -> str:
    """The user of the service, and the user of Chrome."""
    try:
        other = user_of(settings)
    except PosterError as error:
        return f"WRONG: {error}"
    if other is not None:
        return f"uid {os.geteuid()}; Chrome runs as {other}"
    return f"uid {os.geteuid()}, Chrome too{' (root: it refuses its sandbox)' * is_root()}"


def user_namespaces() -> str:
    """Whether unprivileged user namespaces, which the sandbox needs, are allowed."""
    switches = {
        "/proc/sys/kernel/unprivileged_userns_clone": "0",
        "/proc/sys/user/max_user_namespaces": "0",
        "/proc/sys/kernel/apparmor_restrict_unprivileged_userns": "1",
    }
    for name, closed in switches.items():
        if read(name) == closed:
            return f"closed by {name}={closed}"
    return "allowed by the kernel's switches (a container's seccomp profile may still refuse)"


def font(pattern: str, package: str) -> str:
    """The font that fontconfig chooses for a language."""
    if shutil.which("fc-list") is None:
        return "unknown: fc-list is not installed (package fontconfig)"
    listed = subprocess.run(  # noqa: S603 - fixed arguments
        ["fc-list", pattern, "family"], capture_output=True, text=True, check=False  # noqa: S607
    )  # fmt: skip
    families = sorted({line.split(",")[0] for line in listed.stdout.splitlines() if line})
    if not families:
        return f"MISSING: apt-get install -y {package}"
    return f"{families[0]}{f' and {len(families) - 1} more' if len(families) > 1 else ''}"


def own_fonts(settings: Settings) -> str:
    """The folders of POSTER_FONTS, and whether Chrome could use them."""
    try:
        fonts_of(settings, user_of(settings))
    except PosterError as error:
        return f"WRONG: {error}"
    return ", ".join(map(str, settings.fonts)) or "none (set POSTER_FONTS to add folders)"


def avif() -> str:
    """Whether the format avif can be answered."""
    from poster_service.render.encode import writes_avif

    if not writes_avif():
        return "MISSING: this Pillow has no libavif; pip install --only-binary :all: pillow"
    return "written by Pillow"


def init() -> str:
    """What PID 1 is; `serve` runs under poster-init where it is not PID 1 itself."""
    name = read("/proc/1/comm") or "unknown"
    return f"PID 1 is {name!r}; serve starts under poster-init"


def free(folder: Path) -> str:
    """Free space of the file system a folder is on."""
    try:
        return f"{shutil.disk_usage(folder).free >> 20} MiB free"
    except OSError as error:
        return f"cannot be read: {error.strerror}"


def cgroup() -> str:
    """Which cgroup version, and the limits it sets on us, where readable."""
    if Path("/sys/fs/cgroup/cgroup.controllers").exists():
        names = {"memory": "memory.max", "pids": "pids.max"}
        version, root = "v2", Path("/sys/fs/cgroup")
    else:
        names = {"memory": "memory/memory.limit_in_bytes", "pids": "pids/pids.max"}
        version, root = "v1", Path("/sys/fs/cgroup")
    shown = ", ".join(f"{name} {read(root / file) or 'not shown'}" for name, file in names.items())
    return f"{version}; {shown}"


def limits() -> str:
    """The limits a Chrome runs into first."""
    import resource

    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    processes = resource.getrlimit(resource.RLIMIT_NPROC)[0]
    inotify = read("/proc/sys/fs/inotify/max_user_instances")
    shown = "unlimited" if processes == resource.RLIM_INFINITY else processes
    return f"open files {files}, processes {shown}, inotify instances {inotify} (2 a Chrome)"


async def redis(address: str) -> str:
    """Whether the Redis of cached pictures answers; its address may hold a password."""
    store = Store(address, 1)
    wrong = await store.ping()
    await store.close()
    return f"FAILS (renders work without it): {wrong}" if wrong else "answers"


def read(file: str | Path) -> str:
    """A small file's text, "" when it cannot be read."""
    try:
        return Path(file).read_text().strip()
    except OSError:
        return ""


async def _test_picture(settings: Settings) -> str:
    service = Service.build(settings)  # with all that `serve` refuses to start for
    await service.start()
    spec = service.engine.pool.spec
    await service.stop()
    return f"rendered; Chrome's sandbox is {spec.sandbox.value}, its user {spec.user or 'ours'}"


def _say(name: str, finding: str) -> None:
    print(f"{name + ':':18} {finding}", flush=True)  # noqa: T201 - the command's own words
