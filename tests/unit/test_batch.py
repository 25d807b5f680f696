"""`poster-service batch`: what is wrong at once, and what it says while it runs."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from poster_service.cli import main
from poster_service.commands.batch import summary
from poster_service.commands.batch_display import Rate, line_of
from poster_service.jobs.local_batch import Tally


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """The command sets logging up; the tests' own handlers come back afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.ndjson"], "cannot read missing.ndjson"),
        (["items", "--width", "0"], "options common to all items: width"),
        (["items", "--out", "ftp://host/"], "must be a folder, or begin with"),
        (["items", "--out", "/dev/null"], "is not a folder"),
        (["items", "--name", "{digest}"], "needs {id} or {line}"),
        (["items", "--name", "../{id}"], "is not an object name"),
        (["items", "--report", "/no/such/folder"], "cannot write"),
        (["items", "--outputs", '{"name": "a"}', "--name", "{id}"], "needs {output}"),
        (["list"], "common must be an object"),
        (["items.csv"], "the first row of a CSV file"),
        (["items", "--page", "no-such.html"], "cannot read no-such.html"),
        (["items", "--page", "page"], "is not a placeholder"),
        (["items", "--template", "card", "--page", "page"], "not allowed with"),
    ],
)
def test_what_is_wrong_at_once_begins_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    """Exit status 2."""
    monkeypatch.chdir(tmp_path)
    Path("items").write_text('{"common": {"format": "png"}}\n{"html": "x"}')
    Path("list").write_text('{"common": []}')
    Path("items.csv").write_text("a,a\n")
    Path("page").write_text("{{ a b }}")
    more = [] if "--out" in arguments else ["--out", "out"]
    with pytest.raises(SystemExit) as ended:
        main(["batch", *arguments, *more])
    assert ended.value.code == 2
    assert message in capfd.readouterr().err
    assert not Path("out").exists()


def test_the_line_has_what_is_done_the_rate_what_is_left_and_what_failed() -> None:
    """What is left has no number where it is not known how many items there are."""
    tally = Tally(total=10_000, rendered=2_000, present=1_000, failed=3)
    line = line_of(tally, 10.0)
    assert line == "3003 of 10000, 10.0/s, 3 failed, 1000 were there, 6997 left (0:11:40)"
    assert line_of(Tally(rendered=2), 0.5) == "2, 0.5/s, 0 failed"
    assert line_of(Tally(total=5), 0.0) == "0 of 5, 0.0/s, 0 failed, 5 left"


def test_the_rate_is_that_of_the_last_seconds() -> None:
    """Items that were there take no time and do not count."""
    now = 0.0
    tally = Tally()
    rate = Rate(tally, lambda: now)
    assert rate.per_second() == 0.0
    for _ in range(30):
        now += 1.0
        tally.rendered += 5
        tally.present += 100
        assert rate.per_second() == 5.0
    for _ in range(30):
        now += 1.0
        tally.failed += 1
        last = rate.per_second()
    assert last == 1.0


def test_the_summary_says_how_to_go_on() -> None:
    """If something is left."""
    tally = Tally(total=9, rendered=3, failed=1, warned=2, bytes=1_500_000)
    text = summary(tally, "f.ndjson")
    assert text.startswith(
        "3 rendered, 1.5 MB; 2 with warnings; 1 failed, listed in f.ndjson; 5 left"
    )
    assert summary(Tally(total=1, present=1), "f") == "0 rendered, 0.0 MB; 1 were there; 0 failed"
