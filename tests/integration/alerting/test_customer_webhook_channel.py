"""Webhooks to addresses that customers chose, over real HTTPS: private networks stay out of reach."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from alerting.channels.base import (
    Accepted,
    Address,
    DeliveryResult,
    OutboundMessage,
    Rejected,
    Retryable,
    WebhookContent,
)
from alerting.channels.guard import AddressGuard, parse_networks
from alerting.channels.http import tls_context
from alerting.channels.webhook import WebhookChannel
from infra.runtime.clock import SystemClock

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
HOST = "hooks.customer.example"
PRIVATE = Rejected("The webhook address leads into a private or reserved network.")
METADATA = Rejected("The webhook address leads to a metadata service.")


@dataclass(frozen=True)
class Authority:
    """A certificate authority of our own, and the TLS of a server that it vouches for."""

    ca_file: Path
    server: ssl.SSLContext


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    folder = tmp_path_factory.mktemp("tls")
    ca_key, server_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test authority")])
    now = datetime.now(UTC)

    def certificate(name: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
        )

    ca = (
        certificate(issuer, ca_key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    names = [x509.DNSName(HOST), x509.IPAddress(ip_address("127.0.0.1"))]
    server = (
        certificate(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)]), server_key)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    ca_file, chain = folder / "ca.pem", folder / "server.pem"
    ca_file.write_bytes(ca.public_bytes(pem))
    key_bytes = server_key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    chain.write_bytes(key_bytes + server.public_bytes(pem))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    return Authority(ca_file, context)


@dataclass
class Names:
    """Name resolution that a test decides: each look-up takes the next answer, the last one stays."""

    answers: list[Sequence[str]]
    asked: list[str] = field(default_factory=list)

    async def resolve(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@dataclass
class Customer:
    """A receiver on 127.0.0.1 that notes what reaches it."""

    hosts: list[str] = field(default_factory=list)
    server_names: list[str | None] = field(default_factory=list)
    connections: set[object] = field(default_factory=set)
    status: int = 204
    headers: dict[str, str] = field(default_factory=dict)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.hosts.append(request.host)
        self.connections.add(request.transport.get_extra_info("peername") if request.transport else None)
        return web.Response(status=self.status, headers=self.headers)


@asynccontextmanager
async def served(customer: Customer, authority: Authority) -> AsyncIterator[int]:
    def note(_socket: ssl.SSLObject, name: str | None, _context: ssl.SSLContext) -> None:
        customer.server_names.append(name)

    authority.server.sni_callback = note
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", customer.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=authority.server).start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


def deliver(
    customer: Customer,
    authority: Authority,
    url: str,
    *,
    names: Names | None = None,
    allowed: str = "",
    times: int = 1,
    is_known: bool = True,
) -> list[DeliveryResult]:
    """Attempts at `url`, in which `PORT` stands for the receiver's port."""

    async def run() -> list[DeliveryResult]:
        async with served(customer, authority) as port:
            resolver = names or Names([["127.0.0.1"]])
            guard = AddressGuard(parse_networks(allowed), resolver.resolve)
            tls = tls_context(authority.ca_file if is_known else None)
            channel = WebhookChannel(SystemClock(), guard=guard, tls=tls, total_timeout_s=5.0)
            content = WebhookContent("margin.margin_call", SystemClock().now(), {"account_id": "acc-1"})
            address = Address(url.replace("PORT", str(port)), (SECRET,))
            message = OutboundMessage("ntf_1", "webhook", "con_1", address, content)
            try:
                return [(await channel.deliver([message]))[0] for _ in range(times)]
            finally:
                await channel.close()

    return asyncio.run(run())


@pytest.fixture
def customer() -> Customer:
    return Customer()


def test_deliver__reaches_the_checked_address_under_its_name(customer: Customer, authority: Authority) -> None:
    names = Names([["127.0.0.1"]])
    results = deliver(customer, authority, f"https://{HOST}:PORT/a", names=names, allowed="127.0.0.0/8", times=3)
    assert results == [Accepted("HTTP 204")] * 3
    assert customer.server_names == [HOST]
    assert {host.partition(":")[0] for host in customer.hosts} == {HOST}
    assert len(customer.connections) == 1
    assert names.asked == [HOST]


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("https://127.0.0.1:PORT/", PRIVATE),
        ("https://[::1]:PORT/", PRIVATE),
        ("https://[::ffff:127.0.0.1]:PORT/", PRIVATE),
        ("https://10.0.0.1:PORT/", PRIVATE),
        ("https://169.254.169.254/latest/meta-data/", METADATA),
        ("https://[fd00:ec2::254]/latest/meta-data/", METADATA),
        (f"http://{HOST}:PORT/", Rejected("The webhook address must begin with https://.")),
        (f"https://user:word@{HOST}:PORT/", Rejected("The webhook address must not hold a user or password.")),
    ],
)
def test_deliver__refuses_by_the_text(customer: Customer, authority: Authority, url: str, wanted: Rejected) -> None:
    assert deliver(customer, authority, url) == [wanted]
    assert customer.server_names == []


@pytest.mark.parametrize(
    ("addresses", "wanted"),
    [
        (["127.0.0.1"], PRIVATE),
        (["8.8.8.8", "127.0.0.1"], PRIVATE),
        (["::1"], PRIVATE),
        (["::ffff:127.0.0.1"], PRIVATE),
        (["64:ff9b::7f00:1"], PRIVATE),
        (["100.64.0.1"], PRIVATE),
        (["169.254.169.254"], METADATA),
        (["fe80::1%lo"], PRIVATE),
    ],
)
def test_deliver__refuses_a_name_that_leads_into_a_private_network(
    customer: Customer, authority: Authority, addresses: list[str], wanted: Rejected
) -> None:
    assert deliver(customer, authority, f"https://{HOST}:PORT/", names=Names([addresses])) == [wanted]
    assert customer.server_names == []


def test_deliver__a_name_that_changes_its_mind_is_refused(customer: Customer, authority: Authority) -> None:
    # The first look-up would pass; whatever a second one says, only what was checked can be connected to.
    customer.headers = {"connection": "close"}
    names = Names([["127.0.0.1"], ["169.254.169.254"]])

    async def forget(host: str, port: int) -> Sequence[str]:
        return await names.resolve(host, port)

    async def run() -> list[DeliveryResult]:
        async with served(customer, authority) as port:
            guard = AddressGuard(parse_networks("127.0.0.0/8"), forget)
            address = Address(f"https://{HOST}:{port}/", (SECRET,))
            content = WebhookContent("margin.margin_call", SystemClock().now(), {})
            results: list[DeliveryResult] = []
            for _ in range(2):
                channel = WebhookChannel(SystemClock(), guard=guard, tls=tls_context(authority.ca_file))
                message = OutboundMessage("ntf_1", "webhook", "con_1", address, content)
                results += await channel.deliver([message])
                await channel.close()
            return results

    assert asyncio.run(run()) == [Accepted("HTTP 204"), METADATA]
    assert len(customer.hosts) == 1


def test_deliver__between_check_and_connection_nothing_can_be_put(customer: Customer, authority: Authority) -> None:
    class Lying(AddressGuard):
        """Its DNS check passes everything, as if the answer had changed after it."""

        async def checked_addresses(self, host: str, port: int) -> list[str]:
            return ["127.0.0.1"]

    async def run() -> DeliveryResult:
        async with served(customer, authority) as port:
            channel = WebhookChannel(SystemClock(), guard=Lying(), tls=tls_context(authority.ca_file))
            content = WebhookContent("margin.margin_call", SystemClock().now(), {})
            address = Address(f"https://{HOST}:{port}/", (SECRET,))
            try:
                return (await channel.deliver([OutboundMessage("ntf_1", "webhook", "con_1", address, content)]))[0]
            finally:
                await channel.close()

    assert asyncio.run(run()) == PRIVATE
    assert customer.server_names == []


def test_deliver__follows_no_redirect_inside(customer: Customer, authority: Authority) -> None:
    customer.status, customer.headers = 302, {"location": "https://169.254.169.254/"}
    assert deliver(customer, authority, f"https://{HOST}:PORT/", allowed="127.0.0.0/8") == [Rejected("HTTP 302")]
    assert len(customer.hosts) == 1


def test_deliver__a_certificate_of_an_unknown_authority_is_refused(customer: Customer, authority: Authority) -> None:
    [result] = deliver(customer, authority, f"https://{HOST}:PORT/", allowed="127.0.0.0/8", is_known=False)
    assert isinstance(result, Retryable)
    assert (result.is_unknown, customer.hosts) == (False, [])


def test_deliver__a_certificate_of_another_name_is_refused(customer: Customer, authority: Authority) -> None:
    [result] = deliver(customer, authority, "https://other.example:PORT/", allowed="127.0.0.0/8")
    assert isinstance(result, Retryable)
    assert customer.hosts == []


@pytest.mark.parametrize("answers", [[], ["a"]])
def test_deliver__a_name_without_address_comes_again_or_is_refused(
    customer: Customer, authority: Authority, answers: list[str]
) -> None:
    [result] = deliver(customer, authority, f"https://{HOST}:PORT/", names=Names([answers]))
    if answers:
        assert isinstance(result, Rejected)
    else:
        assert result == Retryable("the host's name does not resolve")
