"""Cloud KMS over real HTTP: a local server speaks the REST contract of encrypt and decrypt, and fails on command."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import requests
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from google.auth import exceptions as auth_exceptions

from infra.runtime import key_kms
from infra.runtime.envelope import Envelope, KmsKeyRing
from infra.runtime.errors import NotReadyError, SettingsError
from infra.runtime.key_kms import PAUSES_S
from infra.runtime.sealing import UnsealError

KEY = "projects/p/locations/europe-west1/keyRings/ballast/cryptoKeys/pii"
TOKEN = "ya29.local"
TRIES = len(PAUSES_S) + 1
PLACE = "compliance.users.usr_1.pii_sealed"


class Kms:
    """Keys by version; `answers` are given first, one a request: a status, or bytes that stand for a body."""

    def __init__(self) -> None:
        self.versions = {1: AESGCM.generate_key(256)}
        self.answers: list[int | bytes] = []
        self.requests: list[tuple[str, dict[str, str]]] = []

    def answer(self, path: str, headers: Any, body: dict[str, str]) -> tuple[int, bytes]:
        self.requests.append((path, body))
        if self.answers:
            given = self.answers.pop(0)
            return (200, given) if isinstance(given, bytes) else (given, b'{"error": {"code": 0, "status": "X"}}')
        if headers.get("Authorization") != f"Bearer {TOKEN}":
            return 401, b"{}"
        aad = base64.b64decode(body["additionalAuthenticatedData"])
        if path == f"/v1/{KEY}:encrypt":
            number = max(self.versions)
            nonce = number.to_bytes(12)
            content = nonce + AESGCM(self.versions[number]).encrypt(nonce, base64.b64decode(body["plaintext"]), aad)
            name = f"{KEY}/cryptoKeyVersions/{number}"
            return 200, json.dumps({"name": name, "ciphertext": base64.b64encode(content).decode()}).encode()
        if path == f"/v1/{KEY}:decrypt":
            content = base64.b64decode(body["ciphertext"])
            key = self.versions.get(int.from_bytes(content[:12]))
            try:
                if key is None:
                    return 400, b'{"error": {"code": 400, "status": "FAILED_PRECONDITION"}}'
                plaintext = AESGCM(key).decrypt(content[:12], content[12:], aad)
            except InvalidTag:
                return 400, b'{"error": {"code": 400, "status": "INVALID_ARGUMENT"}}'
            return 200, json.dumps({"plaintext": base64.b64encode(plaintext).decode()}).encode()
        return 404, b"{}"


@pytest.fixture
def kms() -> Kms:
    return Kms()


@pytest.fixture
def address(kms: Kms) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, content = kms.answer(self.path, self.headers, body)
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            # A client that no longer waits has closed the connection.
            with suppress(OSError):
                self.wfile.write(content)

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.fixture
def pauses() -> list[float]:
    return []


@pytest.fixture
def make(address: str, pauses: list[float]) -> Iterator[Callable[..., KmsKeyRing]]:
    with requests.Session() as session:
        session.trust_env = False

        def ring(token: str = TOKEN, endpoint: str = address, key: str = KEY) -> KmsKeyRing:
            session.headers["Authorization"] = f"Bearer {token}"
            return KmsKeyRing(key, bytes(32), endpoint=endpoint, new_session=lambda: session, sleep=pauses.append)

        yield ring


def test_kms__wraps_by_the_primary_version_and_opens_what_older_ones_wrapped(
    kms: Kms, make: Callable[..., KmsKeyRing]
) -> None:
    envelope = Envelope(make())
    sealed = envelope.seal("Ann", PLACE)
    assert sealed.key_id == envelope.ring.active_key_id == f"{KEY}/cryptoKeyVersions/1"
    kms.versions[2] = AESGCM.generate_key(256)
    again = envelope.rewrap(sealed)
    assert again.key_id == envelope.ring.active_key_id == f"{KEY}/cryptoKeyVersions/2"
    assert envelope.open(sealed, PLACE) == envelope.open(again, PLACE) == "Ann"
    assert not any("Ann" in str(base64.b64decode(body.get("plaintext", ""))) for _, body in kms.requests)


def test_kms__binds_what_it_wraps_to_the_key(kms: Kms, make: Callable[..., KmsKeyRing]) -> None:
    make().wrap(bytes(32))
    path, body = kms.requests[0]
    assert path == f"/v1/{KEY}:encrypt"
    assert base64.b64decode(body["additionalAuthenticatedData"]).decode() == KEY
    assert base64.b64decode(body["plaintext"]) == bytes(32)


@pytest.mark.parametrize("failures", [[429], [503, 500, 429]])
def test_kms__tries_again_where_it_is_away(
    kms: Kms, make: Callable[..., KmsKeyRing], pauses: list[float], failures: list[int]
) -> None:
    kms.answers = list(failures)
    key_id, wrapped = make().wrap(bytes(32))
    assert make().unwrap(key_id, wrapped) == bytes(32)
    assert pauses == list(PAUSES_S[: len(kms.requests) - 2])


@pytest.mark.parametrize("status", [429, 500, 503])
def test_kms__gives_up_after_its_tries(
    kms: Kms, make: Callable[..., KmsKeyRing], pauses: list[float], status: int
) -> None:
    kms.answers = [status] * 10
    with pytest.raises(NotReadyError, match=f"HTTP {status}"):
        make().wrap(bytes(32))
    assert (len(kms.requests), pauses) == (TRIES, list(PAUSES_S))


def test_kms__does_not_wait_for_ever(
    kms: Kms, make: Callable[..., KmsKeyRing], monkeypatch: pytest.MonkeyPatch, pauses: list[float]
) -> None:
    monkeypatch.setattr(key_kms, "TIMEOUT_S", 0.05)
    released = threading.Event()
    monkeypatch.setattr(kms, "answer", lambda *_: (released.wait(10), (500, b"{}"))[1])
    with pytest.raises(NotReadyError, match="ReadTimeout"):
        make().wrap(bytes(32))
    released.set()
    assert pauses == list(PAUSES_S)


def test_kms__without_a_server_is_not_ready(make: Callable[..., KmsKeyRing], pauses: list[float]) -> None:
    with pytest.raises(NotReadyError, match="ConnectionError"):
        make(endpoint="http://127.0.0.1:1").wrap(bytes(32))
    assert len(pauses) == len(PAUSES_S)


@pytest.mark.parametrize(("status", "words"), [(403, "grant roles"), (401, "grant roles"), (404, "check BALLAST_PII")])
def test_kms__a_refusal_is_not_tried_again_and_says_what_to_do(
    kms: Kms, make: Callable[..., KmsKeyRing], status: int, words: str
) -> None:
    kms.answers = [status]
    with pytest.raises(SettingsError, match=words) as caught:
        make().wrap(b"a very secret data key, 32 bytes")
    assert len(kms.requests) == 1
    assert "secret" not in caught.value.message
    assert TOKEN not in caught.value.message


def test_kms__refuses_a_wrong_bearer(make: Callable[..., KmsKeyRing]) -> None:
    with pytest.raises(SettingsError, match="HTTP 401"):
        make(token="other").wrap(bytes(32))


def test_kms__a_changed_key_or_a_destroyed_version_does_not_open(kms: Kms, make: Callable[..., KmsKeyRing]) -> None:
    ring = make()
    key_id, wrapped = ring.wrap(bytes(32))
    with pytest.raises(UnsealError, match="changed"):
        ring.unwrap(key_id, wrapped[:-1] + bytes([wrapped[-1] ^ 1]))
    del kms.versions[1]
    with pytest.raises(UnsealError, match="destroyed"):
        ring.unwrap(key_id, wrapped)


def test_kms__does_not_ask_for_what_another_key_wrapped(kms: Kms, make: Callable[..., KmsKeyRing]) -> None:
    with pytest.raises(UnsealError, match="is not of BALLAST_PII_KMS_KEY"):
        make().unwrap("k_of_a_file", bytes(60))
    assert kms.requests == []


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"no json", b'{"ciphertext": "AAAA"}', b'{"name": "other", "ciphertext": "AAAA"}']
    + [f'{{"name": "{KEY}/cryptoKeyVersions/1"{rest}}}'.encode() for rest in ("", ', "ciphertext": "!"')],
)
def test_kms__an_answer_that_says_nothing_usable_wraps_nothing(
    kms: Kms, make: Callable[..., KmsKeyRing], body: bytes
) -> None:
    kms.answers = [body]
    with pytest.raises(NotReadyError, match="Cloud KMS answered with"):
        make().wrap(bytes(32))


def test_kms__without_credentials_says_so() -> None:
    def nobody() -> requests.Session:
        raise auth_exceptions.DefaultCredentialsError("x")

    with pytest.raises(SettingsError, match="application default credentials"):
        KmsKeyRing(KEY, bytes(32), new_session=nobody).wrap(bytes(32))
