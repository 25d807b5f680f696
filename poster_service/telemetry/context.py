"""Which span something belongs to, as W3C Trace Context writes it; without OpenTelemetry."""

import re
from dataclasses import dataclass
from typing import Self

#: `version-trace-span-flags` (W3C Trace Context, 3.2); only later versions may have more after it.
_TRACEPARENT = re.compile(
    r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?"
)
#: Longest `tracestate` that is passed on, in characters (W3C Trace Context, 3.3.1.5).
MAX_STATE = 512


@dataclass(frozen=True)
class TraceContext:
    """A span of a trace, which may be another service's.

    Attributes:
        trace_id: 32 hexadecimal digits.
        span_id: 16 hexadecimal digits.
        is_sampled: Whether its trace is recorded.
        tracestate: What other systems have noted of the trace; opaque, often empty.
    """

    trace_id: str
    span_id: str
    is_sampled: bool
    tracestate: str = ""

    @classmethod
    def parse(cls, traceparent: str, tracestate: str = "") -> Self | None:
        """The context that `traceparent` names; None if it is not valid, as the standard has it.

        A `tracestate` that is too long, or has characters of no header, is left out.
        """
        found = _TRACEPARENT.fullmatch(traceparent.strip())
        if found is None or (found[1] == "00" and found[5]):
            return None
        is_plain = (
            len(tracestate) <= MAX_STATE and tracestate.isascii() and tracestate.isprintable()
        )
        is_sampled = bool(int(found[4], 16) & 1)
        return cls(found[2], found[3], is_sampled, tracestate if is_plain else "")

    @property
    def traceparent(self) -> str:
        """The header `traceparent`; `parse` reads it back."""
        return f"00-{self.trace_id}-{self.span_id}-{int(self.is_sampled):02x}"

    def headers(self) -> dict[str, str]:
        """The headers that carry it to another service."""
        state = {"tracestate": self.tracestate} if self.tracestate else {}
        return {"traceparent": self.traceparent, **state}
