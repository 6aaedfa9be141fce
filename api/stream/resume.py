"""The resume token: a signed place among the alerts, opaque to clients."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from api.stream.errors import MistakeError

MAX_DIGESTS = 64
SIGNATURE_BYTES = 16
DIGEST_BYTES = 9
_PURPOSE = b"ballast stream resume v1"


class Place(BaseModel):
    """What a client has received: every alert before `settled_at`, those of `digests`, and no other.

    Of those exactly at `settled_at` it has the ones with an id up to `after_id`. `epoch` and `position` name the
    same place in the log of one process, where that still holds it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int = Field(default=1, ge=1, le=1, alias="v")
    settled_at: AwareDatetime = Field(alias="s")
    after_id: str = Field(default="", max_length=200, alias="a")
    digests: tuple[str, ...] = Field(default=(), max_length=MAX_DIGESTS, alias="d")
    epoch: str = Field(default="", max_length=32, alias="e")
    position: int = Field(default=0, ge=0, alias="n")


def digest_of(margin_event_id: str) -> str:
    """72 bits of SHA-256 as text: a chance equality, which would hide an alert, is out of the question."""
    return base64.urlsafe_b64encode(hashlib.sha256(margin_event_id.encode()).digest()[:DIGEST_BYTES]).decode()


@dataclass(frozen=True)
class ResumeTokens:
    """Signs and reads tokens; every process with the same secret takes them."""

    secret: bytes

    def write(self, place: Place) -> str:
        """The token of a place."""
        content = place.model_dump_json(by_alias=True, exclude_defaults=True).encode()
        return base64.urlsafe_b64encode(self._sign(content) + content).decode().rstrip("=")

    def read(self, token: str) -> Place:
        """The place of a token; `MistakeError` if no process of ours wrote it."""
        try:
            raw = base64.b64decode(token.encode() + b"=" * (-len(token) % 4), altchars=b"-_", validate=True)
            signature, content = raw[:SIGNATURE_BYTES], raw[SIGNATURE_BYTES:]
            if hmac.compare_digest(signature, self._sign(content)):
                return Place.model_validate_json(content)
        except (binascii.Error, UnicodeEncodeError, ValidationError):
            pass
        raise MistakeError(
            "resume_invalid",
            "The resume token is not one of this API. Send the last one received, or subscribe with none.",
        )

    def _sign(self, content: bytes) -> bytes:
        key = hmac.digest(self.secret, _PURPOSE, "sha256")
        return hmac.digest(key, content, "sha256")[:SIGNATURE_BYTES]
