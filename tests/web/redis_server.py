"""A real Redis for tests: started, stopped, taken away in the middle."""

import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

from redis import Redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry

#: Debian's server is the tools' program under another name.
SERVER = shutil.which("redis-server") or shutil.which("redis-check-rdb")


class Server:
    """A Redis that listens on a socket in a folder, and can be taken away."""

    def __init__(self, folder: Path, *options: str) -> None:
        """Start it.

        Args:
            folder: For its socket and files.
            options: More of its command line.
        """
        self._options = options
        self._socket = folder / "redis.sock"
        self.address = f"unix://{self._socket}"
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Start it, with what its files have if its options say so, and wait until it answers."""
        self._process = subprocess.Popen(
            [
                "redis-server", "--port", "0", "--unixsocket", str(self._socket), "--save", "",
                "--dir", str(self._socket.parent), *self._options,
            ],
            executable=SERVER, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        with self.client() as client:
            client.ping()

    def client(self) -> Any:
        """One that is patient with a server that has just been started."""
        retry = Retry(ConstantBackoff(0.05), 200)
        return Redis(unix_socket_path=str(self._socket), retry=retry)

    def stored(self) -> list[bytes]:
        """All that is in it."""
        with self.client() as client:
            found: list[bytes] = client.keys()
            return found

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
