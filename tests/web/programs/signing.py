"""A hook of schemathesis: signs what it sends to GET /render/{template}, so that it is read.

Loaded by path, named in SCHEMATHESIS_HOOKS.
"""

import time
from typing import Any

import schemathesis

from poster_service.credentials import SigningKey
from poster_service.web import signed

KEY = SigningKey("new", b"fedcba9876543210")


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """The other parameters of the address stay as they were made up."""
    if case.operation.path != "/render/{template}" or not isinstance(case.query, dict):
        return
    given = {name: one for name, one in case.query.items() if name not in signed.ABOUT}
    pairs = [(n, signed.text_of(v)) for n, v in given.items() if isinstance(v, str | int | float)]
    pairs += [("key", KEY.name), ("expires", str(int(time.time()) + 60))]
    template = str(case.path_parameters["template"])
    case.query = {**dict(pairs), "signature": signed.signature(KEY, template, pairs)}
