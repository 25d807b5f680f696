"""How init reads its options: arguments, its own variables and tini's."""

import pytest

from poster_service import init

pytestmark = pytest.mark.filterwarnings("error")


def options(*arguments: str, **environ: str) -> init.Options:
    """Read options, with a command behind them."""
    return init.read_options([*arguments, "command"], environ)


def test_defaults_add_up_to_less_than_dockers_patience() -> None:
    """`docker stop` kills after 10 s."""
    given = options()
    assert given.grace_s + given.kill_grace_s + init.LAST_WAIT_S < 10


@pytest.mark.parametrize(
    ("text", "number"),
    [("TERM", 15), ("SIGTERM", 15), ("term", 15), ("15", 15), ("RTMIN", 34), ("RTMIN+2", 36),
     ("SIGRTMAX-1", 63), ("64", 64), ("CLD", 17)],
)  # fmt: skip
def test_signals_are_known_by_name_and_number(text: str, number: int) -> None:
    """With or without SIG, in any case."""
    assert init.parse_signal(text) == number


@pytest.mark.parametrize("text", ["", "0", "65", "-1", "32", "TERMINATE", "SIG", "15.0", "²", "_X"])
def test_what_is_no_signal_is_refused_with_the_remedy(text: str) -> None:
    """32 and 33 belong to the C library."""
    with pytest.raises(init.BadInput, match="give a name"):
        init.parse_signal(text)


def test_every_signal_has_one_name_that_reads_back() -> None:
    """The names in the log are those that -r takes."""
    for number in init.SIGNALS:
        assert init.parse_signal(init.signal_name(number)) == number


def test_rewrites_by_name_and_number_and_dropping() -> None:
    """A later one for the same signal replaces the earlier."""
    given = options("-r", "TERM:INT", "--rewrite=10:0", "-r15:3")
    assert given.rewrites == {15: 3, 10: 0}


def test_delays_are_for_term_unless_a_signal_is_named() -> None:
    """By name or number."""
    assert options("-d", "2.5").delays == {15: 2.5}
    assert options("-d", "QUIT:1", "--delay", "2:3").delays == {3: 1.0, 2: 3.0}


def test_letters_may_be_joined_and_values_stuck_on() -> None:
    """As getopt has it."""
    given = options("-gwvve", "143", "-k0.5")
    assert (given.group, given.warn_on_reap, given.verbosity) == (True, True, init.DEBUG)
    assert (given.remap, given.kill_grace_s) == ({143}, 0.5)


def test_command_is_all_from_the_first_operand_on() -> None:
    """Even what looks like an option of init."""
    assert init.read_options(["-g", "a", "-v", "--", "-x"], {}).command == ["a", "-v", "--", "-x"]
    assert init.read_options(["--", "-a"], {}).command == ["-a"]
    assert init.read_options(["-"], {}).command == ["-"]


def test_every_option_that_shapes_a_run_is_also_a_variable() -> None:
    """Each of them changes what Options holds, as its argument would."""
    values = {
        "group": "1", "remap-exit": "143 7", "rewrite": "TERM:INT,1:0", "delay": "2",
        "grace": "3", "kill-grace": "4", "parent-death-signal": "KILL", "subreaper": "1",
        "verbose": "2", "warn-on-reap": "yes", "status-file": "/x", "remove-status": "1",
        "max-zombies": "3",
    }  # fmt: skip
    assert set(values) | set(init.NOT_FROM_ENVIRONMENT) == set(init.TAKES)
    for name, value in values.items():
        variable = "POSTER_INIT_" + name.upper().replace("-", "_")
        changed = vars(options(**{variable: value})) != vars(options())
        assert changed or name == "subreaper"  # which is the default


def test_variables_are_read_before_arguments() -> None:
    """The command line has the last word."""
    assert options("--grace", "1", POSTER_INIT_GRACE="2").grace_s == 1.0
    assert options(POSTER_INIT_GRACE="2").grace_s == 2.0


def test_switches_in_variables_can_be_off() -> None:
    """0 means off; an empty variable too."""
    for off in ("", "0", "no", "false"):
        assert not options(POSTER_INIT_GROUP=off).group


def test_tinis_variables_mean_what_they_mean_to_tini() -> None:
    """Being there is enough for the switches; the level outdoes -v and is read as atoi reads."""
    assert options(TINI_KILL_PROCESS_GROUP="").group
    assert options("-vvv", TINI_VERBOSITY="0").verbosity == 0
    assert options(TINI_VERBOSITY="3x").verbosity == 3
    assert options(TINI_VERBOSITY="many").verbosity == 0
    assert options(TINI_VERBOSITY="-1").verbosity == -1
    assert options(TINI_SUBREAPER="").command == ["command"]


def test_tinis_letters_are_all_there() -> None:
    """`p:hvwgle:s`, each taking a value where tini's does."""
    assert set("phvwgles") <= set(init.LETTERS)
    assert all(init.TAKES[init.LETTERS[letter]] for letter in "pe")
    assert not any(init.TAKES[init.LETTERS[letter]] for letter in "hvwgls")


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        (["--foo", "x"], "--help"),
        (["-z", "x"], "--help"),
        (["-"], ""),
        ([], "poster-init [options] [--] command"),
        (["-g"], "poster-init [options] [--] command"),
        (["--"], "poster-init [options] [--] command"),
        (["-e"], "-e CODE"),
        (["-e", "256", "x"], "0 to 255"),
        (["-e", "-1", "x"], "0 to 255"),
        (["-e", "1_0", "x"], "0 to 255"),
        (["--grace", "ten", "x"], "seconds from 0 to 86400"),
        (["--grace", "nan", "x"], "seconds from 0 to 86400"),
        (["--grace=-1", "x"], "seconds from 0 to 86400"),
        (["--kill-grace", "1e9", "x"], "seconds from 0 to 86400"),
        (["-p", "NOPE", "x"], "give a name"),
        (["-r", "TERM", "x"], "TERM:INT"),
        (["-r", "TERM:NOPE", "x"], "give a name"),
        (["-d", "USR1:1", "x"], "only TERM, INT and QUIT"),
        (["--group=1", "x"], "takes no value"),
        (["--status-file", "", "x"], "path of a file"),
        (["--check", "x"], "remove 'x'"),
        (["--max-zombies", "many", "--check"], "0 to 4194304"),
    ],
)
def test_bad_input_names_the_remedy(arguments: list[str], remedy: str) -> None:
    """One line each."""
    if arguments == ["-"]:
        assert init.read_options(arguments, {}).command == ["-"]  # an operand, not an option
        return
    with pytest.raises(init.BadInput) as reported:
        init.read_options(arguments, {})
    assert remedy in str(reported.value)
    assert "\n" not in str(reported.value)


def test_a_bad_variable_is_named() -> None:
    """The message says where the value came from."""
    with pytest.raises(init.BadInput, match="POSTER_INIT_GRACE: grace takes seconds"):
        options(POSTER_INIT_GRACE="soon")


def test_unknown_variables_are_remembered_not_refused() -> None:
    """Kubernetes makes POSTER_INIT_SERVICE_HOST for a service of that name; it must not stop us."""
    assert options(POSTER_INIT_SERVICE_HOST="10.0.0.1").unknown == ["POSTER_INIT_SERVICE_HOST"]
    assert options(POSTER_INIT_PID="1", POSTER_INIT_STATUS="/x").unknown == []


def test_words_from_outside_cannot_break_a_line_or_a_json_string() -> None:
    """A process may call itself anything."""
    assert init.plain('a"b\\c\nd\x1b[31mé') == "a\\u0022b\\u005cc\\u000ad\\u001b[31m\\u00e9"
