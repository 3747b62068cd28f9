"""Addresses: where a connection may go, decided at the moment it is made.

Source: RELIABILITY A18. The check sits where the socket is made, behind any resolver, so that no spelling of an address
and no DNS answer that changes between check and connect gets around it. The configured upstream may be anywhere.
"""

import ipaddress
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
AddressInfo = tuple[int | socket.AddressFamily, int | socket.SocketKind, int, str, tuple[Any, ...]]

# Never a place for registry bytes: this host's link (cloud metadata lives there), "this network", multicast.
FORBIDDEN: Final[Sequence[Network]] = tuple(
    ipaddress.ip_network(text)
    for text in ("169.254.0.0/16", "0.0.0.0/8", "224.0.0.0/3", "fe80::/10", "ff00::/8", "::/128", "fd00:ec2::254/128")
)
# Allowed only to an upstream that is itself on such an address.
PRIVATE: Final[Sequence[Network]] = tuple(
    ipaddress.ip_network(text)
    for text in ("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "::1/128", "fc00::/7")
)
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")


class AddressForbidden(OSError):
    """A redirect or a token realm led to an address that no upstream may send us to."""


@dataclass(slots=True)
class Guard:
    """Makes the sockets of one upstream: freely for the configured host, guarded for wherever that one sends us."""

    forbidden: Sequence[Network] = FORBIDDEN
    # A call of the API named the host, not the operator's file: nobody may have the node talk to its own link, where
    # the metadata service is (RELIABILITY A18). A registry of one's own network is what such rules are made for.
    home_is_checked: bool = False
    home_is_private: bool = False

    def home_socket(self, info: AddressInfo) -> socket.socket:
        """Make a socket to the configured host; whether that is on a private address decides for the others."""
        self.home_is_private = _within(_address(info), PRIVATE)
        return self.away_socket(info) if self.home_is_checked else _socket(info)

    def away_socket(self, info: AddressInfo) -> socket.socket:
        """Make a socket to another host; raises AddressForbidden."""
        address = _address(info)
        if _within(address, self.forbidden) or (not self.home_is_private and _within(address, PRIVATE)):
            raise AddressForbidden(f"address {address} is not one that an upstream may send us to")
        return _socket(info)


def _within(address: Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks if network.version == address.version)


def _address(info: AddressInfo) -> Address:
    """Return the address behind a socket address: an IPv4 address in IPv6 clothes is taken for what it is."""
    address = ipaddress.ip_address(str(info[4][0]).partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        if address in _NAT64:
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        return address.ipv4_mapped or address
    return address


def _socket(info: AddressInfo) -> socket.socket:
    family, kind, protocol, _, _ = info
    return socket.socket(family, kind, protocol)
