"""The search for what an instance left behind, for processes that have no pytest too."""

from pathlib import Path

from poster_service.process import census


def left(instance: int | None, folder: Path) -> list[str]:
    """Everything of an instance that is still there, in words; an empty list is the promise."""
    seen = census.snapshot(instance, folder)
    words = [f"alive: {one}" for one in seen.alive] + [f"zombie: {one}" for one in seen.zombies]
    return words + [f"folder: {name}" for name in seen.folders]
