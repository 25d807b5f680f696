"""Wrong usage, and a service that cannot be reached or looked at: status 2, one line."""

import argparse
import socket
from pathlib import Path

import pytest

from poster_service.loadtest import command
from poster_service.loadtest.callers import (
    code_of,
    headers_of,
    is_picture,
    request_of,
    seconds_of,
)
from poster_service.loadtest.command_target import CommandTarget, SelfTarget
from poster_service.loadtest.docker_target import DockerTarget, exposed
from poster_service.loadtest.mix import Case, Kind
from tests.loadtest.harness import load_test


def options(*words: str) -> argparse.Namespace:
    """The options as parsed."""
    parser = argparse.ArgumentParser(prog="poster-service loadtest")
    command.add_options(parser)
    return parser.parse_args(words)


@pytest.mark.parametrize(
    "words",
    [
        ("--renders", "0"), ("--renders", "many"), ("--duration", "-1"), ("--duration", "inf"),
        ("--concurrency", "0"), ("--settle", "0"), ("--url", "http://x", "--self"), ("stray",),
    ],
)  # fmt: skip
def test_faulty_options_leave_with_2(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """What argparse tells."""
    with pytest.raises(SystemExit) as left:
        options(*words)
    assert left.value.code == 2
    assert words[0] in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--command",), "must be followed by a command"),
        (("--no-census",), "allowed only with --url"),
        (("--docker-arg=--init",), "allowed only with --docker"),
        (("--json", "/nowhere/seen.json"), "/nowhere/seen.json"),
        (("--token", "two words"), "--token"),
        (("--command", "/nowhere/program"), "no such program"),
        (("--url", "ftp://127.0.0.1"), "must look like"),
        (("--url", "nonsense"), "must look like"),
    ],
)
def test_wrong_usage_is_one_line(
    words: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What only we can tell."""
    assert command.run(options(*words)) == 2
    errors = capsys.readouterr().err
    assert message in errors
    assert len(errors.splitlines()) == 1


@pytest.mark.slow
async def test_a_service_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    """No process listens there."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    tested = await load_test(tmp_path, "--url", f"http://127.0.0.1:{port}")
    assert tested.status == 2
    assert f"cannot reach http://127.0.0.1:{port}" in tested.err
    assert len(tested.err.splitlines()) == 1


async def test_a_command_that_does_not_come_up_is_reported_with_its_last_words(
    tmp_path: Path,
) -> None:
    """And nothing of it is left."""
    tested = await load_test(tmp_path, "--command", "sh", "-c", "echo so sorry >&2; exit 7")
    assert tested.status == 2
    assert "exited with 7: so sorry" in tested.err


@pytest.mark.slow
async def test_our_own_service_that_does_not_start_is_reported_in_its_words(tmp_path: Path) -> None:
    """The setting at fault is named."""
    tested = await load_test(tmp_path, "--self", POSTER_CHROME="/nowhere/chrome")
    assert tested.status == 2
    assert "POSTER_CHROME=/nowhere/chrome" in tested.err
    assert len(tested.err.splitlines()) == 1


async def test_an_image_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    """No engine, no docker or no such image: an error, and nothing else."""
    tested = await load_test(tmp_path, "--docker", "poster-service-no-such-image:none")
    assert tested.status == 2
    assert "docker" in tested.err
    assert len(tested.err.splitlines()) == 1


def test_docker_publishes_on_loopback_only() -> None:
    """The words that are asked of docker run."""
    words = DockerTarget("poster", extra=["--init"]).run_arguments(8080)
    assert words[words.index("--publish") + 1] == "127.0.0.1::8080"
    assert words[-2:] == ["--init", "poster"]


def test_the_port_of_an_image_is_the_one_it_exposes() -> None:
    """One exposed port is it; otherwise the usual one."""
    assert exposed('{"9000/tcp":{}}') == 9000
    assert exposed("null") == 8080
    assert exposed('{"1/tcp":{},"2/tcp":{}}') == 8080


def test_the_target_is_our_own_service_unless_another_is_named() -> None:
    """And --command takes the rest of the line, flags included."""
    assert isinstance(command.target_of(options()), SelfTarget)
    target = command.target_of(options("--chaos", "--command", "sh", "--url"))
    assert isinstance(target, CommandTarget)
    assert target.name == "sh --url"


def test_renders_have_a_default_only_without_a_duration() -> None:
    """The number or the duration ends the load, the first of them to come."""
    assert command.plan_of(options()).renders == command.RENDERS
    assert command.plan_of(options("--duration", "5")).renders is None
    plan = command.plan_of(options("--duration", "5", "--renders", "9"))
    assert (plan.renders, plan.duration) == (9, 5.0)


def test_an_answer_is_looked_at_before_it_counts_as_a_picture() -> None:
    """Media type and first bytes."""
    case = Case(0, "card", Kind.POSTER, {"format": "webp"})
    assert is_picture("image/webp", b"RIFF....", case)
    assert not is_picture("image/png", b"RIFF....", case)
    assert not is_picture("image/webp", b"\x89PNG", case)
    assert code_of(b'{"code": "overloaded"}') == "overloaded"
    assert code_of(b"<h1>Bad gateway") == "<h1>Bad gateway"
    assert (seconds_of("7"), seconds_of("Wed, 21 Oct 2026 07:28:00 GMT")) == (7.0, 1.0)


@pytest.mark.slow
async def test_a_service_that_asks_for_a_token_is_tested_with_one(tmp_path: Path) -> None:
    """From a variable that the service does not get; in no report. Without it nothing renders."""
    token = "loadtest-token-0123456789"
    tokens = f"load={token}"
    words = ("--renders", "6", "--concurrency", "2", "--report", str(tmp_path / "report.html"),
             "--poster", str(tmp_path / "poster.png"))  # fmt: skip
    right = await load_test(tmp_path, *words, POSTER_LOADTEST_TOKEN=token, POSTER_TOKENS=tokens)
    assert right.status == 0, right.output
    assert (tmp_path / "poster.png").read_bytes().startswith(b"\x89PNG")
    for file in ("seen.json", "report.html"):
        assert token not in (tmp_path / file).read_text()
    assert token not in right.output
    wrong = await load_test(tmp_path, "--renders", "2", "--concurrency", "2", POSTER_TOKENS=tokens)
    assert wrong.status == 1
    assert "401 unauthorized" in wrong.output


def test_every_request_of_a_caller_carries_the_token() -> None:
    """Those sent by hand too."""
    case = Case(1, "x", Kind.POSTER, {"html": "<p>"})
    assert b"\r\nAuthorization: Bearer abc\r\n" in request_of(case, "x", headers_of("abc"))
    assert b"Authorization" not in request_of(case, "x", headers_of(""))
    assert b"\r\nCache-Control: no-store\r\n" in request_of(case, "x", headers_of(""))


def test_our_image_is_warned_that_no_other_machine_can_reach_it() -> None:
    """Or it would not start; what the user says comes after it and wins."""
    words = DockerTarget("poster", extra=["--env=POSTER_TOKENS=x"]).run_arguments(8080)
    assert "POSTER_ALLOW_UNAUTHENTICATED=1" in words
    assert words.index("POSTER_ALLOW_UNAUTHENTICATED=1") < words.index("--env=POSTER_TOKENS=x")
