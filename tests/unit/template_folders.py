"""Folders of templates written for a test."""

import json
from pathlib import Path
from typing import Any

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "title": {"type": "string"},
        "author": {
            "type": "object",
            "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
        },
        "rows": {"type": "array", "items": {"$ref": "#/$defs/row"}},
    },
    "$defs": {"row": {"type": "object", "properties": {"price": {"type": "number"}}}},
}

SAMPLE = {"name": "N", "title": "T", "author": {"name": "A"}, "rows": [{"price": 1}]}


def make(root: Path, page: str | bytes = "<p>", name: str = "card", **files: Any) -> Path:
    """A folder of templates with one in it; other files by their names, `__` for a dot."""
    card = root / name
    card.mkdir(parents=True)
    texts = {"poster__html": page, "schema__json": SCHEMA, "sample__json": SAMPLE, **files}
    for file, given in texts.items():
        text = given
        if isinstance(text, dict | list):
            text = json.dumps(text, indent=1)
        if text is not None:
            raw = text if isinstance(text, bytes) else str(text).encode()
            (card / file.replace("__", ".")).write_bytes(raw)
    return root
