"""The incident's way: a Chrome launched for each render, of which only the leader is killed.

Started as PID 1 of a namespace, it leaves its orphans unreaped. Serves POST /render on $PORT.
"""

import json
import os
import subprocess
import tempfile
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

CHROME = os.environ.get("CHROME", "/usr/lib/chromium/chromium-headless-shell")
TYPES = {"png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp", "pdf": "application/pdf"}


def render(job: dict[str, Any]) -> bytes:
    """The picture of one page, or nothing when it did not come in time."""
    form = job.get("format", "png")
    with tempfile.TemporaryDirectory() as folder:
        page, out = Path(folder, "page.html"), Path(folder, "out." + form.replace("jpeg", "jpg"))
        page.write_text(job["html"], "utf-8")
        what = f"--print-to-pdf={out}" if form == "pdf" else f"--screenshot={out}"
        size = f"--window-size={job.get('width', 750)},{job.get('height', 1334)}"
        words = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder}/d"]
        chrome = subprocess.Popen(
            [CHROME, *words, what, size, f"file://{page}"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            return wait_for(out, job.get("timeout_ms", 15_000) / 1000, chrome)
        finally:
            chrome.kill()  # the leader only: that is the point
            chrome.wait()
            time.sleep(0.1)


def wait_for(out: Path, seconds: float, chrome: "subprocess.Popen[bytes]") -> bytes:
    """The file once it is whole."""
    give_up = time.monotonic() + seconds
    while time.monotonic() < give_up:
        size = out.stat().st_size if out.exists() else 0
        time.sleep(0.05)
        if size and out.stat().st_size == size:
            return out.read_bytes()
        if chrome.poll() is not None and not size:
            break
    return b""


class Handler(BaseHTTPRequestHandler):
    """POST /render and nothing else."""

    def do_POST(self) -> None:
        """Answer with the picture."""
        job = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        fits = "html" in job and job.get("width", 1) > 0 and job.get("format", "png") in TYPES
        picture = render(job) if fits else b""
        self.send_response(200 if picture else 504 if fits else 400)
        self.send_header("Content-Type", TYPES.get(job.get("format", "png"), "text/plain"))
        self.send_header("Content-Length", str(len(picture)))
        self.end_headers()
        self.wfile.write(picture)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
