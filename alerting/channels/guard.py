"""Where customers' webhooks may go: https to public addresses, checked at the moment a socket is opened.

Sources: IANA's special-purpose address registries (RFC 6890); RFC 4291 (mapped), 6052 (NAT64), 3056 (6to4), 4380
(Teredo).
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from alerting.errors import AddressRefusedError
from infra.runtime.errors import SettingsError

IpAddress = IPv4Address | IPv6Address
IpNetwork = IPv4Network | IPv6Network
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]

MAX_ADDRESS_CHARS = 2048
HTTPS_PORT = 443
FIRST_FREE_PORT = 1024

# Machines' metadata and the credentials in it: never, not even inside an allowed network.
_METADATA: frozenset[IpAddress] = frozenset(
    map(
        ip_address,
        ("169.254.169.254", "169.254.170.2", "100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254"),
    )
)
_REFUSED_V4 = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8",
            "10.0.0.0/8",
            "100.64.0.0/10",
            "127.0.0.0/8",
            "169.254.0.0/16",
            "172.16.0.0/12",
            "192.0.0.0/24",
            "192.0.2.0/24",
            "192.88.99.0/24",
            "192.168.0.0/16",
            "198.18.0.0/15",
            "198.51.100.0/24",
            "203.0.113.0/24",
            "224.0.0.0/4",
            "240.0.0.0/4",
        ),
    )
)
# Of IPv6 only global unicast is public at all, less protocol assignments (with Teredo), documentation and 6to4.
_GLOBAL_UNICAST = IPv6Network("2000::/3")
_REFUSED_V6 = tuple(map(IPv6Network, ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")))
_NAT64 = IPv6Network("64:ff9b::/96")
_CONTROL_OR_BLANK = re.compile(r"[\x00-\x20\x7f-\xa0\\]")
# Hosts such as 2130706433, 127.1 or 0x7f.1, which system calls take for IPv4 addresses.
_NUMERIC_HOST = re.compile(r"(?:.*\.)?(?:\d+|0x[0-9a-f]*)\.?", re.IGNORECASE)


def parse_networks(text: str) -> tuple[IpNetwork, ...]:
    """Networks in CIDR form, separated by commas; `SettingsError` where one is none."""
    try:
        return tuple(ip_network(part.strip()) for part in text.split(",") if part.strip())
    except ValueError:
        raise SettingsError(
            "BALLAST_WEBHOOK_ALLOWED_NETWORKS holds what is no network; write 10.1.0.0/16, separated by commas."
        ) from None


async def system_resolve(host: str, port: int) -> Sequence[str]:
    """All addresses of a name by the machine's resolver; `OSError` where there is none."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(sockaddr[0]) for *_, sockaddr in found]


class AddressGuard:
    """Refuses addresses that lead into private networks, by `AddressRefusedError`; `allowed` are exceptions.

    The same guard stands three times: at the text of the address, at the answer of DNS, and, where nothing can come
    between, at each socket just before it connects. So a name that changes its mind is refused, and every connection
    in a pool was checked.
    """

    def __init__(self, allowed: Sequence[IpNetwork] = (), resolve: Resolve = system_resolve) -> None:
        self._allowed = tuple(allowed)
        self._resolve = resolve

    def checked_url(self, text: str) -> URL:
        """The address, if its text is fit for a customer's webhook: https, port 443 or 1024 and above, no user."""
        url = parsed_url(text)
        if url.scheme != "https":
            raise AddressRefusedError("The webhook address must begin with https://.")
        if url.raw_user is not None or url.raw_password is not None:
            raise AddressRefusedError("The webhook address must not hold a user or password.")
        if url.port != HTTPS_PORT and (url.port or 0) < FIRST_FREE_PORT:
            raise AddressRefusedError("The webhook address must use port 443, or one from 1024.")
        host = url.raw_host or ""
        literal = _literal(host)
        if literal is not None:
            self.check(literal)
        elif _NUMERIC_HOST.fullmatch(host):
            raise AddressRefusedError("The host of the webhook address is neither a name nor a plain IP address.")
        return url

    async def checked_addresses(self, host: str, port: int) -> list[str]:
        """What the name leads to now; refused if any of it is private. `OSError` where the name leads nowhere."""
        try:
            found = list(dict.fromkeys(await self._resolve(host, port)))
        except UnicodeError as error:
            raise OSError("the name cannot be looked up") from error
        if not found:
            raise OSError("the name has no address")
        for text in found:
            self.check(_parsed_ip(text))
        return found

    def check(self, address: IpAddress) -> None:
        """Refuse `address` unless it is public or inside an allowed network; the message does not repeat it."""
        inner = _embedded(address)
        if address in _METADATA or inner in _METADATA:
            raise AddressRefusedError("The webhook address leads to a metadata service.")
        if any(_is_inside(candidate, self._allowed) for candidate in (address, inner)):
            return
        if not is_public(inner):
            raise AddressRefusedError("The webhook address leads into a private or reserved network.")

    def open_socket(self, address_info: tuple[Any, ...]) -> socket.socket:
        """A socket for the one address that it is about to be connected to, after a last check."""
        family, kind, protocol, _, sockaddr = address_info
        self.check(_parsed_ip(str(sockaddr[0])))
        return socket.socket(family=family, type=kind, proto=protocol)


class CheckedResolver(AbstractResolver):
    """aiohttp's resolver that hands out checked addresses only."""

    def __init__(self, guard: AddressGuard) -> None:
        self._guard = guard

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_UNSPEC,  # noqa: ARG002
    ) -> list[ResolveResult]:
        """Numeric addresses for `host`."""
        return [
            ResolveResult(
                hostname=host,
                host=text,
                port=port,
                family=socket.AF_INET6 if ":" in text else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for text in await self._guard.checked_addresses(host, port)
        ]

    async def close(self) -> None:
        """Nothing is held."""


def parsed_url(text: str) -> URL:
    """An http(s) address as it was written; `AddressRefusedError` where it is none, without repeating it."""
    try:
        is_plain = len(text) <= MAX_ADDRESS_CHARS and not _CONTROL_OR_BLANK.search(text)
        # Re-quoting could change a path or query that the receiver signed.
        url = URL(text, encoded=text.isascii()) if is_plain else URL()
        is_usable = url.scheme in ("http", "https") and bool(url.raw_host) and url.port is not None
    except ValueError:
        is_usable = False
    if not is_usable:
        raise AddressRefusedError("The webhook address is no http(s) address.")
    return url.with_fragment(None)


def is_public(address: IpAddress) -> bool:
    """Whether anybody on the Internet can be reached under `address`."""
    if isinstance(address, IPv4Address):
        return not _is_inside(address, _REFUSED_V4)
    return address in _GLOBAL_UNICAST and not _is_inside(address, _REFUSED_V6)


def _embedded(address: IpAddress) -> IpAddress:
    # Mapped and NAT64 addresses reach the IPv4 address in them. 6to4 and Teredo are refused whatever they hold.
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in _NAT64:
            return IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def _is_inside(address: IpAddress, networks: Sequence[IpNetwork]) -> bool:
    return any(address.version == network.version and address in network for network in networks)


def _literal(host: str) -> IpAddress | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _parsed_ip(text: str) -> IpAddress:
    address = _literal(text)
    if address is None:
        raise AddressRefusedError("The webhook address leads to what is no IP address.")
    return address
