"""A leader whose descendants hide from the process that ends them, each kind in a way of its own.

Usage: group_hide.py KIND [N]. Every process that stays writes its pid as a line into descriptor 7
once it is where it wants to be, and keeps that descriptor: its end-of-file means that none is left.
"""

import os
import resource
import signal
import sys

LIFE = 7


def here():
    """Say that this process is in its place."""
    os.write(LIFE, b"%d\n" % os.getpid())


def linger():
    """Stay until a signal ends it."""
    while True:
        signal.pause()


def child(what):
    """Do something in a child that never returns."""
    if os.fork() == 0:
        try:
            what()
        finally:
            os._exit(1)


def stay():
    """The harmless one."""
    here()
    linger()


def escape():
    """A session of its own, no parent of ours, no environment, another program."""
    os.setsid()
    if os.fork():
        os._exit(0)
    os.set_inheritable(LIFE, True)
    here()
    os.execve("/bin/sleep", ["sleep", "86400"], {})


def stop():
    """Stopped, so that no signal but SIGKILL does anything."""
    here()
    os.kill(os.getpid(), signal.SIGSTOP)
    linger()


def be_deaf():
    """Ignores and blocks every signal there is."""
    os.setsid()
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    here()
    while True:
        signal.sigwait([signal.SIGUSR1])


def be_comet():
    """Never the same process for longer than 100 us: forks, and leaves the rest to the child."""
    os.setsid()
    here()
    while True:
        if os.fork():
            os._exit(0)
        signal.sigtimedwait([signal.SIGUSR1], 0.0001)


def unmark():
    """Takes the tag off."""
    os.setsid()
    _, hard = resource.getrlimit(10)
    resource.setrlimit(10, (1, hard))
    here()
    linger()


def adopt():
    """Makes itself a subreaper, so that its own orphans stay below it; and never reaps."""
    import ctypes

    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
    os.setsid()
    if os.fork() == 0:
        child(stay)
        os._exit(0)
    here()
    linger()


def burst():
    """A session for each of N processes."""

    def alone():
        os.setsid()
        stay()

    for _ in range(int(sys.argv[2])):
        child(alone)


def orphans():
    """N processes whose parents are gone and that die by themselves."""
    for _ in range(int(sys.argv[2])):
        pid = os.fork()
        if pid == 0:
            if os.fork() == 0:
                os._exit(3)
            os._exit(0)
        os.waitpid(pid, 0)


kind = sys.argv[1]
signal.signal(signal.SIGINT, signal.SIG_DFL)
if kind == "exit":  # the leader goes, what it started stays
    child(stay)
    child(escape)
    sys.exit(7)
elif kind == "die":
    child(escape)
    os.kill(os.getpid(), int(sys.argv[2]))
elif kind == "leader-stopped":
    child(escape)
    stop()
elif kind == "bomb":
    burst()
elif kind == "orphans":
    orphans()
elif kind != "nothing":
    child({
        "plain": stay, "escaped": escape, "stopped": stop, "deaf": be_deaf, "comet": be_comet,
        "unmarked": unmark, "subreaper": adopt,
    }[kind])  # fmt: skip
stay()
