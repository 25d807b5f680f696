"""Where a page's requests may go: decided on the address that is connected to, not on the name.

A name is resolved once, here, and the connection goes to one of the addresses that were checked;
the socket itself is made here too, for an address that is looked at once more. So no second look-up
and no odd spelling comes between check and connection. Names matter only for the operator's own
lists of hosts.
"""

import functools
import ipaddress
import socket
from collections import Counter
from dataclasses import dataclass

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from poster_service.addresses import (
    Address,
    Network,
    same_on_the_wire,
    translated,
    tunnelled,
    why_not_public,
)
from poster_service.fetch.lookups import look_up
from poster_service.fetch.outbound import OpenSockets, ReusingConnector
from poster_service.settings import canonical_host

#: Addresses of one family that are tried for one name.
MOST_ADDRESSES = 4

#: What no browser talks HTTP to, since what listens there could be made to do things by it
#: (WHATWG Fetch, "bad port"). Chrome would refuse them by itself, but only when it connects.
BAD_PORTS = frozenset((
    0, 1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101,
    102, 103, 104, 109, 110, 111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179, 389,
    427, 465, 512, 513, 514, 515, 526, 530, 531, 532, 540, 548, 554, 556, 563, 587, 601, 636,
    989, 990, 993, 995, 1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566, 6665,
    6666, 6667, 6668, 6669, 6679, 6697, 10080,
))  # fmt: skip


@dataclass(frozen=True)
class Policy:
    """Which hosts and addresses may be connected to.

    Attributes:
        public: All that is public by `addresses.why_not_public`.
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

        An IPv4-mapped IPv6 address is the IPv4 address, and one of the well-known NAT64 prefix is
        judged by the IPv4 address that it is translated to. Any other IPv6 address must be allowed
        by its own number; the IPv4 address that an ISATAP one hides must be allowed as well, and
        never makes up for it. A network of `private` opens just the addresses that it holds.
        """
        plain = same_on_the_wire(address)
        if any(plain in network for network in on_the_wire(self.private)):
            return None
        if (inner := translated(plain)) is not None:
            return self._refuse_inner(address, inner)
        if not self.public:
            return f"{address}: POSTER_NETWORK=none"
        if (reason := why_not_public(plain)) is not None:
            return f"{address} is not a public address ({reason})"
        if (inner := tunnelled(plain)) is not None:
            return self._refuse_inner(address, inner)
        return None

    def _refuse_inner(self, address: Address, inner: Address) -> str | None:
        refusal = self.refuse(inner)
        return None if refusal is None else f"{address}: {refusal}"


@dataclass(frozen=True)
class PlainPolicy(Policy):
    """The same for plain http: only what was opened on purpose, nothing of the public web.

    A page is a secure context, in which Chrome asks for nothing over http; but an option of
    `fetch` (targetAddressSpace) switches that check of Chrome's off. So it is made here again.
    """

    def refuse(self, address: Address) -> str | None:
        """Why an address may not be connected to in plain http; None when it may."""
        if (refusal := super().refuse(address)) is not None:
            return refusal
        if (refusal := Policy(public=False, private=self.private).refuse(address)) is not None:
            return f"{PLAIN_HTTP}: {refusal}"
        return None

    @classmethod
    def of(cls, policy: Policy) -> "PlainPolicy":
        """The policy for plain http beside a policy for https."""
        return cls(policy.public, policy.private, policy.allowed, policy.denied)


#: How a refusal begins that is for the scheme and not for the address.
PLAIN_HTTP = "plain http is only for networks of POSTER_ALLOW_PRIVATE"


@functools.cache
def on_the_wire(networks: tuple[Network, ...]) -> tuple[Network, ...]:
    """The same networks, those of IPv4-mapped addresses as IPv4."""
    return tuple(map(_on_the_wire, networks))


def _on_the_wire(network: Network) -> Network:
    first = same_on_the_wire(network.network_address)
    if network.version == 4 or first.version == 6 or network.prefixlen < 96:
        return network
    return ipaddress.ip_network((int(first), network.prefixlen - 96))


def _listed(name: str, patterns: tuple[str, ...]) -> bool:
    """Whether a canonical name is one of these, or under one of the `*.suffix` among them."""
    return any(
        name.endswith(one[1:]) and name != one[2:] if one.startswith("*.") else name == one
        for one in patterns
    )


def is_oddly_spelled(host: str) -> bool:
    """Whether only the system's oldest rules make an address of it: 127.1, 0x7f000001, 0177.0.0.1.

    Chrome has rewritten those long before; whatever comes here so did not come through Chrome.
    """
    try:
        socket.inet_aton(host.rstrip("."))
    except (OSError, ValueError):
        return False
    return literal(host) is None


def literal(host: str) -> Address | None:
    """The address that a host is, in its usual spelling; None for a name."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


class Refused(OSError):
    """The policy is against an address; an OSError, because aiohttp hands those on."""


class CheckedResolver(AbstractResolver):
    """Resolves names and lets through only addresses that may be connected to.

    A look-up belongs to the fetch that asks for it and ends with that: cancelled, or out of time.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Addresses of `host` that may be connected to, at most `MOST_ADDRESSES` of each family.

        Raises:
            OSError: The name does not resolve, or (`Refused`) to none that may be connected to.
        """
        if is_oddly_spelled(host):
            raise Refused(f"{host[:40]} is not a public address in any usual spelling")
        results, reason = [], None
        for kind, address in await addresses_of(host, family):
            refusal = self._policy.refuse(ipaddress.ip_address(address))
            if refusal is None:
                results.append(ResolveResult(
                    hostname=host, host=address, port=port, family=kind,
                    proto=socket.IPPROTO_TCP, flags=socket.AI_NUMERICHOST))  # fmt: skip
            else:
                reason = refusal
        if reason is not None and not results:
            raise Refused(f"{host}: {reason}")
        if not results:
            raise OSError(f"{host}: No address")
        return _first_of_each(results)

    async def close(self) -> None:
        """Nothing outlives its fetch."""


async def addresses_of(
    host: str, family: socket.AddressFamily
) -> list[tuple[socket.AddressFamily, str]]:
    """The addresses of a host, which may be an address itself."""
    address = literal(host)
    if address is None:
        return await look_up(host, family)
    return [(socket.AF_INET if address.version == 4 else socket.AF_INET6, host)]


def _first_of_each(results: list[ResolveResult]) -> list[ResolveResult]:
    """The first few of each family: each may cost a socket, and a name may have hundreds."""
    counted: Counter[int] = Counter()
    taken = []
    for one in results:
        counted[one["family"]] += 1
        if counted[one["family"]] <= MOST_ADDRESSES:
            taken.append(one)
    return taken


def connector(policy: Policy, sockets: OpenSockets | None = None) -> aiohttp.TCPConnector:
    """Connects for all pages, to nothing that the policy is against.

    `sockets` bounds what is open, with other connectors that are given the same.
    """
    if sockets is None:  # an empty one is false
        sockets = OpenSockets()

    def checked_socket(
        where: tuple[int, int, int, str, tuple[str, int] | tuple[str, int, int, int]],
    ) -> socket.socket:
        """A socket for exactly this address; whatever let it come this far, it is judged here."""
        family, kind, protocol, _, target = where
        address = literal(target[0])
        if address is None:  # the system would resolve it once more
            raise Refused(f"{target[0]} is no address")
        if (refusal := policy.refuse(address)) is not None:
            raise Refused(refusal)
        return sockets.new(family, kind, protocol)

    made = ReusingConnector(
        resolver=CheckedResolver(policy),
        use_dns_cache=False,
        limit=0,  # `Outbound` bounds what is under way
        socket_factory=checked_socket,
    )
    sockets.connectors.append(made)
    return made
