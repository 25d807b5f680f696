"""Which IP addresses are public: global unicast by number, and in no special-purpose block.

Decided by the data of `special_addresses.py` and never by `ipaddress.is_global`, `is_private` or
`is_loopback`, whose results differ between versions of Python. All of the service uses this module.
"""

import ipaddress

from poster_service import special_addresses

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_SPECIAL = tuple(
    (ipaddress.ip_network(one.block), one.name)
    for one in (*special_addresses.IPV4, *special_addresses.IPV6, *special_addresses.BESIDE)
)
_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")  # RFC 4291, and all that IANA gives out
_MAPPED = ipaddress.ip_network("::ffff:0:0/96")  # RFC 4291
_NAT64 = ipaddress.ip_network("64:ff9b::/96")  # RFC 6052
_LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))
#: Third quarter of an ISATAP address (RFC 5214) without the bits "universal" and "group".
_ISATAP, _ISATAP_MASK = 0x0000_5EFE, 0xFCFF_FFFF


def same_on_the_wire(address: Address) -> Address:
    """The IPv4 address of an IPv4-mapped IPv6 one, to which the kernel sends IPv4; others as is."""
    if address.version == 6 and address in _MAPPED:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address


def translated(address: Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address to which NAT64 translates an IPv6 one of the well-known prefix (RFC 6052).

    In a network that has only IPv6 this is how every IPv4 host is reached (DNS64, RFC 6147).
    """
    if address.version == 6 and address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return None


def tunnelled(address: Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that an ISATAP interface would send packets for an IPv6 address to."""
    number = int(address)
    if address.version == 6 and (number >> 32) & _ISATAP_MASK == _ISATAP:
        return ipaddress.IPv4Address(number & 0xFFFF_FFFF)
    return None


def why_not_public(address: Address) -> str | None:
    """Why an address is not public, for messages; None for a public one.

    By the number alone: for an IPv4 address inside an IPv6 one see the functions above. Blocks that
    the registries call globally reachable (anycast of protocols, sinks of AS112) are not public
    either, since no web server is there.
    """
    if getattr(address, "scope_id", None) is not None:
        return "an address of one interface"
    for network, name in _SPECIAL:
        if address in network:
            return name
    if address.version == 6 and address not in _GLOBAL_UNICAST:
        return "not global unicast"
    return None


def is_loopback(address: Address) -> bool:
    """Whether an address is loopback; IPv4-mapped ones are treated as IPv4."""
    plain = same_on_the_wire(address)
    return any(plain in network for network in _LOOPBACK)
