"""A service manager that waits for its own child only: others that end under it stay zombies.

    python3 manager.py COMMAND...

It stands for any starter of a service that is no init. On SIGTERM it tells the main process, and
only that, as systemd does with KillMode=mixed; it leaves with the status of that process.
"""

import os
import signal
import sys


def main() -> None:
    """Start, wait, pass TERM on, leave."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGCHLD])
    pid = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ, setsigmask=[])
    while True:
        if signal.sigwait([signal.SIGTERM, signal.SIGCHLD]) == signal.SIGTERM:
            os.kill(pid, signal.SIGTERM)
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            os._exit(os.waitstatus_to_exitcode(status) & 0xFF)


if __name__ == "__main__":
    main()
