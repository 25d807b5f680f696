"""What the load is sent to: the protocol of a target, and a service that runs already.

A target knows how a service is started, reached, inspected and ended. A command and a container
have files of their own (`command_target.py`, `docker_target.py`).
"""

import asyncio
import ipaddress
import socket
import time
from typing import Protocol
from urllib.parse import urlsplit

import aiohttp
import psutil

from poster_service.addresses import is_loopback
from poster_service.loadtest.errors import CannotTest
from poster_service.loadtest.places import place_of
from poster_service.loadtest.views import HereView, View
from poster_service.loadtest.watch import Place

#: Time for a service to announce its address, or to answer, in seconds.
START_SECONDS = 60.0
#: Time for it to exit after SIGTERM before it is killed, in seconds; ours needs up to 9.
STOP_SECONDS = 20.0


class Target(Protocol):
    """A service under test.

    Attributes:
        name: Its name in the report.
        address: Its URL, e.g. http://127.0.0.1:8080; changes with a restart.
        view: How its processes are inspected; None when they cannot be.
        can_restart: Whether chaos may send it SIGTERM.
        pid: The direct child of ours that it runs under, 0 for none.
    """

    name: str
    address: str
    view: View | None
    can_restart: bool
    pid: int

    async def start(self) -> None:
        """Start the service, or find it.

        Raises:
            CannotTest: It cannot be tested; the reason is one line.
        """
        ...

    async def place(self) -> Place:
        """Where its processes and files are now."""
        ...

    async def stop(self) -> str:
        """End what was started; returns what was wrong with its end, "" if nothing was."""
        ...

    async def close(self) -> None:
        """End and remove all that the target started or created, whatever happened before."""
        ...


class UrlTarget:
    """A service that is already running on this machine."""

    can_restart = False
    pid = 0

    def __init__(self, url: str, *, census: bool) -> None:
        self.name = self.address = url.rstrip("/")
        self.view: View | None = HereView() if census else None
        self._owner = 0

    async def start(self) -> None:
        """Find the process that listens."""
        where = urlsplit(self.address)
        if where.scheme not in ("http", "https") or not where.hostname:
            raise CannotTest(f"--url {self.address}: must look like http://127.0.0.1:8080")
        await wait_answering(self.address, 3.0)
        if self.view is None:
            return
        if not await is_here(where.hostname):
            raise CannotTest(
                f"{self.address} is not on this machine, so its leftovers cannot be counted;"
                " run the load test there, or use --no-census"
            )
        port = where.port or (443 if where.scheme == "https" else 80)
        self._owner = (await self.view.ask("owner", port=port, near=0))["pid"]
        await self._check_owner()

    async def _check_owner(self) -> None:
        if not self._owner or self.view is None:
            raise CannotTest(
                f"found no process that listens at {self.address}, so leftovers cannot be counted"
                " (it may be another user's, or in another network namespace); use --no-census, or"
                " run as root"
            )
        about = await self.view.ask("process", pid=self._owner)
        if about["above"][0][1] == "docker-proxy":
            raise CannotTest(
                f"{self.address} is a port of a container, so its leftovers cannot be counted from"
                " here; use --docker IMAGE or --no-census"
            )

    async def place(self) -> Place:
        """Where its processes and files are now."""
        if self.view is None:
            raise CannotTest("the processes of this target cannot be inspected")
        return await place_of(self.view, self._owner)

    async def stop(self) -> str:
        """Do nothing: the load test did not start this service."""
        return ""

    async def close(self) -> None:
        """Do nothing: nothing of it was created here."""


async def wait_answering(address: str, seconds: float) -> None:
    """Wait until something answers HTTP there, with any status.

    An accepted connection is not enough: a port that Docker publishes accepts connections before a
    service listens behind it.

    Raises:
        CannotTest: Nothing answered in time.
    """
    give_up = time.monotonic() + seconds
    async with aiohttp.ClientSession() as client:
        while True:
            left = aiohttp.ClientTimeout(total=max(0.1, give_up - time.monotonic()))
            try:
                async with client.get(address, timeout=left, allow_redirects=False):
                    return
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                if time.monotonic() > give_up:
                    raise CannotTest(
                        f"cannot reach {address}: {error if str(error) else 'no answer'}"
                    ) from error
            await asyncio.sleep(0.05)


async def is_here(host: str) -> bool:
    """Whether all addresses of a host are this machine's."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError as error:
        raise CannotTest(f"cannot resolve {host}: {error}") from error
    ours = {each.address for group in psutil.net_if_addrs().values() for each in group}
    wanted = {str(entry[4][0]) for entry in found}
    return all(is_loopback(ipaddress.ip_address(each)) or each in ours for each in wanted)
