"""Which IP addresses may be connected to, however a name came to stand for them."""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import Final, TypeAlias

from vitrine.errors import SettingsInvalid

IpAddress: TypeAlias = IPv4Address | IPv6Address
IpNetwork: TypeAlias = IPv4Network | IPv6Network

_NAT64: Final = IPv6Network("64:ff9b::/96")
"""Where networks without IPv4 show it: DNS64 answers with the IPv4 address in the last four bytes."""
_GLOBAL_UNICAST: Final = IPv6Network("2000::/3")
_LOOPBACK_V6: Final = IPv6Address("::1")


def _networks(*texts: str) -> tuple[IpNetwork, ...]:
    return tuple(ip_network(text) for text in texts)


_NEVER: Final = _networks(
    # "This host", link-local, multicast, reserved.
    "0.0.0.0/8",
    "169.254.0.0/16",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "fe80::/10",
    "ff00::/8",
    # Metadata of clouds outside link-local. Azure's is in public space; a wide private network would hold the others.
    "168.63.129.16/32",
    "100.100.100.200/32",
    "192.0.0.192/32",
    "fd00:ec2::/32",
    "fd20:ce::254/128",
    "fd00:c1::a9fe:a9fe/128",
    "fd00:42::42/128",
    # IPv4 inside IPv6: another spelling of an address (mapped, compatible), or a tunnel to one (6to4, Teredo).
    "::ffff:0:0/96",
    "::/96",
    "2002::/16",
    "2001::/32",
)
"""Refused whatever the settings say. `::/96` holds `::1` too, which is spelt out where it is checked."""

_NOT_PUBLIC: Final = _networks(
    # What Python's `is_global` says of these differs between its releases.
    "100.64.0.0/10",
    "192.0.0.0/24",
    "192.88.99.0/24",
    "198.18.0.0/15",
    "2001::/23",
    "2001:db8::/32",
    "3fff::/20",
)


class NetworkRules:
    """Public addresses, and the private networks that the settings name.

    Args:
        private_networks: CIDR.

    Raises:
        SettingsInvalid: one of them is no network.
    """

    def __init__(self, private_networks: Iterable[str]) -> None:
        self._allowed = tuple(_parsed(text) for text in private_networks)

    def allow(self, address: IpAddress) -> bool:
        """Whether it may be connected to."""
        if isinstance(address, IPv6Address):
            if address.scope_id is not None:
                return False
            if address in _NAT64:
                return self.allow(IPv4Address(int(address) & 0xFFFF_FFFF))
        if address != _LOOPBACK_V6 and _within(address, _NEVER):
            return False
        return _within(address, self._allowed) or _is_public(address)


def _is_public(address: IpAddress) -> bool:
    if isinstance(address, IPv6Address) and address not in _GLOBAL_UNICAST:
        return False
    return address.is_global and not _within(address, _NOT_PUBLIC)


def _within(address: IpAddress, networks: Iterable[IpNetwork]) -> bool:
    return any(address in network for network in networks)


def _parsed(text: str) -> IpNetwork:
    try:
        return ip_network(text)
    except ValueError as error:
        raise SettingsInvalid(f"remote_images.private_networks has {text!r}: {error}.", network=text) from error
