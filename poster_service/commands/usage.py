"""How a command explains itself: faults of usage in three lines, and help in three sizes.

There are some 45 options of a render and 100 settings. `--help` shows those that most people need,
and the names of the other options; `--help-settings` the settings, `--help-all` everything.
"""

import argparse
import re
import sys
import textwrap
from collections.abc import Callable, Sequence
from typing import Any, Literal, NoReturn

from poster_service.render.other_names import meant, option_in
from poster_service.similar import did_you_mean

#: Every command, in the order of the list of them, and what it does.
HELP = {
    "serve": "serve HTTP until SIGTERM or Ctrl-C",
    "work": "run jobs of POSTER_JOBS_REDIS until SIGTERM or Ctrl-C",
    "render": "render one page to a file",
    "batch": "render many items of a file (NDJSON or CSV) into a folder or a bucket; run again, it"
    " renders only what is missing",
    "sign": "print a signed URL of a template's picture, for <img>",
    "template": "create a template, check it, preview it while you edit it",
    "doctor": "check this machine (Chrome, fonts, limits) and render a test picture",
    "loadtest": "send posters and hostile pages to a service, and count what it leaves behind",
}
#: What a help shows: what is common, the settings alone, or everything.
Detail = Literal["common", "settings", "all"]
#: The flags that show more, and what they show.
MORE: dict[str, tuple[Detail, str]] = {
    "--help-settings": ("settings", "show the settings and exit"),
    "--help-all": ("all", "show all options and settings and exit"),
}


class Formatter(argparse.HelpFormatter):
    """Help in which no line ends within the name of a flag."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return "\n".join(f"{indent}{line}" for line in self._split_lines(text, width - len(indent)))

    def _split_lines(self, text: str, width: int) -> list[str]:
        return textwrap.wrap(" ".join(text.split()), width, break_on_hyphens=False)


class CommandParser(argparse.ArgumentParser):
    """A parser whose faults are an error, a line of usage, and where the help is."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **{"formatter_class": Formatter, **named})

    def error(self, message: str) -> NoReturn:
        """Report a fault of usage on stderr.

        Raises:
            SystemExit: With 2.
        """
        usage = " ".join(self.format_usage().split())
        lines = (f"{self.prog}: {worded(message)}", usage, f"see {self.prog} --help")
        print("\n".join(lines), file=sys.stderr)  # noqa: T201 - the command's own words
        sys.exit(2)

    def refuse(self, words: Sequence[str]) -> NoReturn:
        """Report words that are no flag of this command, and no argument that it takes.

        Raises:
            SystemExit: With 2.
        """
        first = words[0]
        if not first.startswith("-"):
            self.error(f"one argument too many: {first[:100]}")
        flag = first.partition("=")[0]
        known = [one for one in self._option_string_actions if one.startswith("--")]
        hint = _meant(flag, known) or did_you_mean(flag, known)
        self.error(f"there is no {flag[:100]}{hint}")


def _meant(flag: str, known: Sequence[str]) -> str:
    """The end of a message about a flag of another program, where this one has it by another name.

    Args:
        flag: Was given, and does not exist.
        known: The flags that do.
    """
    words = meant(flag.lstrip("-"))
    option = option_in(words)
    name = "--" + option.replace(".", "-").replace("_", "-")
    if not option or not any(f"{one}-".startswith(f"{name}-") for one in known):
        return ""
    remark = "" if words == option else f" ({words})"
    return f"; here that is {name}{'' if name in known else '-...'}{remark}"


#: What argparse says of a command that is missing, and of one that does not exist.
_MISSING_COMMAND = re.compile(r"the following arguments are required: (\w+(?: \| \w+)+)")
_NO_COMMAND = re.compile(
    r"argument .* \| .*: invalid choice: '(.*)' \(choose from (.*)\)", re.DOTALL
)


def worded(message: str) -> str:
    """A message of argparse; that about a missing or an unknown command in our words."""
    if found := _MISSING_COMMAND.fullmatch(message):
        return f"a command is missing: {found[1].replace(' |', ',')}"
    if not (found := _NO_COMMAND.fullmatch(message)):
        return message
    names = re.findall(r"[\w-]+", found[2])
    hint = did_you_mean(found[1], names) or f"; there are {', '.join(names)}"
    return f"there is no command {found[1][:100]}{hint}"


def add_more_help(
    command: argparse.ArgumentParser, made: Callable[[Detail, str], argparse.ArgumentParser]
) -> None:
    """Give a command the flags that show more help.

    Args:
        command: Gets them.
        made: Makes the command line with help of a size, and with the flags of one command.
    """

    class More(argparse.Action):
        """Shows the help of another size, and ends the process."""

        def __call__(
            self, parser: argparse.ArgumentParser, _namespace: object, _values: object,
            option_string: str | None = None,
        ) -> None:  # fmt: skip
            detail, _help = MORE[option_string or "--help-all"]
            words = parser.prog.split()[1:]
            made(detail, words[0]).parse_args([*words, "--help"])

    for flag, (_, help_) in MORE.items():
        command.add_argument(flag, nargs=0, action=More, help=help_, default=argparse.SUPPRESS)
