"""Where a page's requests may go: decided on the address that is connected to, not on the name.

A name is resolved once, here, and the connection goes to one of the addresses that were checked;
the socket itself is made here too, for an address that is looked at once more. So no second look-up
and no odd spelling comes between check and connection. Names matter only for the operator's own
lists of hosts.
"""

import asyncio
import functools
import ipaddress
import socket
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from poster_service.settings import canonical_host

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

#: Names looked up at once, over all pages.
LOOKUPS_AT_ONCE = 32

#: What no browser talks HTTP to, since what listens there could be made to do things by it
#: (WHATWG Fetch, "bad port"). Chrome would refuse them by itself, but only when it connects.
BAD_PORTS = frozenset((
    0, 1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101,
    102, 103, 104, 109, 110, 111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179, 389,
    427, 465, 512, 513, 514, 515, 526, 530, 531, 532, 540, 548, 554, 556, 563, 587, 601, 636,
    989, 990, 993, 995, 1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566, 6665,
    6666, 6667, 6668, 6669, 6679, 6697, 10080,
))  # fmt: skip

_GIVEN_OUT = ipaddress.ip_network("2000::/3")
_EXAMPLES = ipaddress.ip_network("3fff::/20")  # RFC 9637
_NAT64 = ipaddress.ip_network("64:ff9b::/96")  # RFC 6052
_ISATAP = (0x0000_5EFE, 0x0200_5EFE)  # RFC 5214: the third quarter, before an IPv4 address


@dataclass(frozen=True)
class Policy:
    """Which hosts and addresses may be connected to.

    Attributes:
        public: All that IANA lists as globally reachable.
        private: Networks opened on purpose beside it.
        allowed: If not None, the only hosts (`name`, `*.suffix`, address); their addresses are
            judged all the same.
        denied: Hosts that are closed whatever else is said.
    """

    public: bool
    private: tuple[Network, ...] = ()
    allowed: tuple[str, ...] | None = None
    denied: tuple[str, ...] = ()

    def refuse_host(self, host: str, port: int | None = None) -> str | None:
        """Why nothing of this host may be had, whatever its address; None when it may."""
        name = canonical_host(host)
        if not self.public and not self.private:
            return "POSTER_NETWORK=none"  # not even a name is asked for
        if _listed(name, self.denied):
            return "POSTER_DENY_HOSTS"
        if self.allowed is not None and not _listed(name, self.allowed):
            return "not in POSTER_ALLOW_HOSTS"
        if port in BAD_PORTS:
            return f"port {port} is not for the web"
        return None

    def refuse(self, address: Address) -> str | None:
        """Why an address may not be connected to; None when it may.

        What hides in an IPv6 address (mapped, 6to4, Teredo, NAT64, ISATAP) is judged along with it.
        """
        forms = [one for one in (address, _inner(address)) if one is not None]
        if any(one in network for one in forms for network in self.private):
            return None
        if not self.public:
            return f"{address}: POSTER_NETWORK=none"
        if not _inner(address) and address.version == 6 and not _unicast(address):
            return f"{address} is not a public address"
        for one in forms:
            if not one.is_global or one.is_multicast:
                return f"{one} is not a public address"
        return None


def _listed(name: str, patterns: tuple[str, ...]) -> bool:
    """Whether a canonical name is one of these, or under one of the `*.suffix` among them."""
    return any(
        name.endswith(one[1:]) and name != one[2:] if one.startswith("*.") else name == one
        for one in patterns
    )


def _unicast(address: Address) -> bool:
    """Whether an IPv6 address is of the only block that is given out (RFC 4291), and no example.

    `is_global` of Python 3.11 lets through what nobody ever assigned: fec0::/10, ::/96 and others.
    """
    return address in _GIVEN_OUT and address not in _EXAMPLES


def _inner(address: Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that an IPv6 one stands for, if it does."""
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if address.ipv4_mapped:
        return address.ipv4_mapped
    if address.sixtofour:
        return address.sixtofour
    if address.teredo:
        return address.teredo[1]
    number = int(address)
    if address in _NAT64 or (number >> 32) & 0xFFFFFFFF in _ISATAP:
        return ipaddress.IPv4Address(number & 0xFFFFFFFF)
    return None


class Refused(OSError):
    """The policy is against an address; an OSError, because aiohttp hands those on."""


class CheckedResolver(AbstractResolver):
    """Resolves by the system and lets through only addresses that may be connected to."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        # Threads of its own: slow names of one page must not keep others from the default ones.
        self._threads = ThreadPoolExecutor(LOOKUPS_AT_ONCE, thread_name_prefix="resolver")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """All addresses of `host` that may be connected to.

        Raises:
            OSError: The name does not resolve, or (`Refused`) to none that may be connected to.
        """
        loop = asyncio.get_running_loop()
        look_up = functools.partial(
            socket.getaddrinfo, host, port, type=socket.SOCK_STREAM, family=family
        )
        found = await loop.run_in_executor(self._threads, look_up)
        results, reason = [], None
        for kind, _, protocol, _, where in found:
            refusal = self._policy.refuse(ipaddress.ip_address(where[0]))
            if refusal is None:
                results.append(ResolveResult(
                    hostname=host, host=str(where[0]), port=port, family=kind, proto=protocol,
                    flags=socket.AI_NUMERICHOST))  # fmt: skip
            else:
                reason = refusal
        if reason is not None and not results:
            raise Refused(f"{host}: {reason}")
        if not results:
            raise OSError(f"{host}: no address")
        return results

    async def close(self) -> None:
        """Let go of the threads; one that still waits for an answer is not waited for."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def connector(policy: Policy) -> aiohttp.TCPConnector:
    """Connects for all pages, to nothing that the policy is against."""

    def checked_socket(
        where: tuple[int, int, int, str, tuple[str, int] | tuple[str, int, int, int]],
    ) -> socket.socket:
        """A socket for exactly this address; whatever let it come this far, it is judged here."""
        family, kind, protocol, _, target = where
        try:
            refusal = policy.refuse(ipaddress.ip_address(target[0]))
        except ValueError:  # not an address at all: the system would resolve it once more
            refusal = f"{target[0]} is no address"
        if refusal is not None:
            raise Refused(refusal)
        return socket.socket(family, kind, protocol)

    return aiohttp.TCPConnector(
        resolver=CheckedResolver(policy),
        use_dns_cache=False,
        limit=0,
        socket_factory=checked_socket,
    )
