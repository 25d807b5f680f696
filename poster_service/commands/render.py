"""`poster-service render`: one page to a file, without a service."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from poster_service.commands.inputs import parse_data, read_text, run_to_end
from poster_service.errors import OperatorError, PosterError
from poster_service.render import flags
from poster_service.render.options import RenderOptions
from poster_service.settings import Settings


def add_render_options(
    render: argparse.ArgumentParser, declared: type[RenderOptions] = RenderOptions
) -> None:
    """The options of one render; their values are checked where those over HTTP are."""
    render.add_argument(
        "file", nargs="?", metavar="FILE",
        help="HTML to render; - is stdin. Its relative addresses are files below its own folder",
    )  # fmt: skip
    render.add_argument(
        "-o", "--output", required=True, metavar="OUT", help="file to write; - is stdout"
    )
    render.add_argument("--template", metavar="NAME", help="render this template instead of FILE")
    render.add_argument("--data", metavar="FILE", help="JSON data of the template; - is stdin")
    flags.add_flags(render, declared)


def run_render(settings: Settings, options: argparse.Namespace, _: Sequence[str]) -> int:
    """Render one page without serving."""
    from poster_service.engine import Engine, limits_of
    from poster_service.render.job import CacheControl, RenderContext
    from poster_service.render.renderer import Rendered
    from poster_service.render.request import RenderRequest

    wanted = render_options(options)
    request = RenderRequest.parse(wanted, limits_of(settings), strict=False)

    async def once() -> Rendered:
        engine = Engine(settings)
        await engine.start()
        try:
            # Painted now: no service's Redis, which the settings may name, has a part in it.
            context = RenderContext("", CacheControl(no_store=True), folder_of(options.file))
            return (await engine.render(request, context)).rendered
        finally:
            await engine.stop()

    check_output(options.output)
    try:
        rendered = run_to_end(once())
    except PosterError as error:
        print_warnings(error.warnings)
        raise
    print_warnings(rendered.warnings)
    picture = rendered.body
    try:
        if options.output == "-":
            sys.stdout.buffer.write(picture)
            sys.stdout.flush()
        else:
            Path(options.output).write_bytes(picture)
    except OSError as error:
        raise OperatorError(f"cannot write {options.output}: {error.strerror}") from error
    return 0


def folder_of(file: str | None) -> Path | None:
    """The folder of a local page; None for stdin, which mostly comes from elsewhere."""
    return None if file in (None, "-") else Path(str(file)).parent


def print_warnings(header: str) -> None:
    """Print each warning of `X-Render-Warnings` on stderr, a line each."""
    from poster_service.render.warnings import items

    for one in items(header):
        print(f"poster-service: warning: {one}", file=sys.stderr)  # noqa: T201 - for the caller


def check_output(name: str) -> None:
    """Check before a Chrome is started that the picture can be written.

    Raises:
        OperatorError: There is no such folder.
    """
    folder = Path(name).parent
    if name != "-" and not folder.is_dir():
        raise OperatorError(f"cannot write {name}: there is no folder {folder}")


def render_options(
    options: argparse.Namespace, declared: type[RenderOptions] = RenderOptions
) -> dict[str, Any]:
    """The request of a command line; the format defaults to the output's suffix."""
    wanted = flags.given_options(options, declared)
    suffix = Path(options.output).suffix.lower().lstrip(".").replace("jpg", "jpeg")
    if suffix and options.output != "-":
        wanted.setdefault("format", suffix)  # an unknown format is reported with all other faults
    if options.template is not None:
        wanted["template"] = options.template
        wanted["data"] = {}
    if options.data is not None:
        wanted["data"] = parse_data(read_text(options.data))
    if options.file is not None:
        wanted["html"] = read_text(options.file)
    return wanted
