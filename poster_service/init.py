"""PID 1: runs one command, passes signals on, adopts and reaps orphans, exits with its status.

It must never poll while idle, never block on its own log, never wait for a child by anything but
`wait`, and never import the package or anything heavier than a C module: it has to start in a few
milliseconds, run in a few megabytes and outlast every failure of the service. So it is one file
of the standard library, run by path (`python3 -I -S -E init.py`), and knows nothing of Chrome.

What it does, in order: read options, block every signal, fork the command, then one loop around
`sigtimedwait`. It shuts down in phases, RUNNING > (DELAYING) > ASKED > TERMINATING > KILLING, each
with a deadline, and each left early as soon as nothing is left to wait for.
"""

import posix
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal  # the C module has no stubs; these names are the same
    from collections.abc import Callable, Iterator
    from typing import NoReturn
else:
    import _signal

VERSION = "1.0.0"
NAME = "poster-init"

# Phases, in order; the names are those in the status file.
RUNNING, DELAYING, ASKED, TERMINATING, KILLING, ENDED = range(6)
PHASES = ("running", "delaying", "asked", "terminating", "killing", "ended")

# Log levels (-v adds one), the same as tini's.
ERROR, WARNING, INFO, DEBUG, TRACE = range(5)

DEFAULT_GRACE_S = 6.0
DEFAULT_KILL_GRACE_S = 2.0
# How long SIGKILL may take to have its effect. A process in uninterruptible sleep outlives even
# this; init exits all the same, since the sum (9 s) is within Docker's stop timeout of 10 s.
LAST_WAIT_S = 1.0
# As a subreaper it waits that long again as long as a child is about to die of SIGKILL, for it sees
# the children of those only then. On a busy machine one death has taken 3.9 s.
LONGEST_LAST_WAIT_S = 60.0
LONGEST_S = 86400.0

REAP_BATCH = 64  # after so many dead children the loop checks for other signals: about 2 ms
FAIR_EVERY = 8  # SIGCHLD (17) is dequeued before 18 and up: every so often, check those first
KNOWN_NAMES = 64  # bounded, or a program could grow the ledger without limit by renaming itself
KNOWN_ENDINGS = 8
STORM_LINES = 5  # orphans logged one by one in a second; the rest of that second is summed up
PIPE_BUF = 4096  # a write of up to so many bytes to a pipe is atomic (pipe(7))
MOST_FAULTS = 100  # errors of our own that are survived; more would be an endless loop
MOST_WALKS = 5  # over descendants that go on forking; those that were missed get KILL
DEEPEST = 200  # levels of descendants walked: each holds a descriptor and a Python frame

SIGNALS = tuple(sorted(_signal.valid_signals()))  # all but the two that glibc reserves (32, 33)
NOT_CHILD = tuple(n for n in SIGNALS if n != _signal.SIGCHLD)
ENDING = (_signal.SIGTERM, _signal.SIGINT, _signal.SIGQUIT)

PR_SET_PDEATHSIG = 1  # prctl(2)
PR_SET_CHILD_SUBREAPER = 36


class BadInput(Exception):
    """Invalid options or environment; the text says what is allowed. Exits with status 1."""


# --- parsing -----------------------------------------------------------------------------------


def signal_numbers() -> dict[str, int]:
    """Every signal of this machine by its short name: `TERM`, `RTMIN+1`, ... (signal(7))."""
    names = {
        name[3:]: int(getattr(_signal, name))
        for name in dir(_signal)
        if name.startswith("SIG") and name[3] != "_"
    }
    low, high = names["RTMIN"], names["RTMAX"]
    names.update((f"RTMIN+{n - low}", n) for n in range(low + 1, high))
    names.update((f"RTMAX-{high - n}", n) for n in range(low + 1, high))
    return names


def parse_signal(text: str) -> int:
    """The number of a signal given as `TERM`, `SIGTERM`, `term`, `RTMIN+3` or `15`.

    Raises BadInput for anything else, and for a signal that this system does not have.
    """
    if text.isascii() and text.isdigit():
        number = int(text)
    else:
        number = signal_numbers().get(text.upper().removeprefix("SIG"), 0)
    if number not in SIGNALS:
        raise BadInput(f"unknown signal {text!r}: give a name (TERM, SIGTERM, RTMIN+1) or 1 to 64")
    return number


_names: dict[int, str] = {}  # filled on first use: most runs need no name


def signal_name(number: int) -> str:
    """The usual name of a signal: `TERM`, `RTMIN+3`; its number where it has none."""
    if not _names:
        aliases = ("CLD", "IOT", "POLL")
        for name, value in signal_numbers().items():
            if name not in aliases:
                _names.setdefault(value, name)
    return _names.get(number, str(number))


def parse_seconds(text: str, what: str) -> float:
    """A time in seconds from 0 to a day, fractions allowed. Raises BadInput."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= LONGEST_S:  # also false for "nan"
        raise BadInput(f"{what} takes seconds from 0 to {LONGEST_S:.0f}, not {text!r}")
    return seconds


def parse_count(text: str, what: str, highest: int) -> int:
    """A whole number from 0 to `highest`. Raises BadInput."""
    if not (text.isascii() and text.isdigit()) or int(text) > highest:
        raise BadInput(f"{what} takes a whole number from 0 to {highest}, not {text!r}")
    return int(text)


def parse_switch(text: str, what: str) -> bool:
    """A boolean from the environment. Raises BadInput."""
    if text.lower() in ("1", "yes", "true", "on"):
        return True
    if text.lower() in ("", "0", "no", "false", "off"):
        return False
    raise BadInput(f"{what} takes 1 or 0, not {text!r}")


def atoi(text: str) -> int:
    """The number that C's atoi reads from a text, as tini reads TINI_VERBOSITY."""
    text = text.strip()
    digits = text.lstrip("+-")
    length = next((i for i, c in enumerate(digits) if not "0" <= c <= "9"), len(digits))
    number = int(digits[:length] or "0")
    return -number if text.startswith("-") else number


def plain(text: str) -> str:
    """A text from outside, escaped for a log line and for a JSON string."""
    return "".join(c if " " <= c <= "~" and c not in '"\\' else f"\\u{ord(c):04x}" for c in text)


def ending(code: int, status: int) -> str:
    """How a process ended, as text, from waitid's si_code and si_status."""
    if code == posix.CLD_EXITED:
        return f"exit {status}"
    return signal_name(status)


# --- options -----------------------------------------------------------------------------------

# Letter, long name, value ("" = none), description. Every option that changes how a command is run
# is also a variable: --kill-grace is POSTER_INIT_KILL_GRACE.
OPTIONS = (
    ("g", "group", "", "pass signals on to the child's process group, not only to the child"),
    ("e", "remap-exit", "CODE", "exit with 0 when the child exits with CODE (0-255; repeatable)"),
    ("r", "rewrite", "A:B", "pass signal A on as B; B = 0 drops it (repeatable)"),
    ("d", "delay", "[SIGNAL:]SECONDS",
     "wait SECONDS before passing on TERM (or SIGNAL) (repeatable)"),
    ("t", "grace", "SECONDS", f"time for the main child to exit (default {DEFAULT_GRACE_S:g})"),
    ("k", "kill-grace", "SECONDS",
     f"time from TERM to KILL for all other processes (default {DEFAULT_KILL_GRACE_S:g})"),
    ("p", "parent-death-signal", "SIGNAL", "signal that init gets when its own parent dies"),
    ("s", "subreaper", "", "no effect, for compatibility with tini: init always adopts orphans"),
    ("v", "verbose", "", "log more (repeatable, up to three times)"),
    ("w", "warn-on-reap", "", "log every orphan that is reaped"),
    ("o", "status-file", "PATH", "write the ledger of reaped orphans to this file, as JSON"),
    ("u", "remove-status", "", "remove the status file at exit instead of leaving its last state"),
    ("c", "check", "", "for HEALTHCHECK: count zombies, exit with 1 if too many; runs nothing"),
    ("m", "max-zombies", "N", "how many zombies --check allows (default 10)"),
    ("h", "help", "", "show this help and exit"),
    ("V", "version", "", "show the version and exit"),
    ("l", "license", "", "show the licence and exit"),
)  # fmt: skip
LETTERS = {letter: long for letter, long, _, _ in OPTIONS}
TAKES = {long: value for _, long, value, _ in OPTIONS}
NOT_FROM_ENVIRONMENT = ("check", "help", "version", "license")  # each would stop the container


class Options:
    """How a command is to be run: defaults, then TINI_*, then POSTER_INIT_*, then the arguments."""

    def __init__(self) -> None:
        self.group = False
        self.remap: set[int] = set()
        self.rewrites: dict[int, int] = {}
        self.delays: dict[int, float] = {}
        self.grace_s = DEFAULT_GRACE_S
        self.kill_grace_s = DEFAULT_KILL_GRACE_S
        self.parent_death_signal = 0
        self.verbosity = WARNING
        self.warn_on_reap = False
        self.status_file = ""
        self.remove_status = False
        self.max_zombies = 10
        self.role = "run"  # or what to do instead: check, help, version, license
        self.command: list[str] = []
        self.unknown: list[str] = []  # POSTER_INIT_* variables that are no options

    def set(self, name: str, value: str) -> None:
        """Set one option by its long name. Raises BadInput for an invalid value."""
        getattr(self, "_set_" + name.replace("-", "_"))(value)

    def _set_group(self, value: str) -> None:
        self.group = parse_switch(value, "group")

    def _set_remap_exit(self, value: str) -> None:
        self.remap.add(parse_count(value, "remap-exit", 255))

    def _set_rewrite(self, value: str) -> None:
        given, colon, instead = value.partition(":")
        if not colon:
            raise BadInput(f"rewrite takes A:B, as in TERM:INT, or A:0 to drop, not {value!r}")
        self.rewrites[parse_signal(given)] = 0 if instead == "0" else parse_signal(instead)

    def _set_delay(self, value: str) -> None:
        name, colon, seconds = value.rpartition(":")
        number = parse_signal(name) if colon else int(_signal.SIGTERM)
        if number not in ENDING:
            raise BadInput(f"only TERM, INT and QUIT can be delayed, not {name!r}")
        self.delays[number] = parse_seconds(seconds, "delay")

    def _set_grace(self, value: str) -> None:
        self.grace_s = parse_seconds(value, "grace")

    def _set_kill_grace(self, value: str) -> None:
        self.kill_grace_s = parse_seconds(value, "kill-grace")

    def _set_parent_death_signal(self, value: str) -> None:
        self.parent_death_signal = parse_signal(value)

    def _set_subreaper(self, value: str) -> None:
        parse_switch(value, "subreaper")

    def _set_verbose(self, value: str) -> None:
        self.verbosity += parse_count(value, "verbose", 9)

    def _set_warn_on_reap(self, value: str) -> None:
        self.warn_on_reap = parse_switch(value, "warn-on-reap")

    def _set_status_file(self, value: str) -> None:
        if not value:
            raise BadInput("status-file takes the path of a file, not an empty value")
        # Absolute, because init changes its working directory to /.
        self.status_file = value if value.startswith("/") else f"{posix.getcwd()}/{value}"

    def _set_remove_status(self, value: str) -> None:
        self.remove_status = parse_switch(value, "remove-status")

    def _set_max_zombies(self, value: str) -> None:
        self.max_zombies = parse_count(value, "max-zombies", 4194304)  # pid_max's own limit


def read_environment(options: Options, environ: dict[str, str]) -> None:
    """Apply TINI_* as tini does, then POSTER_INIT_*. Raises BadInput with the variable's name."""
    if "TINI_KILL_PROCESS_GROUP" in environ:  # tini checks whether it is set, not its value
        options.group = True
    for variable, value in environ.items():
        if not variable.startswith("POSTER_INIT_") or variable in CHILD_VARIABLES:
            continue
        name = variable.removeprefix("POSTER_INIT_").lower().replace("_", "-")
        if name not in TAKES or name in NOT_FROM_ENVIRONMENT:
            options.unknown.append(variable)
            continue
        try:
            _take_variable(options, name, value)
        except BadInput as bad:
            raise BadInput(f"{variable}: {bad}") from None


def _take_variable(options: Options, name: str, value: str) -> None:
    """Apply one variable; a repeatable option takes a list: `143,130` or `143 130`."""
    if name in ("remap-exit", "rewrite", "delay"):
        for part in value.replace(",", " ").split():
            options.set(name, part)
    elif value or name in ("group", "subreaper", "warn-on-reap", "remove-status"):
        options.set(name, value)


def read_arguments(options: Options, arguments: list[str]) -> None:
    """Apply options up to the first operand, where the command begins, or up to `--`.

    Unlike tini's getopt it stops at the first operand: `sh -c x` needs no `--`. Raises BadInput.
    """
    rest = arguments[:]
    while rest and rest[0].startswith("-") and rest[0] != "-":
        word = rest.pop(0)
        if word == "--":
            break
        if word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            _take_option(options, name, word, value if equals else None, rest)
        else:
            _take_letters(options, word, rest)
    options.command = rest


def _take_letters(options: Options, word: str, rest: list[str]) -> None:
    """Apply an argument of short options: -vvg, -e143, -e 143."""
    for at, letter in enumerate(word[1:], start=2):
        name = LETTERS.get(letter, "")
        if TAKES.get(name):
            _take_option(options, name, "-" + letter, word[at:] or None, rest)
            return
        _take_option(options, name, "-" + letter, None, rest)


def _take_option(
    options: Options, name: str, shown: str, value: str | None, rest: list[str]
) -> None:
    if name not in TAKES:
        raise BadInput(f"unknown option {shown!r}; {NAME} --help lists all options")
    if not TAKES[name]:
        if value is not None:
            raise BadInput(f"--{name} takes no value; remove {value!r}")
        if name in NOT_FROM_ENVIRONMENT:
            options.role = name
        else:
            options.set(name, "1")
        return
    if value is None:
        if not rest:
            raise BadInput(f"{shown} takes a value: {shown} {TAKES[name]}")
        value = rest.pop(0)
    options.set(name, value)


def read_options(arguments: list[str], environ: dict[str, str]) -> Options:
    """All options from the environment and the command line, checked before anything is started.

    Raises BadInput.
    """
    options = Options()
    read_environment(options, environ)
    read_arguments(options, arguments)
    if "TINI_VERBOSITY" in environ and "POSTER_INIT_VERBOSE" not in environ:
        options.verbosity = atoi(environ["TINI_VERBOSITY"])  # as in tini it overrides -v
    if options.role == "run" and not options.command:
        raise BadInput(f"no command given; usage: {NAME} [options] [--] command [arguments]")
    if options.role == "check" and options.command:
        raise BadInput(f"--check runs no command; remove {options.command[0]!r}")
    return options


def help_text() -> str:
    """The text that --help prints."""
    lines = [f"{NAME} {VERSION}", f"usage: {NAME} [options] [--] command [arguments]", ""]
    for letter, long, takes, does in OPTIONS:
        lines.append(f"  -{letter}, --{long}{' ' + takes if takes else ''}")
        lines.append(f"        {does}")
    lines += [
        "",
        "Every option that changes how a command is run is also a variable: --kill-grace is",
        "POSTER_INIT_KILL_GRACE. A switch takes 1 or 0, a repeatable option a list: 143,130.",
        "TINI_SUBREAPER, TINI_KILL_PROCESS_GROUP and TINI_VERBOSITY work as in tini.",
        "",
        "The first TERM, INT or QUIT starts the shutdown: the main child gets the signal. When it",
        "has exited or its grace is over, all other processes get TERM, then KILL. A further",
        "TERM, INT or QUIT starts the next phase at once.",
    ]
    return "\n".join(lines) + "\n"


# --- the log: one line, whole or not at all ------------------------------------------------------


def open_stderr() -> tuple[int, bool]:
    """A descriptor for log lines, and whether a write to it could block.

    O_NONBLOCK belongs to the open file, which the child shares; so a pipe or terminal is opened
    again, and only ours gets the flag. A regular file must not be opened again (its offset is
    shared too, and it never blocks). A socket cannot be, nor a pipe of another user: there we check
    for room before each write.
    """
    try:
        kind = posix.fstat(2).st_mode & 0o170000
    except OSError:
        return -1, False
    if kind in (0o010000, 0o020000):  # a pipe, a terminal or /dev/null
        flags = posix.O_WRONLY | posix.O_NONBLOCK | posix.O_NOCTTY | posix.O_CLOEXEC
        try:
            return posix.open("/proc/self/fd/2", flags), False
        except OSError:
            return 2, True
    return 2, kind != 0o100000


class Log:
    """Writes log lines to stderr. Never waits: a line without room is dropped and counted."""

    def __init__(self, level: int) -> None:
        self.level = level
        self.lost = 0  # lines since init started
        self._lost_before = 0
        self._prefix = f"{NAME}[{posix.getpid()}]: "
        self.fd, self._may_block = open_stderr()

    def say(self, level: int, text: str) -> None:
        """Write one line, or drop and count it, if `level` is to be logged."""
        if level > self.level:
            return
        lost = (
            f"({self._lost_before} log lines before this one were lost) "
            if self._lost_before
            else ""
        )
        line = (self._prefix + lost + text).encode("utf-8", "backslashreplace")
        if self._write(line[: PIPE_BUF - 1] + b"\n"):
            self._lost_before = 0
        else:
            self.lost += 1
            self._lost_before += 1

    def _write(self, line: bytes) -> bool:
        try:
            if self._may_block and not self._has_room():
                return False
            return posix.write(self.fd, line) == len(line)
        except (OSError, ImportError):
            return False  # full, closed, hung up, no space; or `select` cannot be imported

    def _has_room(self) -> bool:
        from select import POLLOUT, poll  # a C module: loaded only where it is needed

        poller = poll()
        poller.register(self.fd, POLLOUT)
        return any(events & POLLOUT for _, events in poller.poll(0))


# --- /proc ---------------------------------------------------------------------------------------


def read_file(path: str) -> bytes:
    """The contents of a small file in /proc; empty where it cannot be read."""
    try:
        fd = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)
    except OSError:
        return b""
    try:
        parts = []
        while part := posix.read(fd, 65536):
            parts.append(part)
        return b"".join(parts)
    except OSError:
        return b""
    finally:
        posix.close(fd)


def proc_is_ours() -> bool:
    """Whether /proc shows this PID namespace; in another, pids are those of other processes."""
    try:
        return posix.readlink("/proc/self") == str(posix.getpid())
    except OSError:
        return False


def read_name(pid: int) -> str:
    """The command name of a process, dead or alive, of at most 15 bytes; "?" for one that is gone.

    Does not use `read_file`, since it is called for every orphan and must be fast.
    """
    try:
        fd = posix.open(f"/proc/{pid}/comm", posix.O_RDONLY)
    except OSError:
        return "?"
    try:
        return posix.read(fd, 64)[:-1].decode("utf-8", "backslashreplace") or "?"
    except OSError:
        return "?"
    finally:
        posix.close(fd)


def read_stat(pid: int) -> tuple[str, str, int, int]:
    """Name, state letter, parent and number of threads of a process (proc_pid_stat(5)).

    ("?", "", 0, 0) for one that is gone. A name may contain anything, brackets too, so it ends at
    the last bracket of the line.
    """
    text = read_file(f"/proc/{pid}/stat").decode("utf-8", "backslashreplace")
    head, _, tail = text.rpartition(")")
    fields = tail.split()
    if len(fields) < 18:
        return "?", "", 0, 0
    return head.partition("(")[2], fields[0], int(fields[1]), int(fields[17])


def children_of(pid: int) -> list[int]:
    """The direct children of all threads of a process, including zombies."""
    try:
        threads = posix.listdir(f"/proc/{pid}/task")
    except OSError:
        return []
    return [
        int(child)
        for thread in threads
        for child in read_file(f"/proc/{pid}/task/{thread}/children").split()
    ]


def attempt(call: "Callable[..., object]", *arguments: object) -> bool:
    """Make a system call that may fail; returns whether it worked."""
    try:
        call(*arguments)
    except OSError:
        return False
    return True


def send(pid: int, number: int, fd: int = -1) -> bool:
    """Send a signal, through a pidfd if one is given; returns whether a process got it."""
    # It fails if they are gone, or if we may not signal them (setuid programs, if we are not root).
    if fd >= 0:
        return attempt(_signal.pidfd_send_signal, fd, number)
    return attempt(posix.kill, pid, number)


def open_pidfd(pid: int) -> int:
    """A pidfd, which stays bound to this process; -1 where the kernel or a filter has none."""
    try:
        return posix.pidfd_open(pid)
    except OSError:
        return -1


def terminate_descendants(
    parent: int, signalled: set[int], parent_fd: int = -1, depth: int = 0
) -> bool:
    """Send TERM and CONT to every descendant not in `signalled`; whether there was a new one.

    A pid read from /proc may have been reused by now. So we open a pidfd of it first, then check
    that it is the child of a parent that still exists: from then on both are certain.
    """
    new = False
    for pid in children_of(parent):
        fd = open_pidfd(pid)
        try:
            genuine = read_stat(pid)[2] == parent and (parent_fd < 0 or send(parent, 0, parent_fd))
            if genuine and pid not in signalled:
                signalled.add(pid)
                new = True
                send(pid, _signal.SIGTERM, fd)
                send(pid, _signal.SIGCONT, fd)
            if genuine and depth < DEEPEST:
                new = terminate_descendants(pid, signalled, fd, depth + 1) or new
        finally:
            if fd >= 0:
                posix.close(fd)
    return new


# --- the ledger ----------------------------------------------------------------------------------


class Account:
    """What is recorded of the reaped orphans of one command name."""

    __slots__ = ("cpu_s", "endings", "killed", "peak_kib", "reaped")

    def __init__(self) -> None:
        self.reaped = 0
        self.killed = 0  # by init's SIGKILL at the end
        self.endings: dict[str, int] = {}
        self.cpu_s = 0.0  # user + system, with the children that it waited for
        self.peak_kib = 0  # the largest resident set of any one of them

    def as_json(self) -> str:
        """This account as a JSON object."""
        endings = ", ".join(f'"{plain(how)}": {n}' for how, n in self.endings.items())
        return (
            f'{{"reaped": {self.reaped}, "killed": {self.killed}, "endings": {{{endings}}}, '
            f'"cpu_seconds": {self.cpu_s:.6f}, "peak_rss_kib": {self.peak_kib}}}'
        )


class Ledger:
    """Counts reaped orphans by command name, in bounded memory."""

    def __init__(self) -> None:
        self.accounts: dict[str, Account] = {}
        self.reaped = 0
        self.killed = 0

    def add(self, name: str, how: str, killed: bool, cpu_s: float, peak_kib: int) -> None:
        """Record one reaped orphan."""
        if name not in self.accounts and len(self.accounts) >= KNOWN_NAMES:
            name = "(others)"
        account = self.accounts.setdefault(name, Account())
        if how not in account.endings and len(account.endings) >= KNOWN_ENDINGS:
            how = "(others)"
        account.endings[how] = account.endings.get(how, 0) + 1
        account.reaped += 1
        account.cpu_s += cpu_s
        account.peak_kib = max(account.peak_kib, peak_kib)
        self.reaped += 1
        if killed:
            account.killed += 1
            self.killed += 1

    def in_words(self) -> str:
        """A summary in half a line, the most frequent names first."""
        if not self.reaped:
            return "reaped no orphans"
        ranked = sorted(self.accounts.items(), key=lambda item: -item[1].reaped)
        names = ", ".join(f"{plain(name)} {account.reaped}" for name, account in ranked[:8])
        more = ", ..." if len(ranked) > 8 else ""
        cpu_s = sum(account.cpu_s for account in self.accounts.values())
        plural = "" if self.reaped == 1 else "s"
        killed = f", {self.killed} of them killed" if self.killed else ""
        return f"reaped {self.reaped} orphan{plural} ({names}{more}){killed}, {cpu_s:.2f} s CPU"

    def as_json(self) -> str:
        """The accounts as a JSON object, by command name."""
        accounts = (f'"{plain(name)}": {acc.as_json()}' for name, acc in self.accounts.items())
        return "{" + ", ".join(accounts) + "}"


class OrphanLog:
    """The log lines of -w: a few orphans one by one, then one sum for the rest of the second."""

    def __init__(self, log: Log) -> None:
        self.due = 0.0  # when to log the sum (monotonic seconds); 0 = there is none
        self._log = log
        self._second_ends = 0.0
        self._logged = 0
        self._names: dict[str, int] = {}

    def add(self, now: float, name: str, pid: int, how: str) -> None:
        """Log one reaped orphan, now or in the sum."""
        if now >= self._second_ends:
            self.sum_up()
            self._second_ends = now + 1.0
            self._logged = 0
        if self._logged < STORM_LINES:
            self._logged += 1
            self._log.say(WARNING, f"reaped orphan {plain(name)} (pid {pid}): {how}")
            return
        if name not in self._names and len(self._names) >= KNOWN_NAMES:
            name = "(others)"
        self._names[name] = self._names.get(name, 0) + 1
        self.due = self._second_ends

    def sum_up(self) -> None:
        """Log the sum of those that were not logged one by one."""
        self.due = 0.0
        if self._names:
            words = ", ".join(f"{plain(name)} {n}" for name, n in self._names.items())
            self._log.say(WARNING, f"reaped {sum(self._names.values())} more orphans: {words}")
            self._names = {}


class StatusFile:
    """The ledger on disk; replaced as a whole once a second at most, or at once on a new phase."""

    def __init__(self, path: str, log: Log) -> None:
        self.due = 0.0  # when to replace it next (monotonic seconds); 0 = not at all
        self._path = path
        self._log = log
        self._written = 0.0
        self._failed = False

    def changed(self, now: float) -> None:
        """Ask for a replacement within a second."""
        if self._path and not self.due:
            self.due = max(now, self._written + 1.0)

    def replace(self, now: float, text: str) -> None:
        """Replace the file. An error is logged once and never stops init."""
        self.due = 0.0
        self._written = now
        try:
            self.write(text)
            self._failed = False
        except OSError as fault:
            if not self._failed:
                self._log.say(WARNING, f"cannot write {plain(self._path)}: {fault.strerror}")
            self._failed = True

    def remove(self) -> None:
        """Remove the file; it may be gone already."""
        try:
            posix.unlink(self._path)
        except OSError:
            return

    def write(self, text: str) -> None:
        """Replace the file atomically. Raises OSError."""
        if not self._path:
            return
        aside = f"{self._path}.{posix.getpid()}"
        flags = posix.O_WRONLY | posix.O_CREAT | posix.O_TRUNC | posix.O_NOFOLLOW | posix.O_CLOEXEC
        fd = posix.open(aside, flags, 0o644)
        try:
            data = text.encode("ascii")
            if posix.write(fd, data) != len(data):
                raise OSError(28, "No space left on device")
            posix.close(fd)
            fd = -1
            posix.rename(aside, self._path)
        except OSError:
            if fd >= 0:
                posix.close(fd)
            posix.unlink(aside)
            raise


# --- the child -----------------------------------------------------------------------------------

# What init adds to its child's environment. POSTER_INIT_PID is init's own pid, in its namespace; a
# program for which it equals getppid() was started by init.
CHILD_VARIABLES = ("POSTER_INIT_PID", "POSTER_INIT_STATUS")


def prctl(option: int, argument: int) -> bool:
    """Set an attribute of this process, for which Python has no function; returns if it worked.

    `_ctypes` without `ctypes` costs a third of the time, and is loaded only where init is not PID 1
    or -p is given.
    """
    try:
        from _ctypes import call_function, dlopen, dlsym

        # None stands for all libraries that are loaded.
        address = dlsym(dlopen(None, 0), "prctl")  # type: ignore[arg-type]
        return bool(call_function(address, (option, argument, 0, 0, 0)) == 0)
    except (ImportError, OSError):
        return False


def terminal_in_front() -> int:
    """A descriptor of the controlling terminal if init's group is in its foreground, else -1.

    A background job must not take the foreground (tini does).
    """
    flags = posix.O_RDWR | posix.O_NOCTTY | posix.O_NONBLOCK | posix.O_CLOEXEC
    fd = -1
    try:
        fd = posix.open("/dev/tty", flags)
        if posix.tcgetpgrp(fd) == posix.getpgrp():
            return fd
    except OSError:  # ENXIO, ENOENT: there is no terminal; ENOTTY, EIO: it is gone
        pass
    if fd >= 0:
        posix.close(fd)
    return -1


class SignalState:
    """The signal mask and dispositions that init was started with, to be restored in the child.

    CPython ignores SIGPIPE and SIGXFSZ before any of our code runs, so we cannot know what they
    were: the child gets the default, which nearly every parent leaves them at.
    """

    def __init__(self) -> None:
        self.mask = _signal.pthread_sigmask(_signal.SIG_BLOCK, SIGNALS)
        self.ignored_chld = _signal.getsignal(_signal.SIGCHLD) == _signal.SIG_IGN
        # If it were ignored, the kernel would reap children itself without a signal.
        _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)
        # Python's own handler would run in the child between fork and exec.
        if _signal.getsignal(_signal.SIGINT) == _signal.default_int_handler:
            _signal.signal(_signal.SIGINT, _signal.SIG_DFL)

    def restore(self) -> None:
        """Restore everything, in the child. Signals that were blocked until now arrive here."""
        _signal.signal(_signal.SIGPIPE, _signal.SIG_DFL)
        _signal.signal(_signal.SIGXFSZ, _signal.SIG_DFL)
        if self.ignored_chld:
            _signal.signal(_signal.SIGCHLD, _signal.SIG_IGN)
        _signal.pthread_sigmask(_signal.SIG_SETMASK, self.mask)


def child_environment(status_file: str) -> dict[bytes, bytes]:
    """Our environment without init's own settings, which are not for a nested init."""
    environ = {
        name: value for name, value in posix.environ.items() if not name.startswith(b"POSTER_INIT_")
    }
    # In the C locale Python adds LC_CTYPE to the environment (PEP 538); the original environment
    # can be read in /proc.
    if b"LC_CTYPE" in environ and proc_is_ours():
        given = read_file("/proc/self/environ").split(b"\0")
        if not any(entry.startswith(b"LC_CTYPE=") for entry in given):
            del environ[b"LC_CTYPE"]
    environ[b"POSTER_INIT_PID"] = str(posix.getpid()).encode()
    if status_file:
        environ[b"POSTER_INIT_STATUS"] = status_file.encode(*FILE_NAMES)
    return environ


FILE_NAMES = (sys.getfilesystemencoding(), "surrogateescape")


def candidates(command: str, environ: dict[bytes, bytes]) -> "Iterator[str]":
    """The paths that execvp(3) would try for a command, in order."""
    if "/" in command:
        yield command
    elif command:
        path = environ.get(b"PATH", b"/bin:/usr/bin").decode(*FILE_NAMES)
        yield from (f"{folder or '.'}/{command}" for folder in path.split(":"))


def execute(command: list[str], environ: dict[bytes, bytes]) -> OSError:
    """Execute the command as execvp does; returns the most specific error if that fails.

    Not `os.execvp`, which imports `warnings` and never tries /bin/sh for a script without #!.
    """
    missing = OSError(2, "not found")
    for path in candidates(command[0], environ):
        try:
            posix.execve(path, command, environ)
        except OSError as fault:
            if fault.errno == 8:  # ENOEXEC
                return _execute_script(path, command, environ)
            if fault.errno == 2 and posix.access(path, posix.F_OK):
                return OSError(2, "its interpreter or loader is missing")
            if fault.errno == 13:  # EACCES: perhaps there is another one later in PATH
                missing = fault
            elif fault.errno not in (2, 20):  # ENOENT, ENOTDIR
                return fault
    return missing


def _execute_script(path: str, command: list[str], environ: dict[bytes, bytes]) -> OSError:
    try:
        posix.execve("/bin/sh", ["/bin/sh", path, *command[1:]], environ)
    except OSError as fault:
        return fault


class Child:
    """Starts the main child."""

    def __init__(self, options: Options, log: Log, signals: SignalState) -> None:
        self.terminal = terminal_in_front()
        self._command = options.command
        self._environ = child_environment(options.status_file)
        self._log = log
        self._signals = signals
        self._init = posix.getpid()

    def start(self) -> int:
        """Fork and exec; returns the child's pid. Raises OSError if no process can be created."""
        pid = posix.fork()
        if pid == 0:
            try:
                self._become()
            finally:
                posix._exit(126)  # in any case: the child must not go on as a second init
        # In both processes, so that -g works for the first of them to come.
        attempt(posix.setpgid, pid, pid)
        return pid

    def _become(self) -> None:
        posix.setpgid(0, 0)
        if self.terminal >= 0:
            # TTOU is blocked, so it stops nothing.
            attempt(posix.tcsetpgrp, self.terminal, posix.getpid())
        if self._init != 1:
            prctl(PR_SET_PDEATHSIG, _signal.SIGKILL)
            if posix.getppid() != self._init:  # it died before that: no signal will come
                posix._exit(137)
        self._signals.restore()
        fault = execute(self._command, self._environ)
        # A closed stderr must not make the status 141.
        _signal.signal(_signal.SIGPIPE, _signal.SIG_IGN)
        self._log.say(ERROR, f"cannot run {plain(self._command[0])}: {fault.strerror}")
        posix._exit(127 if fault.errno in (2, 20) else 126)


# --- init ----------------------------------------------------------------------------------------


class Init:
    """Runs one main child, reaps all orphans, and shuts down in phases."""

    def __init__(self, options: Options, log: Log) -> None:
        self._options = options
        self._log = log
        self._pid = posix.getpid()
        self._is_first = self._pid == 1
        self._proc = proc_is_ours()
        self._started = time.monotonic()
        self._started_unix = time.time()
        self._faults = 0
        self._phase = RUNNING
        self._deadline = 0.0  # of the phase (monotonic seconds); 0 = none
        self._give_up_at = 0.0  # the last phase's latest deadline
        self._asked = 0  # the signal that started the shutdown
        self._pass_on = 0  # the signal that the main child gets for it
        self._main = 0  # pid; 0 when it is gone
        self._main_ending = ""
        self._main_was_killed = False
        self._status = 0  # the status that init will exit with
        self._childless = False
        self._more = True  # there may be dead children; also from before init started
        self._streak = 0
        self._killed: set[int] = set()
        self._suspended = False
        self._terminal = -1
        self._ledger = Ledger()
        self._orphan_log = OrphanLog(log)
        self._file = StatusFile(options.status_file, log)

    # -- start

    def begin(self, parent: int, signals: SignalState) -> None:
        """Start the command; `parent` is the pid of init's parent, to check that it still exists.

        Raises BadInput, with nothing started, if the status file cannot be written or no process
        can be created.
        """
        try:
            self._file.write(self._as_json())
        except OSError as fault:
            raise BadInput(
                f"cannot write {plain(self._options.status_file)}: {fault.strerror}; "
                "give --status-file a path in a writable folder"
            ) from None
        if not self._is_first and not prctl(PR_SET_CHILD_SUBREAPER, 1):
            self._log.say(
                WARNING, "cannot become a subreaper: another process will adopt the orphans"
            )
        child = Child(self._options, self._log, signals)
        self._terminal = child.terminal
        self._watch_parent(parent)
        try:
            self._main = self._group = child.start()
        except OSError as fault:
            raise BadInput(f"cannot fork: {fault.strerror}; raise pids.max or ulimit -u") from None
        posix.chdir("/")  # the child keeps the working directory; init must not keep a mount busy
        self._close_inherited()
        self._log.say(INFO, f"started {plain(self._options.command[0])} (pid {self._main})")
        self._publish()

    def _watch_parent(self, parent: int) -> None:
        number = self._options.parent_death_signal
        if not number:
            return
        if not prctl(PR_SET_PDEATHSIG, number):
            self._log.say(WARNING, "cannot set the parent-death signal")
        elif posix.getppid() != parent:  # it died before that: no signal will come
            posix.kill(self._pid, number)

    def _close_inherited(self) -> None:
        """Close what the child inherited: a pipe must end when its real users close it."""
        try:
            inherited = [int(name) for name in posix.listdir("/proc/self/fd")]
        except OSError:
            inherited = [0, 1]  # no /proc: these matter most
        for fd in inherited:
            if fd not in (self._log.fd, self._terminal):
                attempt(posix.close, fd)  # the descriptor of the listing itself is closed already

    # -- the loop

    def run(self) -> int:
        """Run until nothing is left; returns the status to exit with.

        An error in here is logged and survived: the death of PID 1 ends everything.
        """
        while True:
            try:
                return self._serve()
            except Exception as fault:
                self._faults += 1
                self._log.say(ERROR, f"internal error of {NAME}, continuing: {fault!r}")
                if self._faults > MOST_FAULTS:
                    raise

    def _serve(self) -> int:
        while True:
            if self._more:
                self._reap()
            now = time.monotonic()
            if self._is_over(now):
                return self._leave(now)
            self._keep_time(now)
            info = self._wait(now)
            if info is not None:
                self._take(info)

    def _wait(self, now: float) -> "_signal.struct_siginfo | None":
        """The next signal, or None at the next deadline. Without a deadline it sleeps."""
        if self._more:  # many children die at once: other signals first, but without waiting
            return _signal.sigtimedwait(NOT_CHILD, 0)
        self._streak += 1
        if self._streak % FAIR_EVERY == 0 and (info := _signal.sigtimedwait(NOT_CHILD, 0)):
            return info
        times = [t for t in (self._deadline, self._orphan_log.due, self._file.due) if t]
        if self._childless:  # a process that entered from outside is left; its end sends no signal
            times.append(now + 0.05)
        if not times:
            return _signal.sigwaitinfo(SIGNALS)
        return _signal.sigtimedwait(SIGNALS, max(0.0, min(times) - now))

    def _keep_time(self, now: float) -> None:
        if self._deadline and now >= self._deadline:
            self._next_phase()
        if self._orphan_log.due and now >= self._orphan_log.due:
            self._orphan_log.sum_up()
        if self._file.due and now >= self._file.due:
            self._publish()

    def _publish(self) -> None:
        if self._options.status_file:
            self._file.replace(time.monotonic(), self._as_json())

    def _is_over(self, now: float) -> bool:
        """Whether init may exit; terminates the other processes when the main child is gone."""
        if self._main or self._more:
            return self._gives_up(now)
        if self._childless and not (self._is_first and send(-1, 0)):
            return True
        if self._phase < TERMINATING:
            self._enter(TERMINATING)
        return self._gives_up(now)

    def _gives_up(self, now: float) -> bool:
        """Whether SIGKILL has had its time; what is left then does not die of it."""
        if self._phase != KILLING or now < self._deadline:
            return False
        if self._is_first or now >= self._give_up_at:  # the kernel ends all that PID 1 leaves
            return True
        children = children_of(self._pid) if self._proc else []
        if all(pid not in self._killed or read_stat(pid)[1] == "D" for pid in children):
            return True
        self._deadline = now + LAST_WAIT_S
        return False

    # -- signals

    def _take(self, info: "_signal.struct_siginfo") -> None:
        number = info.si_signo
        if number == _signal.SIGCHLD:
            self._more = True  # from any sender: the kernel's own may have been merged into it
            if info.si_code > 0:  # from the kernel; any other is meant for the child
                return
        if info.si_pid == self._pid and number != self._options.parent_death_signal:
            return  # our own write to a closed pipe (SIGPIPE), or Ctrl-Z handed to our group
        instead = self._options.rewrites.get(number, number)
        if self._log.level >= DEBUG:
            action = f", passed on as {signal_name(instead)}" if instead else ", dropped"
            self._log.say(DEBUG, f"got {signal_name(number)}{action}")
        if instead == 0:
            return
        if number in ENDING or instead in ENDING:
            self._ask(number, instead)
        elif number == _signal.SIGCONT and self._suspended:
            self._resume()
        else:
            self._forward(instead)

    def _forward(self, number: int) -> None:
        if self._main:
            send(-self._group if self._options.group else self._main, number)

    def _ask(self, number: int, instead: int) -> None:
        """TERM, INT or QUIT: the first starts the shutdown, a further one starts the next phase."""
        first = not self._asked
        if first:
            self._asked = number
            self._pass_on = instead
        if self._phase == RUNNING and self._options.delays.get(number):
            self._enter(DELAYING)
        elif self._phase < ASKED:
            self._enter(ASKED)
        elif not first:
            self._next_phase()

    # -- phases

    def _next_phase(self) -> None:
        if self._phase < KILLING:
            self._enter(ASKED if self._phase <= DELAYING else self._phase + 1)

    def _enter(self, phase: int) -> None:
        self._phase = phase
        self._log.say(INFO, f"now {PHASES[phase]}")
        allowed_s = 0.0
        if phase == DELAYING:
            allowed_s = self._options.delays[self._asked]
        elif phase == ASKED:
            allowed_s = self._options.grace_s
            self._forward(self._pass_on)
            self._wake_main()
        elif phase == TERMINATING:
            allowed_s = self._options.kill_grace_s
            self._terminate_all()
        elif phase == KILLING:
            allowed_s = LAST_WAIT_S
            self._give_up_at = time.monotonic() + LONGEST_LAST_WAIT_S
            self._kill_all()
        self._deadline = time.monotonic() + allowed_s
        self._publish()

    def _wake_main(self) -> None:
        """Send CONT if it is stopped: a stopped process gets no TERM until it is continued."""
        if not self._proc or (self._main and read_stat(self._main)[1] in ("T", "t")):
            self._forward(_signal.SIGCONT)

    def _terminate_all(self) -> None:
        if self._is_first:
            send(-1, _signal.SIGTERM)
            send(-1, _signal.SIGCONT)
        elif self._proc:
            signalled: set[int] = set()
            for _ in range(MOST_WALKS):
                if not terminate_descendants(self._pid, signalled):
                    break  # none was forked meanwhile
        else:
            send(-self._group, _signal.SIGTERM)
            send(-self._group, _signal.SIGCONT)

    def _kill_all(self) -> None:
        """SIGKILL to all (PID 1), or to those direct children that did not get it yet.

        A deeper descendant becomes a direct child when its parent dies, and a direct child's pid
        cannot be reused before we reap it. So this needs no walk, only repetition.
        """
        if self._is_first:
            send(-1, _signal.SIGKILL)
        elif self._proc:
            for pid in children_of(self._pid):
                if pid not in self._killed and send(pid, _signal.SIGKILL):
                    self._killed.add(pid)
        else:
            send(-self._group, _signal.SIGKILL)

    # -- the dead

    def _reap(self) -> None:
        """Reap dead children, a batch at most: TERM must not wait behind ten thousand orphans."""
        self._childless = False
        for _ in range(REAP_BATCH):
            try:
                dead = posix.waitid(posix.P_ALL, 0, posix.WEXITED | posix.WNOHANG | posix.WNOWAIT)
            except ChildProcessError:
                self._childless = True
                dead = None
            if dead is None:
                self._more = False
                break
            self._collect(dead)
        if self._more:
            return
        if self._phase == KILLING and not self._childless:
            self._kill_all()
        if self._terminal >= 0 and self._main:
            self._look_for_stop()

    def _collect(self, dead: "posix.waitid_result") -> None:
        pid = dead.si_pid
        how = ending(dead.si_code, dead.si_status)
        if pid == self._main:
            posix.waitpid(pid, 0)
            self._main_is_gone(how, dead.si_code, dead.si_status)
            return
        name = self._name_of(pid)
        cpu_s, peak_kib = _reap_one(pid)
        killed = self._phase == KILLING and how == "KILL"
        self._killed.discard(pid)
        self._ledger.add(name, how, killed, cpu_s, peak_kib)
        if self._options.warn_on_reap or self._options.status_file:
            now = time.monotonic()
            self._file.changed(now)
            if self._options.warn_on_reap:
                self._orphan_log.add(now, name, pid, how)

    def _name_of(self, pid: int) -> str:
        return read_name(pid) if self._proc else "?"

    def _main_is_gone(self, how: str, code: int, status: int) -> None:
        self._main = 0
        self._main_ending = how
        self._main_was_killed = code != posix.CLD_EXITED
        self._status = status if code == posix.CLD_EXITED else 128 + status
        if self._status in self._options.remap:
            self._status = 0
        self._log.say(INFO, f"the main child ended: {how}")
        self._take_terminal_back()

    # -- the terminal

    def _take_terminal_back(self) -> None:
        """Take the foreground back: a script that ran us goes on in our group."""
        self._move_terminal(self._group, posix.getpgrp())

    def _move_terminal(self, giver: int, taker: int) -> None:
        """Make `taker` the foreground group if `giver` is. Ignores a terminal that hung up."""
        try:
            if self._terminal >= 0 and posix.tcgetpgrp(self._terminal) == giver:
                posix.tcsetpgrp(self._terminal, taker)
        except OSError:
            return

    def _look_for_stop(self) -> None:
        """If Ctrl-Z stopped the child's group, stop too, for the shell that waits for *us*.

        In an orphaned group, which no shell could continue, the kernel ignores SIGTSTP.
        """
        stopped = posix.waitid(posix.P_PID, self._main, posix.WSTOPPED | posix.WNOHANG)
        if stopped is None or self._is_first or posix.getsid(0) == self._pid:
            return
        self._suspended = True
        posix.kill(0, _signal.SIGTSTP)
        _signal.pthread_sigmask(_signal.SIG_UNBLOCK, (_signal.SIGTSTP,))  # here we stop
        _signal.pthread_sigmask(_signal.SIG_BLOCK, (_signal.SIGTSTP,))

    def _resume(self) -> None:
        """Continued by the shell: `fg` gave our group the terminal, `bg` did not."""
        self._suspended = False
        self._move_terminal(posix.getpgrp(), self._group)
        send(-self._group, _signal.SIGCONT)

    # -- the end

    def _leave(self, now: float) -> int:
        self._phase = ENDED
        self._orphan_log.sum_up()
        words = self._in_words(now)
        if self._options.remove_status:
            self._file.remove()
        else:
            self._publish()
        # Silent when nothing happened: `poster-init true` must not print a line.
        leaves_file = self._options.status_file and not self._options.remove_status
        eventful = self._ledger.reaped or self._asked or leaves_file or self._main_was_killed
        self._log.say(WARNING if eventful else INFO, words)
        return self._status

    def _in_words(self, now: float) -> str:
        """Why it ended, how long it ran, what it reaped."""
        asked = f" after {signal_name(self._asked)}" if self._asked else " by itself"
        main = f"the main child ended{asked} ({self._main_ending})"
        if not self._main_ending:
            main = f"the main child outlived KILL{asked}"
            self._status = 128 + _signal.SIGKILL
        lost = f", lost {self._log.lost} log lines" if self._log.lost else ""
        left = "" if self._childless else ", some processes outlived KILL"
        return (
            f"{main}; ran {now - self._started:.1f} s, {self._ledger.in_words()}{left}{lost}; "
            f"exiting with {self._status}"
        )

    def _as_json(self) -> str:
        """The text of the status file; counts are since init started, times in seconds."""
        return (
            f'{{"version": 1, "pid": {self._pid}, "subreaper": {_json(not self._is_first)}, '
            f'"phase": "{PHASES[self._phase]}", "started_unix": {self._started_unix:.3f}, '
            f'"uptime_seconds": {time.monotonic() - self._started:.3f}, '
            f'"main_pid": {self._main}, "main_ending": "{self._main_ending}", '
            f'"asked_by": "{signal_name(self._asked) if self._asked else ""}", '
            f'"orphans_reaped": {self._ledger.reaped}, "orphans_killed": {self._ledger.killed}, '
            f'"log_lines_lost": {self._log.lost}, "by_command": {self._ledger.as_json()}}}\n'
        )


def _json(value: bool) -> str:
    return "true" if value else "false"


def _reap_one(pid: int) -> tuple[float, int]:
    """Reap a dead child; returns its CPU seconds and peak memory (KiB)."""
    try:
        usage = posix.wait4(pid, 0)[2]
    except (ImportError, OSError):  # it imports `resource`, which fails without a free descriptor
        return 0.0, 0
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss


# --- the health check ----------------------------------------------------------------------------


def zombies() -> dict[tuple[int, str], dict[str, int]]:
    """Zombies now: by pid and name of the parent that does not wait, how many of which name.

    A leader whose threads still run looks like a zombie and cannot be waited for yet: not counted.
    """
    found: dict[tuple[int, str], dict[str, int]] = {}
    for entry in posix.listdir("/proc"):
        if not entry.isdigit():
            continue
        name, state, parent, threads = read_stat(int(entry))
        if state == "Z" and threads <= 1:
            culprit = (parent, read_stat(parent)[0] if parent else "outside this container")
            names = found.setdefault(culprit, {})
            names[name] = names.get(name, 0) + 1
    return found


def pids_share(listing: str = "/proc/self/cgroup", root: str = "/sys/fs/cgroup") -> tuple[int, int]:
    """Processes and threads in use and allowed, (0, 0) where there is no limit.

    Of all cgroups from our own up, the one nearest to its limit counts: v2 has `pids.max` in its
    one tree, v1 in the tree of its pids controller (cgroups(7)).
    """
    shares = []
    for line in read_file(listing).decode("utf-8", "backslashreplace").splitlines():
        _, controllers, path = line.split(":", 2)
        tops: tuple[str, ...] = ()
        if controllers == "":
            tops = (root, root + "/unified")
        elif "pids" in controllers.split(","):
            tops = (root + "/pids",)
        shares += [share for top in tops for share in _shares_up(top, path)]
    return max(shares, key=lambda share: share[0] / max(1, share[1]), default=(0, 0))


def _shares_up(top: str, path: str) -> "Iterator[tuple[int, int]]":
    """Use and limit of each cgroup from `path` up to the mount point `top`.

    In a container the path may be the host's, of which only the end is mounted, as the top.
    """
    path = "" if ".." in path else path.rstrip("/")
    while True:
        used = read_file(f"{top}{path}/pids.current").strip()
        allowed = read_file(f"{top}{path}/pids.max").strip()
        if used.isdigit() and allowed.isdigit():
            yield int(used), int(allowed)
        if not path:
            return
        path = path.rpartition("/")[0]


def check(max_zombies: int) -> tuple[int, str]:
    """The status for Docker's HEALTHCHECK (0 healthy, 1 unhealthy) and one line with the reason."""
    found = zombies()
    total = sum(sum(names.values()) for names in found.values())
    words = [f"{total} zombie{'' if total == 1 else 's'} (at most {max_zombies})"]
    for (pid, name), names in sorted(found.items(), key=lambda item: -sum(item[1].values()))[:8]:
        what = ", ".join(f"{plain(child)} {n}" for child, n in names.items())
        words.append(f"{plain(name)} (pid {pid}) does not wait for {sum(names.values())}: {what}")
    used, allowed = pids_share()
    share = f"{used} of {allowed} ({100 * used / max(1, allowed):.0f} %)" if allowed else "no limit"
    words.append(f"pids in use: {share}")
    return int(total > max_zombies), "; ".join(words)


# --- entry point ---------------------------------------------------------------------------------


def _print(role: str, options: Options) -> int:
    status, text = 0, f"{NAME} {VERSION}\n"
    if role == "help":
        text = help_text()
    elif role == "license":
        text = "MIT\n"
    elif role == "check":
        status, text = check(options.max_zombies)
        text += "\n"
    # If it fails, stdout is closed.
    attempt(posix.write, 1, text.encode("utf-8", "backslashreplace"))
    return status


def _run(arguments: list[str], parent: int, signals: SignalState) -> int:
    """Run from start to end; returns the status to exit with."""
    try:
        environ = {k.decode(*FILE_NAMES): v.decode(*FILE_NAMES) for k, v in posix.environ.items()}
        options = read_options(arguments, environ)
        if options.role != "run":
            return _print(options.role, options)
        log = Log(options.verbosity)
        for variable in options.unknown:
            log.say(WARNING, f"{variable} is not a variable of {NAME}; see {NAME} --help")
        init = Init(options, log)
        init.begin(parent, signals)
    except BadInput as bad:
        Log(ERROR).say(ERROR, str(bad))
        return 1
    return init.run()


def main() -> "NoReturn":
    """The command `poster-init`. Never returns: exits with the child's status.

    Uses `_exit`, because there is nothing to flush, and tearing down an interpreter takes longer
    than a whole run of `true`.
    """
    parent = posix.getppid()
    signals = SignalState()  # first of all: PID 1 never gets the signals that come before this
    posix._exit(_run(sys.argv[1:], parent, signals))


if __name__ == "__main__":
    main()
