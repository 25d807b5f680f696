"""From a translated request to a picture, and from an error's words to those of another API."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from aiohttp import web

from poster_service.errors import CallerError, Fault
from poster_service.render.cache import Answer
from poster_service.render.request import Asset, RenderRequest
from poster_service.web.bodies import hold
from poster_service.web.caller import CALLER
from poster_service.web.pictures import charged
from poster_service.web.service import SERVICE


async def render(
    request: web.Request,
    options: Mapping[str, Any],
    names: Mapping[str, str],
    files: tuple[Asset, ...] = (),
) -> Answer:
    """Render what a request of another API was translated into.

    Args:
        request: Whose caller is charged for it.
        options: Source and options, as in a JSON body of `POST /render`.
        names: What the other API calls an option, by its name here (`pdf.margin.top`).
        files: That came with the page.

    Raises:
        PosterError: As `Engine.render`; or the quota is used up. Faults have the other API's names.
    """
    with naming(names):
        wanted = RenderRequest.parse(options, request.app[SERVICE].engine.limits, files=files)
        hold(request, wanted)
        async with charged(request, request.get(CALLER, "")) as context:
            return await request.app[SERVICE].engine.render(wanted, context)


@contextmanager
def naming(names: Mapping[str, str]) -> Iterator[None]:
    """Give faults that are raised inside the names that the caller knows.

    Args:
        names: The name for an option, or for a group of options, by its name here.

    Raises:
        CallerError: The one that was raised, with other names.
    """
    try:
        yield
    except CallerError as error:
        if not any(named(one.field, names) != one.field for one in error.faults):
            raise
        renamed = error.of(*(renaming(one, names) for one in error.faults))
        known = vars(error).items()
        vars(renamed).update((name, value) for name, value in known if name != "faults")
        raise renamed from error.__cause__


def renaming(fault: Fault, names: Mapping[str, str]) -> Fault:
    """A fault of the same meaning for a caller of another API."""
    return replace(fault, field=named(fault.field, names))


def named(field: str, names: Mapping[str, str]) -> str:
    """What another API calls an option; by the name of its group if it has none itself."""
    group, rest = field, ""
    while group:
        if group in names:
            return names[group] + rest
        group, dot, last = group.rpartition(".")
        rest = f"{dot}{last}{rest}"
    return field
