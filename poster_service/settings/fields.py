"""How a setting is declared: a pydantic field with a description and the name of its group."""

from collections.abc import Callable
from functools import partial
from typing import Any

from pydantic import Field

#: The key of a field's `json_schema_extra` under which its group stands.
GROUP = "group"


def in_group(title: str) -> Callable[..., Any]:
    """`pydantic.Field` for the settings of one group of `--help` and of the configuration page."""
    return partial(Field, json_schema_extra={GROUP: title})
