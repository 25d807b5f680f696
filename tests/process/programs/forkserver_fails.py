"""The server that forks shims, with one thing that goes wrong.

Usage: forkserver_fails.py KIND serve=DESCRIPTOR, where KIND is

dies-first      it never comes up
dies-before     it is killed when it has taken the request, and has forked nothing
dies-after      it is killed when it has forked, before it answers
dies-at-once    the same, with its shim stopped before that does anything
dies-childless  the same, with its shim killed before that does anything
cannot          its fork is refused
"""

import os
import signal
import sys

from poster_service.process import shim

kind = sys.argv[1]
fork = shim.fork_sibling


def fork_badly():
    """Fork as it does, and fail."""
    if kind == "cannot":
        return -1
    if kind == "dies-before":
        os.kill(os.getpid(), signal.SIGKILL)
    pid = fork()
    if pid:
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == "dies-at-once":
        os.kill(os.getpid(), signal.SIGSTOP)
    if kind == "dies-childless":
        os.kill(os.getpid(), signal.SIGKILL)
    return pid


if kind == "dies-first":
    sys.exit(1)
shim.fork_sibling = fork_badly
sys.exit(shim.main(sys.argv[2:]))
