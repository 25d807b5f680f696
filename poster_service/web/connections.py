"""How many connections there may be, and which gives way to a new one. It knows no HTTP.

`protocol.py` is the connection itself, and `web/incoming.py` reads what comes over it.
"""

import asyncio
import ipaddress
import itertools
import logging
import resource
import time
from collections import OrderedDict
from collections.abc import Sequence
from typing import Protocol

from poster_service.errors import InvalidSettings
from poster_service.logs import event
from poster_service.settings import Network, Settings

logger = logging.getLogger(__name__)

#: Between two log lines about refused connections, in seconds; a flood must not fill the log.
LOG_SECONDS = 10.0
#: File descriptors besides connections: the rest of the service with what pages fetch, and each
#: Chrome.
OTHER_DESCRIPTORS, DESCRIPTORS_OF_A_CHROME = 256, 16
#: Descriptors of the rest of the service that are not connections of what pages fetch.
FILES_OF_OUR_OWN = 64

#: Connections besides all others, which serve the health routes only.
RESERVED = 8
#: As many are inspected for an idle one that gives way to a new one; the busy ones among them go to
#: the end, so that the next search begins after them.
MAX_INSPECTED = 64


class Connection(Protocol):
    """What is counted.

    Attributes:
        is_reserved: Whether it has one of the places that are for the health routes only.
    """

    is_reserved: bool

    @property
    def is_idle(self) -> bool:
        """Whether no request is under way on it."""
        ...

    def force_close(self) -> None:
        """Close it now."""
        ...


class Connections:
    """The open connections, how many there may be, and how many were refused.

    When there is no room, the connection that has been idle (without a request under way) for
    longest is closed for a new one, so that unfinished heads keep no other client out. One peer
    (client address) has no more than `per_peer` connections. Besides all of these there are
    `RESERVED` ones which serve the health routes only.
    """

    def __init__(
        self, limit: int, per_peer: int | None = None, trusted: Sequence[Network] = ()
    ) -> None:
        """No connection is open yet.

        Args:
            limit: Most connections, without the reserved ones.
            per_peer: Most of one address, or IPv6 network of 64 bits; None for no such limit.
            trusted: Networks of proxies, to which `per_peer` does not apply.
        """
        self.limit = limit
        self.per_peer = per_peer or limit
        self.refused = 0
        self.replaced = 0
        self._trusted = tuple(trusted)
        #: By peer, in the order in which they were last seen busy.
        self._peers: dict[str, OrderedDict[Connection, None]] = {}
        self._reserve: dict[Connection, str] = {}
        self._count = 0
        self._logged = -LOG_SECONDS

    @property
    def open(self) -> int:
        """How many connections are open."""
        return self._count + len(self._reserve)

    def admit(self, one: Connection, peer: str) -> bool:
        """Count a new connection in; False if there is no room for it."""
        if self._has_room(peer):
            self._peers.setdefault(peer, OrderedDict())[one] = None
            self._count += 1
            return True
        if len(self._reserve) < RESERVED or self._replace_reserved(peer):
            self._reserve[one] = peer
            one.is_reserved = True
            return True
        self.refuse()
        return False

    def leave(self, one: Connection, peer: str) -> None:
        """Count a connection out."""
        if one.is_reserved:
            self._reserve.pop(one, None)
            return
        mine = self._peers.get(peer)
        if mine is not None and one in mine:
            del mine[one]
            self._count -= 1
            if not mine:
                del self._peers[peer]

    def _has_room(self, peer: str) -> bool:
        mine = self._peers.get(peer)
        if mine is not None and len(mine) >= self.per_peer and not self._is_trusted(peer):
            return self._replace(peer)
        if self._count < self.limit:
            return True
        # Of the peer that has the most: a flood makes room at its own cost.
        return self._replace(max(self._peers, key=lambda name: len(self._peers[name])))

    def _replace(self, peer: str) -> bool:
        """Close the connection of a peer that has been idle for longest; False if all are busy."""
        mine = self._peers[peer]
        for one in list(itertools.islice(mine, MAX_INSPECTED)):
            if one.is_idle:
                self.leave(one, peer)
                self.replaced += 1
                one.force_close()
                return True
            mine.move_to_end(one)
        return False

    def _replace_reserved(self, peer: str) -> bool:
        """The same for the reserved ones: one of the same peer, if it has any, else the oldest."""
        idle = [one for one in self._reserve if one.is_idle]
        same = [one for one in idle if self._reserve[one] == peer]
        if not idle or (not same and peer in self._reserve.values()):
            return False
        gone = (same or idle)[0]
        self.leave(gone, peer)
        self.replaced += 1
        gone.force_close()
        return True

    def _is_trusted(self, peer: str) -> bool:
        if not self._trusted or not peer:
            return False
        address = ipaddress.ip_address(peer)
        return any(address in one for one in self._trusted)

    def refuse(self) -> None:
        """Count a refused connection; log at most one line in `LOG_SECONDS`."""
        self.refused += 1
        now = time.monotonic()
        if now - self._logged >= LOG_SECONDS:
            self._logged = now
            event(
                logger, logging.WARNING,
                "connections are refused: POSTER_MAX_CONNECTIONS or, for one client address,"
                " POSTER_MAX_PEER_CONNECTIONS reached",
                limit=self.limit, per_peer=self.per_peer, refused=self.refused,
            )  # fmt: skip


def peer_of(transport: asyncio.BaseTransport) -> str:
    """The key of a peer: its IPv4 address, or the /64 network of its IPv6 address."""
    name = transport.get_extra_info("peername")
    if not isinstance(name, tuple):  # it has gone already
        return ""
    address = ipaddress.ip_address(str(name[0]).partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.IPv6Address(int(address) >> 64 << 64))
    return str(address)


def ensure_descriptors(settings: Settings) -> None:
    """Raise our soft limit of file descriptors to what all connections and Chromes may need.

    Without them accept(2) fails with EMFILE again and again, and every Chrome's start with it.

    Raises:
        InvalidSettings: The hard limit is too low.
    """
    needed = (
        settings.max_connections
        + max(OTHER_DESCRIPTORS, settings.fetch_connections * 2 + FILES_OF_OUR_OWN)
        + settings.max_chromes * DESCRIPTORS_OF_A_CHROME
    )
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise InvalidSettings(
            f"POSTER_MAX_CONNECTIONS={settings.max_connections} needs {needed} open files and the"
            f" hard limit is {hard}: raise that (ulimit -Hn, LimitNOFILE=, --ulimit nofile=) or"
            " lower the setting"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
