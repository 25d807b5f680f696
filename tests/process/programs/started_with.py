"""Sets signal mask and dispositions, then becomes another command.

Usage: started_with.py BLOCKED IGNORED command [args]. The first two are lists of numbers with
commas, or "-". What Python itself has changed (SIGPIPE, SIGXFSZ, SIGINT) is put to its default.
"""

import os
import signal
import sys


def numbers(text):
    """The signals of a list."""
    return [] if text == "-" else [int(word) for word in text.split(",")]


for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT):
    signal.signal(number, signal.SIG_DFL)
for number in numbers(sys.argv[2]):
    signal.signal(number, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_SETMASK, numbers(sys.argv[1]))
os.execvp(sys.argv[3], sys.argv[3:])
