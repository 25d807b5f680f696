"""Seizes a process so that it cannot finish to die; lets go at the end of stdin."""

import ctypes
import os
import sys

PTRACE_DETACH, PTRACE_SEIZE, PTRACE_O_TRACEEXIT = 17, 0x4206, 0x40
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]

pid = int(sys.argv[1])
options = PTRACE_O_TRACEEXIT if sys.argv[2] == "exit" else 0
if libc.ptrace(PTRACE_SEIZE, pid, None, options):
    sys.exit(f"PTRACE_SEIZE: {os.strerror(ctypes.get_errno())}")
sys.stdout.write("seized\n")
sys.stdout.flush()
sys.stdin.read()  # its end is ours, which lets go of what we trace
