"""Twilio's `POST /2010-04-01/Accounts/{sid}/Messages.json`, as far as alerts use it.

Source: Twilio's OpenAPI (twilio_api_v2010.json): form in, 201 with `sid` and `status` out, errors as
`{code, message, more_info, status}`.
"""

from __future__ import annotations

import re
import secrets
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from fastapi import Request, Response
from fastapi.responses import JSONResponse

from infra.embedded.access import matches
from infra.embedded.inbox.access import basic
from infra.embedded.inbox.reception import Contract, Verdict
from infra.embedded.inbox.store import InboxChannel, Incoming
from infra.runtime.clock import Clock
from infra.runtime.settings import Settings

ENDPOINT = "twilio"
MAX_BODY_CHARS = 1600
_E164 = re.compile(r"\+[1-9]\d{6,14}")
_GSM7 = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_GSM7_DOUBLE = frozenset("^{}\\[~]|€\f")


def twilio_contract(settings: Settings, clock: Clock) -> Contract:
    """Accepts texts of the configured account; without one every request gets 401."""

    def judge(request: Request, body: bytes) -> Verdict:
        user, password = basic(request)
        if not (matches(user, settings.twilio_account_sid) and matches(password, settings.twilio_auth_token)):
            return Verdict(error(401, 20003, "Authenticate"), reason="bad credentials")
        account = str(request.path_params["account_sid"])
        if account != user:
            message = f"The requested resource {request.url.path} was not found"
            return Verdict(error(404, 20404, message), reason="another account's address")
        form = dict(parse_qsl(body.decode(errors="replace"), keep_blank_values=True))
        problem = _problem(form)
        if problem is not None:
            return Verdict(error(400, *problem), reason=f"{problem[0]}: {problem[1]}")
        created = _created(account, form, format_datetime(clock.now()))
        return Verdict(JSONResponse(created, 201), (_incoming(created),))

    return Contract(InboxChannel.SMS, judge, _failure)


def segments(text: str) -> int:
    """How many SMS segments the text needs: GSM-7 160 or 153 each, UCS-2 70 or 67 each."""
    if all(c in _GSM7 or c in _GSM7_DOUBLE for c in text):
        length, single, each = sum(2 if c in _GSM7_DOUBLE else 1 for c in text), 160, 153
    else:
        length, single, each = len(text.encode("utf-16-le")) // 2, 70, 67
    return 1 if length <= single else -(-length // each)


def error(status: int, code: int, message: str) -> Response:
    """An error in Twilio's shape."""
    more_info = f"https://www.twilio.com/docs/errors/{code}"
    return JSONResponse({"code": code, "message": message, "more_info": more_info, "status": status}, status)


def _failure(status: int, message: str) -> Response:
    return error(status, 20429 if status == 429 else 20500, message)


def _problem(form: dict[str, str]) -> tuple[int, str] | None:
    to = form.get("To", "")
    callback = urlsplit(form["StatusCallback"]) if form.get("StatusCallback") else None
    validity = form.get("ValidityPeriod", "1")
    checks: list[tuple[bool, int, str]] = [
        (not to, 21604, "A 'To' phone number is required."),
        (not _E164.fullmatch(to), 21211, f"Invalid 'To' Phone Number: {to}"),
        (not (form.get("From") or form.get("MessagingServiceSid")), 21603, "A 'From' phone number is required."),
        (not form.get("Body"), 21602, "Message body is required."),
        (len(form.get("Body", "")) > MAX_BODY_CHARS, 21617, "The concatenated message body exceeds 1600 characters."),
        (callback is not None and not _is_callback(callback.hostname), 21609, "The 'StatusCallback' URL is not valid."),
        (
            not (validity.isascii() and validity.isdigit() and 1 <= int(validity) <= 36000),
            21624,
            "Validity period must be 1 to 36000.",
        ),
    ]
    return next(((code, message) for is_wrong, code, message in checks if is_wrong), None)


def _is_callback(host: str | None) -> bool:
    return bool(host) and "_" not in str(host)


def _created(account: str, form: dict[str, str], at: str) -> dict[str, Any]:
    sid = f"SM{secrets.token_hex(16)}"
    service = form.get("MessagingServiceSid")
    uri = f"/2010-04-01/Accounts/{account}/Messages/{sid}"
    return {
        "account_sid": account,
        "api_version": "2010-04-01",
        "body": form["Body"],
        "date_created": at,
        "date_sent": None,
        "date_updated": at,
        "direction": "outbound-api",
        "error_code": None,
        "error_message": None,
        "from": form.get("From"),
        "messaging_service_sid": service,
        "num_media": "0",
        "num_segments": str(segments(form["Body"])),
        "price": None,
        "price_unit": None,
        "sid": sid,
        "status": "accepted" if service else "queued",
        "subresource_uris": {"media": f"{uri}/Media.json"},
        "to": form["To"],
        "uri": f"{uri}.json",
    }


def _incoming(created: dict[str, Any]) -> Incoming:
    return Incoming(
        channel=InboxChannel.SMS,
        endpoint=ENDPOINT,
        message_key=created["sid"],
        recipient=created["to"],
        title=f"SMS, {created['num_segments']} segment(s)",
        content=created["body"],
    )
