"""The command line: serve, work, render, batch, sign and others. An error is one line on stderr."""

import argparse
import contextlib
import logging
import os
import sys
from collections.abc import Callable, Collection, Sequence
from typing import Any, NoReturn

from poster_service import __version__, logs
from poster_service.commands import batch, template
from poster_service.commands.inputs import run_to_end
from poster_service.commands.render import add_render_options, run_render
from poster_service.commands.serve import run_serve, run_work
from poster_service.commands.sign import add_sign_options, run_sign
from poster_service.commands.usage import CommandParser, Detail, add_more_help
from poster_service.errors import PosterError, UnknownTemplate
from poster_service.render.flags import Shown, flags
from poster_service.render.options import RenderOptions
from poster_service.settings import RENAMED, SECRETS, Settings, flag_of
from poster_service.settings.describe import describe, rows

LOADTEST = "drive a service with posters and hostile pages, and count what is left behind"
MISSING_LOADTEST = (
    "the load test needs the Python packages rich and pygal;"
    " install poster-service[loadtest], in a clone with: pip install -e '.[loadtest]'"
)
#: The commands that go on until a signal, and whose log is what there is to see of them.
SERVING = (run_serve, run_work)
#: Those with the options of a render.
RENDERING = (run_render, run_sign, batch.run_batch)
#: The settings that the help of those shows that serve.
COMMON = (
    "host", "port", "templates", "concurrency", "tokens_file", "network", "storage", "log_level",
)  # fmt: skip
MORE_HELP = "Settings are flags too, and variables (POSTER_...): --help-settings has them all."


def run() -> NoReturn:
    """Entry point of `poster-service`: `main`, and then the end of this process."""
    try:
        main()
    except SystemExit as ended:
        if isinstance(ended.code, str):
            print(ended.code, file=sys.stderr)  # noqa: T201 - as Python itself does
        leave(ended.code if isinstance(ended.code, int) else int(ended.code is not None))


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a command; exits 0, 1 for a failure, 2 for wrong usage.

    Raises:
        SystemExit: Always, with the exit status.
    """
    ensure_standard_streams()
    given = sys.argv[1:] if arguments is None else list(arguments)
    if given[:1] == ["loadtest"]:
        sys.exit(run_loadtest(given[1:]))
    top = parser()
    options, unknown = top.parse_known_args(given)
    if unknown:
        options.command.refuse(unknown)
    try:
        settings = read_settings(options)
        serves = options.run in SERVING
        # Any other command's stdout is its result.
        stream = settings.log_stream if serves else "stderr"
        logs.set_up(log_level(settings, options), settings.log_format, stream)
        if not serves:
            for warning in settings.warnings:
                print(f"poster-service: warning: {warning}", file=sys.stderr)  # noqa: T201
        sys.exit(options.run(settings, options, given))
    except PosterError as error:
        more = "; --templates FOLDER has others" if isinstance(error, UnknownTemplate) else ""
        print(f"poster-service: {error}{more}", file=sys.stderr)  # noqa: T201 - the command's words
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


def leave(status: int) -> NoReturn:
    """End this process with an exit status.

    Where obstore was used, Python is not torn down: threads of its runtime may still call into it,
    which aborts the process (status 134 in 4 of 70 that ended right after a put).
    """
    if "obstore" in sys.modules:
        logging.shutdown()
        logs.flush()  # a thread writes what a service has printed
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(status)
    sys.exit(status)


def ensure_standard_streams() -> None:
    """Open /dev/null on each of the descriptors 0, 1 and 2 that our caller has closed.

    Else the next file, pipe or socket opened would get that number, and be written to as stdout or
    handed to every child as its stdin.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)  # the lowest that is free, so this one
            os.set_inheritable(opened, True)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115


def parser(detail: Detail = "common") -> argparse.ArgumentParser:
    """The whole command line; every setting is a flag of every command.

    Args:
        detail: What the help of a command shows.
    """
    top = CommandParser(
        prog="poster-service",
        description="Turns HTML into pictures with headless Chrome and never leaks a process.",
        usage="%(prog)s COMMAND [options]",
    )
    top.add_argument("--version", action="version", version=__version__)
    _add_commands(
        top.add_subparsers(
            required=True, prog="poster-service",
            metavar="serve | work | render | batch | sign | template | loadtest | doctor",
        ),
        detail,
    )  # fmt: skip
    return top


def _add_commands(commands: Any, detail: Detail) -> None:
    """Add each command, with its flags and those of the settings."""

    def command(name: str, run: Callable[..., int], help_: str, words: str = "") -> CommandParser:
        # `--timeout-ms` is a setting, and an option of one render, which is what is meant there.
        taken = flags(RenderOptions) if run in RENDERING else ()
        added: CommandParser = commands.add_parser(
            name, parents=[setting_flags(taken, detail, common=run in SERVING)], help=help_,
            description=help_, usage=f"%(prog)s {words}[options]", epilog=MORE_HELP,
        )  # fmt: skip
        add_more_help(added, parser)
        added.set_defaults(run=run, command=added)
        return added

    shown: Shown = "none" if detail == "settings" else detail
    command("serve", run_serve, "serve HTTP until SIGTERM or Ctrl-C")
    command("work", run_work, "run jobs of POSTER_JOBS_REDIS until SIGTERM or Ctrl-C")
    render = command("render", run_render, "render one page to a file and leave", "FILE -o OUT ")
    add_render_options(render, shown=shown)
    items = command("batch", batch.run_batch, batch.HELP, "ITEMS --out FOLDER ")
    batch.add_batch_options(items, shown)
    signing = "print a signed URL of a template's picture, for <img>"
    add_sign_options(command("sign", run_sign, signing, "TEMPLATE "), shown=shown)
    template.add_template_options(
        commands.add_parser(
            "template", help=template.HELP, description=template.HELP,
            usage="%(prog)s COMMAND [options]",
        ),
        setting_flags((), detail, common=True), parser,
    )  # fmt: skip
    about = "say what was found on this machine, render a test picture"
    doctor = command("doctor", run_doctor, about)
    doctor.add_argument("--find-chrome", action="store_true", help="only print Chrome's path")
    commands.add_parser("loadtest", help=LOADTEST)  # for the list; `main` never gets to it


def setting_flags(
    taken: Collection[str], detail: Detail, *, common: bool
) -> argparse.ArgumentParser:
    """A flag for every setting that is not a secret, by group; former names stay out of help.

    Args:
        taken: Flags that the command needs for something else.
        detail: What the help shows.
        common: Whether it shows the common settings if it does not show all.
    """
    made = argparse.ArgumentParser(add_help=False)
    groups: dict[str, argparse._ArgumentGroup] = {}
    for row in rows():
        if row.flag is None or row.flag in taken:
            continue
        is_first = detail == "common" and common and row.name in COMMON
        title = "common settings" if detail == "common" else f"settings: {row.group}"
        if title not in groups:
            groups[title] = made.add_argument_group(title)
        help_ = describe(row) if is_first or detail != "common" else argparse.SUPPRESS
        groups[title].add_argument(row.flag, dest=f"set_{row.name}", help=help_, metavar="V")
    for former, present in RENAMED.items():
        if present not in SECRETS and flag_of(former) not in taken:
            made.add_argument(flag_of(former), dest=f"set_{former}", help=argparse.SUPPRESS)
    if detail != "common":
        secrets = "; ".join(describe(row) for row in rows() if row.flag is None)
        made.add_argument_group("settings: secrets, as variables only", secrets)
    return made


def read_settings(options: argparse.Namespace) -> Settings:
    """Settings from the environment and the flags.

    Raises:
        InvalidSettings: Names all faults together.
    """
    names = (*Settings.model_fields, *RENAMED)
    given = {name: getattr(options, f"set_{name}", None) for name in names}
    return Settings.load(os.environ, given)


def log_level(settings: Settings, options: argparse.Namespace) -> str:
    """The level of the log; one that does not serve logs errors only, unless it is set."""
    quiet = options.run not in SERVING and "log_level" not in settings.model_fields_set
    return "error" if quiet else settings.log_level


def run_loadtest(arguments: Sequence[str]) -> int:
    """Drive a service from outside, with options of its own and no settings.

    Imported only here: its tables and plots would cost every start of the service 0.3 s.
    """
    try:
        from poster_service.loadtest import command
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("rich", "pygal"):
            raise
        print(f"poster-service: {MISSING_LOADTEST}", file=sys.stderr)  # noqa: T201
        return 1

    loadtest = CommandParser(
        prog="poster-service loadtest", description=LOADTEST, usage="%(prog)s [options]"
    )
    command.add_options(loadtest)
    options, unknown = loadtest.parse_known_args(arguments)
    if unknown:
        loadtest.refuse(unknown)
    return command.run(options)


def run_doctor(settings: Settings, options: argparse.Namespace, _: Sequence[str]) -> int:
    """Print what was found; 0 when a test picture could be rendered."""
    from poster_service import doctor

    if options.find_chrome:
        print(doctor.chrome_path(settings))  # noqa: T201 - the command's own words
        return 0
    return run_to_end(doctor.examine(settings))
