"""Azure Blob Storage for tests: Azurite, Microsoft's own emulator, from npm."""

import base64
import hashlib
import hmac
import os
import subprocess
import tempfile
import urllib.error
import urllib.request
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Self
from urllib.parse import urlencode

from tests.jobs.s3_server import free_ports
from tests.jobs.waiting import until_up
from tests.web.compat.environments import node_with

#: The newest that runs on the Node.js of Debian 12; later ones need version 22.
AZURITE = "azurite@3.35.0"
ACCOUNT, CONTAINER = "posteraccount", "posters"
KEY = base64.b64encode(b"a-secret-that-must-not-be-seen-0002".ljust(64, b".")).decode()
#: Of the signature by which the container is made.
VERSION = "2018-11-09"
#: A cold start on a loaded machine.
START_SECONDS = 90.0


class AzureServer:
    """Blob storage on loopback with one account and an empty container; it checks signatures."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="azure-")
        (self._port,) = free_ports(1)
        self.endpoint = f"http://127.0.0.1:{self._port}"
        #: What its clients need, as variables of Azure's own tools.
        self.variables = {
            "AZURE_STORAGE_USE_EMULATOR": "true",
            "AZURITE_BLOB_STORAGE_URL": self.endpoint,
            "AZURE_STORAGE_ACCOUNT_NAME": ACCOUNT,
            "AZURE_STORAGE_ACCOUNT_KEY": KEY,
        }
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        main = node_with(AZURITE) / "node_modules/azurite/dist/src/blob/main.js"
        self._process = subprocess.Popen(
            [
                "node", str(main), "--blobHost", "127.0.0.1", "--blobPort", str(self._port),
                "--inMemoryPersistence", "--silent", "--disableTelemetry",
            ],
            cwd=self._folder.name, env={**os.environ, "AZURITE_ACCOUNTS": f"{ACCOUNT}:{KEY}"},
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        until_up(self._process, self._has_container, "Azurite", START_SECONDS)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._folder.cleanup()

    def _has_container(self) -> bool:
        """Whether the container was made now; False while nothing answers."""
        query = urlencode({"restype": "container", **_signed()})
        url = f"{self.endpoint}/{ACCOUNT}/{CONTAINER}?{query}"
        asked = urllib.request.Request(url, method="PUT", headers={"Content-Length": "0"})
        try:
            with urllib.request.urlopen(asked, timeout=10) as answer:
                return bool(answer.status == 201)
        except urllib.error.HTTPError:
            raise  # it answers, and refuses
        except OSError:
            return False


def _signed() -> Mapping[str, str]:
    """A shared access signature of the account (Microsoft: Create an account SAS)."""
    until = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    given = {"sp": "rwc", "ss": "b", "srt": "c", "st": "", "se": until, "sip": "", "spr": ""}
    text = "\n".join([ACCOUNT, *given.values(), VERSION, ""])
    digest = hmac.new(base64.b64decode(KEY), text.encode(), hashlib.sha256).digest()
    kept = {name: value for name, value in given.items() if value}
    return {"sv": VERSION, **kept, "sig": base64.b64encode(digest).decode()}
