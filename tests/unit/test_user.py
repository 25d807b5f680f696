"""Whom a program may run as: the forms of a name, and what root needs for it."""

import pwd

import pytest

from poster_service.process.user import NEEDED, UNUSED, User, missing_capabilities, named

ALL = "Name:\tx\nCapEff:\t000001ffffffffff\n"


@pytest.mark.parametrize(
    ("text", "user"),
    [("1000", User(1000, 1000)), ("1000:33", User(1000, 33)), ("65530:0", User(65530, 0))],
)
def test_a_number_needs_no_entry_on_the_machine(text: str, user: User) -> None:
    """A gid of its own, or the uid's number."""
    assert named(text) == user
    assert named(str(user)) == user


def test_a_name_is_looked_up_with_its_group() -> None:
    """As the machine's user database has it."""
    entry = pwd.getpwnam("nobody")
    assert named("nobody") == User(entry.pw_uid, entry.pw_gid)


@pytest.mark.parametrize(
    ("text", "message"),
    [("nobody-of-the-kind", "no user"), ("root", "root"), ("0", "root"), ("0:7", "root")],
)
def test_an_unknown_user_and_root_are_refused(text: str, message: str) -> None:
    """Root is never another user; who means it says so by a word of its own."""
    with pytest.raises(ValueError, match=message):
        named(text)


@pytest.mark.parametrize("text", ["4294967295", "1:4294967295", "9999999999"])
def test_a_number_the_kernel_does_not_have_is_refused(text: str) -> None:
    """All ones means "leave as it is" to the kernel (setresuid(2)), which would be root."""
    with pytest.raises(ValueError, match="4294967294"):
        named(text)


def test_what_is_missing_is_named() -> None:
    """With all there, none; each one alone; all, where there is none or nothing can be read."""
    assert missing_capabilities(ALL) == ()
    for bit, name in NEEDED.items():
        text = f"CapEff:\t{0x1FFFFFFFFFF & ~(1 << bit):016x}\n"
        assert missing_capabilities(text) == (name,)
    assert missing_capabilities("CapEff:\t0000000000000000\n") == tuple(NEEDED.values())
    assert missing_capabilities("Name:\tx\n") == tuple(NEEDED.values())


def test_the_unused_user_is_unused_here() -> None:
    """Neither a user of this machine, nor in the ranges that others give out."""
    assert UNUSED.uid not in {entry.pw_uid for entry in pwd.getpwall()}
    assert 65520 <= UNUSED.uid <= 65533
