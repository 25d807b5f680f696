"""Where a page's requests may go: decided on the address that is connected to, not on the name.

The resolver here resolves a name once, and the connection goes to one of the addresses that it
checked; the connector opens the socket here too, and checks its address again. So no second lookup
and no non-canonical spelling comes between check and connection. Names matter only for the
operator's own lists of hosts.
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
MAX_ADDRESSES = 4

#: Ports that no browser sends HTTP to, because services of other protocols listen there and might
#: act on it (WHATWG Fetch, "bad port"). Chrome blocks them by itself, but only when it connects.
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
        public: Whether all public addresses (`addresses.why_not_public`) are allowed.
        private: Networks that the operator allows as well.
        allowed: If not None, the only hosts (`name`, `*.suffix`, address); their addresses are
            checked all the same.
        denied: Hosts that are denied even if another rule allows them.
    """

    public: bool
    private: tuple[Network, ...] = ()
    allowed: tuple[str, ...] | None = None
    denied: tuple[str, ...] = ()

    def refuse_host(self, host: str, port: int | None = None) -> str | None:
        """Why this host and port are denied, before its address is known; None if they are not."""
        name = canonical_host(host)
        if not self.public and not self.private:
            return "POSTER_NETWORK=none"  # not even a lookup is allowed
        if _listed(name, self.denied):
            return "POSTER_DENY_HOSTS"
        if self.allowed is not None and not _listed(name, self.allowed):
            return "not in POSTER_ALLOW_HOSTS"
        if port in BAD_PORTS:
            return f"port {port} is blocked for HTTP"
        return None

    def refuse(self, address: Address) -> str | None:
        """Why an address is denied; None when it may be connected to.

        An IPv4-mapped IPv6 address counts as the IPv4 address, and one of the well-known NAT64
        prefix as the IPv4 address that it is translated to. Any other IPv6 address must be allowed
        itself; the IPv4 address that an ISATAP address contains must be allowed in addition, not
        instead. A network of `private` allows just the addresses that it contains.
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
    """The policy for plain http: only networks of `private`, nothing of the public web.

    A page is a secure context, in which Chrome blocks http requests; but an option of `fetch`
    (targetAddressSpace) switches that check of Chrome's off. So this service checks it again.
    """

    def refuse(self, address: Address) -> str | None:
        """Why an address is denied over plain http; None when it may be connected to."""
        if (refusal := super().refuse(address)) is not None:
            return refusal
        if (refusal := Policy(public=False, private=self.private).refuse(address)) is not None:
            return f"{PLAIN_HTTP}: {refusal}"
        return None

    @classmethod
    def of(cls, policy: Policy) -> "PlainPolicy":
        """The policy for plain http that belongs to a policy for https."""
        return cls(policy.public, policy.private, policy.allowed, policy.denied)


#: How the text begins where the scheme is the reason and not the address.
PLAIN_HTTP = "plain http is allowed only to networks of POSTER_ALLOW_PRIVATE"


@functools.cache
def on_the_wire(networks: tuple[Network, ...]) -> tuple[Network, ...]:
    """The same networks, IPv4-mapped ones as networks of IPv4."""
    return tuple(map(_on_the_wire, networks))


def _on_the_wire(network: Network) -> Network:
    first = same_on_the_wire(network.network_address)
    if network.version == 4 or first.version == 6 or network.prefixlen < 96:
        return network
    return ipaddress.ip_network((int(first), network.prefixlen - 96))


def _listed(name: str, patterns: tuple[str, ...]) -> bool:
    """Whether a canonical name is one of these, or a subdomain of a `*.suffix` among them."""
    return any(
        name.endswith(pattern[1:]) and name != pattern[2:]
        if pattern.startswith("*.")
        else name == pattern
        for pattern in patterns
    )


def is_non_canonical_ipv4(host: str) -> bool:
    """Whether only inet_aton(3) reads it as an address: 127.1, 0x7f000001, 0177.0.0.1.

    Chrome rewrites those to the usual spelling, so such a host did not come through its parser.
    """
    try:
        socket.inet_aton(host.rstrip("."))
    except (OSError, ValueError):
        return False
    return literal(host) is None


def literal(host: str) -> Address | None:
    """A host as an address, if it is one in canonical spelling; None for a name."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


class AddressDenied(OSError):
    """The policy denies an address; an OSError, because aiohttp passes those on."""


class CheckedResolver(AbstractResolver):
    """Resolves names, and returns only addresses that may be connected to.

    A lookup belongs to its fetch and ends with it, also when that is cancelled or times out.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Addresses of `host` that may be connected to, at most `MAX_ADDRESSES` of each family.

        Raises:
            AddressDenied: Every address of the name is denied.
            OSError: The name does not resolve.
        """
        if is_non_canonical_ipv4(host):
            raise AddressDenied(
                f"{host[:40]} is a non-canonical IPv4 address, not a public address"
            )
        results, refusal = [], None
        for kind, address in await addresses_of(host, family):
            reason = self._policy.refuse(ipaddress.ip_address(address))
            if reason is None:
                results.append(ResolveResult(
                    hostname=host, host=address, port=port, family=kind,
                    proto=socket.IPPROTO_TCP, flags=socket.AI_NUMERICHOST))  # fmt: skip
            else:
                refusal = reason
        if refusal is not None and not results:
            raise AddressDenied(f"{host}: {refusal}")
        if not results:
            raise OSError(f"{host}: No address")
        return _first_of_each_family(results)

    async def close(self) -> None:
        """Do nothing: no lookup outlives its fetch."""


async def addresses_of(
    host: str, family: socket.AddressFamily
) -> list[tuple[socket.AddressFamily, str]]:
    """The addresses of a host, best first; a host that is an address is its own result."""
    address = literal(host)
    if address is None:
        return await look_up(host, family)
    return [(socket.AF_INET if address.version == 4 else socket.AF_INET6, host)]


def _first_of_each_family(results: list[ResolveResult]) -> list[ResolveResult]:
    """The first few of each family: each may cost a socket, and a name may have hundreds."""
    counts: Counter[int] = Counter()
    chosen = []
    for result in results:
        counts[result["family"]] += 1
        if counts[result["family"]] <= MAX_ADDRESSES:
            chosen.append(result)
    return chosen


def connector(policy: Policy, sockets: OpenSockets | None = None) -> aiohttp.TCPConnector:
    """A connector for all pages, which connects to nothing that the policy denies.

    `sockets` bounds the open sockets of all connectors that share it.
    """
    if sockets is None:  # not `or`: an empty one is falsy
        sockets = OpenSockets()

    def checked_socket(
        where: tuple[int, int, int, str, tuple[str, int] | tuple[str, int, int, int]],
    ) -> socket.socket:
        """A socket for exactly this address, checked again whatever was checked before."""
        family, kind, protocol, _, target = where
        address = literal(target[0])
        if address is None:  # the system would resolve it again
            raise AddressDenied(f"{target[0]} is not an IP address")
        if (refusal := policy.refuse(address)) is not None:
            raise AddressDenied(refusal)
        return sockets.new(family, kind, protocol)

    reusing = ReusingConnector(
        resolver=CheckedResolver(policy),
        use_dns_cache=False,
        limit=0,  # `Outbound` bounds the fetches under way
        socket_factory=checked_socket,
    )
    sockets.connectors.append(reusing)
    return reusing
