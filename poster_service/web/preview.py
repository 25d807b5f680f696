"""The application of `template preview`: the service, and what `template check` finds.

Its own file because no other command serves it: it reads a folder outside of POSTER_TEMPLATES, for
the person at this machine.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aiohttp import web

from poster_service.errors import OperatorError
from poster_service.render.mistakes import Mistake
from poster_service.render.template_check import Finding, examine
from poster_service.web.app import make_app
from poster_service.web.service import SERVICE, Service

#: Where the studio asks for the findings.
PATH = "/preview/findings"


def preview_app(folder: Path) -> Callable[[Service], web.Application]:
    """What makes the application that previews the template in a folder."""
    known: dict[int, list[dict[str, Any]]] = {}

    async def findings(request: web.Request) -> web.Response:
        """GET /preview/findings: what `template check` finds in the folder as it is now."""
        templates = request.app[SERVICE].engine.templates
        await asyncio.to_thread(templates.refresh)
        # Examined once for each change: it takes 0.1 s of CPU, and the studio asks every 0.7 s.
        generation = templates.generation
        if (found := known.get(generation)) is None:
            found = await asyncio.to_thread(entries, folder)
            known.clear()
            known[generation] = found
        return web.json_response({"findings": found})

    def make(service: Service) -> web.Application:
        app = make_app(service)
        app.router.add_get(PATH, findings)
        return app

    return make


def entries(folder: Path) -> list[dict[str, Any]]:
    """The findings as JSON; that the folder cannot be read is one."""
    try:
        return [one.public() for one in examine(folder)]
    except OperatorError as error:
        # Shown to its author, who knows the folder; it is often back a moment later.
        unread = Finding("error", Mistake(folder.name, str(error)))
        return [unread.public()]
