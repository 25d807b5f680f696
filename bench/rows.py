"""What the short benches share: their common options, and the file of rows that they write."""

import argparse
import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any


def parser_of(name: str, about: str | None, rounds: int) -> argparse.ArgumentParser:
    """A parser with `--rounds` and `--out`.

    Args:
        name: Of the bench.
        about: Its docstring, of which the first line is shown.
        rounds: The default.
    """
    found = argparse.ArgumentParser(
        prog=f"python -m bench.{name}", description=(about or "").partition("\n")[0]
    )
    found.add_argument(
        "--rounds", type=int, default=rounds, help="rounds, of which the median counts"
    )
    found.add_argument("--out", type=Path, help="a file for the rows as JSON")
    return found


def write_rows(asked: argparse.Namespace, rows: Iterable[Any], **more: Any) -> None:
    """Write the numbers asked for and the rows (dataclasses) to the file of `--out`, if any."""
    if asked.out:
        about = {name: value for name, value in vars(asked).items() if isinstance(value, int)}
        found = {**about, "rows": [asdict(one) for one in rows], **more}
        asked.out.write_text(json.dumps(found, indent=1) + "\n")
