"""`poster-service template`: make a template, check it, and look at it while it is edited."""

import argparse
import json
import re
import shlex
import shutil
import sys
import tempfile
import webbrowser
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

from poster_service import __version__, logs
from poster_service.commands.inputs import nearest_path
from poster_service.commands.under_init import ensure_init
from poster_service.commands.usage import Detail, add_more_help
from poster_service.errors import OperatorError
from poster_service.settings import Settings
from poster_service.settings.defaults import default_templates
from poster_service.similar import did_you_mean

NEW = "create a folder with a working template"
CHECK = "list the mistakes in templates, each with file, line and remedy; needs no Chrome"
PREVIEW = "serve a template on this machine only and render it again after each save"
CORRECT_FIRST = "correct this first; later mistakes are shown beside the picture"
STARTER = Path(__file__).parent / "starter"
Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
#: Makes the command line with help of a size, and with the flags of one command.
Made = Callable[[Detail, str], argparse.ArgumentParser]


def add_template_options(
    template: argparse.ArgumentParser, settings: argparse.ArgumentParser, made: Made
) -> None:
    """The commands below `template`; only the one that serves takes the settings as flags.

    Args:
        template: Gets the commands.
        settings: Has the flags of the settings.
        made: Makes the command line for its help.
    """
    commands = template.add_subparsers(
        required=True, metavar="new | check | preview", prog=template.prog
    )
    _add_new(commands)
    _add_check(commands)
    _add_preview(commands, settings, made)


def _add_new(commands: Commands) -> None:
    new = commands.add_parser("new", help=NEW, description=NEW)
    new.add_argument(
        "name", metavar="NAME",
        help="the folder to create, such as hello or mine/hello; its last part is the template's"
        " name",
    )  # fmt: skip
    new.add_argument(
        "--from", dest="like", metavar="TEMPLATE",
        help="start from a copy of this bundled template instead of a small page",
    )  # fmt: skip
    new.set_defaults(run=run_new, command=new)


def _add_check(commands: Commands) -> None:
    check = commands.add_parser(
        "check", help=CHECK, description=f"{CHECK}. Exits with 1 if there is an error.",
        parents=[template_setting()],
    )  # fmt: skip
    check.add_argument(
        "templates", nargs="*", metavar="FOLDER|NAME",
        help="a template's folder, a folder of such folders, or the name of a template in"
        " POSTER_TEMPLATES; by default all of POSTER_TEMPLATES",
    )  # fmt: skip
    check.add_argument("--json", action="store_true", help="print JSON")
    check.add_argument("--strict", action="store_true", help="exit with 1 also for warnings")
    check.set_defaults(run=run_check, command=check)


def _add_preview(commands: Commands, settings: argparse.ArgumentParser, made: Made) -> None:
    preview = commands.add_parser(
        "preview", help=PREVIEW, description=PREVIEW, parents=[settings],
        usage="%(prog)s [FOLDER] [options]",
    )  # fmt: skip
    add_more_help(preview, made)
    preview.add_argument(
        "folder", nargs="?", default=".", metavar="FOLDER",
        help="folder of the template; by default the current one",
    )  # fmt: skip
    preview.add_argument("--open", action="store_true", help="open the preview in the browser")
    preview.set_defaults(run=run_preview, command=preview)


def template_setting() -> argparse.ArgumentParser:
    """The one setting that `check` knows, as a flag."""
    made = argparse.ArgumentParser(add_help=False)
    made.add_argument(
        "--templates", dest="set_templates", metavar="FOLDER",
        help="folder in which NAMEs are searched",
    )  # fmt: skip
    return made


def run_new(_: Settings, options: argparse.Namespace, __: Sequence[str]) -> int:
    """Make a template's folder, and say what to do next.

    Raises:
        OperatorError: The name is invalid, the folder is there already, or cannot be written.
    """
    from poster_service.render.template import NAME, SCHEMA

    folder = Path(options.name)
    name = folder.resolve().name
    if not NAME.match(name):
        raise OperatorError(
            f"{name!r} is not a valid template name: use a-z, 0-9 and -, up to 64 characters"
            f"{_as_a_name(folder, name)}"
        )
    source = STARTER if options.like is None else bundled(options.like)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source, folder)
        schema = folder / SCHEMA
        if options.like is None:
            title = name.replace("-", " ").capitalize()
            schema.write_text(schema.read_text("utf-8").replace("NAME", title), "utf-8")
    except FileExistsError as error:
        raise OperatorError(f"{folder} already exists; nothing was changed") from error
    except OSError as error:
        raise OperatorError(f"cannot write {folder}: {error.strerror}") from error
    program = _as_called()
    print(  # noqa: T201 - the command's own words
        f"{folder} is a template:\n"
        f"  preview it while you edit it   {program} template preview {folder}\n"
        f"  find mistakes                  {program} template check {folder}\n"
        f"  serve it                       {program} serve --templates {folder.parent}"
    )
    return 0


def _as_a_name(folder: Path, name: str) -> str:
    """The end of a message: the folder with a name that is valid, where one can be made of it."""
    from poster_service.render.template import NAME

    better = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:64]
    return f"; {folder.with_name(better)} would do" if NAME.match(better) else ""


def _as_called() -> str:
    """This program as it was called: it need not be on the PATH."""
    called = sys.argv[0]
    if Path(called).name == "__main__.py":
        return f"{shlex.quote(sys.executable)} -m poster_service"
    return shlex.quote(called)


def bundled(name: str) -> Path:
    """The folder of a bundled template.

    Raises:
        OperatorError: No bundled template has that name.
    """
    found = default_templates() / name
    names = sorted(one.name for one in default_templates().iterdir() if one.is_dir())
    if name not in names:
        hint = did_you_mean(name, names) or f"; there are {', '.join(names)}"
        raise OperatorError(f"--from {name}: there is no such template{hint}")
    return found


def run_check(settings: Settings, options: argparse.Namespace, _: Sequence[str]) -> int:
    """Print what is wrong with templates; 1 if anything is."""
    from poster_service.render.template_check import examine, templates_in

    folders = [
        one
        for given in options.templates or [str(settings.templates)]
        for one in templates_in(folder_of(given, settings))
    ]
    if not folders:
        raise OperatorError("no template found: a template is a folder with poster.html")
    found = {folder: examine(folder, settings.max_data_values) for folder in folders}
    every = [one for findings in found.values() for one in findings]
    if options.json:
        listing = [
            {"name": folder.resolve().name, "folder": str(folder),
             "findings": [one.public() for one in findings]}
            for folder, findings in found.items()
        ]  # fmt: skip
        print(json.dumps({"templates": listing}, ensure_ascii=False, indent=1))  # noqa: T201
    else:
        for one in every:
            print(f"{one.severity}: {one.mistake.whole()}")  # noqa: T201 - the command's result
        print(summary(len(found), [one.severity for one in every]))  # noqa: T201
    return int(any(one.severity == "error" or options.strict for one in every))


def summary(templates: int, severities: Sequence[str]) -> str:
    """How many templates were looked at, and what was found."""
    counts = [
        f"{severities.count(kind)} {kind}{'s' * (severities.count(kind) != 1)}"
        for kind in ("error", "warning")
        if kind in severities
    ]
    looked_at = f"{templates} template{'s' * (templates != 1)}"
    return f"{looked_at}: {' and '.join(counts) or 'nothing is wrong'}"


def folder_of(given: str, settings: Settings) -> Path:
    """The folder that a path or a template's name means.

    Raises:
        OperatorError: There is none.
    """
    for folder in (Path(given), settings.templates / given):
        if folder.is_dir():
            return folder
    names = (
        [one.name for one in settings.templates.iterdir()] if settings.templates.is_dir() else []
    )
    hint = nearest_path(Path(given)) or did_you_mean(given, names)
    raise OperatorError(
        f"{given}: no such folder, and no template of that name in {settings.templates}{hint}"
    )


def run_preview(settings: Settings, options: argparse.Namespace, given: Sequence[str]) -> int:
    """Serve one template until a signal ends it; its studio renders again on each save.

    The service listens on the loopback address and has no other template, so that a mistake in one
    beside it does not disturb it.

    Raises:
        OperatorError: There is no template in the folder, or no service could use it.
    """
    from poster_service.render.mistakes import FaultyTemplate
    from poster_service.render.template_check import examine, templates_in

    folder = folder_of(options.folder, settings).resolve()
    if templates_in(folder) != [folder]:
        raise OperatorError(f"{folder} is not a template: it has no poster.html")
    for one in examine(folder):
        print(f"{one.severity}: {one.mistake.whole()}", file=sys.stderr)  # noqa: T201
    try:
        others = included(folder)
    except FaultyTemplate as faulty:
        raise OperatorError(CORRECT_FIRST) from faulty
    logs.flush()
    ensure_init(given, settings.stop_grace_seconds, settings.work_dir)
    from poster_service.commands.serve import serve_until_stopped
    from poster_service.web.preview import preview_app

    with tempfile.TemporaryDirectory(prefix="poster-preview-") as root:
        for name in {folder.name, *others}:
            (Path(root) / name).symlink_to(folder.parent / name)
        changes = {"templates": Path(root), "host": "127.0.0.1", "log_level": "warning"}
        if "port" not in settings.model_fields_set:
            changes["port"] = 0
        serve_until_stopped(
            settings.model_copy(update=changes),
            lambda address: show(address, folder.name, opens=options.open),
            preview_app(folder),
        )
    return 0


def included(folder: Path) -> set[str]:
    """The folders beside a template that its page includes files of.

    Raises:
        FaultyTemplate: No service could use it.
    """
    from poster_service.render.markup import environment
    from poster_service.render.schema import MAX_VALUES
    from poster_service.render.template import Reader

    reader = Reader(folder.parent, folder.name, environment(), MAX_VALUES)
    reader.read()
    return {name.partition("/")[0] for name in reader.sources.texts if "/" in name}


def show(address: str, name: str, *, opens: bool) -> None:
    """Print where to look, and open it where that is wished."""
    page = f"{address}/?watch#template={name}"
    print(  # noqa: T201 - the command's own words
        f"poster-service {__version__} on {address}\n"
        f"{page}\nshows {name} and renders it again when you save a file; Ctrl-C ends this",
        flush=True,
    )
    if opens:
        webbrowser.open(page)
