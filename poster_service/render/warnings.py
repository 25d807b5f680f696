"""What a page went without: kept for the answer's `X-Render-Warnings`, bounded, and fit to be seen.

By host only: addresses (URLs) may carry what is nobody's business.
"""

import re
from dataclasses import dataclass
from typing import Literal

#: As many as fit comfortably into one header line that every proxy takes (4 KiB).
MAX_TOLD = 20
MAX_HOST = 100
_ODD = re.compile(r"[^A-Za-z0-9.:_\[\]-]")


@dataclass(frozen=True)
class Missing:
    """A host of which a page did not get something.

    Attributes:
        verb: "denied" by a rule of ours, or "failed" on the way.
        host: Plain, shortened; "" when the page asked for something without a host.
        reason: Short and stable, for programs.
    """

    verb: Literal["denied", "failed"]
    host: str
    reason: str

    def __str__(self) -> str:
        return f'{self.verb};host="{self.host}";reason={self.reason}'


class Warnings:
    """All that one page went without, each host and reason once."""

    def __init__(self) -> None:
        self._told: dict[Missing, int] = {}
        self.more = 0

    def add(self, verb: Literal["denied", "failed"], host: str, reason: str) -> bool:
        """Note one; whether it is the first of its kind and so worth a line in the log."""
        one = Missing(verb, _ODD.sub("?", host)[:MAX_HOST], reason)
        if one in self._told:
            self._told[one] += 1
            return False
        if len(self._told) >= MAX_TOLD:
            self.more += 1
            return False
        self._told[one] = 1
        return True

    def told(self) -> tuple[Missing, ...]:
        """Every kind once, in the order in which they came."""
        return tuple(self._told)

    def header(self) -> str:
        """The value of `X-Render-Warnings`: a list of structured fields (RFC 9651)."""
        words = [str(one) for one in self._told]
        if self.more:
            words.append(f"more;count={self.more}")
        return ", ".join(words)
