"""How the settings say that Chrome is started: its user, sandbox, fonts and control groups.

Used by the engine, which starts Chromes, and by `doctor`, which only reports.
"""

import os
from dataclasses import replace
from pathlib import Path

from poster_service.browser.fonts import FontOptions, Fonts, check_folders, default_language
from poster_service.browser.spec import ChromeSpec, Sandbox, new_instance, with_test_switches
from poster_service.errors import ChromeNotStarted, InvalidSettings
from poster_service.process import cgroup
from poster_service.process.cgroup import CannotLimit, Cgroups
from poster_service.process.forkserver import ForkServer
from poster_service.process.user import UNUSED, User, is_root, missing_capabilities, named
from poster_service.settings import Settings


def chrome_spec(settings: Settings, program: Path) -> ChromeSpec:
    """How to start this Chrome, for a new instance of the service.

    Raises:
        InvalidSettings: The user, the fonts or the control groups are not available here.
    """
    user = user_of(settings)
    instance = new_instance()
    spec = ChromeSpec(
        program=program,
        sandbox=sandbox_of(settings, user),
        instance_dir=settings.work_dir / f"{instance:x}",
        instance=instance,
        start_timeout=settings.start_timeout_ms / 1000,
        renders=settings.renders_per_chrome,
        page_renders=settings.renders_per_page,
        page_seconds=settings.warm_page_seconds,
        cgroups=_cgroups(settings),
        user=user,
        server=ForkServer(),
        fonts=fonts_of(settings, user),
        webgl=settings.webgl,
    )
    return with_test_switches(spec, os.environ)


def without_what_failed(
    spec: ChromeSpec, settings: Settings, error: ChromeNotStarted
) -> ChromeSpec:
    """How to start Chrome after a failure: without what failed, where the settings allow that.

    Only Chrome's own message turns its sandbox off, and only the shim's makes it root: never a slow
    start, or one that failed for another reason.

    Raises:
        ChromeNotStarted: There is nothing to leave out, or the settings require it.
    """
    if error.user:
        if settings.chrome_user != "auto":
            raise ChromeNotStarted(f"POSTER_CHROME_USER={settings.chrome_user}: {error}") from error
        return replace(spec, user=None, sandbox=sandbox_of(settings, None))
    if spec.sandbox is Sandbox.OFF or not error.sandbox:
        raise error
    if settings.sandbox == "require":
        raise ChromeNotStarted(f"POSTER_SANDBOX=require: {error}") from error
    return replace(spec, sandbox=Sandbox.OFF)


def fonts_of(settings: Settings, user: User | None) -> Fonts:
    """The fonts that Chrome is to find.

    Raises:
        InvalidSettings: A folder of POSTER_FONTS is missing, empty or closed to Chrome's user.
    """
    check_folders(settings.fonts, None if user is None else (user.uid, user.gid))
    language = settings.language or default_language(os.environ)
    return Fonts(FontOptions(settings.fonts, language), settings.work_dir / "fonts")


def user_of(settings: Settings) -> User | None:
    """The user that Chrome runs as; None for the service's own.

    Raises:
        InvalidSettings: The setting names a user that Chrome cannot have here.
    """
    chosen = settings.chrome_user
    if chosen == "same" or (chosen == "auto" and (not is_root() or missing_rights())):
        return None
    if chosen == "auto":
        return UNUSED
    try:
        user = named(chosen)
    except ValueError as error:
        raise InvalidSettings(f"POSTER_CHROME_USER={chosen}: {error}") from error
    if user.uid == os.geteuid() and (":" not in chosen or user.gid == os.getegid()):
        return None
    if not is_root():
        raise InvalidSettings(
            f"POSTER_CHROME_USER={chosen}: only root can run Chrome as another user, and this"
            f" service is uid {os.geteuid()}"
        )
    if lacks := missing_rights():
        raise InvalidSettings(f"POSTER_CHROME_USER={chosen}: {lacks}")
    return user


def missing_rights() -> str:
    """What this service lacks to run Chrome as another user; "" for nothing known."""
    missing = missing_capabilities()
    if not missing:
        return ""
    return f"this service lacks the capabilities {', '.join(missing)} (docker run --cap-add)"


def sandbox_of(settings: Settings, user: User | None) -> Sandbox:
    """Whether Chrome's sandbox is tried first."""
    root = is_root() and user is None  # Chrome refuses its sandbox as root
    off = settings.sandbox == "off" or (settings.sandbox == "auto" and root)
    return Sandbox.OFF if off else Sandbox.ON


def _cgroups(settings: Settings) -> Cgroups:
    memory = settings.chrome_memory_mib
    limits = cgroup.Limits(None if memory is None else memory << 20, settings.chrome_pids)
    try:
        return Cgroups.find(limits)
    except CannotLimit as error:
        raise InvalidSettings(
            "POSTER_CHROME_MEMORY_MIB and POSTER_CHROME_PIDS need a control group that this service"
            f" can write to: {error}"
        ) from error
