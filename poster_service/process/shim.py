"""The subreaper that one process group lives under, ends in, and is reaped by.

A process of its own, so that whatever the group does, the service's event loop never waits for a
process that the service did not start. It must never exit while a descendant of its own exists, and
must never touch a process that is not a descendant.

Run by path (`python -I -S -E shim.py OPTIONS -- COMMAND`), or forked by a server that is this same
program (`shim.py serve=DESCRIPTOR`): most of what a shim costs is the start of its Python, which
the server pays for once. Either way a shim is the service's own child.

Standard library only, and of that only what costs next to nothing to import: `os` and `signal`
alone would double the CPU that this process costs each render (measured: 13 instead of 6.5 ms).

How it ends a group, and why no process can slip through (prctl(2), wait(2), proc(5)):

1. It is a *subreaper*: a descendant whose parent dies becomes its direct child, however often it
   forked or whatever session it made for itself.
2. The leader's exit is noticed without reaping it, so its pid cannot have been reused when the
   whole group is sent SIGKILL.
3. Then every direct child is killed and reaped, again and again, until `waitpid` fails with ECHILD.
   With that the kernel confirms that nothing is left, neither alive nor a zombie.
"""

import _signal  # type: ignore[import-not-found]  # C core of `signal`, which typeshed leaves out
import posix
import select
import sys
import time

# prctl(2) options, from linux/prctl.h.
PR_SET_PDEATHSIG = 1
PR_SET_NAME = 15
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
# The resource limit that carries the tag; without effect since Linux 2.4 (getrlimit(2)).
RLIMIT_LOCKS = 10
RTLD_NOW = 2
EXIT_USAGE = 64
EXIT_START = 71
SIGKILL = 9
SIGCHLD = 17
NOT_CATCHABLE = {9, 19}  # SIGKILL, SIGSTOP
# errno(3), as numbers: `errno` would be one more import.
EPERM, EACCES, EEXIST, ENOTDIR, ENOTEMPTY = 1, 13, 17, 20, 39
# How long the removal of a lease folder may take, in seconds, less than the end of a group may; and
# how many of its levels are open at once, two descriptors each.
REMOVE_SECONDS = 5.0
MOST_LEVELS = 32
# clone(2): a flag from linux/sched.h, and its number where it takes its arguments in our order.
CLONE_PARENT = 0x8000
CLONE = {"x86_64": 56, "aarch64": 220, "riscv64": 220}
# Limits of a request to the server: bytes (Linux lets a socket hold 208 KiB), and descriptors
# (SCM_MAX_FD is 253).
MOST_BYTES = 1 << 17
MOST_DESCRIPTORS = 32
# The server's first message, and the name of its children, whose command line is the server's.
READY = b"ready"
FORKED_NAME = b"poster-shim"


class Options:
    """The options of one shim, read from its command line or from a request.

    Attributes:
        folder: Lease folder, removed when nothing of the group is left.
        tag: Soft RLIMIT_LOCKS value of the shim and every process of the lease; 0 sets none.
        control: Descriptor whose end-of-file means "end it now".
        report: Descriptor that the shim writes its report to, a few lines.
        groups: Folders of control groups that the shim, and so the whole lease, runs in.
        descriptors: Pairs (number the program sees, number the shim has).
        environment: The program's whole environment.
        user: Pair (uid, gid) that the program runs as and that owns the folder; None for ours.
        reap: False only in tests that show what reaping prevents.
        command: Program and its arguments.
    """

    def __init__(self, arguments: list[str]) -> None:
        self.folder = ""
        self.tag = 0
        self.control = -1
        self.report = -1
        self.descriptors: list[tuple[int, int]] = []
        self.groups: list[str] = []
        self.environment: dict[str, str] = {}
        self.user: tuple[int, int] | None = None
        self.reap = True
        cut = arguments.index("--")
        self.command = arguments[cut + 1 :]
        for argument in arguments[:cut]:
            self._take(argument)
        if not self.command or self.control < 0 or self.report < 0:
            raise ValueError("control, report and a command are needed")

    def _take(self, argument: str) -> None:
        name, _, value = argument.partition("=")
        if name == "folder":
            self.folder = value
        elif name in ("tag", "control", "report"):
            setattr(self, name, int(value))
        elif name == "fd":
            seen, _, held = value.partition(":")
            self.descriptors.append((int(seen), int(held)))
        elif name == "cgroup":
            self.groups.append(value)
        elif name == "env":
            variable, _, content = value.partition("=")
            self.environment[variable] = content
        elif name == "user":
            uid, _, gid = value.partition(":")
            self.user = (int(uid), int(gid))
        elif name == "no-reap":
            self.reap = False
        else:
            raise ValueError(f"unknown option {name!r}")

    def renumber(self, descriptors: list[int]) -> None:
        """Take the numbers as indexes into this list; the sender's own mean nothing here."""
        self.control, self.report = descriptors[self.control], descriptors[self.report]
        self.descriptors = [(seen, descriptors[place]) for seen, place in self.descriptors]


def call(function: str, *arguments: int | bytes) -> int:
    """Call a function of the C library, for system calls that Python does not have.

    Uses the C core of ctypes: importing `ctypes` itself costs 3.6 ms more CPU each time (measured).
    """
    import _ctypes

    address = _ctypes.dlsym(_ctypes.dlopen(None, RTLD_NOW), function)  # type: ignore[arg-type]
    return _ctypes.call_function(address, arguments)  # type: ignore[no-any-return]


def prctl(option: int, value: int) -> None:
    """Set an attribute of this process.

    Raises:
        OSError: The kernel refused.
    """
    if call("prctl", option, value, 0, 0, 0) != 0:
        raise OSError(f"prctl({option}, {value}) was refused")


def architecture() -> str:
    """The architecture that this Python was built for, and whose system calls it therefore makes.

    uname(2) reports the kernel's instead, or what setarch(8) or an emulator makes it report.
    """
    built_for = getattr(sys.implementation, "_multiarch", "") or posix.uname().machine
    return str(built_for).partition("-")[0]


def fork_sibling() -> int:
    """Fork a process that is our sibling: its parent is our parent. As fork(2), but -1 on failure.

    So the service is the one that waits for it and whose death signals it, and nothing depends on
    this server. Python does not know of this fork. In a process with only its main thread there is
    nothing that Python would have to do after it.
    """
    number = CLONE.get(architecture())
    if number is None or sys.maxsize < 1 << 32:  # a 32-bit Python has other system call numbers
        return -1
    return call("syscall", number, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0)


def start_leader(options: Options) -> int:
    """Fork and exec the program as leader of a new session and group; return its pid.

    The child dies with this shim (parent-death signal), carries the tag, and has the signal state
    of a fresh login. If exec fails the child exits with 127 and the reason on stderr.
    """
    shim = posix.getpid()
    pid = posix.fork()
    if pid:
        return pid
    try:
        become_leader(options, shim)
        posix.execve(options.command[0], options.command, options.environment)
    except BaseException as error:  # the child must never return into the shim's loop
        posix.write(2, f"shim: cannot start {options.command[0]}: {error}\n".encode())
    posix._exit(127)


def become_leader(options: Options, shim: int) -> None:
    """Do all that happens in the child between fork and exec."""
    posix.setsid()
    for number in _signal.valid_signals() - NOT_CATCHABLE:
        _signal.signal(number, _signal.SIG_DFL)
    _signal.pthread_sigmask(_signal.SIG_SETMASK, ())
    copies = high_copies(options.descriptors)
    for ours in (options.control, options.report, *(held for _, held in options.descriptors)):
        posix.set_inheritable(ours, False)  # the program gets its own numbers only
    for seen, copy in copies:
        posix.dup2(copy, seen, True)
    if options.user:
        # From here on nothing can be imported: the library may be readable by root only.
        become(options.user)
        posix.chdir(options.folder)  # if refused, then here and with our own message
    # Last, because a change of user clears it (prctl(2)).
    prctl(PR_SET_PDEATHSIG, SIGKILL)
    if posix.getppid() != shim:  # it died before the line above; no signal will come
        posix._exit(127)


def become(user: tuple[int, int]) -> None:
    """Make this process a user's for good: one group, no way back, no capability left.

    With "no new privileges" a set-uid program cannot regain privileges either. Chrome's sandbox by
    user namespaces needs none (measured); its older one by a set-uid helper would.
    """
    uid, gid = user
    posix.setgroups([])
    posix.setresgid(gid, gid, gid)
    posix.setresuid(uid, uid, uid)
    prctl(PR_SET_NO_NEW_PRIVS, 1)


def high_copies(pairs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Copy the held descriptors to high numbers, so that no dup2 overwrites one still needed."""
    import fcntl

    return [(seen, fcntl.fcntl(held, fcntl.F_DUPFD_CLOEXEC, 64)) for seen, held in pairs]


def set_tag(tag: int) -> None:
    """Mark this process and all that it will ever start; the hard limit stays unchanged."""
    import resource

    _, hard = resource.getrlimit(RLIMIT_LOCKS)
    resource.setrlimit(RLIMIT_LOCKS, (tag, hard))


def join(groups: list[str]) -> None:
    """Move this process into control groups; all that it starts begins there (cgroups(7))."""
    for group in groups:
        write_to(group + "/cgroup.procs", b"0")


def leave(groups: list[str]) -> None:
    """Move to the groups above and remove those that were joined, which are empty then."""
    for group in groups:
        write_to(group + "/../cgroup.procs", b"0")
        posix.rmdir(group)


def write_to(file: str, text: bytes) -> None:
    """Write a few bytes to an existing file."""
    descriptor = posix.open(file, posix.O_WRONLY | posix.O_CLOEXEC)
    try:
        posix.write(descriptor, text)
    finally:
        posix.close(descriptor)


class Shim:
    """Runs one process group from its start until nothing of it is left."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.leader = 0
        self.leader_status = 0
        self.adopted = 0
        self.killed = 0

    def run(self) -> int:
        """Start, wait for a reason to end, end, report. Returns the exit status of the shim."""
        if self.options.tag:
            set_tag(self.options.tag)
        join(self.options.groups)
        wake = self._watch_signals()
        self.leader = start_leader(self.options)
        for _, held in self.options.descriptors:
            posix.close(held)  # else the program's end-of-file would never come
        self._report(f"started {self.leader}")
        reason = self._wait_for_reason(wake)
        status = self._end_group()
        leave(self.options.groups)
        remains = remove_folder(self.options.folder, self.options.user)
        self._report(
            f"gone reason={reason} status={status} adopted={self.adopted} "
            f"killed={self.killed} remains={remains}"
        )
        return 1 if remains else 0

    def _watch_signals(self) -> int:
        """Have TERM and CHLD wake the loop; a handler only sets a flag, the loop acts."""
        prctl(PR_SET_CHILD_SUBREAPER, 1)
        parent = posix.getppid()
        prctl(PR_SET_PDEATHSIG, _signal.SIGTERM)
        wake, note = posix.pipe()
        posix.set_blocking(wake, False)
        posix.set_blocking(note, False)
        self.term_seen = posix.getppid() != parent  # it died first: no signal will come
        for number in (_signal.SIGTERM, _signal.SIGINT, _signal.SIGHUP):
            _signal.signal(number, self._note_term)
        _signal.signal(_signal.SIGCHLD, lambda *_: None)
        _signal.set_wakeup_fd(note, warn_on_full_buffer=False)
        # The parent of the service may have blocked signals; then the shim would never end.
        _signal.pthread_sigmask(_signal.SIG_SETMASK, ())
        return wake

    def _note_term(self, *_: object) -> None:
        self.term_seen = True

    def _wait_for_reason(self, wake: int) -> str:
        """Sleep until the control pipe ends, a TERM comes, or the leader has died.

        Adopted children are reaped as they die, so that a long-lived group has no zombies; the
        leader is left unreaped.
        """
        poll = select.poll()
        poll.register(self.options.control, select.POLLIN | select.POLLHUP)
        poll.register(wake, select.POLLIN)
        while True:
            if self.term_seen:
                return "term"
            if self._reap_adopted():
                return "exited"
            for descriptor, _ in poll.poll():
                if descriptor == self.options.control:
                    return "asked"
                drain(wake)

    def _reap_adopted(self) -> bool:
        """Reap dead children; True when the leader is among them (it stays unreaped)."""
        while True:
            seen = posix.waitid(posix.P_ALL, 0, posix.WEXITED | posix.WNOHANG | posix.WNOWAIT)
            if seen is None:
                return False
            if seen.si_pid == self.leader:
                return True
            if not self.options.reap:
                return False
            posix.waitpid(seen.si_pid, 0)
            self.adopted += 1

    def _end_group(self) -> int:
        """SIGKILL to the group while the leader is unreaped, then to all, until ECHILD."""
        signal_group(self.leader)
        if not self.options.reap:
            return 0
        while True:
            self.killed += kill_children()
            try:
                self._count(*posix.waitpid(-1, 0))
                while self._count(*posix.waitpid(-1, posix.WNOHANG)):
                    # all that died in one round, else a fork bomb of n costs n rounds of n
                    continue
            except ChildProcessError:
                return self.leader_status

    def _count(self, pid: int, status: int) -> int:
        """Count one reaped child; returns its pid, 0 when `waitpid` returned none."""
        if pid == self.leader:
            self.leader_status = posix.waitstatus_to_exitcode(status)
        elif pid:
            self.adopted += 1
        return pid

    def _report(self, line: str) -> None:
        """Write a line for the service; if the service is gone, that is fine."""
        try:
            posix.write(self.options.report, line.encode() + b"\n")
        except OSError:
            return


def drain(descriptor: int) -> None:
    """Empty the wake-up pipe; one check afterwards serves any number of signals."""
    try:
        while posix.read(descriptor, 4096):
            pass
    except BlockingIOError:
        return


def signal_group(leader: int) -> None:
    """SIGKILL to the leader's group; it may be gone already, or not be a group yet."""
    try:
        posix.killpg(leader, SIGKILL)
    except ProcessLookupError:
        return


def kill_children() -> int:
    """SIGKILL to each direct child of each of our threads; returns how many were listed.

    `/proc/self/task/*/children` (proc(5)) lists the children of a *thread*. The pids cannot have
    been reused: each is our own child, and only we can reap it.
    """
    killed = 0
    for task in posix.listdir("/proc/self/task"):
        for pid in children_of(task):
            try:
                posix.kill(pid, SIGKILL)
                killed += 1
            except ProcessLookupError:
                continue
    return killed


def children_of(task: str) -> list[int]:
    """The direct children of one of our threads."""
    descriptor = posix.open(f"/proc/self/task/{task}/children", posix.O_RDONLY)
    try:
        text = b""
        while chunk := posix.read(descriptor, 65536):
            text += chunk
    finally:
        posix.close(descriptor)
    return [int(pid) for pid in text.split()]


def remove_folder(folder: str, user: tuple[int, int] | None) -> int:
    """Remove the lease folder; returns how many entries resisted.

    What another user left is removed with that user's rights: another program of that user could
    replace a folder by a link while we walk, and so have root remove what is not the user's.
    """
    if not folder:
        return 0
    if not user:
        return remove_tree(folder) + removed(posix.rmdir, folder)
    uid, gid = user
    posix.setgroups([])
    posix.setegid(gid)
    posix.seteuid(uid)
    remains = remove_tree(folder)
    posix.seteuid(0)
    return remains + removed(posix.rmdir, folder)  # the folder above belongs to root


def remove_tree(folder: str, seconds: float = REMOVE_SECONDS) -> int:
    """Remove all that is in a folder, following no link; returns how many entries resisted.

    Never raises for anything that a program left: no depth, path length, name or mode stops it.
    Takes `seconds` at most, some 70 descriptors, and memory that does not grow with the tree. A
    missing folder counts as empty.
    """
    try:
        top = open_folder(folder)
    except FileNotFoundError:
        return 0
    except OSError:
        return 1
    try:
        deadline = time.monotonic() + seconds
        while True:
            walk = Removal(top, deadline)
            walk.run()
            # Again for what was moved up, and for entries added or skipped while we removed others.
            if walk.is_late or not walk.removed or not (walk.moved or walk.resisted):
                return walk.resisted + walk.is_late
    except OSError:  # no descriptor left, or the folder itself cannot be read
        return 1
    finally:
        posix.close(top)


def open_folder(name: str, parent: int | None = None) -> int:
    """Open a folder, not a link, for reading and removing; grants access where it is ours.

    Raises:
        OSError: It is not a folder, or we may not open it.
    """
    flags = posix.O_DIRECTORY | posix.O_NOFOLLOW | posix.O_CLOEXEC
    try:
        folder = posix.open(name, posix.O_RDONLY | flags, dir_fd=parent)
    except PermissionError:
        # chmod(2) of a name follows links; through the descriptor it is this very folder.
        handle = posix.open(name, posix.O_PATH | flags, dir_fd=parent)
        try:
            posix.chmod(f"/proc/self/fd/{handle}", 0o700)
            return posix.open(f"/proc/self/fd/{handle}", posix.O_RDONLY | flags & ~posix.O_NOFOLLOW)
        finally:
            posix.close(handle)
    if posix.geteuid() and posix.fstat(folder).st_mode & 0o700 != 0o700:
        try:
            posix.fchmod(folder, 0o700)
        except OSError:  # another user's: removing from it shows whether we may
            return folder
    return folder


class Removal:
    """One walk through an open folder that removes what it finds.

    It descends by descriptors, in the order in which entries are listed, and no deeper than
    MOST_LEVELS: what lies below is moved up to the top, where the next walk finds it. So no path is
    ever longer than one name, and a link that a running program puts in our way is not followed.

    Attributes:
        removed: Entries removed.
        moved: Folders moved up.
        resisted: Entries that could not be removed.
        is_late: Whether the time was up before the end.
    """

    def __init__(self, top: int, deadline: float) -> None:
        self.removed = 0
        self.moved = 0
        self.resisted = 0
        self.is_late = False
        self._top = top
        self._deadline = deadline
        self._number = 0
        # Descriptor of a folder, its entries to come, its name in the folder before.
        self._levels = [(top, posix.scandir(top), "")]

    def run(self) -> None:
        """Walk to the end, or until the time is up."""
        try:
            while self._levels and not self.is_late:
                self._step()
        finally:
            while self._levels:
                self._go_up()

    def _step(self) -> None:
        folder, entries, _ = self._levels[-1]
        try:
            entry = next(entries)
        except (StopIteration, OSError):
            self._leave()
            return
        self.is_late = time.monotonic() > self._deadline
        if not entry.is_dir(follow_symlinks=False):
            self._count(attempted(posix.unlink, entry.name, folder))
            return
        # Empty folders go at once. A mount point is busy, and is not entered.
        error = attempted(posix.rmdir, entry.name, folder)
        if error in (ENOTEMPTY, EEXIST, EACCES, EPERM):
            self._enter(entry.name, folder)
        else:
            self._count(error)

    def _enter(self, name: str, folder: int) -> None:
        try:
            below = open_folder(name, folder)
        except OSError:
            self.resisted += 1
            return
        if posix.fstat(below).st_dev != posix.fstat(self._top).st_dev:
            posix.close(below)
            self.resisted += 1
        elif len(self._levels) < MOST_LEVELS:
            self._levels.append((below, posix.scandir(below), name))
        else:
            posix.close(below)
            self._move_up(name, folder)

    def _move_up(self, name: str, folder: int) -> None:
        while True:
            self._number += 1
            try:
                posix.rename(
                    name, f"moved-up-{self._number}", src_dir_fd=folder, dst_dir_fd=self._top
                )
            except OSError as error:
                if error.errno in (ENOTEMPTY, EEXIST, ENOTDIR):
                    continue  # the name is taken
                self.resisted += 1
                return
            self.moved += 1
            self.removed += 1  # progress: worth another walk
            return

    def _leave(self) -> None:
        """A folder has no more entries: remove it from the one before."""
        name = self._go_up()
        if self._levels:
            self._count(attempted(posix.rmdir, name, self._levels[-1][0]))

    def _go_up(self) -> str:
        folder, entries, name = self._levels.pop()
        entries.close()
        if folder != self._top:
            posix.close(folder)
        return name

    def _count(self, error: int) -> None:
        if error:
            self.resisted += 1
        else:
            self.removed += 1


def attempted(remove, name: str, folder: int) -> int:  # type: ignore[no-untyped-def]  # no typing
    """Remove a name in an open folder; 0 when it is gone afterwards, else the error's number."""
    try:
        remove(name, dir_fd=folder)
    except FileNotFoundError:
        return 0
    except OSError as error:
        return error.errno or EPERM
    return 0


def removed(remove, path: str) -> int:  # type: ignore[no-untyped-def]  # no typing at run time
    """0 when `path` is gone afterwards, 1 when it resisted."""
    try:
        remove(path)
    except FileNotFoundError:
        return 0
    except OSError:
        return 1
    return 0


def serve(requests: int) -> int:
    """Fork a shim for each request, one after another, until the service closes its end.

    A request is one message (unix(7), SOCK_SEQPACKET): the arguments of a command line, separated
    by NUL, and the descriptors, of which the first is the shim's stderr. The answer is the shim's
    pid, -1 on failure.
    """
    import _socket
    import fcntl  # noqa: F401 - imported here, so that no shim has to
    import gc
    import resource  # noqa: F401

    prctl(PR_SET_PDEATHSIG, SIGKILL)
    gc.freeze()  # a collection would write to every page that is shared with the shims
    channel = _socket.socket(fileno=requests)
    channel.send(READY)
    room = _socket.CMSG_SPACE(4 * MOST_DESCRIPTORS)
    while True:
        message, ancillary, _, _ = channel.recvmsg(MOST_BYTES, room, _socket.MSG_CMSG_CLOEXEC)
        if not message:
            return 0
        descriptors = [
            number for _, _, numbers in ancillary for number in memoryview(numbers).cast("i")
        ]
        pid = fork_sibling()
        if pid == 0:
            status = EXIT_START
            try:
                channel.close()
                status = run_forked(message, descriptors)
            finally:  # whatever happened: it must never return into the server's loop
                posix._exit(status)
        for number in descriptors:
            posix.close(number)
        channel.send(b"%d" % pid)


def run_forked(message: bytes, descriptors: list[int]) -> int:
    """Be a shim, in a process just forked by the server; returns its exit status."""
    # If the server dies before it answers, the service recognises its child by one of these: the
    # server's session, or this name.
    call("prctl", PR_SET_NAME, FORKED_NAME, 0, 0, 0)
    posix.setsid()
    if descriptors[0] == 2:  # the server, and so the service, has no stderr
        posix.set_inheritable(2, True)
    else:
        posix.dup2(descriptors[0], 2)
        posix.close(descriptors[0])
    words = message.decode(sys.getfilesystemencoding(), "surrogateescape").split("\0")
    return be_shim(words, descriptors)


def be_shim(words: list[str], descriptors: list[int] | None = None) -> int:
    """Run one group; the exit status is 0 only when nothing at all is left.

    Args:
        words: A shim's command line.
        descriptors: What its numbers are indexes into, for a request; None where they are ours.
    """
    try:
        options = Options(words)
        if descriptors is not None:
            options.renumber(descriptors)
    except (ValueError, IndexError) as error:
        posix.write(2, f"shim: {error}; this program is started by poster-service\n".encode())
        return EXIT_USAGE
    try:
        if options.folder:
            posix.chdir(options.folder)
        return Shim(options).run()
    except OSError as error:
        posix.write(2, f"shim: {error}\n".encode())
        return EXIT_START


def main(arguments: list[str]) -> int:
    """Entry point: a shim, or the server that forks shims."""
    if len(arguments) == 1 and arguments[0].startswith("serve="):
        return serve(int(arguments[0].removeprefix("serve=")))
    return be_shim(arguments)


if __name__ == "__main__":
    posix._exit(main(sys.argv[1:]))
