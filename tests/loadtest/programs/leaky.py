"""Answers POST /render at once with a picture, and starts a daemon for each that leaves its tree.

Ends by itself soon; so do its daemons.
"""

import os
import subprocess
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

SECONDS = float(os.environ.get("DAEMON_SECONDS", "6"))


def start_daemon() -> None:
    """Fork twice with a session of its own; the middle one is waited for."""
    middle = os.fork()
    if middle == 0:
        if os.fork() == 0:
            os.setsid()
            subprocess.run(["sleep", str(SECONDS)], check=False)
        os._exit(0)
    os.waitpid(middle, 0)


class Handler(BaseHTTPRequestHandler):
    """POST /render and nothing else."""

    def do_POST(self) -> None:
        """Answer, and leak."""
        self.rfile.read(int(self.headers["Content-Length"]))
        if os.environ.get("LEAK") == "1":
            start_daemon()
        time.sleep(0.02)
        self.send_response(200)
        self.send_header("Content-Type", "image/png")
        self.end_headers()
        self.wfile.write(b"\x89PNG\r\n\x1a\n")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


if __name__ == "__main__":
    HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
