"""The conditions on which a render fails that would else give a picture with warnings.

`subresource` is all that a page asked for and did not get or cannot use; the others are narrower,
or see what is no subresource. All of them are read from what a render has found out anyway.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Literal, get_args

from poster_service.errors import (
    Fault,
    FetchDenied,
    FetchFailed,
    MissingGlyph,
    PosterError,
    ResourceStatus,
    ScriptFailed,
)
from poster_service.render.observations import Observations
from poster_service.render.warnings import MissingResource, Warnings

Condition = Literal[
    "subresource", "not_fetched", "http_4xx", "http_5xx", "script_error", "missing_glyph"
]
CONDITIONS: tuple[Condition, ...] = get_args(Condition)
#: Addresses that an error names; the header has more.
MAX_NAMED = 8
#: The reasons of the warnings that each narrower condition is about. `not_found` is a 404 of the
#: page's own files. What has a status of the web, or came and cannot be used, was fetched.
REASONS: Mapping[str, re.Pattern[str]] = {
    "not_fetched": re.compile(r"(?!http_\d|broken_|unusable|mime_type|integrity|cors|csp).*"),
    "http_4xx": re.compile(r"http_4\d\d|not_found"),
    "http_5xx": re.compile(r"http_5\d\d"),
}


def in_order(given: Iterable[Condition]) -> tuple[Condition, ...]:
    """Conditions each once and in one order, so that it makes no difference to the cache."""
    wanted = set(given)
    return tuple(one for one in CONDITIONS if one in wanted)


def check_conditions(
    conditions: Collection[Condition], warnings: Warnings, observations: Observations
) -> None:
    """Check what was found of a page that has been painted.

    Raises:
        FetchDenied: A rule kept something from it; the addresses are named.
        FetchFailed: Something did not come or cannot be used; the addresses are named.
        ScriptFailed: A script of it failed; kind and place of the errors are named.
        MissingGlyph: It shows characters that no font has; the code points are named.
        ResourceStatus: An answer had a status of `fail_on_status`; the addresses are named.
    """
    for condition in conditions:
        if error := _broken(condition, warnings, observations):
            raise error
    if warnings.statuses:
        raise _statuses(warnings.statuses)


def _broken(
    condition: Condition, warnings: Warnings, observations: Observations
) -> PosterError | None:
    if condition == "script_error":
        return _script_error(observations.script_errors)
    if condition == "missing_glyph":
        return _missing_glyph(observations)
    failed = tuple(_failed(condition, warnings))
    reasons = warnings.reasons if condition in REASONS else ()
    unlisted = any(REASONS[condition].fullmatch(reason) for reason in reasons)
    return _incomplete(failed, warnings.more) if failed or unlisted else None


def _failed(condition: Condition, warnings: Warnings) -> Iterator[MissingResource]:
    """The resources that were found missing and fall under a condition."""
    pattern = REASONS.get(condition)
    for one in warnings.missing():
        if pattern is None or pattern.fullmatch(one.reason):
            yield one


def _incomplete(failed: Collection[MissingResource], unlisted: int) -> PosterError:
    """The error of a page that did not get something; `unlisted` more were only counted."""
    named = [f"{one.url or 'no address'} ({one.reason})" for one in [*failed][:MAX_NAMED]]
    more = len(failed) - len(named) + unlisted
    listed = ", ".join(named) + (f" and {more} more" if more else "")
    if any(one.verb == "denied" for one in failed):
        return FetchDenied(f"requests of the page were denied: {listed}")
    return FetchFailed(f"subresources failed: {listed}")


def _statuses(found: Mapping[str, int]) -> ResourceStatus:
    """The error of a page that got statuses that fail its render."""
    named = [f"{url} ({status})" for url, status in [*found.items()][:MAX_NAMED]]
    more = len(found) - len(named)
    listed = ", ".join(named) + (f" and {more} more" if more else "")
    error = ResourceStatus(f"responses have a status of fail_on_status: {listed}")
    error.found = tuple(found.items())
    return error


def _script_error(errors: Collection[str]) -> PosterError | None:
    if not errors:
        return None
    return ScriptFailed.of(Fault("fail_on", f"a script of the page failed: {', '.join(errors)}"))


def _missing_glyph(observations: Observations) -> PosterError | None:
    found = [parameters for kind, parameters in observations.notes if kind == "missing_glyph"]
    if not found:
        return None
    points, more = found[0]["codepoints"], found[0].get("more")
    beyond = f" and {more} more" if more else ""
    return MissingGlyph.of(Fault("fail_on", f"no font has the characters {points}{beyond}"))
