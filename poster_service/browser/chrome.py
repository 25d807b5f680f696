"""One Chrome: how it is started, what "ready" means, how it ends.

A Chrome never shares a folder, a session or a shim with another. It is ready when its page is
attached and answers, not when its process exists.
"""

import asyncio
import contextlib
import logging
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from poster_service.browser.page import PosterPage
from poster_service.browser.page_factory import PageFactory
from poster_service.browser.pipe import PipeConnection
from poster_service.browser.spec import (
    CONSOLE,
    FONTS_CONFIG,
    ChromeSpec,
    argv,
    environment,
    supports_begin_frame,
)
from poster_service.browser.warm import WarmPage
from poster_service.errors import ChromeDied, ChromeNotStarted
from poster_service.process import census
from poster_service.process.cgroup import CannotLimit, remove
from poster_service.process.exits import wait_reaped
from poster_service.process.spawn import CannotGive, Command, Ending, Group, pipes
from poster_service.stats import ignore

logger = logging.getLogger(__name__)

#: Where full Chromium reads a user's preferences, in the lease folder, and what they are: no PDF
#: viewer. That is an extension with a renderer of its own, which a page could start with a frame,
#: and which at times never becomes ready, so that neither does the page. headless-shell has none.
PREFERENCES = Path("profile", "Default", "Preferences")
PREFERENCES_TEXT = '{"plugins":{"always_open_pdf_externally":true}}'

#: How much of a Chrome's stderr is stored at most, in bytes of disk.
MAX_STDERR_BYTES = 1 << 20


class Chrome:
    """A running, ready Chrome with its one page; made by `start`."""

    def __init__(
        self,
        spec: ChromeSpec,
        group: Group,
        connection: PipeConnection,
        pages: PageFactory,
        page: PosterPage,
    ) -> None:
        self._renew_timeout = spec.renew_timeout
        self.group = group
        self.page = page
        self._connection = connection
        self._pages = pages

    @classmethod
    async def start(
        cls, spec: ChromeSpec, lease: int, on_unready: Callable[[Ending], None] = ignore
    ) -> "Chrome":
        """Start a Chrome and wait until its page answers.

        Args:
            spec: What all Chromes of the service share.
            lease: Its number within the instance.
            on_unready: Called with its ending if it does not become ready.

        Raises:
            ChromeNotStarted: It died or was not ready in time. Nothing of it is left then.
        """
        group, connection = _launch(spec, lease)
        try:
            async with asyncio.timeout(spec.start_timeout):
                pages = await PageFactory.open(
                    connection, spec.viewport_hint, supports_begin_frame=supports_begin_frame(spec)
                )
                page = await pages.new_page(own_context=spec.renders > 1)
        except BaseException as error:  # a cancelled start is ended and waited for all the same
            connection.lost()
            group.end()
            await _wait_gone(group, on_unready)
            spec.viewport_hint.forget()
            output = group.errors()
            if isinstance(error, TimeoutError):
                raise _not_started(
                    spec, f"not ready after {spec.start_timeout:g} s", output
                ) from error
            if isinstance(error, ChromeDied):
                raise _not_started(spec, "it exited at once", output) from error
            raise
        return cls(spec, group, connection, pages, page)

    async def renew(self) -> None:
        """Close the page and its context, open the next page, wait until the last one is gone.

        Raises:
            ChromeDied: That failed or took too long; this Chrome must be replaced.
        """
        try:
            async with asyncio.timeout(self._renew_timeout):
                renderers = await self._close_page()
                self.page = await self._pages.new_page(own_context=True)
                await wait_reaped(renderers)
        except TimeoutError as error:
            raise ChromeDied(f"a page did not close within {self._renew_timeout:g} s") from error

    async def clean(self, warm: WarmPage, *, evicts: bool) -> None:
        """Empty the page for another render of the same template.

        Args:
            warm: The page's life; it checks that the page is as it was.
            evicts: Whether pictures and others that Chrome has loaded are removed from its memory.

        Raises:
            ChromeDied: That failed or took too long, or the page is not as it was.
        """
        try:
            async with asyncio.timeout(self._renew_timeout):
                warm.check(await self.page.clean(evicts=evicts))
                if warm.is_measured:
                    warm.check_memory(await asyncio.to_thread(self.memory))
        except TimeoutError as error:
            raise ChromeDied(f"a page was not cleaned within {self._renew_timeout:g} s") from error
        self.page = self.page.successor()

    async def _close_page(self) -> list[int]:
        """Close the page and wait until its processes are dead; returns their pids.

        After a flood of messages answers are not read either, so the flood ends the wait.

        Raises:
            ChromeDied: Chrome sent more messages than allowed, or is gone.
        """
        closing = asyncio.ensure_future(self._pages.close(self.page))
        flooded = self._connection.flooded
        ends: set[asyncio.Future[Any]] = {closing, flooded}
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if flooded.done():
                raise ChromeDied("it sent too many messages")
            return closing.result()
        finally:
            closing.cancel()

    @property
    def lost(self) -> "asyncio.Future[None]":
        """Done when either side has closed the pipe to Chrome."""
        return self._connection.closed

    def trim(self) -> None:
        """Keep the file of its stderr small; a page can make Chrome write to it."""
        self.group.trim_errors(MAX_STDERR_BYTES)

    def memory(self) -> int:
        """Bytes of anonymous and shared memory of its processes.

        The walk along parents is enough here: this watches a page's memory, and a page cannot start
        processes. Takes 0.4 ms of CPU; shared memory counts once for each process.
        """
        return census.memory_below(self.group.shim_pid)

    def end(self) -> None:
        """Kill it; returns at once. `wait_gone` returns when nothing of it is left.

        Its death closes the pipe. If we closed the pipe before, Chrome would begin to shut down by
        itself, which costs CPU for nothing.
        """
        self.group.end()
        self.group.on_gone(lambda _: self._connection.lost())

    async def wait_gone(self) -> Ending:
        """Wait until nothing of it is left, neither process nor folder."""
        return await self.group.wait_gone()


def drop(folder: Path) -> None:
    """Remove a lease folder that no Chrome has written to; unlike rmtree it needs no descriptor."""
    with contextlib.suppress(OSError):
        for name in ("stderr", CONSOLE, PREFERENCES, FONTS_CONFIG):
            (folder / name).unlink(missing_ok=True)
        for each in (*_folders(folder), folder):
            each.rmdir()


def _folders(folder: Path) -> list[Path]:
    """The folders that we create in a lease folder, the innermost first."""
    created = [folder / PREFERENCES.parent, folder / PREFERENCES.parent.parent]
    return [each for each in created if each.is_dir()]


def _fill_folder(spec: ChromeSpec, folder: Path) -> None:
    """Put into a lease folder the files that its Chrome reads."""
    (folder / CONSOLE).symlink_to(os.devnull)
    _write(folder / FONTS_CONFIG, spec.fonts.config())
    if not supports_begin_frame(spec):
        file = folder / PREFERENCES
        file.parent.mkdir(parents=True)
        _write(file, PREFERENCES_TEXT)


def _write(file: Path, text: str) -> None:
    file.write_text(text)
    file.chmod(0o644)  # at any umask: Chrome may be another user


def _launch(spec: ChromeSpec, lease: int) -> tuple[Group, PipeConnection]:
    try:
        groups = spec.cgroups.make(f"poster-{spec.instance:x}-{lease}")
    except CannotLimit as error:
        raise ChromeNotStarted(f"cannot create a control group for Chrome: {error}") from error
    folder = spec.instance_dir / str(lease)
    try:
        folder.mkdir(mode=0o700)
    except OSError as error:
        remove(groups)
        raise ChromeNotStarted(f"cannot create the lease folder: {error.strerror}") from error
    undo = contextlib.ExitStack()
    undo.callback(remove, groups)
    undo.callback(drop, folder)
    try:
        _fill_folder(spec, folder)
        (commands, commands_held), (replies_held, replies) = pipes(2)
    except OSError as error:
        undo.close()
        raise ChromeNotStarted(f"cannot create its files or pipes: {error.strerror}") from error
    undo.callback(os.close, commands_held)
    undo.callback(os.close, replies_held)
    command = _command(spec, lease, (commands, replies), groups)
    try:
        group = Group.start(command, spec.server)
    except OSError as error:
        undo.close()
        raise ChromeNotStarted(
            f"cannot start a process: {error.strerror}", user=isinstance(error, CannotGive)
        ) from error
    undo.pop_all()  # the group owns the folder now, the connection the descriptors
    return group, PipeConnection(replies_held, commands_held)


#: The shim's message that it may not, or cannot, change the user: EPERM, EACCES, EINVAL. Anything
#: else (no memory, no processes, no such program) is no reason to run Chrome as root.
_USER_REFUSED = re.compile(r"shim: cannot start .*\[Errno (1|13|22)\]")


def _command(
    spec: ChromeSpec, lease: int, pipe_ends: tuple[int, int], groups: Sequence[Path]
) -> Command:
    """What to start; `pipe_ends` are Chrome's, to read commands from and to write replies to."""
    folder = spec.instance_dir / str(lease)
    commands, replies = pipe_ends
    return Command(
        argv=argv(spec, folder),
        folder=folder,
        tag=census.make_tag(spec.instance, lease),
        environment=environment(folder, spec.fonts),
        descriptors=((3, commands), (4, replies)),
        groups=groups,
        user=spec.user,
        folders=_folders(folder),
        reap=spec.reap,
    )


async def _wait_gone(group: Group, on_unready: Callable[[Ending], None]) -> None:
    """Wait until nothing of a group is left, also while being cancelled; then raise that.

    The pool removes its entry when this returns, and a pool that closes cancels its starts, those
    too that have failed and are being ended. The backstops limit the wait.
    """
    gone = asyncio.ensure_future(group.wait_gone())
    cancelled: asyncio.CancelledError | None = None
    while not gone.done():
        try:
            await asyncio.wait([gone])
        except asyncio.CancelledError as error:
            cancelled = error
    on_unready(gone.result())
    if cancelled is not None:
        raise cancelled


def _not_started(spec: ChromeSpec, what: str, output: str) -> ChromeNotStarted:
    """The error of a Chrome that did not start; its whole output goes to the debug log."""
    logger.debug("Chrome's output: %s", output)
    sandbox = "sandbox" in output.lower()
    user = spec.user is not None and bool(_USER_REFUSED.search(output))
    as_user = f" as {spec.user}" if user else ""
    message = f"Chrome does not start{as_user}: {what}; {_main_line(output)}"
    return ChromeNotStarted(message, sandbox=sandbox, user=user)


def _main_line(output: str) -> str:
    """The line of Chrome's output that says most about why it ended."""
    lines = [line for line in output.splitlines() if "dbus" not in line and line.strip()]
    fatal = [line for line in lines if "FATAL" in line or "sandbox" in line or "shim:" in line]
    return (fatal or lines or ["it printed nothing"])[-1].strip()
