"""How the local providers sign what they report: SendGrid by ECDSA, Twilio by HMAC-SHA1."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterable
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import SecretStr

from infra.embedded.errors import EmbeddedError
from infra.embedded.state import write_atomically

KEY_FILE = "sendgrid-events.pem"


def ensure_signing_key(folder: Path) -> str:
    """The public key (base64 of SPKI DER) of the folder's signing key, which is made (mode 0600) where it is missing.

    Raises `EmbeddedError` for a file that holds no such key.
    """
    key = load_signing_key(folder)
    if key is None:
        key = ec.generate_private_key(ec.SECP256R1())
        _write(folder, key)
    public = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(public).decode()


def load_signing_key(folder: Path) -> ec.EllipticCurvePrivateKey | None:
    """The signing key of the folder, None where there is none; raises `EmbeddedError` for one that is not readable."""
    file = folder / KEY_FILE
    if not file.exists():
        return None
    try:
        key = serialization.load_pem_private_key(file.read_bytes(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise EmbeddedError(f"{file} holds no private key of an elliptic curve: remove it, then `ballast up`.")
    return key


def sendgrid_signature(key: ec.EllipticCurvePrivateKey, timestamp: str, body: bytes) -> str:
    """`X-Twilio-Email-Event-Webhook-Signature`: base64 of the DER signature of timestamp and raw body."""
    return base64.b64encode(key.sign(timestamp.encode() + body, ec.ECDSA(hashes.SHA256()))).decode()


def twilio_signature(token: SecretStr, url: str, form: Iterable[tuple[str, str]]) -> str:
    """`X-Twilio-Signature`: base64 of HMAC-SHA1 over the address and the sorted names with their values."""
    signed = url + "".join(name + value for name, value in sorted(form))
    digest = hmac.new(token.get_secret_value().encode(), signed.encode(), hashlib.sha1).digest()
    return base64.b64encode(digest).decode()


def _write(folder: Path, key: ec.EllipticCurvePrivateKey) -> None:
    content = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_atomically(folder / KEY_FILE, content.decode())
