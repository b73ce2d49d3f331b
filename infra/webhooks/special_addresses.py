"""Addresses that are not those of hosts on the internet, by the registries of IANA.

The tables are the IPv4 and the IPv6 Special-Purpose Address Registry (RFC 6890) of May 2025, with the multicast and the
site-local addresses, which have registries of their own. They stand here, because Python's ``ipaddress`` changes its
opinion from version to version, and counts some of these addresses as global.
"""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_network
from typing import Final

Address = IPv4Address | IPv6Address


@dataclass(frozen=True)
class Block:
    """A row of a registry."""

    network: str
    name: str
    source: str

    def __contains__(self, address: Address) -> bool:
        return address in ip_network(self.network)


SPECIAL: Final = (
    Block("0.0.0.0/8", "this network", "RFC 791"),
    Block("0.0.0.0/32", "this host", "RFC 1122"),
    Block("10.0.0.0/8", "private use", "RFC 1918"),
    Block("100.64.0.0/10", "shared addresses of carriers", "RFC 6598"),
    Block("127.0.0.0/8", "loopback", "RFC 1122"),
    Block("169.254.0.0/16", "link-local", "RFC 3927"),
    Block("172.16.0.0/12", "private use", "RFC 1918"),
    Block("192.0.0.0/24", "protocol assignments", "RFC 6890"),
    Block("192.0.0.0/29", "service continuity", "RFC 7335"),
    Block("192.0.0.8/32", "dummy address", "RFC 7600"),
    Block("192.0.0.9/32", "port control anycast", "RFC 7723"),
    Block("192.0.0.10/32", "TURN anycast", "RFC 8155"),
    Block("192.0.0.170/32", "NAT64 discovery", "RFC 8880"),
    Block("192.0.0.171/32", "NAT64 discovery", "RFC 8880"),
    Block("192.0.2.0/24", "documentation", "RFC 5737"),
    Block("192.31.196.0/24", "AS112", "RFC 7535"),
    Block("192.52.193.0/24", "AMT", "RFC 7450"),
    Block("192.88.99.0/24", "6to4 relay anycast", "RFC 7526"),
    Block("192.88.99.2/32", "6a44 relay anycast", "RFC 6751"),
    Block("192.168.0.0/16", "private use", "RFC 1918"),
    Block("192.175.48.0/24", "AS112, direct delegation", "RFC 7534"),
    Block("198.18.0.0/15", "benchmarking", "RFC 2544"),
    Block("198.51.100.0/24", "documentation", "RFC 5737"),
    Block("203.0.113.0/24", "documentation", "RFC 5737"),
    Block("224.0.0.0/4", "multicast", "RFC 5771"),
    Block("240.0.0.0/4", "reserved", "RFC 1112"),
    Block("255.255.255.255/32", "limited broadcast", "RFC 919"),
    Block("::/128", "unspecified", "RFC 4291"),
    Block("::1/128", "loopback", "RFC 4291"),
    Block("::/96", "IPv4-compatible", "RFC 4291"),
    Block("::ffff:0:0/96", "IPv4-mapped", "RFC 4291"),
    Block("64:ff9b::/96", "NAT64", "RFC 6052"),
    Block("64:ff9b:1::/48", "NAT64, local use", "RFC 8215"),
    Block("100::/64", "discard only", "RFC 6666"),
    Block("100:0:0:1::/64", "dummy prefix", "RFC 9780"),
    Block("2001::/23", "protocol assignments", "RFC 2928"),
    Block("2001::/32", "Teredo", "RFC 4380"),
    Block("2001:1::1/128", "port control anycast", "RFC 7723"),
    Block("2001:1::2/128", "TURN anycast", "RFC 8155"),
    Block("2001:1::3/128", "service registration anycast", "RFC 9665"),
    Block("2001:2::/48", "benchmarking", "RFC 5180"),
    Block("2001:3::/32", "AMT", "RFC 7450"),
    Block("2001:4:112::/48", "AS112", "RFC 7535"),
    Block("2001:10::/28", "ORCHID", "RFC 4843"),
    Block("2001:20::/28", "ORCHIDv2", "RFC 7343"),
    Block("2001:30::/28", "identities of drones", "RFC 9374"),
    Block("2001:db8::/32", "documentation", "RFC 3849"),
    Block("2002::/16", "6to4", "RFC 3056"),
    Block("2620:4f:8000::/48", "AS112, direct delegation", "RFC 7534"),
    Block("3fff::/20", "documentation", "RFC 9637"),
    Block("5f00::/16", "segment routing", "RFC 9602"),
    Block("fc00::/7", "unique local", "RFC 4193"),
    Block("fe80::/10", "link-local", "RFC 4291"),
    Block("fec0::/10", "site-local", "RFC 3879"),
    Block("ff00::/8", "multicast", "RFC 4291"),
)

CLOUDS: Final = (
    Block("100.100.100.200/32", "metadata", "Alibaba Cloud"),
    Block("168.63.129.16/32", "host of the virtual machine", "Azure"),
    Block("192.0.0.192/32", "metadata", "Oracle Cloud"),
    Block("fd00:ec2::254/128", "metadata", "AWS"),
    Block("fd20:ce::254/128", "metadata", "Google Cloud"),
)
"""Where clouds answer their own machines, besides link-local addresses. Some hand out credentials."""

GLOBAL_UNICAST: Final = IPv6Network("2000::/3")
"""All that IANA has given out for hosts of the internet (RFC 4291)."""

_NAT64: Final = IPv6Network("64:ff9b::/96")
_COMPATIBLE: Final = IPv6Network("::/96")
_NEVER: Final = ("this network", "link-local", "site-local", "multicast", "reserved", "unspecified", "NAT64, local use")


def is_public(address: Address) -> bool:
    """Return whether an address is one of a host on the internet.

    >>> [is_public(IPv4Address(text)) for text in ("93.184.215.14", "198.19.0.1", "168.63.129.16")]
    [True, False, False]
    """
    if isinstance(address, IPv6Address) and address not in GLOBAL_UNICAST:
        return False
    return not any(address in block for block in (*SPECIAL, *CLOUDS))


def is_usable(address: Address) -> bool:
    """Return whether an address can be one of a host, on the internet or in a network of one's own.

    >>> [is_usable(IPv4Address(text)) for text in ("10.0.0.1", "169.254.169.254", "0.0.0.0")]
    [True, False, False]
    """
    never = (*CLOUDS, *(block for block in SPECIAL if block.name in _NEVER))
    return not any(address in block for block in never)


def embedded(address: Address) -> tuple[IPv4Address, ...]:
    """Return the IPv4 addresses that an IPv6 address leads to, or by way of.

    >>> embedded(IPv6Address("64:ff9b::a00:1")), embedded(IPv6Address("2002:7f00:1::"))
    ((IPv4Address('10.0.0.1'),), (IPv4Address('127.0.0.1'),))
    """
    if not isinstance(address, IPv6Address):
        return ()
    if address in _NAT64 or (address in _COMPATIBLE and int(address) > 1):
        return (IPv4Address(int(address) & 0xFFFF_FFFF),)
    if address.teredo is not None:
        return address.teredo
    inner = address.ipv4_mapped or address.sixtofour
    return () if inner is None else (inner,)
