"""The command line: what it asks for, and that a fault is one line and a status."""

import argparse
import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from poster_service import __version__, doctor, engine
from poster_service.cli import main, parser
from poster_service.commands.render import render_options
from poster_service.errors import OperatorError
from poster_service.render.cache import Answer
from poster_service.render.job import RenderContext
from poster_service.render.picture import Picture, Rendered
from poster_service.stats import Phases


def options(*arguments: str) -> dict[str, Any]:
    """The job that `poster-service render` makes of its arguments."""
    return render_options(parser().parse_args(["render", *arguments]))


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """The command sets logging up; the tests' own handlers come back afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def page(tmp_path: Path) -> str:
    """A file with a page."""
    file = tmp_path / "page.html"
    file.write_text("<h1>你好</h1>", "utf-8")
    return str(file)


def test_a_page_is_read_from_its_file(page: str) -> None:
    """As UTF-8."""
    assert options(page, "-o", "x") == {"html": "<h1>你好</h1>"}


def test_what_is_not_given_is_not_asked_for(page: str) -> None:
    """The job has its own defaults."""
    given = ["--width", "600", "--height", "300", "--device-scale-factor", "2"]
    given += ["--quality", "70", "--background", "#ffffff", "--full-page"]
    assert options(page, "-o", "x", *given) == {
        "html": "<h1>你好</h1>", "width": "600", "height": "300", "device_scale_factor": "2",
        "quality": "70", "background": "#ffffff", "full_page": True,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("output", "format_"),
    [
        ("a.png", "png"), ("a.jpg", "jpeg"), ("a.JPEG", "jpeg"), ("dir/a.webp", "webp"),
        ("a.pdf", "pdf"), ("-", None), ("a", None), ("a.gif", "gif"), ("png", None),
    ],
)  # fmt: skip
def test_the_format_is_that_of_the_outputs_name(
    page: str, output: str, format_: str | None
) -> None:
    """Where it has one; that there is no gif is reported with all else that is wrong."""
    assert options(page, "-o", output).get("format") == format_


def test_a_format_that_is_given_wins(page: str) -> None:
    """Over the name."""
    assert options(page, "-o", "a.png", "--format", "pdf")["format"] == "pdf"


def test_strict_is_asked_for(page: str) -> None:
    """And only then a part of the job."""
    assert options(page, "-o", "x", "--strict")["strict"] is True
    assert "strict" not in options(page, "-o", "x")


def test_a_template_with_its_data(tmp_path: Path) -> None:
    """From a JSON file; without one there is no data in it."""
    file = tmp_path / "data.json"
    file.write_text('{"title": "字"}', "utf-8")
    assert options("-o", "x", "--template", "card", "--data", str(file)) == {
        "template": "card", "data": {"title": "字"},
    }  # fmt: skip
    assert options("-o", "x", "--template", "card") == {"template": "card", "data": {}}


def test_data_without_a_template_is_not_passed_over(page: str, tmp_path: Path) -> None:
    """The job will say that it is of no use; silence would look like success."""
    file = tmp_path / "data.json"
    file.write_text("{}")
    assert "data" in options(page, "-o", "x", "--data", str(file))


@pytest.mark.parametrize(
    "content", [b"{", b"\xff", b"[1,", b""], ids=["cut", "not-utf8", "list-cut", "empty"]
)
def test_data_that_is_no_json_is_reported(tmp_path: Path, content: bytes) -> None:
    """As an error of ours, in one line."""
    file = tmp_path / "data.json"
    file.write_bytes(content)
    with pytest.raises(OperatorError) as caught:
        options("-o", "x", "--template", "card", "--data", str(file))
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("name", ["missing.html", ".", "bad.html"])
def test_a_page_that_cannot_be_read_is_reported(tmp_path: Path, name: str) -> None:
    """With its name."""
    (tmp_path / "bad.html").write_bytes(b"\xff\xfe")
    file = str(tmp_path / name)
    with pytest.raises(OperatorError, match="cannot read") as caught:
        options(file, "-o", "x")
    assert file in str(caught.value)


def test_a_file_that_is_missing_has_one_beside_it(page: str) -> None:
    """Of a similar name, whose case may be all that differs."""
    for wrong in ("pgae.html", "Page.html", "page.htm"):
        with pytest.raises(OperatorError) as caught:
            options(str(Path(page).with_name(wrong)), "-o", "x")
        assert str(caught.value).endswith(f"No such file or directory; did you mean {page}?")
    with pytest.raises(OperatorError) as caught:
        options(str(Path(page).with_name("other")), "-o", "x")
    assert "did you mean" not in str(caught.value)


def test_stdin_is_a_dash(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """For the page and for the data."""
    file = tmp_path / "stdin"
    file.write_text(json.dumps({"a": 1}))
    with file.open() as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        assert options("-", "-o", "x") == {"html": '{"a": 1}'}
        stdin.seek(0)
        assert options("-o", "x", "--template", "t", "--data", "-")["data"] == {"a": 1}


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["--version"], 0),
        (["--help"], 0),
        (["render", "--help"], 0),
        (["batch", "--help"], 0),
        (["doctor", "--help"], 0),
        ([], 2),
        (["fly"], 2),
        (["serve", "--no-such-flag"], 2),
        (["render", "page.html"], 2),
        (["serve", "--port", "many"], 1),
        (["render", "missing.html", "-o", "x.png"], 1),
        (["doctor", "--find-chrome", "--chrome", "/nonexistent/chrome"], 1),
    ],
)
def test_the_status_says_whether_it_worked(
    arguments: list[str], status: int, capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
) -> None:  # fmt: skip
    """0 for success, 1 for a failure, 2 for wrong usage; no traceback in any case."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as left:
        main(arguments)
    reported = capfd.readouterr()
    assert left.value.code == status
    assert "Traceback" not in reported.err
    assert (reported.err == "") == (status == 0)
    assert arguments != ["--version"] or reported.out.strip() == __version__


def test_all_faulty_settings_are_reported_before_anything_starts(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of the environment and those of the flags."""
    monkeypatch.setenv("POSTER_PROT", "1")
    with pytest.raises(SystemExit) as left:
        main(["serve", "--port", "70000", "--queue-size", "x"])
    reported = capsys.readouterr().err
    assert left.value.code == 1
    assert reported.startswith("poster-service: invalid settings:")
    assert all(word in reported for word in ("POSTER_PROT", "--port='70000'", "--queue-size='x'"))


def test_every_command_takes_every_setting() -> None:
    """The same flag means the same everywhere."""
    for command in (["serve"], ["render", "-o", "x"], ["doctor"]):
        given = parser().parse_args([*command, "--port", "0"])
        assert isinstance(given, argparse.Namespace)
        assert given.set_port == "0"


@pytest.mark.parametrize("package", ["rich", "pygal"])
def test_the_load_test_without_its_packages_says_what_to_install(package: str) -> None:
    """They are an extra, which serving does not need."""
    program = (
        f"import sys; sys.modules[{package!r}] = None\n"  # as if it were not installed
        "from poster_service.cli import main; main(['loadtest', '--help'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.startswith("poster-service: the load test needs")
    assert "poster-service[loadtest]" in done.stderr


@pytest.mark.parametrize("source", [["-"], ["--template", "business-card"]])
def test_render_has_no_part_in_the_cache_of_a_service(
    source: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It paints, even where the settings name a Redis that has such a picture already."""
    seen: list[RenderContext] = []

    class Paints:
        """An engine that paints nothing."""

        def __init__(self, _: object) -> None:
            self.start = self.stop = self.nothing

        async def nothing(self) -> None:
            pass

        async def render(self, _: object, context: RenderContext) -> Answer:
            seen.append(context)
            rendered = Rendered((Picture("png", b"picture", ""),), Phases(), 0.0)
            return Answer(rendered, "bypass", 0, 0, "")

    monkeypatch.setattr(engine, "Engine", Paints)
    monkeypatch.setattr(sys, "stdin", io.StringIO("<p>static"))
    monkeypatch.setenv("POSTER_REDIS_URL", "redis://127.0.0.1:1")
    with pytest.raises(SystemExit) as left:
        main(["render", *source, "-o", str(tmp_path / "made.png")])
    assert left.value.code == 0
    assert (tmp_path / "made.png").read_bytes() == b"picture"
    assert [context.cache_control.no_store for context in seen] == [True]


@pytest.mark.parametrize("variable", ["POSTER_TOKENS_FILE", "POSTER_SIGNING_KEYS_FILE"])
def test_the_doctor_finds_what_serve_refuses_to_start_for(
    variable: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A file of secrets that is not there, with a Chrome or without."""
    monkeypatch.setattr(doctor, "findings", lambda _: iter(()))
    monkeypatch.setenv(variable, "/nowhere")
    with pytest.raises(SystemExit) as left:
        main(["doctor"])
    assert left.value.code == 1
    assert f"FAILED: {variable}=/nowhere: No such file" in capfd.readouterr().out
