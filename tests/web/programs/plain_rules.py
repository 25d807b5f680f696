"""A hook of schemathesis: leaves out of the document what it cannot make up requests by.

These are the rules between options, and the schema of a body in HTML: all text that is sent is
text, and none violates it.

Schemathesis makes up values by JSON Schema, and gives up where there are too many conditions. The
rules themselves are tested one by one in tests/unit/test_options.py.

Loaded by path, named in SCHEMATHESIS_HOOKS.
"""

from typing import Any

import schemathesis


@schemathesis.hook
def before_load_schema(context: Any, raw_schema: dict[str, Any]) -> None:
    """The request as it is, but for the conditions between its options."""
    pending: list[Any] = [raw_schema]
    while pending:
        one = pending.pop()
        if isinstance(one, dict):
            if isinstance(one.get("allOf"), list) and any("if" in rule for rule in one["allOf"]):
                del one["allOf"]
            if isinstance(one.get("text/html"), dict):
                one["text/html"].pop("schema", None)
            pending += one.values()
        elif isinstance(one, list):
            pending += one
