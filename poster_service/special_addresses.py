"""IANA's special-purpose address registries as data, and further blocks that are not public.

Taken from "IANA IPv4 Special-Purpose Address Registry" and "IANA IPv6 Special-Purpose Address
Registry" (RFC 6890, RFC 8190). Data of our own, because what Python's `ipaddress` calls global
differs between its versions. `addresses.py` uses it.
"""

from typing import Literal, NamedTuple

#: The state of the registries that the tables hold; compared in November 2026. The newest entry is
#: of April 2025 (RFC 9780).
AS_OF = "2025-04"


class Block(NamedTuple):
    """One entry.

    Attributes:
        block: In the notation of `ipaddress.ip_network`.
        name: As in the registry.
        rfc: Where it is defined; the registry's first reference.
        date: When it was allocated, year and month.
        globally_reachable: The registry's column of that name.
    """

    block: str
    name: str
    rfc: str
    date: str
    globally_reachable: Literal["yes", "no", "N/A"]


IPV4 = (
    Block("0.0.0.0/8", '"This network"', "RFC 791", "1981-09", "no"),
    Block("0.0.0.0/32", '"This host on this network"', "RFC 1122", "1981-09", "no"),
    Block("10.0.0.0/8", "Private-Use", "RFC 1918", "1996-02", "no"),
    Block("100.64.0.0/10", "Shared Address Space", "RFC 6598", "2012-04", "no"),
    Block("127.0.0.0/8", "Loopback", "RFC 1122", "1981-09", "no"),
    Block("169.254.0.0/16", "Link Local", "RFC 3927", "2005-05", "no"),
    Block("172.16.0.0/12", "Private-Use", "RFC 1918", "1996-02", "no"),
    Block("192.0.0.0/24", "IETF Protocol Assignments", "RFC 6890", "2010-01", "no"),
    Block("192.0.0.0/29", "IPv4 Service Continuity Prefix", "RFC 7335", "2011-06", "no"),
    Block("192.0.0.8/32", "IPv4 dummy address", "RFC 7600", "2015-03", "no"),
    Block("192.0.0.9/32", "Port Control Protocol Anycast", "RFC 7723", "2015-10", "yes"),
    Block("192.0.0.10/32", "TURN Anycast", "RFC 8155", "2017-02", "yes"),
    Block("192.0.0.170/32", "NAT64/DNS64 Discovery", "RFC 8880", "2013-02", "no"),
    Block("192.0.0.171/32", "NAT64/DNS64 Discovery", "RFC 8880", "2013-02", "no"),
    Block("192.0.2.0/24", "Documentation (TEST-NET-1)", "RFC 5737", "2010-01", "no"),
    Block("192.31.196.0/24", "AS112-v4", "RFC 7535", "2014-12", "yes"),
    Block("192.52.193.0/24", "AMT", "RFC 7450", "2014-12", "yes"),
    Block("192.88.99.0/24", "Deprecated (6to4 Relay Anycast)", "RFC 7526", "2001-06", "N/A"),
    Block("192.88.99.2/32", "6a44-relay anycast address", "RFC 6751", "2012-10", "no"),
    Block("192.168.0.0/16", "Private-Use", "RFC 1918", "1996-02", "no"),
    Block("192.175.48.0/24", "Direct Delegation AS112 Service", "RFC 7534", "1996-01", "yes"),
    Block("198.18.0.0/15", "Benchmarking", "RFC 2544", "1999-03", "no"),
    Block("198.51.100.0/24", "Documentation (TEST-NET-2)", "RFC 5737", "2010-01", "no"),
    Block("203.0.113.0/24", "Documentation (TEST-NET-3)", "RFC 5737", "2010-01", "no"),
    Block("240.0.0.0/4", "Reserved", "RFC 1112", "1989-08", "no"),
    Block("255.255.255.255/32", "Limited Broadcast", "RFC 8190", "1984-10", "no"),
)

IPV6 = (
    Block("::1/128", "Loopback Address", "RFC 4291", "2006-02", "no"),
    Block("::/128", "Unspecified Address", "RFC 4291", "2006-02", "no"),
    Block("::ffff:0:0/96", "IPv4-mapped Address", "RFC 4291", "2006-02", "no"),
    Block("64:ff9b::/96", "IPv4-IPv6 Translat.", "RFC 6052", "2010-10", "yes"),
    Block("64:ff9b:1::/48", "IPv4-IPv6 Translat.", "RFC 8215", "2017-06", "no"),
    Block("100::/64", "Discard-Only Address Block", "RFC 6666", "2012-06", "no"),
    Block("100:0:0:1::/64", "Dummy IPv6 Prefix", "RFC 9780", "2025-04", "no"),
    Block("2001::/23", "IETF Protocol Assignments", "RFC 2928", "2000-09", "no"),
    Block("2001::/32", "TEREDO", "RFC 4380", "2006-01", "N/A"),
    Block("2001:1::1/128", "Port Control Protocol Anycast", "RFC 7723", "2015-10", "yes"),
    Block("2001:1::2/128", "TURN Anycast", "RFC 8155", "2017-02", "yes"),
    Block("2001:1::3/128", "DNS-SD SRP Anycast", "RFC 9665", "2024-04", "yes"),
    Block("2001:2::/48", "Benchmarking", "RFC 5180", "2008-04", "no"),
    Block("2001:3::/32", "AMT", "RFC 7450", "2014-12", "yes"),
    Block("2001:4:112::/48", "AS112-v6", "RFC 7535", "2014-12", "yes"),
    Block("2001:10::/28", "Deprecated (previously ORCHID)", "RFC 4843", "2007-03", "N/A"),
    Block("2001:20::/28", "ORCHIDv2", "RFC 7343", "2014-07", "yes"),
    Block("2001:30::/28", "Drone Remote ID Protocol Entity Tags", "RFC 9374", "2022-12", "yes"),
    Block("2001:db8::/32", "Documentation", "RFC 3849", "2004-07", "no"),
    Block("2002::/16", "6to4", "RFC 3056", "2001-02", "N/A"),
    Block("2620:4f:8000::/48", "Direct Delegation AS112 Service", "RFC 7534", "2011-05", "yes"),
    Block("3fff::/20", "Documentation", "RFC 9637", "2024-07", "no"),
    Block("5f00::/16", "Segment Routing (SRv6) SIDs", "RFC 9602", "2024-04", "no"),
    Block("fc00::/7", "Unique-Local", "RFC 4193", "2005-10", "no"),
    Block("fe80::/10", "Link-Local Unicast", "RFC 4291", "2006-02", "no"),
)

#: Not in the registries, and no web server's either.
BESIDE = (
    Block("224.0.0.0/4", "Multicast", "RFC 5771", "1989-08", "N/A"),
    # Public by its number, but inside Azure every machine's host answers there: DHCP, DNS, health,
    # and the agent's goal state with its certificates ("What is IP address 168.63.129.16?").
    Block("168.63.129.16/32", "Azure's wire server", "Azure", "2012-01", "no"),
)
