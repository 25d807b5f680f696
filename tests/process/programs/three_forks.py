"""Three forks in a row: one process becomes eight, seven of which stay zombies when they end.

Usage: three_forks.py FILE. Every process appends its pid; the first one leaves last, with 0.
"""

import os
import sys

first = os.getpid()
os.fork()
os.fork()
os.fork()
with open(sys.argv[1], "a") as file:  # noqa: PTH123
    file.write(f"{os.getpid()}\n")
if os.getpid() != first:
    os._exit(7)
while True:
    with open(sys.argv[1]) as file:  # noqa: PTH123
        if len(file.read().split()) == 8:
            break
