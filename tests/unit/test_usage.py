"""Faults of usage are short and end with the help, which is there in three sizes."""

import logging
import shlex
from collections.abc import Iterator

import pytest

from poster_service.cli import main
from poster_service.commands.command_flags import COMMON as SETTINGS
from poster_service.render.flags import COMMON, flag_of, flags
from poster_service.render.options import RenderOptions
from poster_service.settings.describe import rows
from poster_service.settings.names import flag_of as flag_of_setting

#: Commands with the flags of all settings, and those with all options of a render.
WITH_SETTINGS = ("serve", "work", "render", "batch", "sign", "doctor", "template preview")
WITH_OPTIONS = ("render", "batch", "sign")
#: A terminal's height twice: what a person reads.
READABLE = 120


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """A command may set logging up; the tests' own handlers come back afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def run(capfd: pytest.CaptureFixture[str], line: str) -> tuple[int, str, str]:
    """Status, stdout and stderr of a command line."""
    with pytest.raises(SystemExit) as ended:
        main(shlex.split(line))
    out, err = capfd.readouterr()
    assert isinstance(ended.value.code, int)
    return ended.value.code, out, err


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "poster-service: a command is missing: serve, work, render, "),
        ("rendr", "poster-service: there is no command rendr; did you mean render?"),
        ("fly", "poster-service: there is no command fly; there are serve, "),
        ("render page.html", "poster-service render: the following arguments are required: -o/"),
        ("render a.html b.html -o x", "poster-service render: one argument too many: b.html"),
        ("render a.html -o x --widht 5", "poster-service render: there is no --widht; did you mean"
         " --width?"),
        ("render a.html -o x --widht=5", "there is no --widht; did you mean --width?"),
        ("render a.html -o", "poster-service render: argument -o/--output: expected one argument"),
        ("batch items", "poster-service batch: the following arguments are required: --out"),
        ("serve --prot 1", "poster-service serve: there is no --prot; did you mean --port?"),
        ("serve --no-such-flag", "poster-service serve: there is no --no-such-flag"),
        ("serve now", "poster-service serve: one argument too many: now"),
        ("doctor --find-crome", "did you mean --find-chrome?"),
        ("sign card --expiers 1h", "did you mean --expires?"),
        ("template", "poster-service template: a command is missing: new, check, preview"),
        ("template chek", "poster-service template: there is no command chek; did you mean check?"),
        ("template new", "poster-service template new: the following arguments are required: NAME"),
        ("template check --jsn", "poster-service template check: there is no --jsn; did you mean"),
        ("template preview --opne", "did you mean --open?"),
        ("loadtest --dokcer x", "poster-service loadtest: there is no --dokcer; did you mean"),
        ("loadtest --renders 0", "poster-service loadtest: argument --renders: 0: must be 1 or m"),
    ],
)  # fmt: skip
def test_a_fault_of_usage_is_the_error_a_line_of_usage_and_where_the_help_is(
    capfd: pytest.CaptureFixture[str], line: str, message: str
) -> None:
    """Three lines and status 2; the help that the last one names is there."""
    status, out, err = run(capfd, line)
    first, usage, see = err.splitlines()
    assert (status, out) == (2, "")
    assert message in first
    assert usage.startswith("usage: poster-service")
    program, *words = see.removeprefix("see ").split()
    assert (program, words[-1]) == ("poster-service", "--help")
    status, out, err = run(capfd, " ".join(words))
    assert (status, err) == (0, "")
    assert out.startswith("usage: poster-service")


@pytest.mark.parametrize("command", WITH_SETTINGS)
def test_the_first_help_can_be_read_and_names_the_others(
    capfd: pytest.CaptureFixture[str], command: str
) -> None:
    """Settings only where most people change them there."""
    _, out, _ = run(capfd, f"{command} --help")
    assert len(out.splitlines()) <= READABLE
    assert "--help-settings" in out
    assert "--help-all" in out
    assert ("POSTER_HOST" in out) == (command in ("serve", "work", "template preview"))


@pytest.mark.parametrize("command", WITH_SETTINGS)
def test_the_settings_have_a_help_of_their_own(
    capfd: pytest.CaptureFixture[str], command: str
) -> None:
    """Each with its variable, also those that are variables only."""
    status, out, _ = run(capfd, f"{command} --help-settings")
    assert status == 0
    for row in rows():
        if row.flag not in flags(RenderOptions):  # there the option is meant
            assert row.variable in out
    assert "--png-compression" not in out


@pytest.mark.parametrize("command", WITH_OPTIONS)
def test_every_option_is_named_by_the_first_help_and_explained_by_the_last(
    capfd: pytest.CaptureFixture[str], command: str
) -> None:
    """By its own flag, or by what the flags of its group begin with; no line breaks a name."""
    first, every = (run(capfd, f"{command} {help_}")[1] for help_ in ("--help", "--help-all"))
    named, explained = set(first.replace(",", " ").split()), set(every.replace(",", " ").split())
    for flag, entry in flags(RenderOptions).items():
        group, dot, _ = entry.name.partition(".")
        assert flag in named or (dot and f"{flag_of(group)}-..." in named), flag
        assert flag in explained
    assert "POSTER_CACHE_BYTES" in every


def test_what_is_common_exists() -> None:
    """Options and settings that are renamed are renamed here too."""
    assert set(map(flag_of, COMMON)) <= flags(RenderOptions).keys()
    assert set(map(flag_of_setting, SETTINGS)) <= {row.flag for row in rows()}
