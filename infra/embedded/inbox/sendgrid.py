"""SendGrid's `POST /v3/mail/send`, as far as alerts use it.

Source: SendGrid's OpenAPI (tsg_mail_v3.json): 202 with an empty body and `X-Message-Id`; 200 in sandbox mode;
errors as `{"errors": [{message, field, help}]}`. A body may have 30 MB.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from fastapi import Request, Response
from fastapi.responses import JSONResponse

from infra.embedded.access import matches
from infra.embedded.inbox.access import bearer
from infra.embedded.inbox.html_text import text_of_html
from infra.embedded.inbox.models import Callback, InboxChannel, Incoming
from infra.embedded.inbox.reception import Contract, Verdict, event_fields
from infra.embedded.inbox.sendgrid_events import PATH, outcome_of, sendgrid_events
from infra.embedded.inbox.substitutions import MAX_BYTES, size_of, substitute
from infra.runtime.clock import Clock
from infra.runtime.settings import Settings

ENDPOINT = "sendgrid"
MAX_RECIPIENTS = 1000
MAX_CATEGORIES = 10
MAX_BODY_BYTES = 30 * 1024**2

Problem = tuple[str, str | None]


def sendgrid_contract(settings: Settings, clock: Clock, *, reports: bool) -> Contract:
    """Accepts mail of the configured API key; without one every request gets 401.

    With `reports`, what becomes of each mail will be posted to the API.
    """
    callback_url = settings.api_url.rstrip("/") + PATH if reports else None

    def judge(request: Request, body: bytes) -> Verdict:
        if not matches(bearer(request), settings.sendgrid_api_key):
            message = "The provided authorization grant is invalid, expired, or revoked"
            return Verdict(_errors(401, [(message, None)]), reason="bad credentials")
        try:
            mail = json.loads(body)
        except ValueError:
            return Verdict(_errors(400, [("Bad Request", None)]), reason="the body is not JSON")
        problems = list(_problems(mail))
        if problems:
            return Verdict(_errors(400, problems), reason="; ".join(message for message, _ in problems))
        message_id = secrets.token_urlsafe(16)
        headers = {"x-message-id": message_id}
        if mail.get("mail_settings", {}).get("sandbox_mode", {}).get("enable") is True:
            return Verdict(Response(status_code=200, headers=headers))
        letters = list(_letters(mail, message_id))
        callbacks: tuple[Callback, ...] = ()
        if callback_url is not None:
            callbacks = tuple(_reports(letters, callback_url, clock.now()))
        response = Response(status_code=202, headers=headers)
        return Verdict(response, tuple(message for message, _ in letters), callbacks=callbacks)

    return Contract(InboxChannel.EMAIL, judge, _failure, MAX_BODY_BYTES)


def _problems(mail: Any) -> Iterator[Problem]:
    if not isinstance(mail, dict):
        yield "The request body must be a JSON object.", None
        return
    sender = mail.get("from")
    if not isinstance(sender, dict) or not _is_address(sender.get("email")):
        yield "The from object must be provided for every email send. It must have a valid email.", "from.email"
    people = mail.get("personalizations")
    if not isinstance(people, list) or not 1 <= len(people) <= MAX_RECIPIENTS:
        yield "The personalizations field is required and must have 1 to 1000 objects.", "personalizations"
        return
    for index, person in enumerate(people):
        yield from _person_problems(person, f"personalizations.{index}")
    if sum(len(_addresses(person)) for person in people) > MAX_RECIPIENTS:
        yield "The total number of recipients must be no more than 1000.", "personalizations"
    yield from _content_problems(mail, people)
    categories = mail.get("categories", [])
    if not isinstance(categories, list) or len(categories) > MAX_CATEGORIES:
        yield "You cannot have more than 10 categories per request.", "categories"
    options = mail.get("mail_settings", {})
    if not isinstance(options, dict) or not isinstance(options.get("sandbox_mode", {}), dict):
        yield "The mail_settings parameter must be an object of objects.", "mail_settings"


def _person_problems(person: Any, field: str) -> Iterator[Problem]:
    to = person.get("to") if isinstance(person, dict) else None
    if not isinstance(to, list) or not to:
        yield (
            "The to array is required for all personalization objects, and must have at least one email.",
            f"{field}.to",
        )
        return
    addresses = _addresses(person)
    if not all(_is_address(address) for address in addresses):
        yield "Does not contain a valid address.", f"{field}.to"
    elif len({address.lower() for address in addresses}) != len(addresses):
        yield "Each email address in the personalization block should be unique between to, cc, and bcc.", field
    if not isinstance(person.get("custom_args", {}), dict):
        yield "The custom_args parameter must be an object.", f"{field}.custom_args"
    values = person.get("substitutions", {})
    if not isinstance(values, dict) or not all(isinstance(value, str) for value in values.values()):
        yield "The substitutions must be an object of strings.", f"{field}.substitutions"
    elif size_of(values) > MAX_BYTES:
        yield f"The substitutions have more than {MAX_BYTES} bytes.", f"{field}.substitutions"


def _content_problems(mail: dict[str, Any], people: list[Any]) -> Iterator[Problem]:
    has_template = bool(mail.get("template_id"))
    has_all = all(isinstance(person, dict) and person.get("subject") for person in people)
    if not (has_template or mail.get("subject") or has_all):
        yield "The subject is required. You can get around this by using a template with a subject.", "subject"
    content = mail.get("content", [])
    if not isinstance(content, list) or not (content or has_template):
        yield "Unless a valid template_id is provided, the content parameter is required.", "content"
        return
    for index, part in enumerate(content):
        if not isinstance(part, dict) or not all(_is_filled(part.get(name)) for name in ("type", "value")):
            yield "The content type and value must be strings of at least one character.", f"content.{index}"
    if not isinstance(mail.get("custom_args", {}), dict):
        yield "The custom_args parameter must be an object.", "custom_args"


def _is_filled(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _addresses(person: Any) -> list[Any]:
    if not isinstance(person, dict):
        return []
    entries = [entry for kind in ("to", "cc", "bcc") for entry in person.get(kind) or []]
    return [entry.get("email") if isinstance(entry, dict) else None for entry in entries]


def _is_address(value: Any) -> bool:
    if not isinstance(value, str) or value.count("@") != 1 or any(c.isspace() for c in value):
        return False
    local, domain = value.split("@")
    return bool(local) and "." in domain.strip(".")


def _letters(mail: dict[str, Any], message_id: str) -> Iterator[tuple[Incoming, Mapping[str, Any]]]:
    """One message for each recipient, with its custom arguments."""
    parts = {part["type"]: str(part["value"]) for part in mail.get("content", [])}
    number = 0
    for person in mail["personalizations"]:
        values = person.get("substitutions", {})
        arguments = {**mail.get("custom_args", {}), **person.get("custom_args", {})}
        subject = str(person.get("subject") or mail.get("subject") or f"template {mail.get('template_id')}")
        text = {kind: substitute(value, values) for kind, value in parts.items()}
        html = text.get("text/html")
        for address in _addresses(person):
            message = Incoming(
                channel=InboxChannel.EMAIL,
                endpoint=ENDPOINT,
                message_key=f"{message_id}.{number}",
                recipient=address,
                title=substitute(subject, values),
                content=text.get("text/plain") or (text_of_html(html) if html else next(iter(text.values()), "")),
                outcome=outcome_of(address),
                html=html,
                sender=mail["from"]["email"],
                **event_fields(arguments),
            )
            yield message, arguments
            number += 1


def _reports(letters: list[tuple[Incoming, Mapping[str, Any]]], url: str, now: datetime) -> Iterator[Callback]:
    for message, arguments in letters:
        yield from sendgrid_events(url, message.message_key, str(message.recipient), arguments, now)


def _failure(status: int, message: str) -> Response:
    return _errors(status, [(message, None)])


def _errors(status: int, problems: list[Problem]) -> Response:
    errors = [{"message": message, "field": field, "help": None} for message, field in problems]
    return JSONResponse({"errors": errors}, status)
