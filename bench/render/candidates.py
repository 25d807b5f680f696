"""Who is compared: the usual designs of such a service, and ours in its modes. Plain data."""

from collections.abc import Mapping
from dataclasses import dataclass, field

#: What the goals are measured against.
SHARED = ("puppeteer-context", "playwright-context")
INCIDENT = "pyppeteer-launch"


@dataclass(frozen=True)
class Candidate:
    """A service under test.

    Attributes:
        name: For --only and the raw figures.
        title: For tables.
        program: Which service: puppeteer, playwright, pyppeteer or ours.
        env: What it is started with.
        options: What each render asks for in addition to the page and its size.
        is_template: Whether it renders the reference poster as a template, and nothing else.
        level: The isolation level that each answer must report; "" where that does not matter.
        api: The other service's API that it is asked through, as POSTER_COMPAT names it.
    """

    name: str
    title: str
    program: str
    env: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)
    is_template: bool = False
    level: str = ""
    api: str = ""

    @property
    def is_ours(self) -> bool:
        """Whether it is the service of this project."""
        return self.program == "ours"


CONTEXT = {"POSTER_ISOLATION": "context"}


def _ours(name: str, title: str, compression: str = "", env: Mapping[str, str] = {}) -> Candidate:
    options = {"png_compression": compression} if compression else {}
    return Candidate(name, f"**ours**: {title}", "ours", env, options)


def _through(api: str, title: str) -> Candidate:
    """Ours through another service's API, with PNG fast."""
    return Candidate(
        f"ours-{api}", f"**ours**: through {title}, PNG fast", "ours", {"POSTER_COMPAT": api},
        {"png_compression": "fast"}, api=api,
    )  # fmt: skip


def _at(level: str, title: str, **options: str) -> Candidate:
    """Ours with the reference poster as a template, at an isolation level."""
    kind = options.get("format", "fast")
    return Candidate(
        f"ours-{level}-{kind}", f"**ours**: a template, {title}", "ours",
        {"POSTER_TEMPLATE_ISOLATION": level}, options, is_template=True, level=level,
    )  # fmt: skip


CANDIDATES = (
    Candidate("puppeteer-context", "puppeteer: shared browser, context per render", "puppeteer"),
    Candidate("playwright-context", "playwright: shared browser, context per render", "playwright"),
    Candidate(
        "puppeteer-launch", "puppeteer: launch per render", "puppeteer", {"DESIGN": "launch"}
    ),
    Candidate("pyppeteer-launch", "pyppeteer: launch per render (the incident)", "pyppeteer"),
    Candidate(
        "puppeteer-page-fast", "puppeteer: shared pages, `optimizeForSpeed` (nothing isolated)",
        "puppeteer", {"DESIGN": "page", "FAST": "1"},
    ),
    _ours("ours", "as it comes"),
    _ours("ours-fast", "a Chrome per render, PNG fast", "fast"),
    _ours("ours-balanced", "a Chrome per render, PNG balanced", "balanced"),
    _ours("ours-small", "a Chrome per render, PNG small", "small"),
    _ours("ours-50-fast", "50 renders per Chrome, PNG fast", "fast", CONTEXT),
    _ours("ours-50-balanced", "50 renders per Chrome, PNG balanced", "balanced", CONTEXT),
    _through("gotenberg", "Gotenberg's route"),
    _through("browserless", "browserless' route"),
    _through("cloudflare", "Cloudflare's route"),
    _at("process", "a Chrome per render, PNG fast"),
    _at("context", "a context per render, PNG fast"),
    _at("page", "a warm page, PNG fast"),
    _at("page", "a warm page, JPEG", format="jpeg"),
)  # fmt: skip
NAMES = [candidate.name for candidate in CANDIDATES]
