"""A batch: what its items share, how many there are, and what has become of them.

    running -> done | cancelled        done -> running, when what failed is tried again

An item becomes a job with the id `BATCH-NUMBER` when those before it have ended. Until then it is a
line of a compressed block. Of the common part there is one copy, in the batch.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

from poster_service.jobs.records import unpacked
from poster_service.jobs.scripts import SPAN_SECONDS

BatchState = Literal["running", "done", "cancelled"]
#: Items of a block, and bytes of their JSON after which a block has no more: what is read, and
#: what becomes jobs, at once.
BLOCK_ITEMS, BLOCK_BYTES = 100, 1 << 20
#: Items of a batch that are jobs and have not ended, at most: enough for some hundred slots, and
#: all that a batch of any size takes of the queue; and how many make room for another block.
AHEAD = 1_000
ROOM = AHEAD - BLOCK_ITEMS


@dataclass(frozen=True)
class Batch:
    """One batch, as the store had it at one moment.

    Attributes:
        id: 32 hexadecimal digits.
        caller: Whose it is.
        state: Of `BatchState`; "receiving" before it was accepted.
        total: Its items.
        begun: Those that are or were jobs.
        open: Those that are jobs which have not ended.
        done: Those that were rendered and stored.
        failed: Those that could not be.
        cancelled: Those that were cancelled, also before they were jobs.
        fed: Blocks whose items are or were jobs.
        blocks: All of its blocks.
        created: When it was accepted, in seconds since the epoch.
        finished: When its last item ended; None before.
        round: How often it has been begun again after its end.
        webhook: Where to report its end; None for nowhere.
        spans: The number of the last span of time with an end of an item, and how many ended in it
            and in the one before.
    """

    id: str
    caller: str
    state: str
    total: int
    begun: int
    open: int
    done: int
    failed: int
    cancelled: int
    fed: int
    blocks: int
    created: float
    finished: float | None
    round: int
    webhook: Mapping[str, Any] | None
    spans: tuple[int, int, int]

    @property
    def left(self) -> int:
        """Items that have not ended."""
        return self.total - self.done - self.failed - self.cancelled

    @property
    def has_ended(self) -> bool:
        """Whether each of its items has ended."""
        return self.finished is not None

    def rate(self, now: float) -> float:
        """Items that end in a second, over the last half minute or so."""
        number, in_span, before = self.spans
        present = int(now // SPAN_SECONDS)
        if self.has_ended or number < present - 1 or not number:
            return 0.0
        if number == present - 1:
            in_span, before = 0, in_span
        into = now - present * SPAN_SECONDS
        begin = max(self.created, (present - 1) * SPAN_SECONDS)
        share = (SPAN_SECONDS - into) / SPAN_SECONDS
        seconds = min(SPAN_SECONDS, max(1.0, now - begin))
        return (in_span + before * share) / seconds

    @classmethod
    def of(cls, fields: Mapping[bytes, bytes]) -> "Batch":
        """The batch of a hash in Redis."""
        text = {name.decode(): value for name, value in fields.items()}

        def number(name: str) -> int:
            return int(text.get(name, b"0"))

        return cls(
            text["id"].decode(),
            text["caller"].decode(),
            cast(BatchState, text["state"].decode()),
            number("total"),
            number("begun"),
            number("open"),
            number("done"),
            number("failed"),
            number("cancelled"),
            number("fed"),
            number("blocks"),
            float(text.get("created", b"0")),
            float(text["finished"]) if "finished" in text else None,
            number("round"),
            unpacked(text["webhook"]) if "webhook" in text else None,
            (number("span"), number("in_span"), number("before")),
        )


def job_id(batch: str, number: int) -> str:
    """The id of the job of an item."""
    return f"{batch}-{number}"


def number_of(job: str) -> str:
    """The number of the item whose job has this id."""
    return job.rpartition("-")[2]
