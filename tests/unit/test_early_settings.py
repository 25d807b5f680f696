"""What init is given of the settings, before the service reads all of them."""

import os
from pathlib import Path

import pytest

from poster_service import cli, early_settings
from poster_service.errors import InvalidSettings


def read(flags: list[str], environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> bool:
    """Read both ways, and compare; False where the service would refuse to start."""
    for name in list(os.environ):
        if name.startswith("POSTER_"):
            monkeypatch.delenv(name)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    given = ["serve", *flags]
    early = (
        early_settings.stop_grace_seconds(given, os.environ),
        early_settings.work_dir(given, os.environ),
    )
    try:
        settings = cli.read_settings(cli.parser(command="serve").parse_args(given))
    except InvalidSettings:
        return False
    assert early == (settings.stop_grace_seconds, settings.work_dir)
    return True


@pytest.mark.parametrize(
    ("flags", "environ"),
    [
        ([], {}),
        ([], {"POSTER_STOP_GRACE_SECONDS": "7.5", "POSTER_WORK_DIR": "/w"}),
        ([], {"POSTER_STOP_GRACE_SECONDS": " 1e1 ", "POSTER_WORK_DIR": ""}),
        ([], {"poster_stop_grace_seconds": "9", "POSTER_TEMPLATES": "/t"}),
        (["--stop-grace-seconds", "0", "--work-dir", "here"], {"POSTER_WORK_DIR": "/w"}),
        (["--stop-grace-seconds=600", "--work-dir=a=b"], {"POSTER_STOP_GRACE_SECONDS": "x"}),
        (["--work-dir", "a", "--work-dir", "b"], {}),
        (["--stop-g", "3", "--wo=c"], {}),
        (["--templates", "work-dir", "--chrome=--work-dir"], {}),
    ],
)
def test_it_is_what_the_settings_are(
    flags: list[str], environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By variable, by flag, by a flag that is shortened, given twice or not at all."""
    assert read(flags, environ, monkeypatch)


@pytest.mark.parametrize("text", ["soon", "", "-1", "601", "inf", "nan"])
def test_an_invalid_time_is_left_to_the_service(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which says what is wrong; init has the default."""
    assert not read([], {"POSTER_STOP_GRACE_SECONDS": text}, monkeypatch)
    seconds = early_settings.stop_grace_seconds((), {"POSTER_STOP_GRACE_SECONDS": text})
    assert seconds == early_settings.STOP_GRACE_SECONDS


def test_a_flag_without_its_value_is_left_to_the_service() -> None:
    """It is a fault of usage, which is reported under init."""
    assert early_settings.work_dir(["serve", "--work-dir"], {"POSTER_WORK_DIR": "/w"}) == Path("/w")
