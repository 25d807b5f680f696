"""`poster-service render`: one page to a file, without a service."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from poster_service.commands.inputs import parse_data, read_text, run_to_end
from poster_service.errors import OperatorError, PosterError
from poster_service.render import flags
from poster_service.render.options import RenderOptions
from poster_service.render.zip_file import zip_pieces
from poster_service.settings import Settings

if TYPE_CHECKING:
    from poster_service.render.picture import Rendered
    from poster_service.render.request import RenderRequest


#: The format of a file's suffix, where that is not the format's own name.
FORMATS = {"jpg": "jpeg", "htm": "html", "json": "elements"}


def add_render_options(
    render: argparse.ArgumentParser,
    declared: type[RenderOptions] = RenderOptions,
    shown: flags.Shown = "all",
) -> None:
    """The options of one render; their values are checked where those over HTTP are."""
    render.add_argument(
        "file", nargs="?", metavar="FILE",
        help="HTML or Markdown (.md) file, or an http or https address; - reads HTML from stdin. A"
        " page from a file may load files below its folder",
    )  # fmt: skip
    render.add_argument(
        "-o",
        "--output",
        metavar="OUT",
        help="file to write; - is stdout. With --outputs a folder, or a zip file: NAME.zip or -."
        " Optional with --store or --destination-url, which print JSON on stdout",
    )
    render.add_argument("--template", metavar="NAME", help="render this template instead of FILE")
    render.add_argument("--data", metavar="FILE", help="JSON data of the template; - is stdin")
    flags.add_flags(render, declared, shown)
    render.set_defaults(wrong_usage=render.error)


def run_render(settings: Settings, options: argparse.Namespace, _: Sequence[str]) -> int:
    """Render one page without serving."""
    from poster_service.engine import Engine, limits_of
    from poster_service.render.job import CacheControl, RenderContext
    from poster_service.render.picture import Rendered
    from poster_service.render.request import RenderRequest

    given = flags.given_options(options, RenderOptions)
    if options.output is None and not given.keys() & {"store", "destination"}:
        options.wrong_usage("the following arguments are required: -o/--output")
    wanted = render_options(options)
    request = RenderRequest.parse(wanted, limits_of(settings), strict=False)

    async def once() -> tuple[Rendered, list[Any]]:
        engine = Engine(settings)
        await engine.start()
        try:
            # Painted now: no service's Redis, which the settings may name, has a part in it.
            context = RenderContext("", CacheControl(no_store=True), folder_of(options.file))
            rendered = (await engine.render(request, context)).rendered
            return rendered, await delivered(rendered, request, settings)
        finally:
            await engine.stop()

    check_output(options.output, request.options, settings)
    try:
        rendered, stored = run_to_end(once())
    except PosterError as error:
        print_warnings(error.warnings)
        raise
    print_warnings(rendered.warnings)
    for one in stored:
        print(json.dumps(one))  # noqa: T201 - the command's result
    try:
        if options.output is not None:
            write(options.output, rendered)
    except OSError as error:
        raise OperatorError(f"cannot write {options.output}: {error.strerror}") from error
    return 0


async def delivered(
    rendered: "Rendered", request: "RenderRequest", settings: Settings
) -> list[dict[str, Any]]:
    """Store and send a result as its options have it; what is known of each object."""
    from poster_service.engine import policy_of
    from poster_service.jobs.destination import Sender
    from poster_service.jobs.results import store
    from poster_service.jobs.storage import storage_of

    options, found = request.options, list[dict[str, Any]]()
    if options.destination is not None:
        sender = Sender(policy_of(settings), settings.storage_timeout_ms / 1000)
        try:
            status = await sender.send(rendered.pictures[0], options.destination, "")
        finally:
            await sender.close()
        found.append({"destination_status": status})
    if options.store and (storage := storage_of(settings)) is not None:
        for one in await store(storage, rendered.pictures, options, ""):
            address = one.address
            # Nothing serves a folder here: its own address is what is of use.
            local = f"{settings.storage}/{one.name}" if address.url.startswith("/") else ""
            found.append(
                {
                    "object": one.name,
                    "url": local or address.url,
                    "expires_seconds": None if local else address.seconds,
                }
            )
    return found


def write(output: str, rendered: "Rendered") -> None:
    """Write the picture to a file or stdout; several to a folder, or as a zip file.

    Raises:
        OSError: It cannot be written.
    """
    is_several = bool(rendered.pictures[0].name)
    if is_several and output != "-" and not output.lower().endswith(".zip"):
        folder = Path(output)
        folder.mkdir(exist_ok=True)
        for one in rendered.pictures:
            (folder / one.file_name).write_bytes(one.body)
        return
    body = b"".join(zip_pieces(rendered.pictures)) if is_several else rendered.body
    if output == "-":
        sys.stdout.buffer.write(body)
        sys.stdout.flush()
    else:
        Path(output).write_bytes(body)


def folder_of(file: str | None) -> Path | None:
    """The folder of a local page; None for stdin, and for a page on the web."""
    is_file = file is not None and file != "-" and not is_address(file)
    return Path(str(file)).parent if is_file else None


def is_address(file: str) -> bool:
    """Whether the page to render is on the web and no file."""
    return file.lower().startswith(("http://", "https://"))


def print_warnings(header: str) -> None:
    """Print each warning of `X-Render-Warnings` on stderr, a line each."""
    from poster_service.render.warnings import items

    for one in items(header):
        print(f"poster-service: warning: {one}", file=sys.stderr)  # noqa: T201 - for the caller


def check_output(name: str | None, options: RenderOptions, settings: Settings) -> None:
    """Check before a Chrome is started that the picture can be written.

    Raises:
        OperatorError: There is no such folder, no such storage, or no place for it at all.
    """
    kept = settings.storage is not None and not settings.storage.startswith("memory:")
    if options.store and not kept:
        raise OperatorError(
            "--store needs POSTER_STORAGE, other than memory://, which ends with this command"
        )
    if name == "-" and (options.store or options.destination):
        raise OperatorError("--store and --destination-url print JSON: stdout cannot be the output")
    folder = Path(name or ".").parent
    if name != "-" and not folder.is_dir():
        raise OperatorError(f"cannot write {name}: there is no folder {folder}")


def render_options(
    options: argparse.Namespace, declared: type[RenderOptions] = RenderOptions
) -> dict[str, Any]:
    """The request of a command line; the format defaults to the output's suffix."""
    wanted = flags.given_options(options, declared)
    suffix = Path(options.output or "").suffix.lower().lstrip(".")
    suffix = FORMATS.get(suffix, suffix)
    if suffix and options.output != "-" and "outputs" not in wanted:
        wanted.setdefault("format", suffix)  # an unknown format is reported with all other faults
    if options.template is not None:
        wanted["template"] = options.template
        wanted["data"] = {}
    if options.data is not None:
        wanted["data"] = parse_data(read_text(options.data))
    if options.file is not None and is_address(options.file):
        wanted["url"] = options.file
    elif options.file is not None:
        is_markdown = Path(options.file).suffix.lower() in (".md", ".markdown")
        wanted["markdown" if is_markdown else "html"] = read_text(options.file)
    return wanted
