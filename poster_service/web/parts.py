"""Every part of a running service in one place: built once, started, stopped in reverse."""

import asyncio
import hashlib
import logging
import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from aiohttp import web
from typing_extensions import TypedDict

from poster_service import clock, credentials
from poster_service.browser import installed
from poster_service.browser.fonts import (
    FontOptions,
    Fonts,
    check_folders,
    default_language,
)
from poster_service.browser.pool import Pool, PoolSize
from poster_service.browser.spec import ChromeSpec, Sandbox, new_instance, with_test_switches
from poster_service.buffers import Buffers
from poster_service.credentials import SigningKey, Token
from poster_service.errors import ChromeNotStarted, InvalidSettings, PosterError
from poster_service.fetch.client import Fetcher, FetchLimits
from poster_service.fetch.policy import Policy
from poster_service.logs import event
from poster_service.process import cgroup
from poster_service.process.cgroup import CannotLimit, Cgroups
from poster_service.process.forkserver import ForkServer
from poster_service.process.user import UNUSED, User, is_root, missing_capabilities, named
from poster_service.render.admission import Admission
from poster_service.render.cache import RenderCache
from poster_service.render.job import Limits, RenderJob
from poster_service.render.markup import Templates
from poster_service.render.renderer import Renderer
from poster_service.render.store import Store
from poster_service.settings import Settings, processors
from poster_service.stats import InFlight
from poster_service.watchdog import Watchdog
from poster_service.web.connections import Connections
from poster_service.web.counters import Counters
from poster_service.web.credential_file import CredentialFile
from poster_service.web.quotas import Quotas

logger = logging.getLogger(__name__)

SANDBOX_OFF = (
    "Chrome's sandbox is OFF: a page that breaks out of its renderer is Chrome's user on this"
    " machine. Run Chrome as a user other than root where unprivileged user namespaces are allowed;"
    " in a container also with --security-opt seccomp=docker/seccomp.json. POSTER_SANDBOX=require"
    " refuses to start without it."
)
CHROME_IS_ROOT = (
    "Chrome runs as ROOT: a page that breaks out of it is root here. It could not be run as another"
    " user: {}. POSTER_CHROME_USER names a user and refuses to start without; same says that root"
    " is meant."
)

#: The page by which the service proves to itself that it renders.
PROBE = "<!doctype html><title>probe</title><body style='margin:0;background:#0a0'>"


class Checks(TypedDict):
    """What must all be true for this replica to be sent renders."""

    chrome_ready: bool
    rendered_recently: bool
    accepting: bool


@dataclass
class Parts:
    """The service without HTTP; `build` makes it, `start` brings it up.

    Attributes:
        recent_seconds: How long ago the last success may be for "recently".
        buffers: The memory of bodies and pictures in transit.
        answers: Requests whose answer has not been sent to its end.
    """

    settings: Settings
    limits: Limits
    templates: Templates
    admission: Admission
    fetcher: Fetcher
    pool: Pool
    renderer: Renderer
    results: RenderCache
    recent_seconds: float
    watchdog: Watchdog
    counters: Counters
    connections: Connections
    tokens: CredentialFile[Token]
    keys: CredentialFile[SigningKey]
    quotas: Quotas
    buffers: Buffers
    answers: InFlight = field(default_factory=InFlight)
    _beside: "list[asyncio.Task[Any]]" = field(default_factory=list)

    async def start(self) -> None:
        """Bring up the first Chrome, prove it by a render, and go on proving.

        Raises:
            ChromeNotStarted: Chrome does not come up, or does not render.
        """
        self.watchdog.start()
        try:
            await asyncio.to_thread(self.pool.spec.fonts.prepare)
            await self._start_pool()
            await self._first_probe()
        except BaseException:  # cancelled too: TERM may come while the first Chrome starts
            await self.stop()
            raise
        loop = asyncio.get_running_loop()
        self._beside = [
            loop.create_task(self._keep_probing()),
            loop.create_task(self.tokens.keep_looking()),
            loop.create_task(self.keys.keep_looking()),
            loop.create_task(self.templates.keep_looking()),
            # Read before the first page asks for it.
            loop.create_task(asyncio.to_thread(self.pool.spec.fonts.coverage)),
        ]

    async def _start_pool(self) -> None:
        """Start the pool; what does not work here and need not, is left out and said so."""
        reason = _why_root()
        while True:
            try:
                await self.pool.start()
                break
            except ChromeNotStarted as error:
                self.pool.spec = self._with_less(error)
                reason = reason or str(error)
        spec = self.pool.spec
        if is_root() and spec.user is None and self.settings.chrome_user == "auto":
            event(logger, logging.WARNING, CHROME_IS_ROOT.format(reason))
        if spec.sandbox is Sandbox.OFF:
            event(logger, logging.WARNING, SANDBOX_OFF)

    def _with_less(self, error: ChromeNotStarted) -> ChromeSpec:
        """How to start Chrome after a failure: without what did not work, where that may be.

        Only Chrome's own word turns its sandbox off, and only the shim's makes it root: no slow or
        failed start of another cause.

        Raises:
            ChromeNotStarted: There is nothing to leave out, or it is required.
        """
        spec, settings = self.pool.spec, self.settings
        if error.user:
            if settings.chrome_user != "auto":
                raise ChromeNotStarted(
                    f"POSTER_CHROME_USER={settings.chrome_user}: {error}"
                ) from error
            return replace(spec, user=None, sandbox=_sandbox(settings, None))
        if spec.sandbox is Sandbox.OFF or not error.sandbox:
            raise error
        if settings.sandbox == "require":
            raise ChromeNotStarted(f"POSTER_SANDBOX=require: {error}") from error
        return replace(spec, sandbox=Sandbox.OFF)

    async def _first_probe(self) -> None:
        try:
            await self.probe()
        except PosterError as error:
            raise ChromeNotStarted(f"Chrome starts but does not render: {error}") from error

    async def probe(self) -> None:
        """Render a small page the whole way through.

        Raises:
            PosterError: It did not work.
        """
        job = RenderJob.parse({"html": PROBE, "width": 8, "height": 8}, self.limits)
        await self.renderer.render(job)

    def last_render_ago(self) -> float | None:
        """Seconds since a render last worked; None when none has."""
        last = self.renderer.last_success
        return None if last is None else clock.now() - last

    def checks(self) -> Checks:
        """What must all be true for this replica to be sent renders."""
        ago = self.last_render_ago()
        return {
            "chrome_ready": self.pool.is_ready,
            "rendered_recently": ago is not None and ago <= self.recent_seconds,
            "accepting": not self.admission.is_closed,
        }

    async def stop(self) -> None:
        """Take no more and end every Chrome now, seen gone."""
        self.admission.close()
        for task in self._beside:
            task.cancel()
        await self.results.close()
        await self.pool.close()
        if self.pool.spec.server is not None:
            self.pool.spec.server.close()
        await self.fetcher.close()
        await self.watchdog.stop()

    async def _keep_probing(self) -> None:
        """Render the probe whenever no caller's render has worked for a while."""
        period = self.settings.probe_seconds
        while True:
            last = self.renderer.last_success or clock.now()
            await asyncio.sleep(max(period - (clock.now() - last), period / 4))
            ago = self.last_render_ago()
            if ago is not None and ago < period:
                continue
            try:
                await self.probe()
            except PosterError as error:
                event(logger, logging.WARNING, f"the probe render failed: {error}", code=error.code)
            except Exception:  # whatever it was: an idle service must go on proving itself
                logger.exception("the probe render failed")


PARTS = web.AppKey("parts", Parts)


def build(settings: Settings) -> Parts:
    """Make every part; starts nothing.

    Raises:
        OperatorError: No Chrome, or templates that are not whole.
    """
    limits = limits_of(settings)
    tokens = CredentialFile(
        settings.tokens, settings.tokens_file, credentials.token, "POSTER_TOKENS_FILE"
    )
    tokens.load()
    keys = keys_of(settings)
    templates = Templates(settings.templates, settings.max_data_values)
    program = installed.find(settings.chrome)
    admission = Admission(running=settings.concurrency, waiting=settings.queue)
    fetcher = Fetcher(
        policy_of(settings),
        fetch_limits_of(settings),
        settings.asset_cache_bytes,
        settings.fetch_connections,
    )
    counters = Counters()
    size = PoolSize(
        ready=settings.ready,
        capacity=settings.chromes,
        most_ready=settings.ready_max,
        starts=max(2, processors()),
    )
    pool = Pool(_spec(settings, program), size, on_ending=counters.chrome_ended)
    buffers = Buffers(settings.buffer_limit)
    renderer = Renderer(pool, admission, templates, fetcher, limits, counters.render_done, buffers)
    results = RenderCache(
        renderer,
        admission,
        program,
        max_bytes=settings.cache_bytes,
        max_seconds=settings.cache_seconds,
        shared=settings.cache_shared,
        store=_store(settings),
        fonts=pool.spec.fonts,
    )
    recent = settings.probe_seconds * 2 + settings.timeout_ms / 1000
    watchdog = Watchdog(settings.watchdog_seconds, settings.wedged_seconds)
    return Parts(
        settings, limits, templates, admission, fetcher, pool, renderer, results, recent, watchdog,
        counters, _connections(settings), tokens, keys,
        Quotas(settings.token_rate, settings.token_burst, settings.token_concurrency), buffers,
    )  # fmt: skip


def _connections(settings: Settings) -> Connections:
    return Connections(settings.max_connections, settings.peer_connections, settings.trusted_peers)


def _store(settings: Settings) -> Store | None:
    """The Redis of those who are let do the same: what one may not fetch it gets from no other."""
    if settings.cache_redis is None:
        return None
    rules = repr((
        settings.cache_shared, settings.network, settings.allow_private, settings.allow_hosts,
        settings.deny_hosts, settings.webgl,
    ))  # fmt: skip
    realm = hashlib.blake2b(rules.encode(), digest_size=8).hexdigest()
    return Store(settings.cache_redis, settings.cache_seconds, realm)


def keys_of(settings: Settings) -> CredentialFile[SigningKey]:
    """The keys that sign addresses.

    Raises:
        InvalidSettings: Their file is faulty.
    """
    keys = CredentialFile(
        settings.signing_keys,
        settings.signing_keys_file,
        credentials.signing_key,
        "POSTER_SIGNING_KEYS_FILE",
    )
    keys.load()
    return keys


def policy_of(settings: Settings) -> Policy:
    """Where the settings let pages fetch from."""
    return Policy(
        public=settings.network != "none",
        private=settings.allow_private,
        allowed=settings.allow_hosts if settings.network == "allowlist" else None,
        denied=settings.deny_hosts,
    )


def fetch_limits_of(settings: Settings) -> FetchLimits:
    """What the settings let one page fetch."""
    return FetchLimits(
        timeout=settings.fetch_timeout_ms / 1000,
        max_bytes=settings.fetch_max_bytes,
        max_total_bytes=settings.fetch_total_bytes,
        max_requests=settings.max_requests,
        max_redirects=settings.max_redirects,
    )


def limits_of(settings: Settings) -> Limits:
    """What the settings allow a job."""
    return Limits(
        settings.timeout_ms,
        settings.max_timeout_ms,
        settings.max_pixels,
        settings.max_messages,
        settings.max_message_bytes,
        settings.page_memory_mb << 20,
    )


def _spec(settings: Settings, program: Path) -> ChromeSpec:
    user = user_of(settings)
    instance = new_instance()
    spec = ChromeSpec(
        program=program,
        sandbox=_sandbox(settings, user),
        instance_dir=settings.work_dir / f"{instance:x}",
        instance=instance,
        start_timeout=settings.start_timeout_ms / 1000,
        renders=settings.renders_per_chrome,
        cgroups=_cgroups(settings),
        user=user,
        server=ForkServer(),
        fonts=fonts_of(settings, user),
        webgl=settings.webgl,
    )
    return with_test_switches(spec, os.environ)


def fonts_of(settings: Settings, user: User | None) -> Fonts:
    """The fonts that Chrome is to find.

    Raises:
        InvalidSettings: A folder of POSTER_FONTS is missing, empty or closed to Chrome's user.
    """
    check_folders(settings.fonts, None if user is None else (user.uid, user.gid))
    language = settings.language or default_language(os.environ)
    return Fonts(FontOptions(settings.fonts, language), settings.work_dir / "fonts")


def user_of(settings: Settings) -> User | None:
    """Whom Chrome is to run as; None for the service's own user.

    Raises:
        InvalidSettings: The setting names a user that Chrome cannot be here.
    """
    chosen = settings.chrome_user
    if chosen == "same" or (chosen == "auto" and (not is_root() or _why_root())):
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
    if lacks := _why_root():
        raise InvalidSettings(f"POSTER_CHROME_USER={chosen}: {lacks}")
    return user


def _why_root() -> str:
    """What keeps this service from running Chrome as another user, "" for nothing known."""
    missing = missing_capabilities()
    if not missing:
        return ""
    return f"this service lacks the capabilities {', '.join(missing)} (docker run --cap-add)"


def _sandbox(settings: Settings, user: User | None) -> Sandbox:
    """What to try first."""
    root = is_root() and user is None  # Chrome refuses its sandbox as root
    off = settings.sandbox == "off" or (settings.sandbox == "auto" and root)
    return Sandbox.OFF if off else Sandbox.ON


def _cgroups(settings: Settings) -> Cgroups:
    memory = settings.chrome_memory_mb
    limits = cgroup.Limits(None if memory is None else memory << 20, settings.chrome_pids)
    try:
        return Cgroups.find(limits)
    except CannotLimit as error:
        raise InvalidSettings(
            f"POSTER_CHROME_MEMORY_MB and POSTER_CHROME_PIDS cannot be kept here: {error}"
        ) from error
