"""The flags of each command: its own, those of the settings, and those of a render's options."""

import argparse
from collections.abc import Callable, Collection, Sequence
from typing import Any

from poster_service.commands.inputs import run_to_end
from poster_service.commands.usage import HELP, CommandParser, Detail, add_more_help
from poster_service.settings import RENAMED, SECRETS, Settings, flag_of
from poster_service.settings.describe import describe, rows

#: What runs a command: settings, parsed flags, and the words of the command line; its exit status.
Run = Callable[[Settings, argparse.Namespace, Sequence[str]], int]
#: Makes the command line with help of a size, and with the flags of one command.
Made = Callable[[Detail, str], argparse.ArgumentParser]

#: The settings that the help of those shows that serve.
COMMON = (
    "host", "port", "templates", "concurrency", "tokens_file", "network", "storage", "log_level",
)  # fmt: skip
MORE_HELP = "Every setting is a flag and a variable (POSTER_...): see --help-settings."


def add_command(commands: Any, name: str, detail: Detail, made: Made) -> None:
    """Add one command with its flags.

    Each imports what it runs here, and not before: all of them are more than a service needs.

    Args:
        commands: Gets the command.
        name: Of the command.
        detail: What its help shows.
        made: For the flags that show another help.
    """
    add = {
        "serve": _add_serve, "work": _add_work, "render": _add_render, "batch": _add_batch,
        "sign": _add_sign, "template": _add_template, "doctor": _add_doctor,
    }[name]  # fmt: skip
    add(commands, detail, made)


def _add_serve(commands: Any, detail: Detail, made: Made) -> None:
    from poster_service.commands.serve import run_serve

    flags = setting_flags((), detail, common=True)
    _command(commands, "serve", flags, made).set_defaults(run=run_serve, serves=True)


def _add_work(commands: Any, detail: Detail, made: Made) -> None:
    from poster_service.commands.serve import run_work

    flags = setting_flags((), detail, common=True)
    _command(commands, "work", flags, made).set_defaults(run=run_work, serves=True)


def _add_render(commands: Any, detail: Detail, made: Made) -> None:
    from poster_service.commands.render import add_render_options, run_render

    render = _command(commands, "render", _other_flags(detail), made, "FILE -o OUT ")
    add_render_options(render, shown=_shown(detail))
    render.set_defaults(run=run_render)


def _add_batch(commands: Any, detail: Detail, made: Made) -> None:
    from poster_service.commands.batch import add_batch_options, run_batch

    items = _command(commands, "batch", _other_flags(detail), made, "ITEMS --out FOLDER ")
    add_batch_options(items, _shown(detail))
    items.set_defaults(run=run_batch)


def _add_sign(commands: Any, detail: Detail, made: Made) -> None:
    from poster_service.commands.sign import add_sign_options, run_sign

    sign = _command(commands, "sign", _other_flags(detail), made, "TEMPLATE ")
    add_sign_options(sign, shown=_shown(detail))
    sign.set_defaults(run=run_sign)


def _add_template(commands: Any, detail: Detail, made: Made) -> None:
    from poster_service.commands.template import add_template_options

    help_ = HELP["template"]
    template = commands.add_parser(
        "template", help=help_, description=help_, usage="%(prog)s COMMAND [options]"
    )
    template.set_defaults(serves=False)
    add_template_options(template, setting_flags((), detail, common=True), made)


def _add_doctor(commands: Any, detail: Detail, made: Made) -> None:
    doctor = _command(commands, "doctor", setting_flags((), detail, common=False), made)
    doctor.add_argument("--find-chrome", action="store_true", help="print only the path of Chrome")
    doctor.set_defaults(run=run_doctor)


def _command(
    commands: Any, name: str, settings: argparse.ArgumentParser, made: Made, words: str = ""
) -> CommandParser:
    """A command with the flags of the settings; `words` are its arguments, for its usage."""
    added: CommandParser = commands.add_parser(
        name, parents=[settings], help=HELP[name], description=HELP[name],
        usage=f"%(prog)s {words}[options]", epilog=MORE_HELP,
    )  # fmt: skip
    add_more_help(added, made)
    added.set_defaults(command=added, serves=False)
    return added


def _shown(detail: Detail) -> Any:
    """What the help shows of a render's options."""
    return "none" if detail == "settings" else detail


def _other_flags(detail: Detail) -> argparse.ArgumentParser:
    """The flags of the settings, but for those that are also flags of a render's options.

    `--timeout-ms` is a setting, and an option of one render, which is what is meant there.
    """
    from poster_service.render.flags import flags
    from poster_service.render.options import RenderOptions

    return setting_flags(flags(RenderOptions), detail, common=False)


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


def run_doctor(settings: Settings, options: argparse.Namespace, _: Sequence[str]) -> int:
    """Print what was found; 0 when a test picture could be rendered."""
    from poster_service import doctor

    if options.find_chrome:
        print(doctor.chrome_path(settings))  # noqa: T201 - the command's own words
        return 0
    return run_to_end(doctor.examine(settings))
