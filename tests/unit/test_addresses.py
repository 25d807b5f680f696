"""Which addresses are public: global unicast, and in no special-purpose block of IANA's."""

import ipaddress
import re
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poster_service import special_addresses
from poster_service.addresses import Address, Network, is_loopback, why_not_public
from poster_service.fetch.policy import PlainPolicy, Policy
from poster_service.settings import canonical_host
from poster_service.special_addresses import BESIDE, IPV4, IPV6, Block

PUBLIC = Policy(public=True)

GOOD = [
    "8.8.8.8", "1.1.1.1", "93.184.216.34", "172.15.255.255", "172.32.0.0", "192.167.255.255",
    "100.63.255.255", "100.128.0.0", "169.253.255.255", "223.255.255.254", "2606:4700::1111",
    "2001:4860:4860::8888", "2a00:1450:4001::200e", "64:ff9b::808:808",
]  # fmt: skip
BAD = [
    # this host, loopback, private, link-local and the clouds' metadata services
    "0.0.0.0", "0.1.2.3", "127.0.0.1", "127.255.255.255", "10.0.0.1", "172.16.0.1",
    "172.31.255.255", "192.168.0.1", "169.254.0.1", "169.254.169.254", "fd00:ec2::254",
    # carrier-grade NAT, benchmarks, documentation, protocol assignments, reserved, broadcast
    "100.64.0.1", "100.127.255.255", "100.100.100.200", "198.18.0.1", "192.0.2.1",
    "198.51.100.1", "203.0.113.1", "192.0.0.1", "240.0.0.1", "255.255.255.255",
    "224.0.0.1", "224.0.1.1", "239.255.255.255",
    "::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fdff::1", "fec0::1", "ff02::1", "ff0e::1",
    "2001:db8::1", "3fff::1", "100::1", "5f00::1", "4000::1",
    # an IPv4 address inside: mapped, compatible, translated, NAT64, 6to4, Teredo
    "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:10.0.0.1", "::127.0.0.1",
    "::ffff:0:127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::a00:1",
    "2002:7f00:1::1", "2002:a00:1::", "2002:a9fe:a9fe::", "2001:0:1:2:3:4:80ff:fffe",
]  # fmt: skip


@pytest.mark.parametrize("address", GOOD)
def test_public_addresses_are_let_through(address: str) -> None:
    """All addresses of the public network; none at all where the network is off."""
    assert PUBLIC.refuse(ipaddress.ip_address(address)) is None
    assert Policy(public=False).refuse(ipaddress.ip_address(address)) is not None


@pytest.mark.parametrize("address", BAD)
def test_no_other_address_is(address: str) -> None:
    """However it is dressed; the reason names it."""
    reason = PUBLIC.refuse(ipaddress.ip_address(address))
    assert reason is not None
    assert Policy(public=False).refuse(ipaddress.ip_address(address)) is not None


@given(st.ip_addresses(v=6))
def test_in_ipv6_only_global_unicast_is_public(address: ipaddress.IPv6Address) -> None:
    """2000::/3 is all that IANA gives out; beside it only what wraps a public IPv4 address."""
    if PUBLIC.refuse(address) is None:
        wraps = address.ipv4_mapped or address in ipaddress.ip_network("64:ff9b::/96")
        assert wraps or address in ipaddress.ip_network("2000::/3")


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_is_judged_alike_in_every_dress(address: ipaddress.IPv4Address) -> None:
    """Dressing up never opens a door."""
    number, plain = int(address), PUBLIC.refuse(address)
    dressed = [0xFFFF << 32 | number, 0x64_FF9B << 96 | number, 0x2002 << 112 | number << 80]
    for one in map(ipaddress.IPv6Address, dressed):
        assert plain is None or PUBLIC.refuse(one) is not None


@pytest.mark.parametrize(
    ("address", "opened"),
    [
        ("10.1.2.3", True), ("10.2.0.1", False), ("::ffff:10.1.2.3", True), ("fd12::1", True),
        ("fd13::1", False), ("::ffff:10.2.0.1", False), ("64:ff9b::a02:1", False),
        ("fd00::5efe:a01:5", False), ("fec0::5efe:a01:5", False), ("127.0.0.1", False),
        ("2001:0:1:2:3:4:f5fe:fdfc", False), ("2002:a01:203::", False),
        ("64:ff9b::a01:203", True),
    ],
)  # fmt: skip
@pytest.mark.parametrize("public", [True, False])
def test_networks_opened_on_purpose_are_open(address: str, opened: bool, public: bool) -> None:
    """Those and no others; also where the public is closed."""
    networks = (ipaddress.ip_network("10.1.0.0/16"), ipaddress.ip_network("fd12::/16"))
    assert (Policy(public, networks).refuse(ipaddress.ip_address(address)) is None) == opened


# --- the registries ----------------------------------------------------------------------------

BLOCKS = {one.block: ipaddress.ip_network(one.block) for one in (*IPV4, *IPV6, *BESIDE)}
NAT64 = ipaddress.ip_network("64:ff9b::/96")
GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")


def inside(network: Network) -> Iterator[Address]:
    """Its first, second, middle, last but one and last address, and some between."""
    first, size = int(network.network_address), network.num_addresses
    steps = {0, 1, size // 2, size - 2, size - 1} | {size * n // 17 for n in range(17)}
    kind = ipaddress.IPv4Address if network.version == 4 else ipaddress.IPv6Address
    return (kind(first + step) for step in sorted(steps) if 0 <= step < size)


def neighbours(network: Network) -> Iterator[Address]:
    """The addresses right before and after it, where there are any."""
    kind = ipaddress.IPv4Address if network.version == 4 else ipaddress.IPv6Address
    for number in (int(network.network_address) - 1, int(network.broadcast_address) + 1):
        if 0 <= number < 1 << network.max_prefixlen:
            yield kind(number)


@pytest.mark.parametrize("block", BLOCKS)
def test_no_address_of_a_special_block_is_public(block: str) -> None:
    """For both values of its column "globally reachable"; but NAT64 stands for its target."""
    network = BLOCKS[block]
    for address in inside(network):
        assert why_not_public(address), address
        if network not in (NAT64, ipaddress.ip_network("::ffff:0:0/96")):
            assert PUBLIC.refuse(address) is not None, address


@pytest.mark.parametrize("block", BLOCKS)
def test_a_neighbour_of_a_special_block_is_judged_by_itself(block: str) -> None:
    """Public unless another block holds it, or, in IPv6, it is not global unicast."""
    for address in neighbours(BLOCKS[block]):
        held = [one for one in BLOCKS.values() if address in one]
        special = bool(held) or (address.version == 6 and address not in GLOBAL_UNICAST)
        assert (why_not_public(address) is not None) == special, address
        assert (PUBLIC.refuse(address) is not None) == special, address


@pytest.mark.parametrize("table", [IPV4, IPV6, BESIDE], ids=["IPv4", "IPv6", "beside"])
def test_the_tables_are_whole(table: tuple[Block, ...]) -> None:
    """Each block once and in its one form, with its name, source, date and reachability."""
    assert re.fullmatch(r"20[0-9]{2}-[01][0-9]", special_addresses.AS_OF)
    assert len({one.block for one in table}) == len(table)
    for one in table:
        # Python 3.13 writes mapped addresses in its own way: ::ffff:0.0.0.0.
        written = str(ipaddress.ip_network(one.block)).replace("::ffff:0.0.0.0/", "::ffff:0:0/")
        assert written == one.block
        assert one.name
        assert re.fullmatch(r"RFC [0-9]+|Azure", one.rfc)
        assert re.fullmatch(r"(19|20)[0-9]{2}-[01][0-9]", one.date)
        assert one.globally_reachable in ("yes", "no", "N/A")
        assert one.date <= special_addresses.AS_OF


# Written down here once more, from the registries and not from the tables: a block that fell out
# of the tables would make every test above pass.
@pytest.mark.parametrize(
    "block",
    ["0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
     "192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24",
     "192.168.0.0/16", "192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
     "224.0.0.0/4", "240.0.0.0/4", "168.63.129.16/32", "::/8", "100::/8", "200::/7", "400::/6",
     "800::/5", "1000::/4", "2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48",
     "3fff::/20", "4000::/2", "8000::/1"],
)  # fmt: skip
def test_what_is_closed_is_closed_as_a_whole(block: str) -> None:
    """And right beside it, what is public is open."""
    network = ipaddress.ip_network(block)
    assert all(why_not_public(one) for one in inside(network))


@pytest.mark.parametrize(
    "address",
    [
        # of the registries, though Python 3.11 calls them global
        "192.0.0.8", "192.0.0.9", "192.0.0.10", "192.0.0.11", "192.0.0.100", "192.0.0.170",
        "192.0.0.192", "192.0.0.255", "192.31.196.1", "192.52.193.1", "192.88.99.1", "192.88.99.2",
        "192.175.48.6", "168.63.129.16", "2001:1::1", "2001:3::1", "2001:4:112::1", "2001:20::1",
        "2001:1ff::1", "2620:4f:8000::1", "2002:808:808::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2",
        # a public IPv4 address inside makes no IPv6 address public
        "fec0::5efe:808:808", "fec0::200:5efe:808:808", "64:ff9b:1::5efe:808:808",
        "64:ff9b:1::808:808", "5f00::5efe:808:808", "3fff::5efe:808:808", "4000::5efe:808:808",
        "fe80::5efe:808:808", "fd00::5efe:808:808", "::5efe:808:808", "100::5efe:808:808",
        "2001:db8::5efe:808:808", "2002:808:808::5efe:808:808", "::808:808", "::ffff:0:808:808",
        # nor does a public IPv6 address a private one inside
        "2a00:1450::5efe:a00:1", "2a00:1450::200:5efe:7f00:1", "2a00:1450::100:5efe:a9fe:a9fe",
        # mapped, in the forms of the wire
        "::ffff:192.0.0.8", "::ffff:168.63.129.16", "64:ff9b::c000:8", "64:ff9b::a83f:8110",
        # of one interface, though the number is public
        "2a00:1450::1%eth0", "fe80::1%1",
    ],
)  # fmt: skip
def test_what_was_taken_for_public_is_not(address: str) -> None:
    """Each with its siblings."""
    assert PUBLIC.refuse(ipaddress.ip_address(address)) is not None


@pytest.mark.parametrize(
    "address",
    ["168.63.129.15", "168.63.129.17", "192.0.1.0", "191.255.255.255", "192.88.98.255",
     "192.88.100.0", "2a00:1450::5efe:808:808", "2003::1", "2001:200::1", "2620:4f:8001::1",
     "::ffff:8.8.8.8", "64:ff9b::808:808", "3ffe:ffff::1", "3fff:1000::1"],
)  # fmt: skip
def test_what_is_beside_them_is_public(address: str) -> None:
    """No more is closed than is meant."""
    assert PUBLIC.refuse(ipaddress.ip_address(address)) is None


@pytest.mark.parametrize(
    ("opened", "address", "is_open"),
    [
        ("168.63.129.16/32", "168.63.129.16", True),
        ("192.0.0.0/24", "192.0.0.192", True),
        ("169.254.169.254/32", "169.254.169.254", True),
        ("fe80::/10", "fe80::1%eth0", True),
        ("fd00::/8", "fd00::5efe:a01:5", True),  # the number itself was opened
        ("10.1.0.0/16", "2a00:1450::5efe:a01:5", True),  # public outside, opened inside
        ("10.1.0.0/16", "2a00:1450::5efe:a02:5", False),
        ("10.1.0.0/16", "2002:a01:5::1", False),
        ("10.1.0.0/16", "::a01:5", False),
        ("10.1.0.0/16", "64:ff9b:1::a01:5", False),
        ("2002::/16", "2002:a01:5::1", True),
        ("::ffff:10.1.0.0/112", "10.1.0.5", True),
        ("::ffff:10.1.0.0/112", "::ffff:10.1.0.5", True),
        ("::ffff:10.1.0.0/112", "10.2.0.5", False),
        ("::/0", "::ffff:10.1.0.5", False),
        ("::/0", "fd00::1", True),
    ],
)
def test_opening_a_network_opens_the_addresses_it_holds(
    opened: str, address: str, is_open: bool
) -> None:
    """POSTER_ALLOW_PRIVATE goes by the address connected to: a tunnel to it is another one."""
    policy = Policy(public=True, private=(ipaddress.ip_network(opened),))
    assert (policy.refuse(ipaddress.ip_address(address)) is None) == is_open


@given(st.ip_addresses(v=4), st.integers(0, (1 << 64) - 1))
def test_no_prefix_is_opened_by_what_is_inside(inner: ipaddress.IPv4Address, prefix: int) -> None:
    """An ISATAP address is public only where its prefix and its inside both are."""
    number = prefix << 64 | 0x5EFE << 32 | int(inner)
    address = ipaddress.IPv6Address(number)
    both = why_not_public(address) is None and why_not_public(inner) is None
    if address not in ipaddress.ip_network("::/64"):
        assert (PUBLIC.refuse(address) is None) == both


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "64:ff9b::808:808"])
def test_plain_http_goes_to_opened_networks_only(address: str) -> None:
    """Nothing of the public web; what is opened on purpose may have no certificate."""
    opened = ipaddress.ip_network("10.1.0.0/16")
    plain = PlainPolicy.of(Policy(public=True, private=(opened,)))
    assert "plain http" in (plain.refuse(ipaddress.ip_address(address)) or "")
    assert plain.refuse(ipaddress.ip_address("10.1.0.1")) is None
    assert "public address" in (plain.refuse(ipaddress.ip_address("10.2.0.1")) or "")


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("127.0.0.1", True), ("127.255.255.254", True), ("::1", True), ("::ffff:127.0.0.1", True),
        ("126.255.255.255", False), ("128.0.0.0", False), ("::", False), ("0.0.0.0", False),
        ("::ffff:10.0.0.1", False), ("fe80::1%lo", False),
    ],
)  # fmt: skip
def test_loopback_is_the_same_in_every_python(address: str, expected: bool) -> None:
    """`ipaddress` of 3.13 knows mapped ones and that of 3.11 does not."""
    assert is_loopback(ipaddress.ip_address(address)) == expected


def test_a_mapped_address_is_the_host_that_it_leads_to() -> None:
    """So that POSTER_DENY_HOSTS=93.184.216.34 is not got round."""
    for host in ("93.184.216.34", "[::ffff:93.184.216.34]", "::ffff:5db8:d822"):
        assert canonical_host(host) == "93.184.216.34"
    policy = Policy(public=True, denied=("93.184.216.34",))
    assert policy.refuse_host("[::ffff:5db8:d822]") == "POSTER_DENY_HOSTS"
