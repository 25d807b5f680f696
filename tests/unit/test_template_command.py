"""`poster-service template new` and `check`: what they write, print and exit with."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from poster_service.cli import main
from tests.bundled import NAMES
from tests.unit.template_folders import make


def run(capfd: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Status, stdout and stderr of a `template` command."""
    with pytest.raises(SystemExit) as ended:
        main(["template", *words])
    out, err = capfd.readouterr()
    return int(ended.value.code or 0), out, err


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """In an empty folder, without settings; the tests' own log comes back afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("POSTER_TEMPLATES", raising=False)
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def test_new_makes_a_template_in_which_nothing_is_wrong(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """With the folders above it; and says what to do next."""
    status, out, _ = run(capfd, "new", "mine/first-try")
    assert status == 0
    assert "template preview mine/first-try" in out
    schema = json.loads((tmp_path / "mine/first-try/schema.json").read_text())
    assert schema["x-poster"]["title"] == "First try"
    assert run(capfd, "check", "mine", "--strict") == (0, "1 template: nothing is wrong\n", "")


def test_new_changes_nothing_that_is_there(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Not even an empty folder, or a file."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("x")
    for name in ("empty", "file"):
        status, _, err = run(capfd, "new", name)
        assert (status, err) == (
            1,
            f"poster-service: {name} already exists; nothing was changed\n",
        )
    assert not list((tmp_path / "empty").iterdir())
    status, _, err = run(capfd, "new", "file/below")
    assert (status, len(err.splitlines())) == (1, 1)


@pytest.mark.parametrize("name", ["Hello", "a_b", "ä", "-", "a" * 65])
def test_new_refuses_a_name_that_no_request_could_have(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, name: str
) -> None:
    """The remedy is in the message; nothing is made."""
    status, _, err = run(capfd, "new", "--", name)
    assert status == 1
    assert "use a-z, 0-9 and -" in err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", NAMES)
def test_new_copies_a_bundled_template(capfd: pytest.CaptureFixture[str], name: str) -> None:
    """Under another name it is as complete."""
    assert run(capfd, "new", "another", "--from", name)[0] == 0
    assert run(capfd, "check", "another", "--strict")[0] == 0


def test_new_names_the_templates_there_are(capfd: pytest.CaptureFixture[str]) -> None:
    """Where one is asked for that is not there."""
    status, _, err = run(capfd, "new", "another", "--from", "../etc")
    assert status == 1
    assert ", ".join(NAMES) in err


def test_a_name_that_does_not_exist_has_the_one_that_was_meant(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Of a template, of a folder, and one that a folder may have."""
    make(tmp_path / "mine")
    for words, meant in (
        (("new", "another", "--from", "invoce"), "; did you mean invoice?"),
        (("check", "mine/crad"), "; did you mean mine/card?"),
        (("check", "tiket"), "; did you mean ticket?"),
        (("new", "mine/Second Card_2"), "; mine/second-card-2 would do"),
    ):
        status, _, err = run(capfd, *words)
        assert (status, err.endswith(f"{meant}\n")) == (1, True), err


def test_check_looks_at_names_folders_or_all(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bundled ones, unless POSTER_TEMPLATES or --templates say otherwise."""
    assert run(capfd, "check")[1] == "6 templates: nothing is wrong\n"
    assert run(capfd, "check", "ticket", "invoice")[1] == "2 templates: nothing is wrong\n"
    make(tmp_path / "t", "{% if name is defined %}{{ name }}{% endif %}")
    assert run(capfd, "check", "--templates", "t", "card")[1].endswith("1 template: 5 warnings\n")
    monkeypatch.setenv("POSTER_TEMPLATES", "t")
    assert run(capfd, "check")[1].endswith("1 template: 5 warnings\n")
    assert run(capfd, "check")[0] == 0
    assert run(capfd, "check", "--strict")[0] == 1
    status, _, err = run(capfd, "check", "nope")
    assert (status, "nope: no such folder, and no template" in err) == (1, True)


def test_check_prints_each_mistake_with_its_place(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """As text and as JSON; and exits with 1."""
    make(tmp_path, "<p>\n{{ titel }}")
    status, out, _ = run(capfd, "check", "card")
    assert status == 1
    mistake = "`titel` is undefined; did you mean `title`?"
    assert f"error: card/poster.html, line 2: {mistake}" in out
    assert out.endswith("1 template: 1 error\n")
    status, out, _ = run(capfd, "check", "card", "--json")
    (card,) = json.loads(out)["templates"]
    assert (status, card["name"], card["folder"]) == (1, "card", "card")
    assert card["findings"] == [
        {"severity": "error", "file": "card/poster.html", "line": 2, "column": None,
         "message": mistake}
    ]  # fmt: skip


def test_check_finds_what_has_no_effect_too(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Names in the schema, data with which the page fails; as text and as JSON."""
    schema = {"requierd": ["name"], "properties": {"name": {"type": "string"}}}
    make(tmp_path, "<p>\n{{ name }}", schema__json=schema, sample__json={"name": "N"})
    status, out, _ = run(capfd, "check", "card")
    assert status == 1
    assert "error: card/poster.html, line 2: with the required data only: `name` is undef" in out
    assert "error: card/schema.json, line 2: `requierd` is not a keyword" in out
    assert out.endswith("1 template: 2 errors\n")
    _, out, _ = run(capfd, "check", "card", "--json")
    (card,) = json.loads(out)["templates"]
    found = [(one["file"], one["line"], one["message"][-26:]) for one in card["findings"]]
    assert found[1] == ("card/schema.json", 2, "; did you mean `required`?")
    assert found[0][:2] == ("card/poster.html", 2)


def test_preview_says_what_must_be_corrected_first(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Before anything is started."""
    make(tmp_path, "<p>\n{{ titel }}", schema__json={"properties": {"a": {"typ": "string"}}})
    status, _, err = run(capfd, "preview", "card")
    assert status == 1
    assert "error: card/poster.html, line 2" in err
    assert "error: card/schema.json, line 4: `typ` is not a keyword" in err
    assert err.endswith("later mistakes are shown beside the picture\n")
    status, _, err = run(capfd, "preview", ".")
    assert (status, "is not a template" in err) == (1, True)
