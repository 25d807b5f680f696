"""Regular expressions of callers, matched against addresses in a time that no expression can grow.

The syntax is RE2's (https://github.com/google/re2/wiki/Syntax), whose matching is linear in the
address. What remains is the size of the compiled expressions, which is bounded here: measured, one
step of one instruction takes up to 20 ns, so 100,000 of them 2 ms, and the worst list that is taken
80 ms for one address, in a thread.
"""

import asyncio
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import re2

from poster_service.quoting import quoted

#: Of one expression, in characters.
MAX_CHARACTERS = 1_000
#: Instructions of one compiled expression, and of all in a list.
MAX_INSTRUCTIONS, MAX_ALL_INSTRUCTIONS = 1_000, 2_000
#: Bytes of memory of one expression, its states while it is matched included.
MAX_MEMORY = 1 << 17
#: Bytes of an address that are compared: of a longer one as many of both its ends.
MAX_COMPARED = 2_048
#: Instructions times bytes that are matched in the event loop; more are in a thread, where RE2 does
#: not hold the interpreter's lock (measured).
MAX_INLINE_STEPS = 100_000
#: A class of Unicode characters takes 50 us to compile, and no address has such characters.
_UNICODE_CLASS = re.compile(r"(?<!\\)(?:\\\\)*+\\[pP]")


def check_expression(given: str) -> str:
    """The expression, if RE2 takes it and it is not too large.

    Raises:
        ValueError: With the reason, for the caller.
    """
    if _UNICODE_CLASS.search(given):
        raise ValueError("has a class of Unicode characters; addresses are ASCII")
    try:
        size = compiled(given).programsize
    except re2.error as error:
        reason = error.args[0] if error.args else b""
        text = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
        raise ValueError(f"is not a valid RE2 expression: {quoted(text)}") from error
    if size > MAX_INSTRUCTIONS:
        raise ValueError(f"is too large: {size} instructions of {MAX_INSTRUCTIONS}")
    return given


def check_all(expressions: Sequence[str]) -> None:
    """Refuse expressions that are each taken and together too large.

    Raises:
        ValueError: With the bound, for the caller.
    """
    size = sum(compiled(one).programsize for one in expressions)
    if size > MAX_ALL_INSTRUCTIONS:
        raise ValueError(
            f"has expressions that are too large together: {size} instructions of"
            f" {MAX_ALL_INSTRUCTIONS}"
        )


@lru_cache(maxsize=256)
def compiled(expression: str) -> Any:
    """The expression, compiled.

    Raises:
        re2.error: RE2 does not take it.
    """
    options = re2.Options()
    options.max_mem = MAX_MEMORY
    options.never_capture = True
    options.log_errors = False
    return re2.compile(expression, options)


class Expressions:
    """Several expressions, each of which may match anywhere in an address."""

    def __init__(self, expressions: Sequence[str]) -> None:
        """Compile them.

        Args:
            expressions: Each passed `check_expression`.
        """
        self._compiled = [compiled(one) for one in expressions]
        self._instructions = sum(one.programsize for one in self._compiled)

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._compiled)

    async def matching(self, address: str) -> tuple[int, ...]:
        """The places of those that match an address without its fragment, in order."""
        if not self._compiled:
            return ()
        text = compared(address)
        if self._instructions * len(text) <= MAX_INLINE_STEPS:
            return self._matching(text)
        return await asyncio.to_thread(self._matching, text)

    def _matching(self, text: bytes) -> tuple[int, ...]:
        return tuple(at for at, one in enumerate(self._compiled) if one.search(text) is not None)


def compared(address: str) -> bytes:
    """What of an address is compared: without its fragment, and not too long."""
    plain = address.partition("#")[0].encode("utf-8", "replace")
    half = MAX_COMPARED // 2
    return plain if len(plain) <= MAX_COMPARED else plain[:half] + plain[-half:]
