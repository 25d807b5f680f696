"""Settings of what happens behind HTTP: Chrome, renders, what pages fetch, caches."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel

from poster_service.early_settings import default_work_dir
from poster_service.isolation import HtmlIsolation, Isolation
from poster_service.settings.defaults import default_templates, processors
from poster_service.settings.fields import in_group
from poster_service.settings.types import (
    ChromeUser,
    Hosts,
    Language,
    Networks,
    OptionalPath,
    Paths,
)

rendering = in_group("Renders")
browser = in_group("Chrome")
fetching = in_group("What pages may fetch")
caching = in_group("Caches")


class Rendering(BaseModel):
    """How many renders run, for how long, and how much one may take."""

    templates: Path = rendering(
        default_factory=default_templates,
        description="Folder that holds the template folders; by default the templates that come"
        " with the service.",
    )
    concurrency: int = rendering(
        default_factory=processors,
        ge=1,
        le=256,
        description="Renders that run at once. By default one per processor that the service may"
        " use, by its CPU affinity and its control group's CPU limit.",
    )
    queue_size: int = rendering(
        32,
        ge=0,
        le=10_000,
        description="Renders that may wait for a slot; further ones get 503 with Retry-After at"
        " once.",
    )
    timeout_ms: int = rendering(
        15_000,
        ge=100,
        le=600_000,
        description="Default time for one render, in ms, queueing included; then it gets 504.",
    )
    max_timeout_ms: int = rendering(
        60_000,
        ge=100,
        le=600_000,
        description="Longest timeout that a request may ask for, in ms; a longer one gets 400.",
    )
    max_pixels: int = rendering(
        50_000_000,
        ge=64,
        le=268_435_456,
        description="Largest picture, in device pixels (width x height x scale squared); a larger"
        " one gets 400, or 422 if its size is known only after layout.",
    )
    max_data_values: int = rendering(
        10_000,
        ge=1,
        le=1_000_000,
        description="Most values in a template's data, of all levels together; more get 422."
        " Checking takes about 20 microseconds per value.",
    )
    page_memory_mib: int = rendering(
        2_048,
        ge=256,
        le=1 << 20,
        description="Memory of all processes of one Chrome during a render, in MiB, measured four"
        " times a second without a control group; a page that takes more gets 502.",
    )
    page_max_messages: int = rendering(
        20_000,
        ge=1_000,
        le=10_000_000,
        description="Messages that Chrome may send about one page (requests, dialogs, frames,"
        " windows); a page that causes more gets 502.",
    )
    page_max_message_bytes: int = rendering(
        32 << 20,
        ge=1 << 20,
        le=1 << 30,
        description="Bytes of the messages that Chrome may send about one page, bodies that the"
        " page posts included; a page that causes more gets 502.",
    )


class Chrome(BaseModel):
    """Which Chrome, as whom, how many are ready, and how it paints."""

    chrome: OptionalPath = browser(
        None, description="Path of the Chrome to use; by default the first one found."
    )
    chrome_user: ChromeUser = browser(
        "auto",
        description="User that Chrome runs as where the service is root: auto is uid and gid 65530,"
        " which nothing else uses, or root where that is impossible; a name, uid or uid:gid refuses"
        " to start where it is impossible; same keeps the service's user.",
    )
    sandbox: Literal["auto", "require", "off"] = browser(
        "auto",
        description="Chrome's own sandbox: auto uses it where it works (never where Chrome is"
        " root), require refuses to start without it, off never uses it.",
    )
    work_dir: Path = browser(
        default_factory=default_work_dir,
        description="Folder for what Chromes write, one folder per lease in it. Where Chrome runs"
        " as another user, that user must be able to pass through it.",
    )
    ready_chromes: int = browser(
        1,
        ge=1,
        le=64,
        description="Chromes started ahead while few renders come, so that a render does not wait"
        " for a start.",
    )
    max_ready_chromes: int = browser(
        2,
        ge=1,
        le=64,
        description="Chromes started ahead while many renders come; never fewer than"
        " POSTER_READY_CHROMES.",
    )
    isolation: HtmlIsolation = browser(
        "process",
        description="What renders of HTML, Markdown and URLs share. With process: nothing, each has"
        " its own Chrome. With context: a browser process; each has its own browser context, whose"
        " renderer processes end before the next render. This takes less CPU.",
    )
    template_isolation: Isolation = browser(
        "process",
        description="The same for renders of templates, with a further level. With page: renders of"
        " one template share a page, in which no script runs and only the document is replaced."
        " This takes the least CPU. A template's own `x-poster` may set another level.",
    )
    warm_pages: int = browser(
        default_factory=processors,
        ge=1,
        le=256,
        description="Pages, each with a Chrome, that are kept for the next render of their"
        " template at the isolation level page; the least recently used is closed first. By"
        " default the same number as the default of POSTER_CONCURRENCY.",
    )
    warm_page_seconds: float = browser(
        300.0,
        ge=1,
        le=3_600,
        description="Time for which a page is kept for the next render of its template at the"
        " isolation level page, in seconds; then its Chrome is ended.",
    )
    renders_per_page: int = browser(
        200,
        ge=1,
        le=100_000,
        description="Renders that one page serves at the isolation level page; then another takes"
        " its place.",
    )
    renders_per_chrome: int = browser(
        50,
        ge=1,
        le=10_000,
        description="Renders that one Chrome serves where they share it, one after the other; then"
        " another takes its place.",
    )
    start_timeout_ms: int = browser(
        15_000,
        ge=1_000,
        le=120_000,
        description="Time for one Chrome to become ready, in ms; then it is ended and the start"
        " counts as failed.",
    )
    chrome_memory_mib: int | None = browser(
        None,
        ge=64,
        le=1 << 20,
        description="Memory limit of one Chrome with all its processes, in MiB, kept by the kernel;"
        " needs a control group that the service may write to, and refuses to start without. No"
        " such limit by default.",
    )
    chrome_pids: int | None = browser(
        None,
        ge=40,
        le=1 << 20,
        description="Limit of processes and threads of one Chrome, kept by the kernel; a render"
        " uses up to 60. Needs a control group as POSTER_CHROME_MEMORY_MIB does. No such limit by"
        " default.",
    )
    fonts: Paths = browser(
        (),
        description="Folders with fonts in addition to the system's, subfolders included, e.g."
        " /fonts,/srv/brand; Chrome's user must be able to read them.",
    )
    language: Language | None = browser(
        None,
        description="Language that selects the forms of Han characters in text without a declared"
        " language: zh-CN, zh-TW, zh-HK, ja or ko. By default that of LC_ALL, LC_CTYPE or"
        " LANG where it is one of them, else zh-CN.",
    )
    webgl: bool = browser(
        False,
        description="Give pages WebGL, painted by the CPU (SwiftShader). Off by default, because"
        " every Chrome takes more CPU with it.",
    )


class Fetching(BaseModel):
    """Where pages may fetch from, and how much."""

    network: Literal["public", "allowlist", "none"] = fetching(
        "public",
        description="Where pages may fetch from. public: public addresses. allowlist: only the"
        " hosts of POSTER_ALLOW_HOSTS, at public addresses. none: nowhere.",
    )
    allow_hosts: Hosts = fetching(
        (),
        description="Hosts that pages may fetch from, with POSTER_NETWORK=allowlist only, e.g."
        " cdn.example.com, *.example.com (every name below example.com, not itself).",
    )
    deny_hosts: Hosts = fetching(
        (),
        description="Hosts that pages may never fetch from, in the form of POSTER_ALLOW_HOSTS; has"
        " precedence over everything that allows.",
    )
    allow_private: Networks = fetching(
        (),
        description="Non-public networks that pages may fetch from, e.g. 10.1.0.0/16; none by"
        " default, so that a page cannot reach your internal network.",
    )
    fetch_timeout_ms: int = fetching(
        5_000,
        ge=50,
        le=600_000,
        description="Time for one fetch of a page, in ms; then the page goes on without that"
        " resource. The page at a url itself may take as long as its render, once connected.",
    )
    fetch_max_bytes: int = fetching(
        16 << 20,
        ge=1024,
        le=1 << 30,
        description="Largest resource that a page may fetch, in bytes; the page goes on without a"
        " larger one.",
    )
    fetch_total_bytes: int = fetching(
        64 << 20,
        ge=1024,
        le=1 << 32,
        description="Bytes that one page may fetch in all; the page goes on without the rest.",
    )
    fetch_max_requests: int = fetching(
        1_000,
        ge=0,
        le=1_000_000,
        description="Requests that one page may make; further ones fail within the page.",
    )
    fetch_max_redirects: int = fetching(
        10,
        ge=0,
        le=20,
        description="Redirects that one fetch may follow; then it fails within the page. Chrome's"
        " own limit is 20.",
    )
    fetch_connections: int = fetching(
        96,
        ge=4,
        le=16_384,
        description="Connections to servers that pages fetch from, of all pages together: at most"
        " three quarters for one caller and half for one host. A further fetch waits, and its"
        " timeout starts after the wait. Twice as many file descriptors are reserved, because a"
        " name may have several addresses.",
    )


class Caching(BaseModel):
    """What is cached, for how long and for whom."""

    cache_bytes: int = caching(
        64 << 20,
        ge=0,
        le=1 << 40,
        description="Memory for finished pictures that equal requests get again, in bytes; the"
        " least recently used go first. 0 turns the cache off and renders every request.",
    )
    cache_seconds: int = caching(
        3_600,
        ge=1,
        le=31_536_000,
        description="Longest time that a picture is cached, in seconds, also if a request asks for"
        " more.",
    )
    cache_shared: bool = caching(
        False,
        description="Serve callers cached pictures that were rendered for other callers. By"
        " default each token and each signing key has a cache of its own.",
    )
    asset_cache_bytes: int = caching(
        64 << 20,
        ge=0,
        le=1 << 40,
        description="Memory for fetched resources that a shared cache may store, in bytes; the"
        " least recently used go first. 0 turns the cache off.",
    )
