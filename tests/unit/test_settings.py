"""Settings: read once, checked as a whole, and every one of them in the help."""

import contextlib
import functools
import io
import itertools
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from poster_service.cli import main
from poster_service.errors import InvalidSettings
from poster_service.settings import (
    RENAMED,
    SECRETS,
    Settings,
    defaults,
    flag_of,
    processors,
    variable_of,
)
from poster_service.settings.describe import rows

NAMES = sorted(Settings.model_fields)
DEFAULTS = Settings.load({}, {})


def faults(environ: Mapping[str, str], **flags: str) -> str:
    """The error message about invalid settings."""
    with pytest.raises(InvalidSettings) as caught:
        Settings.load(environ, flags)
    return str(caught.value)


def test_without_anything_given_all_have_their_default() -> None:
    """The service starts with an empty environment, and listens to this machine only."""
    loaded = Settings.load({}, {})
    assert (loaded.host, loaded.port, loaded.concurrency) == ("127.0.0.1", 8080, os.cpu_count())
    assert loaded.templates.joinpath("share-poster", "poster.html").is_file()
    assert len(str(loaded.work_dir)) < 40, "full Chrome dies of a long TMPDIR"
    assert loaded == DEFAULTS


def test_a_variable_is_read() -> None:
    """In the form that its type has as text."""
    loaded = Settings.load(
        {
            "POSTER_PORT": "0",
            "POSTER_CHROME": "/opt/chrome",
            "POSTER_STOP_GRACE_SECONDS": "2.5",
            "POSTER_ALLOW_PRIVATE": "10.1.0.0/16, fd00::/8,",
            "POSTER_SANDBOX": "require",
        },
        {},
    )
    assert (loaded.port, loaded.chrome, loaded.stop_grace_seconds) == (0, Path("/opt/chrome"), 2.5)
    assert [str(network) for network in loaded.allow_private] == ["10.1.0.0/16", "fd00::/8"]
    assert loaded.sandbox == "require"


def test_a_flag_wins_over_the_variable() -> None:
    """Even over a faulty one; a flag that is None was not given."""
    assert Settings.load({"POSTER_PORT": "1"}, {"port": "2"}).port == 2
    assert Settings.load({"POSTER_PORT": "many"}, {"port": "2"}).port == 2
    assert Settings.load({"POSTER_PORT": "1"}, {"port": None}).port == 1


def test_every_fault_is_reported_together() -> None:
    """Each in a line of its own: the variable or flag, the value seen, what was expected."""
    message = faults(
        {
            "POSTER_PORT": "70000",
            "POSTER_SANDBOX": "maybe",
            "POSTER_ALLOW_PRIVATE": "10.1.0.0/16,office",
            "POSTER_TIMOUT_MS": "5",
            "POSTER_QUEUE_SIZE": "-1",
            "POSTER_CHROME_USER": "1000:1000:0",
        },
        concurrency="none",
    )
    lines = message.splitlines()
    assert lines[0] == "invalid settings:"
    for reported in (
        "POSTER_PORT='70000'", "65535", "POSTER_SANDBOX='maybe'", "'require'", "'office'",
        "POSTER_ALLOW_PRIVATE", "POSTER_TIMOUT_MS: no such setting", "POSTER_QUEUE_SIZE='-1'",
        "--concurrency='none'", "POSTER_CHROME_USER='1000:1000:0'", "uid:gid",
    ):  # fmt: skip
        assert reported in message
    assert all(line.startswith("  ") for line in lines[1:])


def test_settings_that_are_at_odds_are_reported_along_with_faulty_ones() -> None:
    """No operator has to mend one fault to hear of the next."""
    message = faults(
        {"POSTER_TIMEOUT_MS": "50000", "POSTER_MAX_TIMEOUT_MS": "1000", "POSTER_PORT": "x"}
    )
    assert "POSTER_PORT='x'" in message
    assert "POSTER_TIMEOUT_MS=50000: must not exceed POSTER_MAX_TIMEOUT_MS=1000" in message


def test_a_timeout_beyond_its_own_bound_is_refused() -> None:
    """Equal is fine."""
    assert "must not exceed" in faults({"POSTER_TIMEOUT_MS": "60001"})
    assert Settings.load({"POSTER_TIMEOUT_MS": "60000"}, {}).timeout_ms == 60_000


@pytest.mark.parametrize("name", ["POSTER_PROT", "POSTER_", "POSTER_Port", "POSTER_port"])
def test_a_variable_that_would_not_be_read_is_not_passed_over(name: str) -> None:
    """A slip of the pen is an error, not ignored; case matters as the environment has it."""
    assert f"{name}: no such setting" in faults({name: "1"})


@pytest.mark.parametrize(
    "name",
    [
        "POSTER_LOADTEST_TOKEN",
        "POSTER_INIT_PID",
        "POSTER_INIT_ANYTHING",
        "POSTER_TEST_X",
        "PORT",
        "XPOSTER_PORT",
    ],
)
def test_variables_of_others_are_left_alone(name: str) -> None:
    """Init has its own, tests have theirs."""
    assert Settings.load({name: "1"}, {}) == DEFAULTS


def test_an_empty_variable_is_no_path() -> None:
    """`POSTER_CHROME=` in a compose file is no wish for the current folder."""
    with contextlib.suppress(InvalidSettings):
        assert Settings.load({"POSTER_CHROME": ""}, {}).chrome is None


@pytest.mark.parametrize("name", NAMES)
def test_settings_are_frozen(name: str) -> None:
    """What was checked stays as it was checked."""
    loaded = Settings.load({}, {})
    with pytest.raises(pydantic.ValidationError):
        setattr(loaded, name, getattr(loaded, name))


@given(st.dictionaries(st.sampled_from(NAMES), st.text(), max_size=4))
def test_no_text_makes_loading_fail_in_another_way(given_: dict[str, str]) -> None:
    """Settings, or InvalidSettings naming a variable that was given; never anything else."""
    environ = {variable_of(name): value for name, value in given_.items()}
    try:
        loaded = Settings.load(environ, {})
        message = None
    except InvalidSettings as error:
        message, loaded = str(error), None
    assert (loaded is None) != (message is None)
    assert message is None or any(variable in message for variable in environ)


@functools.cache
def help_text() -> str:
    """What `poster-service serve --help-settings` prints, as one line."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), pytest.raises(SystemExit) as left:
        main(["serve", "--help-settings"])
    assert left.value.code == 0
    return re.sub(r"\s+", " ", re.sub(r"-\n\s+", "-", printed.getvalue()))


@pytest.mark.parametrize("name", NAMES)
def test_every_setting_is_in_the_help(name: str) -> None:
    """Flag, meaning, variable, default and bounds; a secret has no flag, which `ps` would show."""
    text = help_text()
    field = Settings.model_fields[name]
    assert (f"{flag_of(name)} V" in text) == (name not in SECRETS)
    assert field.description is not None
    assert f"{field.description} [{variable_of(name)}; default: " in text
    [row] = [row for row in rows() if row.name == name]
    default = getattr(DEFAULTS, name)
    is_list = isinstance(default, tuple)
    shown = ", ".join(map(str, default)) if is_list else str(default)
    shown = shown if default not in (None, ()) else "none"
    shown = shown.lower() if isinstance(default, bool) else shown
    bounds = f"; {row.bounds}" if row.bounds else ""
    assert f"{variable_of(name)}; default: {shown}{bounds}]" in text


def test_every_setting_has_a_group_and_groups_stand_together() -> None:
    """`--help-settings` and the configuration page show one group after the other."""
    groups = [row.group for row in rows()]
    assert all(groups)
    assert len([one for one, _ in itertools.groupby(groups)]) == len(set(groups))
    assert sorted(row.name for row in rows()) == NAMES
    assert all(f"settings: {group}:" in help_text() for group in groups)


def test_numbers_have_bounds_and_rows_say_what_kind_they_are() -> None:
    """What the table of the configuration page is made from."""
    by_name = {row.name: row for row in rows()}
    for row in by_name.values():
        assert bool(row.bounds) == (row.type in ("integer", "number")), row
        assert row.description.endswith("."), "each stands alone, as a sentence"
    port, memory = by_name["port"], by_name["chrome_memory_mib"]
    assert (port.type, port.default, port.bounds) == ("integer", "8080", "0 to 65,535")
    assert (memory.type, memory.unit, memory.default) == ("integer", "MiB", "")
    assert by_name["sandbox"].type == "auto | require | off"
    assert by_name["tokens"].flag is None
    assert by_name["work_dir"].computed
    assert not by_name["port"].computed


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("_ms", "ms"),
        ("_seconds", "seconds"),
        ("_bytes", "bytes"),
        ("pixels", "pixels"),
        ("_mib", "MiB"),
    ],
)
def test_a_setting_with_a_unit_says_so(name: str, unit: str) -> None:
    """In its name and in its description."""
    found = [field for field in NAMES if field.endswith(name)]
    assert found
    for field in found:
        assert unit in (Settings.model_fields[field].description or "").lower().replace(
            "mib", "MiB"
        )


#: For each renamed setting a value that is not its default, as text.
OTHER_VALUES = {
    "server_names": "posters.example.com",
    "metrics_unauthenticated": "true",
    "redis_url": "redis://127.0.0.1/3",
    "stall_exit_seconds": "77",
    "stall_warn_seconds": "7",
    "page_max_message_bytes": "2000000",
    "fetch_max_redirects": "3",
    "ready_chromes": "3",
    "max_ready_chromes": "3",
}


def test_renders_per_chrome_without_a_level_means_what_it_meant_before_there_were_levels() -> None:
    """With a warning; a level that is given counts, and one render for each Chrome needs none."""
    former = Settings.load({"POSTER_RENDERS_PER_CHROME": "20"}, {})
    assert (former.isolation, former.template_isolation) == ("context", "context")
    assert former.renders_per_chrome == 20
    [warning] = former.warnings
    assert "POSTER_RENDERS_PER_CHROME" in warning
    assert "POSTER_ISOLATION=context" in warning
    named = Settings.load({"POSTER_RENDERS_PER_CHROME": "20", "POSTER_ISOLATION": "process"}, {})
    alone = Settings.load({"POSTER_RENDERS_PER_CHROME": "1"}, {})
    for settings in (named, alone, DEFAULTS):
        assert (settings.isolation, settings.template_isolation) == ("process", "process")
        assert settings.warnings == ()
    assert "'many'" in faults({"POSTER_RENDERS_PER_CHROME": "many"})


@pytest.mark.parametrize("former", sorted(RENAMED))
def test_a_renamed_setting_is_accepted_under_its_former_name(former: str) -> None:
    """By variable and by flag, with one warning that names both; faults name what was written."""
    present = RENAMED[former]
    assert former not in Settings.model_fields
    assert present in Settings.model_fields
    text = OTHER_VALUES.get(present, "1234")
    wanted = getattr(Settings.load({variable_of(present): text}, {}), present)
    assert wanted != getattr(DEFAULTS, present)
    by_variable = Settings.load({variable_of(former): text}, {})
    assert getattr(by_variable, present) == wanted
    [warning] = by_variable.warnings
    assert warning.startswith(f"{variable_of(former)} is now called {variable_of(present)};")
    assert Settings.load({variable_of(present): text}, {}).warnings == ()
    both = faults({variable_of(former): text, variable_of(present): text})
    assert f"{variable_of(former)}: {variable_of(present)} is set too" in both
    if present not in SECRETS:
        by_flag = Settings.load({}, {former: text})
        assert getattr(by_flag, present) == wanted
        [warning] = by_flag.warnings
        assert warning.startswith(f"{flag_of(former)} is now called {flag_of(present)};")
        assert "is set too" in faults({}, **{former: text, present: text})


def test_a_flag_wins_over_a_variable_by_all_their_names() -> None:
    """That is no conflict: a command line corrects its environment."""
    assert Settings.load({"POSTER_QUEUE": "1"}, {"queue_size": "2"}).queue_size == 2
    assert Settings.load({"POSTER_QUEUE_SIZE": "1"}, {"queue": "2"}).queue_size == 2
    assert "POSTER_QUEUE='x'" in faults({"POSTER_QUEUE": "x"})


def test_an_unknown_variable_comes_with_the_name_that_was_probably_meant() -> None:
    """Where one is near."""
    given = {"POSTER_TIMOUT_MS": "1", "POSTER_concurency": "2", "POSTER_XYZZY": "3"}
    lines = faults(given).splitlines()
    assert "  POSTER_TIMOUT_MS: no such setting; did you mean POSTER_TIMEOUT_MS?" in lines
    assert "  POSTER_concurency: no such setting; did you mean POSTER_CONCURRENCY?" in lines
    assert "  POSTER_XYZZY: no such setting" in lines


def test_settings_made_by_hand_do_not_read_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Only `load` does; a test's or a tool's settings are what they say."""
    monkeypatch.setenv("POSTER_PORT", "1")
    assert Settings().port == 8080
    assert Settings.model_validate({"queue_size": 2}).port == 8080
    assert Settings.load(os.environ, {}).port == 1


def test_the_templates_inside_a_wheel_are_preferred(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the package where there are some, else beside it."""
    package = tmp_path / "poster_service"
    package.mkdir()
    monkeypatch.setattr(defaults, "__file__", str(package / "settings" / "defaults.py"))
    assert defaults.default_templates() == tmp_path / "templates"
    (package / "templates").mkdir()
    assert defaults.default_templates() == package / "templates"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("POSTER_PORT", "tcp://10.0.0.7:80"),
        ("POSTER_SERVICE_HOST", "10.0.0.7"),
        ("POSTER_SERVICE_PORT_HTTP", "80"),
        ("POSTER_SERVICE_SERVICE_PORT", "80"),
        ("POSTER_PORT_80_TCP_ADDR", "10.0.0.7"),
    ],
)
def test_what_kubernetes_sets_for_a_service_of_our_name_is_no_setting(
    name: str, value: str
) -> None:
    """A Service called poster or poster-service must not keep its own pods from starting."""
    assert Settings.load({name: value}, {}).port == 8080


@pytest.mark.parametrize(
    ("files", "number"),
    [
        ({}, None),
        ({"cpu.max": "max 100000"}, None),
        ({"cpu.max": "100000 100000"}, 1),
        ({"cpu.max": "50000 100000"}, 1),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None),
        ({"cpu/cpu.cfs_quota_us": "20000", "cpu/cpu.cfs_period_us": "100000"}, 1),
        ({"cpu.max": "nonsense"}, None),
    ],
)
def test_as_many_renders_run_as_there_are_processors_for_us(
    tmp_path: Path, files: dict[str, str], number: int | None
) -> None:
    """What the control group gives in either version, never more than the affinity allows."""
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert processors(tmp_path) == (number or len(os.sched_getaffinity(0)))


def test_the_affinity_of_this_process_counts() -> None:
    """Pinned to one processor, one render runs at a time."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        assert Settings.load({}, {}).concurrency == 1
    finally:
        os.sched_setaffinity(0, before)


@pytest.mark.parametrize(
    ("environ", "reported"),
    [
        ({"POSTER_NETWORK": "allowlist"}, "POSTER_ALLOW_HOSTS must name"),
        ({"POSTER_ALLOW_HOSTS": "a.example"}, "has no effect unless POSTER_NETWORK=allowlist"),
        ({"POSTER_DENY_HOSTS": "https://a.example/"}, "neither a host name"),
        ({"POSTER_DENY_HOSTS": "*.*.example"}, "neither a host name"),
        ({"POSTER_DENY_HOSTS": "a b"}, "POSTER_DENY_HOSTS"),
        ({"POSTER_DENY_HOSTS": "*"}, "POSTER_DENY_HOSTS"),
    ],
)
def test_lists_of_hosts_that_would_not_do_what_they_say_are_refused(
    environ: dict[str, str], reported: str
) -> None:
    """A list that silently means nothing would leave a door open, or closed."""
    with pytest.raises(InvalidSettings, match=re.escape(reported)):
        Settings.load(environ, {})


def test_hosts_are_kept_in_the_one_form_that_chrome_uses() -> None:
    """Lower case, IDNA, without the trailing dot; addresses too."""
    given = {"POSTER_DENY_HOSTS": "Bücher.Example., *.X.example, [2001:DB8:0::1], 10.0.0.1"}
    wanted = ("xn--bcher-kva.example", "*.x.example", "2001:db8::1", "10.0.0.1")
    assert Settings.load(given, {}).deny_hosts == wanted


def test_tokens_are_read_by_name_and_never_shown() -> None:
    """Neither in the settings' own words nor in what is said of a faulty one."""
    secret = "s3cret-s3cret-s3cret"
    loaded = Settings.load({"POSTER_TOKENS": f"web={secret}, app={secret}x"}, {})
    assert [one.name for one in loaded.tokens] == ["web", "app"]
    assert secret not in repr(loaded)
    message = faults({"POSTER_TOKENS": f"web={secret},{secret}"})
    assert "POSTER_TOKENS=(not shown): entry 2: must be name=secret" in message
    message += faults({"POSTER_TOKENS": f"{secret}$=web"}) + faults({"POSTER_TOKENS": "web=s3cret"})
    assert "s3cret" not in message
    assert "at least 16 characters" in message


def test_a_burst_without_a_rate_is_reported() -> None:
    """It would mean nothing."""
    assert "POSTER_TOKEN_RENDERS_PER_MINUTE" in faults({"POSTER_TOKEN_BURST": "5"})
    assert Settings.load(
        {"POSTER_TOKEN_BURST": "5", "POSTER_TOKEN_RENDERS_PER_MINUTE": "0.5"}, {}
    ).token_burst


def test_an_empty_path_is_none() -> None:
    """As compose files have it."""
    assert Settings.load({"POSTER_TOKENS_FILE": "", "POSTER_TOKENS": ""}, {}) == DEFAULTS


def test_a_redis_without_its_package_says_what_to_install() -> None:
    """The client is an extra; nothing else needs it."""
    program = (
        "import sys; sys.modules['redis'] = None\n"  # imports of it fail as if it were not there
        "from poster_service.settings import Settings\n"
        "Settings.load({}, {})\n"
        "Settings.load({'POSTER_REDIS_URL': 'redis://127.0.0.1'}, {})"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert "POSTER_REDIS_URL=(not shown): the Python package redis is missing" in done.stderr
    assert "install poster-service[redis]" in done.stderr
