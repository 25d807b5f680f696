"""All that a render needs: built once, started, proven by a render, stopped in reverse order.

It knows no HTTP. The HTTP service and its workers (`serve`, `work`) and the commands `render`,
`batch` and `doctor` each hold one engine and add what is theirs: connections, jobs, callers' tokens
and quotas, files. Anything else that renders, such as a worker for another queue, does the same:

    engine = Engine(settings)
    await engine.start()
    try:
        request = RenderRequest.parse(given, engine.limits)
        answer = await engine.render(request, RenderContext(caller="..."))
        ...  # answer.rendered has the bytes, the media type and the warnings
    finally:
        await engine.stop()

`stop` cuts off renders that run. To let them finish, first await `drain`. Errors are those of
`errors/`; after `LoadError` and `ChromeDied` a retry makes sense.
"""

import asyncio
import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typing_extensions import TypedDict

from poster_service import clock, telemetry
from poster_service.browser import installed
from poster_service.browser.pool import PoolSize
from poster_service.browser.pools import Pools
from poster_service.browser.spec import Sandbox
from poster_service.buffers import Buffers
from poster_service.chrome_setup import chrome_spec, missing_rights, without_what_failed
from poster_service.errors import ChromeNotStarted, PosterError
from poster_service.fetch.client import Fetcher, FetchLimits
from poster_service.fetch.policy import Policy
from poster_service.logs import event
from poster_service.process.spawn import Ending
from poster_service.process.user import is_root
from poster_service.render.admission import Admission
from poster_service.render.cache import Answer, CacheLimits, RenderCache
from poster_service.render.job import RenderContext
from poster_service.render.job_builder import JobBuilder, PaintIdentity
from poster_service.render.markup import Templates
from poster_service.render.renderer import Renderer
from poster_service.render.request import Limits, RenderRequest
from poster_service.render.store import Store
from poster_service.settings import Settings, processors
from poster_service.stats import Done, ignore
from poster_service.watchdog import Watchdog

logger = logging.getLogger(__name__)

SANDBOX_OFF = (
    "Chrome's sandbox is OFF: a page that breaks out of its renderer is Chrome's user on this"
    " machine. Run Chrome as a user other than root where unprivileged user namespaces are allowed;"
    " in a container also with --security-opt seccomp=docker/seccomp.json. POSTER_SANDBOX=require"
    " refuses to start without it."
)
CHROME_IS_ROOT = (
    "Chrome runs as ROOT: a page that breaks out of it is root here. It could not be run as another"
    " user: {}. POSTER_CHROME_USER names a user and refuses to start without it;"
    " POSTER_CHROME_USER=same confirms that root is intended."
)

#: The page that the service renders to prove that it can.
PROBE = "<!doctype html><title>probe</title><body style='margin:0;background:#0a0'>"


class Checks(TypedDict):
    """What must all be true for this replica to be sent renders."""

    chrome_ready: bool
    rendered_recently: bool
    accepting: bool


@dataclass(frozen=True)
class Observers:
    """Functions that count what happens in an engine; by default nothing is counted.

    Attributes:
        render_done: Called once for each render that Chrome worked on, however it ended.
        chrome_ended: Called with how a Chrome ended, and the seconds until nothing of it was left.
    """

    render_done: Callable[[Done], None] = ignore
    chrome_ended: Callable[[Ending, float], None] = ignore


class Engine:
    """Pool, admission, renderer, cache, fetcher and templates, from one set of settings.

    Attributes:
        limits: What the settings allow a request, for `RenderRequest.parse`.
        templates: The templates, read again when they change.
        admission: Who may render now, and who waits.
        fetcher: Fetches what pages ask for.
        pool: The Chromes, of all isolation levels.
        renderer: Paints a job with a Chrome.
        cache: Finished pictures; it has the renderer paint what is not there.
        jobs: Builds a job from a request.
        recent_seconds: How long ago the last success may be to count as recent.
        buffers: The memory of bodies and pictures in transit.
    """

    def __init__(
        self,
        settings: Settings,
        observers: Observers | None = None,
        templates: Templates | None = None,
    ) -> None:
        """Build every part; starts nothing.

        Args:
            settings: All of them.
            observers: Functions that count what happens; without, nothing is counted.
            templates: Those of `settings.templates`, where they have been read; None to read them.

        Raises:
            OperatorError: There is no Chrome, a template is faulty, or a setting cannot be applied.
        """
        observers = observers or Observers()
        self.settings = settings
        self.limits = limits_of(settings)
        self.templates = templates or Templates(settings.templates, settings.max_data_values)
        program = installed.find(settings.chrome)
        self.admission = Admission(running=settings.concurrency, waiting=settings.queue_size)
        self.fetcher = Fetcher(
            policy_of(settings),
            fetch_limits_of(settings),
            settings.asset_cache_bytes,
            settings.fetch_connections,
        )
        self.pool = _pools(settings, program, observers)
        self.pool.check_pages_by(lambda key: self.templates.version_of(key.template) == key.version)
        self.buffers = Buffers(settings.buffer_limit)
        self.renderer = Renderer(self.pool, self.admission, self.fetcher, self.limits, self.buffers)
        self.cache = RenderCache(
            self.renderer,
            self.admission,
            CacheLimits(settings.cache_bytes, settings.cache_seconds),
            observers.render_done,
            _store(settings),
        )
        identity = PaintIdentity(program, self.pool.spec.fonts)
        self.jobs = JobBuilder(
            self.templates, self.limits, identity, shares_pictures=settings.cache_shared
        )
        self.watchdog = Watchdog(settings.stall_warn_seconds, settings.stall_exit_seconds)
        self.recent_seconds = settings.probe_seconds * 2 + settings.timeout_ms / 1000
        self._tasks: list[asyncio.Task[Any]] = []

    async def render(self, request: RenderRequest, context: RenderContext | None = None) -> Answer:
        """The picture of a request: cached, shared with an equal request, or painted now.

        Raises:
            CallerError: The request cannot be served as it is.
            LoadError: There is no room, or no time left for its turn.
            RenderFailed: The page or its Chrome failed, or time ran out.
        """
        return await self.cache.get(await self.jobs.build(request, context or RenderContext()))

    async def start(self) -> None:
        """Start the first Chrome, prove it by a render, and keep proving it while idle.

        Raises:
            ChromeNotStarted: Chrome does not start, or does not render. Nothing is left running.
        """
        self.watchdog.start()
        fonts = self.pool.spec.fonts
        try:
            await asyncio.to_thread(fonts.prepare)
            if telemetry.is_on():
                program = self.pool.spec.program
                number = await asyncio.to_thread(installed.version_number, program)
                self.renderer.chrome_version = number
            await self._start_pool()
            await self._first_probe()
        except BaseException:  # cancelled too: TERM may come while the first Chrome starts
            await self.stop()
            raise
        loop = asyncio.get_running_loop()
        self._tasks = [
            loop.create_task(self._keep_probing()),
            loop.create_task(self.templates.keep_looking()),
            # Read before the first page needs it.
            loop.create_task(asyncio.to_thread(fonts.coverage)),
        ]

    async def drain(self) -> None:
        """Accept no more renders, and wait until those that run or wait are done."""
        self.admission.close()
        await self.admission.wait_idle()

    async def stop(self) -> None:
        """Accept no more renders and end every Chrome now; returns when nothing of them is left."""
        self.admission.close()
        for task in self._tasks:
            task.cancel()
        await self.cache.close()
        await self.pool.close()
        if self.pool.spec.server is not None:
            self.pool.spec.server.close()
        await self.fetcher.close()
        await self.watchdog.stop()

    async def probe(self) -> None:
        """Render a small page the whole way through, past the cache.

        Raises:
            PosterError: It did not work.
        """
        request = RenderRequest.parse({"html": PROBE, "width": 8, "height": 8}, self.limits)
        await self.cache.paint(await self.jobs.build(request, RenderContext()))

    def last_render_ago(self) -> float | None:
        """Seconds since a render last succeeded; None before the first."""
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

    async def _start_pool(self) -> None:
        """Start the pool, without sandbox or user where that fails and no setting requires it."""
        reason = missing_rights()
        while True:
            try:
                await self.pool.start()
                break
            except ChromeNotStarted as error:
                self.pool.spec = without_what_failed(self.pool.spec, self.settings, error)
                reason = reason or str(error)
        spec = self.pool.spec
        if is_root() and spec.user is None and self.settings.chrome_user == "auto":
            event(logger, logging.WARNING, CHROME_IS_ROOT.format(reason))
        if spec.sandbox is Sandbox.OFF:
            event(logger, logging.WARNING, SANDBOX_OFF)

    async def _first_probe(self) -> None:
        try:
            await self.probe()
        except PosterError as error:
            raise ChromeNotStarted(f"Chrome starts but does not render: {error}") from error

    async def _keep_probing(self) -> None:
        """Render the probe whenever no render has succeeded for a while."""
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
            except Exception:  # an idle service must keep proving itself after any failure
                logger.exception("the probe render failed")


def _pools(settings: Settings, program: Path, observers: Observers) -> Pools:
    size = PoolSize(
        ready=settings.ready_chromes,
        capacity=settings.max_chromes,
        most_ready=settings.max_ready_chromes,
        starts=max(2, processors()),
        leases=settings.concurrency,
        warm=settings.warm_pages,
    )
    spec = chrome_spec(settings, program)
    return Pools(spec, size, settings.isolation, on_ending=observers.chrome_ended)


def _store(settings: Settings) -> Store | None:
    """The pictures that replicas share in Redis; None where no Redis is configured.

    Replicas share only where their network policy is the same: a page must not receive by way of
    the cache what it may not fetch.
    """
    if settings.redis_url is None:
        return None
    rules = repr((
        settings.cache_shared, settings.network, settings.allow_private, settings.allow_hosts,
        settings.deny_hosts, settings.webgl,
    ))  # fmt: skip
    realm = hashlib.blake2b(rules.encode(), digest_size=8).hexdigest()
    return Store(settings.redis_url, settings.cache_seconds, realm)


def policy_of(settings: Settings) -> Policy:
    """The addresses from which the settings let pages fetch."""
    return Policy(
        public=settings.network != "none",
        private=settings.allow_private,
        allowed=settings.allow_hosts if settings.network == "allowlist" else None,
        denied=settings.deny_hosts,
    )


def fetch_limits_of(settings: Settings) -> FetchLimits:
    """How much the settings let one page fetch."""
    return FetchLimits(
        timeout=settings.fetch_timeout_ms / 1000,
        max_bytes=settings.fetch_max_bytes,
        max_total_bytes=settings.fetch_total_bytes,
        max_requests=settings.fetch_max_requests,
        max_redirects=settings.fetch_max_redirects,
    )


def limits_of(settings: Settings) -> Limits:
    """The bounds that the settings put on a request."""
    return Limits(
        settings.timeout_ms,
        settings.max_timeout_ms,
        settings.max_pixels,
        settings.page_max_messages,
        settings.page_max_message_bytes,
        settings.page_memory_mib << 20,
        settings.isolation,
        settings.template_isolation,
    )
