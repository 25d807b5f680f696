"""Tokens of a file: taken over when it changes, kept when the new one is broken."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from poster_service.credentials import Token, token
from poster_service.errors import InvalidSettings
from poster_service.web import credential_file
from poster_service.web.credential_file import CredentialFile

OLD, NEW = "old-token-of-16-chars", "new-token-of-16-chars"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file with one token."""
    made = tmp_path / "tokens"
    made.write_text(f"web {OLD}\n")
    made.chmod(0o600)
    return made


def ring(file: Path | None, *fixed: Token) -> CredentialFile[Token]:
    """A credential file that has read its file."""
    made = CredentialFile(fixed, file, token, "POSTER_TOKENS_FILE")
    made.load()
    return made


def messages(caplog: pytest.LogCaptureFixture, level: str) -> list[str]:
    """What was logged at a level since it was last asked."""
    found = [one.getMessage() for one in caplog.records if one.levelname == level]
    assert OLD not in caplog.text
    assert NEW not in caplog.text
    caplog.clear()
    return found


def ways(file: Path, text: str) -> Iterator[None]:
    """A file changed in place, replaced, or swapped behind a symbolic link as in Kubernetes."""
    file.write_text(text)
    yield
    other = file.with_name("other")
    other.write_text(text + "# by another\n")
    other.rename(file)
    yield
    target = file.with_name("target")
    target.write_text(text)
    link = file.with_name("link")
    link.symlink_to(target)
    link.rename(file)
    yield


def test_a_changed_file_is_taken_over_in_every_way_of_changing(file: Path) -> None:
    """By its inode, its time or its size; those of the variable stay."""
    fixed = token("fixed", OLD)
    one = ring(file, fixed)
    assert one.names() == ["fixed", "web"]
    for _ in ways(file, f"app {NEW}\n"):
        one.look()
        assert one.entries == (fixed, token("app", NEW))


def test_a_file_that_did_not_change_is_not_read(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look is one stat(2)."""
    one = ring(file)
    monkeypatch.setattr(Path, "open", lambda *_: pytest.fail("it was read"))
    one.look()


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "no entry"),
        (b"# only words\n", "no entry"),
        (b"web short\n", "line 1: web: must have at least 16 characters"),
        (f"web {NEW}\n{NEW}\n".encode(), "line 2: must be name secret"),
        (b"\xff\xfe", "not UTF-8"),
        (b"#" * (1 << 20) + b"#", "larger than 1048576 bytes"),
    ],
)
def test_a_broken_new_file_keeps_the_old_tokens_and_says_so_once(
    file: Path, caplog: pytest.LogCaptureFixture, content: bytes, why: str
) -> None:
    """At error level, with the line and never the token; mended, it is taken over."""
    one = ring(file)
    file.write_bytes(content)
    one.look()
    one.look()
    assert one.entries == (token("web", OLD),)
    [reported] = messages(caplog, "ERROR")
    assert why in reported
    assert str(file) in reported
    file.write_text(f"web {NEW}\n")
    one.look()
    assert one.entries == (token("web", NEW),)


def test_a_file_that_is_gone_keeps_the_old_tokens_too(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Logged once; taken over when it is back."""
    one = ring(file)
    file.rename(file.with_name("away"))
    one.look()
    one.look()
    assert one.names() == ["web"]
    assert len(messages(caplog, "ERROR")) == 1
    file.write_text(f"app {NEW}\n")
    one.look()
    assert one.names() == ["app"]


@pytest.mark.parametrize("content", [None, "", "web short"])
def test_a_file_that_is_broken_from_the_start_is_a_refusal(file: Path, content: str | None) -> None:
    """One line with the variable; no service starts with other tokens than were meant."""
    file.unlink()
    if content is not None:
        file.write_text(content)
    with pytest.raises(InvalidSettings) as caught:
        ring(file)
    assert f"POSTER_TOKENS_FILE={file}: " in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("mode", "text", "loud"),
    [(0o644, f"web {OLD}", True), (0o640, f"web {OLD}", False),
     (0o644, "web sha256:" + "0" * 64, False)],
)  # fmt: skip
def test_secrets_that_every_user_can_read_are_reported_loudly(
    file: Path, caplog: pytest.LogCaptureFixture, mode: int, text: str, *, loud: bool
) -> None:
    """Digests are no secrets."""
    file.write_text(text)
    file.chmod(mode)
    ring(file)
    assert bool(messages(caplog, "WARNING")) == loud


async def test_it_looks_once_a_second_beside_everything_else(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a thread; and without a file there is nothing to do."""
    monkeypatch.setattr(credential_file, "CHECK_SECONDS", 0.01)
    await asyncio.wait_for(ring(None).keep_looking(), 60)
    one = ring(file)
    looking = asyncio.create_task(one.keep_looking())
    file.write_text(f"app {NEW}")
    os.utime(file, (1, 1))
    for _ in range(500):
        await asyncio.sleep(0.01)
        if one.names() == ["app"]:
            break
    looking.cancel()
    assert one.names() == ["app"]
