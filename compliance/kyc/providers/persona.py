"""Persona's inquiries: created once, read, and reported by signed webhooks.

Source: https://docs.withpersona.com (API 2025-12-08, keys in kebab case). Statuses are an open set there: one that is
not listed here goes to a person, and `completed` only says that the customer has done their part.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import httpx
from pydantic import SecretStr

from compliance.kyc.errors import Fault, ProviderError, WebhookInvalidError, WebhookRefusedError
from compliance.kyc.model import Answer, Handoff, Verdict
from compliance.kyc.providers.base import Applicant, Created, ProviderEvent
from compliance.kyc.providers.http import TIMEOUT, HttpAnswer, ProviderHttp
from compliance.kyc.providers.proofs import REPLAY_WINDOW, is_signed, json_object, secrets_of
from compliance.kyc.providers.words import a_status, a_time, an_id, an_object
from infra.runtime.clock import Clock
from infra.runtime.ids import stable_id

NAME = "persona"
SIGNATURE_HEADER = "persona-signature"
ATTEMPTS = 2
# Status: what it means, and the attribute that says since when.
_STATUSES: Mapping[str, tuple[Verdict, str]] = {
    "created": (Verdict.PENDING, "created-at"),
    "pending": (Verdict.PENDING, "started-at"),
    "completed": (Verdict.PENDING, "completed-at"),
    "failed": (Verdict.FAILED, "failed-at"),
    "expired": (Verdict.EXPIRED, "expired-at"),
    "approved": (Verdict.APPROVED, "decisioned-at"),
    "declined": (Verdict.DECLINED, "decisioned-at"),
    "needs_review": (Verdict.REVIEW, "marked-for-review-at"),
}
_UNKNOWN = (Verdict.REVIEW, "updated-at")
_TIMES = ("created-at", "started-at", "completed-at", "failed-at", "expired-at", "decisioned-at", "redacted-at")
_PART = re.compile(r"(t|v1)=([0-9a-f]{1,128})")


class PersonaProvider:
    """Verification by Persona."""

    name = NAME

    def __init__(
        self,
        url: str,
        api_key: SecretStr,
        *,
        version: str,
        template_id: str,
        webhook_secrets: SecretStr | None,
        clock: Clock,
        timeout: httpx.Timeout = TIMEOUT,
    ) -> None:
        self._http = ProviderHttp(NAME, url, clock, timeout)
        self._headers = {
            "authorization": f"Bearer {api_key.get_secret_value()}",
            "persona-version": version,
            "key-inflection": "kebab",
        }
        self._template_id = template_id
        self._webhook_secrets = webhook_secrets

    def create(self, applicant: Applicant, generation: int, *, may_exist: bool) -> Created:
        """One inquiry for the case.

        Persona replays the first answer to an idempotency key, a 5xx too; so a new key is used only after a look
        showed that nothing was made under the old one.
        """
        if may_exist:
            found = self._find(applicant.kyc_case_id)
            if found is not None:
                return found
        for attempt in range(ATTEMPTS):
            try:
                return self._created(self._post(applicant, generation))
            except ProviderError as error:
                if not error.fault.is_uncertain:
                    raise
                found = self._find(applicant.kyc_case_id)
                if found is not None:
                    return found
                if attempt == ATTEMPTS - 1 or error.fault is Fault.CONFLICT:
                    raise
                generation += error.new_key
        raise self._http.unreadable()  # Not reached: the last attempt returns or raises.

    def read(self, reference: str) -> Answer:
        """The inquiry's status now."""
        answer = self._get(f"/inquiries/{quote(reference, safe='')}")
        return _answer(self._inquiry(answer.content), None, answer.answered_at)

    def handoff(self, reference: str, kyc_case_id: str) -> Handoff:  # noqa: ARG002
        """A new one-time link to the inquiry.

        Sent without an idempotency key: a replayed answer would hold a link that was used.
        """
        headers = {**self._headers, "content-type": "application/json"}
        path = f"/inquiries/{quote(reference, safe='')}/generate-one-time-link"
        handoff = _link(self._http.send(self._http.build("POST", path, headers=headers, body=b"{}")))
        if handoff is None:
            raise self._http.unreadable()
        return handoff

    def event(self, headers: Mapping[str, str], body: bytes, now: datetime) -> ProviderEvent:
        """The event of a webhook; inquiries that it includes are left out since 2026, so that none is looked for."""
        self._prove(headers.get(SIGNATURE_HEADER), body, now)
        data = an_object(json_object(body, NAME).get("data"))
        event_id, attributes = an_id(data.get("id")), an_object(data.get("attributes"))
        if event_id is None:
            raise WebhookInvalidError("Persona's webhook has no event id; its setting must send events.")
        inquiry = an_object(an_object(attributes.get("payload")).get("data"))
        at = a_time(attributes.get("created-at"))
        kind = str(attributes.get("name"))
        is_inquiry = inquiry.get("type") == "inquiry"
        own = an_object(inquiry.get("attributes"))
        return ProviderEvent(
            event_id,
            kind if re.fullmatch(r"[a-z][a-z0-9_./-]{0,63}", kind) else "unknown",
            at,
            an_id(inquiry.get("id")) if is_inquiry else None,
            an_id(own.get("reference-id")) if is_inquiry else None,
            _answer(inquiry, at, now) if is_inquiry and isinstance(own.get("status"), str) else None,
        )

    def close(self) -> None:
        """Close connections."""
        self._http.close()

    def _prove(self, header: str | None, body: bytes, now: datetime) -> None:
        """Each set of the header is checked with its own time: while a secret is rotated there are two."""
        secrets = secrets_of(self._webhook_secrets, NAME)
        is_stale = False
        for part in (header or "").split(" ")[:8]:
            found = [_PART.fullmatch(item.strip()) for item in part.split(",")[:8]]
            values = [(match[1], match[2]) for match in found if match is not None]
            times = [value for name, value in values if name == "t" and value.isdigit() and len(value) <= 12]
            digests = [value for name, value in values if name == "v1"]
            if len(times) != 1 or not digests:
                continue
            if not is_signed(times[0].encode() + b"." + body, digests, secrets, "sha256"):
                continue
            if abs(now - datetime.fromtimestamp(int(times[0]), UTC)) <= REPLAY_WINDOW:
                return
            is_stale = True
        reason = "is further than 300 s from the present" if is_stale else "is not Persona's over this body"
        raise WebhookRefusedError(f"The signature {reason}.")

    def _post(self, applicant: Applicant, generation: int) -> HttpAnswer:
        names = {"name-first": applicant.first_name, "name-last": applicant.last_name}
        fields = {name: value for name, value in names.items() if value}
        if applicant.birth_date is not None:
            fields["birthdate"] = applicant.birth_date.isoformat()
        attributes: dict[str, Any] = {"inquiry-template-id": self._template_id, "reference-id": applicant.kyc_case_id}
        if fields:
            attributes["fields"] = fields
        body = {
            "data": {"attributes": attributes},
            "meta": {"auto-create-account-reference-id": applicant.user_id},
        }
        headers = {
            **self._headers,
            "content-type": "application/json",
            "idempotency-key": stable_id("kyi", applicant.kyc_case_id, generation),
        }
        return self._http.send(self._http.build("POST", "/inquiries", headers=headers, body=json.dumps(body).encode()))

    def _get(self, path: str) -> HttpAnswer:
        return self._http.send(self._http.build("GET", path, headers=self._headers))

    def _find(self, kyc_case_id: str) -> Created | None:
        """The inquiry of the case, the first one where there are several; None where there is none."""
        answer = self._get(f"/inquiries?filter%5Breference-id%5D={quote(kyc_case_id, safe='')}")
        listed = answer.content.get("data")
        if not isinstance(listed, list):
            raise self._http.unreadable()
        own = [
            item
            for item in map(an_object, listed)
            if an_object(item.get("attributes")).get("reference-id") == kyc_case_id
        ]
        if not own:
            return None
        first = min(own, key=lambda item: str(an_object(item.get("attributes")).get("created-at")))
        return self._created(HttpAnswer({"data": first}, answer.answered_at))

    def _created(self, answer: HttpAnswer) -> Created:
        inquiry = self._inquiry(answer.content)
        return Created(an_id(inquiry["id"]), _answer(inquiry, None, answer.answered_at), _link(answer))

    def _inquiry(self, content: Mapping[str, Any]) -> Mapping[str, Any]:
        inquiry = an_object(content.get("data"))
        if inquiry.get("type", "inquiry") != "inquiry" or an_id(inquiry.get("id")) is None:
            raise self._http.unreadable()
        return inquiry


def _link(answer: HttpAnswer) -> Handoff | None:
    link = an_object(answer.content.get("meta")).get("one-time-link")
    return Handoff("link", SecretStr(link)) if isinstance(link, str) and link else None


def _answer(inquiry: Mapping[str, Any], told_at: datetime | None, seen_at: datetime) -> Answer:
    """What an inquiry says; without a time of its own it is as old as the event, or as the look at it."""
    attributes = an_object(inquiry.get("attributes"))
    status = a_status(attributes.get("status"))
    verdict, since = _STATUSES.get(re.sub("[ -]", "_", status.lower()), _UNKNOWN)
    times = {name: at for name in _TIMES if (at := a_time(attributes.get(name))) is not None}
    exact = a_time(attributes.get(since)) or told_at
    # The clock of a look counts whole seconds: the careful side of each answer is taken.
    is_careful = verdict not in (Verdict.PENDING, Verdict.APPROVED)
    seen_at = seen_at + timedelta(seconds=1) if is_careful and told_at is None else seen_at
    occurred_at = exact or seen_at
    completed = times.get("completed-at")
    facts = {name: at.isoformat() for name, at in times.items()}
    return Answer(
        status,
        verdict,
        occurred_at,
        exact is not None,
        completed or (occurred_at if status.lower() == "completed" else None),
        {**facts, "status": status},
    )
