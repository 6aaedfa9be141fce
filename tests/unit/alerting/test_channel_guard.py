"""Which addresses customers' webhooks may have."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from ipaddress import ip_address

import pytest

from alerting.channels.guard import AddressGuard, CheckedResolver, parse_networks, parsed_url
from alerting.errors import AddressRefusedError
from infra.runtime.errors import SettingsError


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.8.9.1",
        "0.0.0.0",
        "10.1.2.3",
        "100.64.0.1",
        "100.127.255.255",
        "169.254.1.1",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.8",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.1.1",
        "198.18.0.1",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "169.254.169.254",
        "168.63.129.16",
        "100.100.100.200",
        "::",
        "::1",
        "::10.0.0.1",
        "fe80::1",
        "fec0::1",
        "fc00::1",
        "fd00:ec2::254",
        "ff02::1",
        "100::1",
        "2001:db8::1",
        "2001::1",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2",
        "2002:a00:1::1",
        "2002:808:808::1",
        "3fff::1",
        "::ffff:10.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::10.0.0.1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::8.8.8.8",
    ],
)
def test_guard__refuses_what_is_not_public(address: str) -> None:
    with pytest.raises(AddressRefusedError) as raised:
        AddressGuard().check(ip_address(address))
    assert address not in raised.value.message


@pytest.mark.parametrize(
    "address",
    ["8.8.8.8", "100.63.255.255", "100.128.0.0", "172.32.0.1", "2a00:1450::1", "::ffff:8.8.8.8", "64:ff9b::808:808"],
)
def test_guard__lets_public_addresses_pass(address: str) -> None:
    AddressGuard().check(ip_address(address))


@pytest.mark.parametrize(
    ("address", "passes"),
    [
        ("10.1.2.3", True),
        ("::ffff:10.1.2.3", True),
        ("10.2.0.1", False),
        ("fd00::1", True),
        ("fd00:ec2::254", False),
        ("169.254.169.254", False),
        ("::ffff:169.254.169.254", False),
        ("169.254.1.1", True),
        ("8.8.8.8", True),
    ],
)
def test_guard__allows_named_networks_but_never_metadata(address: str, passes: bool) -> None:
    guard = AddressGuard(parse_networks("10.1.0.0/16, fd00::/8,169.254.0.0/16"))
    try:
        guard.check(ip_address(address))
    except AddressRefusedError:
        assert not passes
    else:
        assert passes


@pytest.mark.parametrize("text", ["10.0.0.1/8", "example.com", "10.0.0.0/40", "10.0.0.0/8;11.0.0.0/8"])
def test_networks__a_wrong_one_is_a_wrong_setting(text: str) -> None:
    with pytest.raises(SettingsError, match="BALLAST_WEBHOOK_ALLOWED_NETWORKS"):
        parse_networks(text)


def test_networks__none_are_allowed_by_default() -> None:
    assert parse_networks("") == ()
    assert parse_networks(" , ") == ()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "http://hooks.example/",
        "ftp://hooks.example/",
        "//hooks.example/",
        "https:///path",
        "https://user@hooks.example/",
        "https://user:word@hooks.example/",
        "https://:word@hooks.example/",
        "https://hooks.example:443@evil.example/",
        "https://hooks.example:80/",
        "https://hooks.example:0/",
        "https://hooks.example:1023/",
        "https://hooks.example:70000/",
        "https://hooks.example:port/",
        "https://hooks example/",
        "https://hooks.example\\@evil.example/",
        "https://hooks.example/\r\nx-header: 1",
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://[::ffff:169.254.169.254]/",
        "https://169.254.169.254/latest/meta-data/",
        "https://2130706433/",
        "https://127.1/",
        "https://0177.0.0.1/",
        "https://0x7f.0.0.1/",
        "https://127.0.0.0x1/",
        "https://127.0.0.1./",
        "https://hooks.example/" + "a" * 3000,
    ],
)
def test_url__is_refused_by_its_text(text: str) -> None:
    with pytest.raises(AddressRefusedError) as raised:
        AddressGuard().checked_url(text)
    assert "example" not in raised.value.message


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("https://hooks.example/a", "hooks.example", 443),
        ("https://hooks.example:8443/a", "hooks.example", 8443),
        ("https://8.8.8.8/", "8.8.8.8", 443),
        ("https://[2a00:1450::1]:1024/", "2a00:1450::1", 1024),
        ("https://bücher.example/", "xn--bcher-kva.example", 443),
    ],
)
def test_url__passes(text: str, host: str, port: int) -> None:
    url = AddressGuard().checked_url(text)
    assert (url.raw_host, url.port) == (host, port)


def test_url__is_kept_as_it_was_written() -> None:
    assert str(parsed_url("https://hooks.example/a%2Fb?x=%2F+%41#part")) == "https://hooks.example/a%2Fb?x=%2F+%41"


def resolving(*addresses: str) -> AddressGuard:
    async def resolve(host: str, port: int) -> Sequence[str]:
        return addresses

    return AddressGuard(resolve=resolve)


def test_resolver__one_private_address_among_public_ones_refuses_the_name() -> None:
    with pytest.raises(AddressRefusedError):
        asyncio.run(resolving("8.8.8.8", "10.0.0.1").checked_addresses("hooks.example", 443))


def test_resolver__hands_out_numeric_addresses() -> None:
    found = asyncio.run(CheckedResolver(resolving("8.8.8.8", "2a00:1450::1", "8.8.8.8")).resolve("hooks.example", 443))
    assert [(result["host"], result["port"], result["family"]) for result in found] == [
        ("8.8.8.8", 443, socket.AF_INET),
        ("2a00:1450::1", 443, socket.AF_INET6),
    ]


def test_resolver__no_address_is_a_failure_of_the_network() -> None:
    with pytest.raises(OSError, match="no address"):
        asyncio.run(resolving().checked_addresses("hooks.example", 443))


@pytest.mark.parametrize("host", ["a" * 70 + ".example", "a..example"])
def test_resolver__a_name_that_cannot_be_looked_up_is_a_failure_of_the_network(host: str) -> None:
    with pytest.raises(OSError, match=r".+"):
        asyncio.run(AddressGuard().checked_addresses(host, 443))


def test_socket__is_opened_for_checked_addresses_only() -> None:
    info = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
    with pytest.raises(AddressRefusedError):
        AddressGuard().open_socket((*info, ("127.0.0.1", 443)))
    AddressGuard(parse_networks("127.0.0.0/8")).open_socket((*info, ("127.0.0.1", 443))).close()
