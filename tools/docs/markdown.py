"""Tables in Markdown."""

from collections.abc import Iterable, Sequence


def cell(text: str) -> str:
    """One table cell: a single line, no bar that would end it."""
    return " ".join(text.split()).replace("|", "\\|")


def table(
    head: Sequence[str], rows: Iterable[Sequence[str]], numbers_from: int | None = None
) -> str:
    """A table; columns from `numbers_from` on are aligned to the right.

    Raises:
        ValueError: A row has another number of cells than the head.
    """
    first = len(head) if numbers_from is None else numbers_from
    rule = ["---" if column < first else "---:" for column in range(len(head))]
    lines = [list(head), rule]
    for row in rows:
        if len(row) != len(head):
            raise ValueError(f"{len(row)} cells below a head of {len(head)}: {row}")
        lines.append([cell(one) for one in row])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def code(text: object) -> str:
    """Text as code."""
    return f"`{text}`"


def either(values: Sequence[str]) -> str:
    """Alternatives in a sentence: `a`, `b` or `c`."""
    shown = [code(value) for value in values]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} or {shown[-1]}"


def plain(number: float) -> str:
    """A number without a needless fraction."""
    return f"{number:g}" if number < 1e6 else f"{number:.0f}"


def size(count: int) -> str:
    """Bytes as a person says them: 16 MiB."""
    for unit, power in (("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)):
        if count >= 1 << power and count % (1 << power) == 0:
            return f"{count >> power} {unit}"
    return f"{count} bytes" if count else "0"
