"""Twilio's `POST` and `GET /2010-04-01/Accounts/{sid}/Messages.json`, as far as alerts use them.

Source: Twilio's OpenAPI (twilio_api_v2010.json): form in, 201 with `sid` and `status` out, errors as
`{code, message, more_info, status}`. Failures on command hit sending only, so that a lost answer can be looked up.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from fastapi import Request, Response
from fastapi.responses import JSONResponse

from infra.embedded.access import matches
from infra.embedded.inbox.access import basic
from infra.embedded.inbox.models import Callback, InboxChannel, Incoming
from infra.embedded.inbox.reception import Contract, Verdict
from infra.embedded.inbox.store import InboxStore
from infra.embedded.inbox.twilio_messages import (
    DEFAULT_PAGE_SIZE,
    MAX_PAGE_SIZE,
    SENT_AFTER,
    message_page,
    message_resource,
    new_sid,
    notification_of,
    outcome_of,
    segments,
    twilio_reports,
    wanted_days,
)
from infra.runtime.clock import Clock
from infra.runtime.settings import Settings

ENDPOINT = "twilio"
MAX_BODY_CHARS = 1600
MAX_CALLBACK_CHARS = 4000
_E164 = re.compile(r"\+[1-9]\d{6,14}")


def twilio_contract(settings: Settings, clock: Clock) -> Contract:
    """Accepts texts of the configured account; without one every request gets 401."""

    def judge(request: Request, body: bytes) -> Verdict:
        refused = _refusal(settings, request)
        if refused is not None:
            return Verdict(refused, reason="bad credentials or another account's address")
        form = dict(parse_qsl(body.decode(errors="replace"), keep_blank_values=True))
        problem = _problem(form)
        if problem is not None:
            return Verdict(error(400, *problem), reason=f"{problem[0]}: {problem[1]}")
        account, sid, now = str(request.path_params["account_sid"]), new_sid(), clock.now()
        sender = form.get("MessagingServiceSid") or form["From"]
        created = message_resource(account, sid, form["To"], sender, form["Body"], now, now)
        callback_url = form.get("StatusCallback")
        callbacks: tuple[Callback, ...] = ()
        if callback_url:
            callbacks = tuple(twilio_reports(callback_url, account, sid, form["To"], sender))
        return Verdict(JSONResponse(created, 201), (_incoming(form, sid, sender),), callbacks=callbacks)

    return Contract(InboxChannel.SMS, judge, _failure)


def twilio_list(settings: Settings, store: InboxStore, clock: Clock) -> Callable[[Request], Response]:
    """Answers list requests: `To`, `DateSent` (also `DateSent>` and `DateSent<`), `PageSize`, `Page`; newest first."""

    def answer(request: Request) -> Response:
        refused = _refusal(settings, request)
        if refused is not None:
            return refused
        query = dict(request.query_params)
        try:
            size = min(MAX_PAGE_SIZE, max(1, int(query.pop("PageSize", DEFAULT_PAGE_SIZE))))
            page = max(0, int(query.pop("Page", 0)))
            first, last = wanted_days(query)
        except ValueError:
            return error(400, 20001, "A parameter is not valid: dates are YYYY-MM-DD, pages are numbers.")
        since = None if first is None else _midnight(first)
        before = None if last is None else _midnight(last) + timedelta(days=1)
        # A message that was not sent yet stands in the list with the time at which it will be.
        early = [None if each is None else each - SENT_AFTER for each in (since, before)]
        rows = store.texts(query.get("To") or None, (early[0], early[1]), size + 1, page * size)
        account, now = str(request.path_params["account_sid"]), clock.now()
        shown = [_resource(account, row, now) for row in rows[:size]]
        return JSONResponse(message_page(account, shown, page, size, query, has_more=len(rows) > size))

    return answer


def error(status: int, code: int, message: str) -> Response:
    """An error in Twilio's shape."""
    more_info = f"https://www.twilio.com/docs/errors/{code}"
    return JSONResponse({"code": code, "message": message, "more_info": more_info, "status": status}, status)


def _refusal(settings: Settings, request: Request) -> Response | None:
    user, password = basic(request)
    if not (matches(user, settings.twilio_account_sid) and matches(password, settings.twilio_auth_token)):
        return error(401, 20003, "Authenticate")
    if request.path_params["account_sid"] != user:
        return error(404, 20404, f"The requested resource {request.url.path} was not found")
    return None


def _midnight(day: Any) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _failure(status: int, message: str) -> Response:
    return error(status, 20429 if status == 429 else 20500, message)


def _problem(form: dict[str, str]) -> tuple[int, str] | None:
    to = form.get("To", "")
    validity = form.get("ValidityPeriod", "1")
    checks: list[tuple[bool, int, str]] = [
        (not to, 21604, "A 'To' phone number is required."),
        (not _E164.fullmatch(to), 21211, f"Invalid 'To' Phone Number: {to}"),
        (not (form.get("From") or form.get("MessagingServiceSid")), 21603, "A 'From' phone number is required."),
        (not form.get("Body"), 21602, "Message body is required."),
        (len(form.get("Body", "")) > MAX_BODY_CHARS, 21617, "The concatenated message body exceeds 1600 characters."),
        (not _is_callback(form.get("StatusCallback")), 21609, "The 'StatusCallback' URL is not valid."),
        (
            not (validity.isascii() and validity.isdigit() and 1 <= int(validity) <= 36000),
            21624,
            "Validity period must be 1 to 36000.",
        ),
    ]
    return next(((code, message) for is_wrong, code, message in checks if is_wrong), None)


def _is_callback(url: str | None) -> bool:
    """Whether reports can be sent there; no address is fine."""
    if not url:
        return True
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(host) and "_" not in str(host) and len(url) <= MAX_CALLBACK_CHARS


def _incoming(form: dict[str, str], sid: str, sender: str) -> Incoming:
    number = segments(form["Body"])
    return Incoming(
        channel=InboxChannel.SMS,
        endpoint=ENDPOINT,
        message_key=sid,
        recipient=form["To"],
        title=f"SMS, {number} segment{'s' if number > 1 else ''}",
        content=form["Body"],
        notification_id=notification_of(form.get("StatusCallback", "")),
        sender=sender,
        outcome=outcome_of(form["To"]),
    )


def _resource(account: str, row: dict[str, Any], now: datetime) -> dict[str, Any]:
    created = datetime.fromisoformat(row["received_at"])
    sender = str(row["sender"] or "")
    return message_resource(account, row["message_key"], row["recipient"], sender, row["content"], created, now)
