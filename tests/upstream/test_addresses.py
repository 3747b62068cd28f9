"""RELIABILITY A18: the address is checked where the socket is made."""

import socket
from ipaddress import ip_network

import pytest

from mirror.upstream.addresses import AddressForbidden, AddressInfo, Guard


def _info(address: str) -> AddressInfo:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return (family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, 80))


@pytest.mark.parametrize(
    "address",
    ["169.254.169.254", "fe80::1%1", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "0.0.0.0", "::", "fd00:ec2::254"],
)
@pytest.mark.parametrize("home", ["192.0.2.1", "10.0.0.1"])
def test_link_local_and_metadata_addresses_are_never_reached(home: str, address: str) -> None:
    guard = Guard()
    guard.home_socket(_info(home)).close()
    with pytest.raises(AddressForbidden):
        guard.away_socket(_info(address))


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.1", "192.168.1.1", "172.31.0.1", "::1", "::ffff:10.0.0.1"])
def test_a_public_upstream_sends_nobody_to_a_private_address(address: str) -> None:
    guard = Guard()
    guard.home_socket(_info("192.0.2.1")).close()
    with pytest.raises(AddressForbidden):
        guard.away_socket(_info(address))


def test_a_private_upstream_may_redirect_within_the_private_network() -> None:
    guard = Guard()
    guard.home_socket(_info("10.0.0.1")).close()
    guard.away_socket(_info("10.0.0.2")).close()


def test_the_forbidden_networks_are_an_argument() -> None:
    guard = Guard((ip_network("127.0.0.9/32"),), home_is_private=True)
    with pytest.raises(AddressForbidden):
        guard.away_socket(_info("127.0.0.9"))
