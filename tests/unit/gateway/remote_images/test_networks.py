"""Which IP addresses may be connected to."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitrine.errors import SettingsInvalid
from vitrine.gateway.remote_images.networks import NetworkRules

PUBLIC_ONLY = NetworkRules(())
ALL_PRIVATE = NetworkRules(("0.0.0.0/0", "::/0"))


@pytest.mark.parametrize(
    "text",
    ["93.184.215.14", "1.1.1.1", "223.255.255.1", "100.128.0.1", "2606:2800:21f:cb07::1", "64:ff9b::93.184.215.14"],
)
def test_public_addresses_are_allowed(text: str) -> None:
    assert PUBLIC_ONLY.allow(ip_address(text))


PRIVATE = [
    "10.0.0.1",
    "100.64.0.1",
    "127.0.0.1",
    "127.255.255.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.8",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.0.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "::1",
    "fc00::1",
    "fd12:3456::1",
    "2001:db8::1",
    "2001:2::1",
    "2001:10::1",
    "3fff::1",
    "100::1",
    "4000::1",
    "64:ff9b::10.0.0.1",
    "64:ff9b:1::1",
]
NEVER = [
    "0.0.0.0",  # noqa: S104
    "0.1.2.3",
    "169.254.169.254",
    "169.254.0.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "168.63.129.16",
    "100.100.100.200",
    "192.0.0.192",
    "::",
    "::ffff:127.0.0.1",
    "::ffff:93.184.215.14",
    "::127.0.0.1",
    "::a9fe:a9fe",
    "fe80::1",
    "fe80::1%eth0",
    "2606:2800::1%1",
    "febf::1",
    "ff02::1",
    "fd00:ec2::254",
    "fd20:ce::254",
    "2002:7f00:1::",
    "2002:5db8:d70e::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "64:ff9b::169.254.169.254",
    "64:ff9b::0.0.0.0",
]


@pytest.mark.parametrize("text", [*PRIVATE, *NEVER])
def test_all_other_addresses_are_not(text: str) -> None:
    assert not PUBLIC_ONLY.allow(ip_address(text))


@pytest.mark.parametrize("text", PRIVATE)
def test_private_addresses_are_allowed_where_the_settings_name_them(text: str) -> None:
    assert ALL_PRIVATE.allow(ip_address(text))


@pytest.mark.parametrize("text", NEVER)
def test_some_addresses_are_never_allowed(text: str) -> None:
    assert not ALL_PRIVATE.allow(ip_address(text))


def test_one_private_network_opens_no_other() -> None:
    rules = NetworkRules(("10.1.0.0/16",))
    assert [rules.allow(ip_address(text)) for text in ("10.1.2.3", "10.2.0.1", "127.0.0.1")] == [True, False, False]


@given(st.ip_addresses())
def test_nothing_that_python_calls_private_is_allowed(address: IPv4Address | IPv6Address) -> None:
    private = not address.is_global or address.is_multicast or address.is_reserved or address.is_unspecified
    if private and address not in ip_network("64:ff9b::/96"):
        assert not PUBLIC_ONLY.allow(address)


@pytest.mark.parametrize("text", ["", "10.0.0.1/8", "10.0.0.0/40", "intranet"])
def test_what_is_no_network_is_an_error_of_the_settings(text: str) -> None:
    with pytest.raises(SettingsInvalid, match="private_networks"):
        NetworkRules((text,))
