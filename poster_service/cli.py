"""The command line: serve, work, render, batch, sign and others. An error is one line on stderr.

A process imports what its command needs: to import all of them and to make all of their flags cost
each start half a second of CPU. `serve` and `work` import nothing before init has replaced them.
"""

import contextlib
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

from poster_service import __version__
from poster_service.commands.under_init import begin_under_init

if TYPE_CHECKING:
    import argparse

    from poster_service.commands.usage import Detail
    from poster_service.settings import Settings

MISSING_LOADTEST = (
    "the load test needs the Python packages rich and pygal;"
    " install poster-service[loadtest], in a clone with: pip install -e '.[loadtest]'"
)


def run() -> NoReturn:
    """Entry point of `poster-service`: `main`, and then the end of this process."""
    ensure_standard_streams()
    begin_under_init(sys.argv[1:])
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
    given = sys.argv[1:] if arguments is None else list(arguments)
    if given[:1] == ["loadtest"]:
        sys.exit(run_loadtest(given[1:]))
    options, unknown = parser(command=command_in(given)).parse_known_args(given)
    if unknown:
        options.command.refuse(unknown)
    from poster_service import logs
    from poster_service.errors import PosterError, UnknownTemplate

    try:
        settings = read_settings(options)
        # Any other command's stdout is its result.
        stream = settings.log_stream if options.serves else "stderr"
        logs.set_up(log_level(settings, options), settings.log_format, stream)
        if not options.serves:
            for warning in settings.warnings:
                print(f"poster-service: warning: {warning}", file=sys.stderr)  # noqa: T201
        sys.exit(options.run(settings, options, given))
    except PosterError as error:
        more = "; --templates FOLDER has others" if isinstance(error, UnknownTemplate) else ""
        print(f"poster-service: {error}{more}", file=sys.stderr)  # noqa: T201 - the command's words
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


def command_in(given: Sequence[str]) -> str:
    """The command that a command line names; empty for none."""
    return next((word for word in given if not word.startswith("-")), "")


def leave(status: int) -> NoReturn:
    """End this process with an exit status.

    Where obstore was used, Python is not torn down: threads of its runtime may still call into it,
    which aborts the process (status 134 in 4 of 70 that ended right after a put).
    """
    if "obstore" in sys.modules:
        import logging

        from poster_service import logs

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


def parser(detail: "Detail" = "common", command: str | None = None) -> "argparse.ArgumentParser":
    """The command line; every setting is a flag of every command.

    Args:
        detail: What the help of a command shows.
        command: Name of the only command that gets its flags; all do by default.
    """
    from poster_service.commands.usage import HELP, CommandParser

    top = CommandParser(
        prog="poster-service",
        description="Turns HTML into pictures with headless Chrome and never leaks a process.",
        usage="%(prog)s COMMAND [options]",
    )
    top.add_argument("--version", action="version", version=__version__)
    commands = top.add_subparsers(
        required=True, prog="poster-service",
        metavar="serve | work | render | batch | sign | template | loadtest | doctor",
    )  # fmt: skip
    for name, help_ in HELP.items():
        if name == "loadtest" or command not in (name, None):
            commands.add_parser(name, help=help_)  # for the list
        else:
            from poster_service.commands.command_flags import add_command

            add_command(commands, name, detail, parser)
    return top


def read_settings(options: "argparse.Namespace") -> "Settings":
    """Settings from the environment and the flags.

    Raises:
        InvalidSettings: Names all faults together.
    """
    from poster_service.settings import RENAMED, Settings

    names = (*Settings.model_fields, *RENAMED)
    given = {name: getattr(options, f"set_{name}", None) for name in names}
    return Settings.load(os.environ, given)


def log_level(settings: "Settings", options: "argparse.Namespace") -> str:
    """The level of the log; one that does not serve logs errors only, unless it is set."""
    quiet = not options.serves and "log_level" not in settings.model_fields_set
    return "error" if quiet else settings.log_level


def run_loadtest(arguments: Sequence[str]) -> int:
    """Drive a service from outside, with options of its own and no settings.

    Imported only here: its tables and plots would cost every start of the service 0.3 s.
    """
    from poster_service.commands.usage import HELP, CommandParser

    try:
        from poster_service.loadtest import command
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("rich", "pygal"):
            raise
        print(f"poster-service: {MISSING_LOADTEST}", file=sys.stderr)  # noqa: T201
        return 1

    loadtest = CommandParser(
        prog="poster-service loadtest", description=HELP["loadtest"], usage="%(prog)s [options]"
    )
    command.add_options(loadtest)
    options, unknown = loadtest.parse_known_args(arguments)
    if unknown:
        loadtest.refuse(unknown)
    return command.run(options)
