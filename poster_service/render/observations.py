"""What a render observes of its page while it runs, apart from the times (`stats.Phases`)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal


@dataclass
class Observations:
    """What is known of one page, however its render ends.

    Attributes:
        script_errors: Kind and place of errors of the page's scripts, e.g. "TypeError at 3:17".
        notes: Warnings without an address: a kind, and its parameters.
        findings: Resources that the page did not get, reported by Chrome or the page itself: a
            verb, an address, a reason (`browser.witness.Finding`).
    """

    script_errors: tuple[str, ...] = ()
    notes: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    findings: Sequence[tuple[Literal["denied", "failed"], str, str]] = ()
