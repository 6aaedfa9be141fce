"""Cloud KMS as a ring of keys: data keys are wrapped and unwrapped there, over its REST interface.

Source: cloud.google.com/kms/docs/reference/rest, methods `cryptoKeys.encrypt` and `cryptoKeys.decrypt`. `encrypt`
answers with the key version that it used; `decrypt` finds the version itself.
"""

from __future__ import annotations

import base64
import binascii
import re
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import google.auth
import requests
from google.auth import exceptions as auth_exceptions
from google.auth.transport.requests import AuthorizedSession

from infra.runtime.errors import NotReadyError, SettingsError
from infra.runtime.sealing import UnsealError

ENDPOINT = "https://cloudkms.googleapis.com"
SCOPE = "https://www.googleapis.com/auth/cloudkms"
TIMEOUT_S = 5.0
# Both methods change nothing at Google, so each may be repeated.
PAUSES_S = (0.2, 0.5, 1.0)
_KEY_NAME = re.compile(r"projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+")
_PROBE = bytes(32)


class KmsKeyRing:
    """Wraps with the primary version of one key; a rotation at Google makes another version the primary one."""

    def __init__(
        self,
        key_name: str,
        hash_key: bytes,
        *,
        endpoint: str = ENDPOINT,
        new_session: Callable[[], requests.Session] | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Nothing is asked of Google before the first use. Raises `SettingsError` for what names no key."""
        if not _KEY_NAME.fullmatch(key_name):
            raise SettingsError(
                "BALLAST_PII_KMS_KEY names no key: projects/P/locations/L/keyRings/R/cryptoKeys/K, without a version."
            )
        self._key_name = key_name
        self._hash_key = hash_key
        self._url = f"{endpoint.rstrip('/')}/v1/{key_name}"
        self._new_session = new_session or _google_session
        self._sleep = sleep
        # A session of `requests` belongs to one thread.
        self._local = threading.local()

    @property
    def active_key_id(self) -> str:
        """The primary version, asked of Google by wrapping nothing of value."""
        return self.wrap(_PROBE)[0]

    def wrap(self, key: bytes) -> tuple[str, bytes]:
        """The key version's name, and `key` encrypted by it; raises `NotReadyError` where KMS does not answer."""
        answer = self._post("encrypt", {"plaintext": _base64(key)})
        version = answer.get("name")
        if not isinstance(version, str) or not version.startswith(self._key_name):
            raise NotReadyError("Cloud KMS answered without the name of the key version that it used.")
        return version, _bytes(answer, "ciphertext")

    def unwrap(self, key_id: str, wrapped: bytes) -> bytes:
        """The key that was wrapped; `UnsealError` where another key wrapped it or the bytes were changed."""
        if not key_id.startswith(f"{self._key_name}/cryptoKeyVersions/"):
            raise UnsealError(f"Key {key_id} is not of BALLAST_PII_KMS_KEY: set the one that wrapped this data.")
        return _bytes(self._post("decrypt", {"ciphertext": _base64(wrapped)}), "plaintext")

    def hash_key(self) -> bytes:
        """The key of the hashes, which KMS does not know."""
        return self._hash_key

    def _post(self, method: str, body: Mapping[str, str]) -> Mapping[str, Any]:
        # The key's name as additional data: what one key wrapped for us opens in no other context.
        content = {**body, "additionalAuthenticatedData": _base64(self._key_name.encode())}
        problem = ""
        for pause in (*PAUSES_S, None):
            try:
                answer = self._session().post(
                    f"{self._url}:{method}", json=content, timeout=TIMEOUT_S, allow_redirects=False
                )
            except auth_exceptions.DefaultCredentialsError:
                raise SettingsError(
                    "Cloud KMS needs Google's application default credentials, and there are none."
                ) from None
            except (requests.exceptions.RequestException, auth_exceptions.GoogleAuthError) as error:
                problem = type(error).__name__
            else:
                if answer.status_code == requests.codes.ok:
                    return _document(answer)
                problem = f"HTTP {answer.status_code}"
                if answer.status_code != 429 and answer.status_code < 500:
                    raise _refusal(method, answer.status_code)
            if pause is not None:
                self._sleep(pause)
        raise NotReadyError(f"Cloud KMS did not {method} ({problem}), after {len(PAUSES_S) + 1} tries.")

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = self._local.session = self._new_session()
        return session


def _google_session() -> requests.Session:
    credentials, _ = google.auth.default(scopes=[SCOPE])
    session: requests.Session = AuthorizedSession(credentials, refresh_timeout=TIMEOUT_S)  # type: ignore[no-untyped-call]
    return session


def _refusal(method: str, status: int) -> SettingsError | UnsealError:
    if method == "decrypt" and status == requests.codes.bad_request:
        return UnsealError("Cloud KMS does not open a data key: it was changed, or its key version was destroyed.")
    if status in (requests.codes.unauthorized, requests.codes.forbidden):
        return SettingsError(
            f"Cloud KMS refused to {method} (HTTP {status}): grant roles/cloudkms.cryptoKeyEncrypterDecrypter."
        )
    return SettingsError(f"Cloud KMS refused to {method} (HTTP {status}): check BALLAST_PII_KMS_KEY and its versions.")


def _document(answer: requests.Response) -> Mapping[str, Any]:
    try:
        content = answer.json()
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise NotReadyError("Cloud KMS answered with something that is no JSON object.")
    return content


def _bytes(answer: Mapping[str, Any], name: str) -> bytes:
    try:
        value = base64.b64decode(str(answer.get(name, "")), validate=True)
    except (binascii.Error, ValueError):
        value = b""
    if not value:
        raise NotReadyError(f"Cloud KMS answered without a usable {name}.")
    return value


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode()
