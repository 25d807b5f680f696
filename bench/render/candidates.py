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
    """

    name: str
    title: str
    program: str
    env: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_ours(self) -> bool:
        """Whether it is the service of this project."""
        return self.program == "ours"


FIFTY = {"POSTER_RENDERS_PER_CHROME": "50"}


def _ours(name: str, title: str, compression: str = "", env: Mapping[str, str] = {}) -> Candidate:
    options = {"png_compression": compression} if compression else {}
    return Candidate(name, f"**ours**: {title}", "ours", env, options)


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
    _ours("ours-50-fast", "50 renders per Chrome, PNG fast", "fast", FIFTY),
    _ours("ours-50-balanced", "50 renders per Chrome, PNG balanced", "balanced", FIFTY),
)  # fmt: skip
NAMES = [candidate.name for candidate in CANDIDATES]
