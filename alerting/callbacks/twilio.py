"""Twilio's status callbacks: proven by the signature over address and form, then read.

Source: https://www.twilio.com/docs/usage/security (with its library's treatment of repeated keys and of ports) and
https://www.twilio.com/docs/messaging/guides/track-outbound-message-status.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import parse_qs, urlsplit

from pydantic import SecretStr

from alerting.callbacks.outcomes import LABELS, Provider
from alerting.callbacks.store import Callback
from alerting.callbacks.texts import kind_of, storable
from alerting.errors import CallbackInvalidError, CallbackNotConfiguredError, CallbackRefusedError

SIGNATURE_HEADER = "x-twilio-signature"
OPTED_OUT = "21610"
MAX_FIELDS = 200
_PORTS = {"http": 80, "https": 443}
_CODE = re.compile(r"[0-9]{1,6}")

Form = Mapping[str, Sequence[str]]


def parse_form(body: bytes) -> Form:
    """The form's values by key, in order; raises `CallbackInvalidError` for more than 200 fields."""
    try:
        return parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError:
        raise CallbackInvalidError(f"The form has more than {MAX_FIELDS} fields.") from None


def signature(token: str, url: str, form: Form) -> str:
    """Base64 of HMAC-SHA1 over the address and each key with its value, sorted; a value that repeats counts once."""
    pairs = (key + value for key in sorted(form) for value in sorted(set(form[key])))
    signed = url + "".join(pairs)
    digest = hmac.new(token.encode(), signed.encode("utf-8", "surrogatepass"), hashlib.sha1).digest()
    return base64.b64encode(digest).decode()


def verify(token: SecretStr | None, given: str | None, url: str, form: Form) -> None:
    """Prove that Twilio sent this form to `url`, which it may have signed with or without the port.

    Raises `CallbackNotConfiguredError` without a token and `CallbackRefusedError` for anything unproven.
    """
    secret = token.get_secret_value().strip() if token is not None else ""
    if not secret:
        raise CallbackNotConfiguredError("BALLAST_TWILIO_AUTH_TOKEN is empty, so that callbacks are refused; set it.")
    if given is None:
        raise CallbackRefusedError("Send Twilio's signature header, once.")
    expected = [signature(secret, each, form).encode() for each in _spellings(url)]
    if not any(hmac.compare_digest(each, given.encode("utf-8", "replace")) for each in expected):
        raise CallbackRefusedError("The signature is not Twilio's over this address and form.")


def read(form: Form, notification_id: str | None) -> Callback:
    """The report in a form that was proven; raises `CallbackInvalidError` where it names no message."""
    sid = storable(_only(form, "MessageSid") or _only(form, "SmsSid"))
    if sid is None:
        raise CallbackInvalidError("The form names no message: exactly one MessageSid is needed.")
    status = kind_of(_only(form, "MessageStatus") or _only(form, "SmsStatus"))
    code = _only(form, "ErrorCode")
    code = code if code is not None and _CODE.fullmatch(code) else None
    return Callback(
        callback_id=f"{sid}:{status}",
        provider=Provider.TWILIO,
        notification_id=storable(notification_id),
        kind=status,
        occurred_at=None,
        detail=f"{LABELS[Provider.TWILIO]}: {status}" + (f"; ErrorCode {code}" if code else ""),
        provider_message_id=sid,
        is_opt_out=code == OPTED_OUT,
    )


def _only(form: Form, key: str) -> str | None:
    values = set(form.get(key, ()))
    return values.pop() if len(values) == 1 else None


def _spellings(url: str) -> Iterator[str]:
    parts = urlsplit(url)
    host, port = parts.netloc, parts.port
    rest = url.partition("://")[2][len(host) :]
    if port is not None:
        host = host.rpartition(":")[0]
    for netloc in (host, f"{host}:{port or _PORTS.get(parts.scheme, 443)}"):
        yield f"{parts.scheme}://{netloc}{rest}"
