"""SendGrid's `POST /v3/mail/send`, as far as alerts use it.

Source: SendGrid's OpenAPI (tsg_mail_v3.json): 202 with an empty body and `X-Message-Id`; 200 in sandbox mode;
errors as `{"errors": [{message, field, help}]}`.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from typing import Any

from fastapi import Request, Response
from fastapi.responses import JSONResponse

from infra.embedded.access import matches
from infra.embedded.inbox.access import bearer
from infra.embedded.inbox.reception import Contract, Verdict, optional_text, optional_time
from infra.embedded.inbox.store import InboxChannel, Incoming
from infra.runtime.settings import Settings

ENDPOINT = "sendgrid"
MAX_RECIPIENTS = 1000
MAX_CATEGORIES = 10

Problem = tuple[str, str | None]


def sendgrid_contract(settings: Settings) -> Contract:
    """Accepts mail of the configured API key; without one every request gets 401."""

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
        return Verdict(Response(status_code=202, headers=headers), tuple(_incoming(mail, message_id)))

    return Contract(InboxChannel.EMAIL, judge, lambda status, message: _errors(status, [(message, None)]))


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


def _incoming(mail: dict[str, Any], message_id: str) -> Iterator[Incoming]:
    parts = {part["type"]: str(part["value"]) for part in mail.get("content", [])}
    for index, person in enumerate(mail["personalizations"]):
        arguments = {**mail.get("custom_args", {}), **person.get("custom_args", {})}
        yield Incoming(
            channel=InboxChannel.EMAIL,
            endpoint=ENDPOINT,
            message_key=f"{message_id}.{index}",
            recipient=", ".join(_addresses(person)),
            title=str(person.get("subject") or mail.get("subject") or f"template {mail.get('template_id')}"),
            content=parts.get("text/plain") or next(iter(parts.values()), ""),
            event_id=optional_text(arguments, "margin_event_id"),
            severity=optional_text(arguments, "severity"),
            account_id=optional_text(arguments, "account_id"),
            health=optional_text(arguments, "health"),
            event_at=optional_time(arguments, "detected_at"),
            is_simulated=arguments.get("is_simulated") in (True, "true"),
        )


def _errors(status: int, problems: list[Problem]) -> Response:
    errors = [{"message": message, "field": field, "help": None} for message, field in problems]
    return JSONResponse({"errors": errors}, status)
