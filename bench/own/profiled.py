"""The service with a profiler: `python -m bench.own.profiled OUT RENDERS serve --port=0`.

Profiles the thread of the event loop by its CPU, from the seventh render on and for RENDERS of
them, and writes pstats to OUT. Only the profiler differs from the service itself.
"""

import cProfile
import sys
import time
from typing import Any

from poster_service.cli import main
from poster_service.render.renderer import Renderer

#: Renders before the first that is profiled.
WARMING = 6


def profile(out: str, renders: int) -> None:
    """Have so many renders profiled once the service runs."""
    profiler = cProfile.Profile(time.thread_time)
    render, begun = Renderer.render, 0

    async def counted(self: Renderer, *given: Any, **named: Any) -> Any:
        nonlocal begun
        begun += 1
        if begun == WARMING + 1:
            profiler.enable()
        if begun == WARMING + renders + 1:
            profiler.disable()
            profiler.dump_stats(out)
        return await render(self, *given, **named)

    Renderer.render = counted  # type: ignore[method-assign]


if __name__ == "__main__":
    _, out, renders, *command = sys.argv
    profile(out, int(renders))
    sys.argv = ["poster-service", *command]
    sys.exit(main())
