"""The image's HEALTHCHECK: the service answers on /healthz, and zombies are few.

Standard library only, and of that little: it runs every half minute for months. Prints one line and
leaves with 0 (healthy) or 1, the only statuses that Docker has a meaning for.
"""

import os
import socket
import sys

INIT = "/opt/poster/init.pyc"
SECONDS = 4.0


def main() -> None:
    """Ask the service, then let init look for zombies; does not return."""
    port = int(os.environ.get("POSTER_PORT", "8080"))
    try:
        with socket.create_connection(("127.0.0.1", port), SECONDS) as link:
            link.settimeout(SECONDS)
            link.sendall(b"GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n")
            answer = link.recv(64)
    except OSError as error:
        sys.exit(f"no answer on port {port}: {error}")  # prints it, leaves with 1
    if b" 200 " not in answer:
        sys.exit(f"port {port} answered {answer[:40]!r}")
    look = [sys.executable, "-I", "-S", "-E", INIT, "--check"]
    os.execv(sys.executable, look)  # noqa: S606 - replaces us, no shell


main()
