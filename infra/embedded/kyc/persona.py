"""Persona's inquiries, as far as verification uses them.

Source: https://docs.withpersona.com: keys in kebab case, errors `{"errors": [{"title", "details"}]}`, the first answer
to an `Idempotency-Key` replayed, 5xx too, but not 401 and 429; webhooks with an empty `included`.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from infra.embedded.access import bearer_of, matches
from infra.embedded.kyc.database import Database, Step, Subject
from infra.embedded.kyc.frame import Call, RefusedError, Reply
from infra.runtime.clock import Clock
from infra.runtime.settings import Settings

NAME = "persona"
_NEVER_STORED = frozenset({401, 429})
# Status: the event that tells of it, and the attribute that holds its time.
STATUSES: Mapping[str, tuple[str, str]] = {
    "created": ("inquiry.created", "created-at"),
    "pending": ("inquiry.started", "started-at"),
    "completed": ("inquiry.completed", "completed-at"),
    "failed": ("inquiry.failed", "failed-at"),
    "expired": ("inquiry.expired", "expired-at"),
    "approved": ("inquiry.approved", "decisioned-at"),
    "declined": ("inquiry.declined", "decisioned-at"),
    "needs_review": ("inquiry.marked-for-review", "marked-for-review-at"),
}


def error(status: int, details: str) -> dict[str, Any]:
    """Persona's shape of an error."""
    return {"errors": [{"title": f"HTTP {status}", "details": details}]}


class Persona:
    """The endpoints; statuses come from steps, which `advance` adds."""

    def __init__(self, settings: Settings, database: Database, clock: Clock) -> None:
        self._settings = settings
        self._database = database
        self._clock = clock

    def create(self, call: Call, commanded: Reply | None) -> Reply:
        """`POST /inquiries`."""
        key = call.headers.get("idempotency-key")
        fingerprint = hashlib.sha256(call.body).hexdigest()
        with self._database.transaction():
            stored = self._database.stored(NAME, key) if key else None
            if stored is not None and commanded is None:
                if stored["fingerprint"] != fingerprint:
                    return Reply(400, error(400, "The idempotency key was used with other parameters."))
                return Reply(stored["status"], json.loads(stored["body"]))
            reply = commanded or self._create(call)
            if key and reply.status not in _NEVER_STORED:
                self._database.store_answer(NAME, key, fingerprint, reply.status, reply.body)
        return reply

    def read(self, call: Call, commanded: Reply | None) -> Reply:
        """`GET /inquiries/{id}`."""
        self._authorise(call)
        subject = self._database.subject(NAME, call.path_id)
        if commanded is not None or subject is None:
            return commanded or Reply(404, error(404, "There is no such inquiry."))
        return Reply(200, {"data": self._resource(subject)})

    def link(self, call: Call, commanded: Reply | None) -> Reply:
        """`POST /inquiries/{id}/generate-one-time-link`: each link opens the page once."""
        self._authorise(call)
        subject = self._database.subject(NAME, call.path_id)
        if commanded is not None or subject is None:
            return commanded or Reply(404, error(404, "There is no such inquiry."))
        code = secrets.token_urlsafe(24)
        self._database.add_code(subject.subject_id, code)
        link = f"{self._page(subject)}?code={code}"
        return Reply(
            200, {"data": self._resource(subject), "meta": {"one-time-link": link, "one-time-link-short": link}}
        )

    def find(self, call: Call, commanded: Reply | None) -> Reply:
        """`GET /inquiries?filter[reference-id]=...`."""
        self._authorise(call)
        if commanded is not None:
            return commanded
        found = self._database.subjects(NAME, call.query.get("filter[reference-id]"))
        return Reply(200, {"data": [self._resource(subject) for subject in reversed(found)], "links": {}})

    def advance(self, subject: Subject, status: str, at: float) -> Step:
        """Let the inquiry have a status from then on, known or not, and report it."""
        with self._database.transaction():
            step = self._database.add_step(subject.subject_id, status, {}, at)
            self._database.add_webhook(NAME, self.event(subject, step), at)
        return step

    def event(self, subject: Subject, step: Step) -> dict[str, Any]:
        """The webhook's body for a step."""
        name = STATUSES.get(step.status, (f"inquiry.{step.status}", ""))[0]
        payload = {"data": self._resource(subject, step.at), "included": []}
        attributes = {"name": name, "created-at": _time(step.at), "redacted-at": None, "payload": payload}
        event_id = f"evt_{hashlib.sha256(f'{subject.subject_id}:{step.step_id}'.encode()).hexdigest()[:24]}"
        return {"data": {"type": "event", "id": event_id, "attributes": attributes}}

    def _create(self, call: Call) -> Reply:
        self._authorise(call)
        try:
            content = json.loads(call.body)
            attributes = content["data"]["attributes"]
            template, own_id = attributes["inquiry-template-id"], attributes["reference-id"]
        except (ValueError, KeyError, TypeError):
            return Reply(400, error(400, "The body lacks data.attributes with a template and a reference."))
        if template != self._settings.persona_template_id:
            return Reply(422, error(422, "There is no such inquiry template."))
        now = self._clock.now().timestamp()
        subject = Subject(f"inq_{secrets.token_hex(12)}", NAME, str(own_id), attributes, now)
        self._database.add_subject(subject)
        self.advance(subject, "created", now)
        link = self._page(subject)
        meta = {"session-token": secrets.token_urlsafe(24), "one-time-link": link, "one-time-link-short": link}
        return Reply(201, {"data": self._resource(subject), "meta": meta})

    def _authorise(self, call: Call) -> None:
        if not matches(bearer_of(call.headers.get("authorization", "")), self._settings.persona_api_key):
            raise RefusedError(Reply(401, error(401, "The API key is missing or wrong.")))
        if call.headers.get("persona-version") != self._settings.persona_version:
            raise RefusedError(Reply(400, error(400, "Persona-Version is missing or not served.")))

    def _page(self, subject: Subject) -> str:
        return f"{self._settings.persona_url.partition('/api/')[0]}/verify/persona/{subject.subject_id}"

    def _resource(self, subject: Subject, until: float | None = None) -> dict[str, Any]:
        steps = self._database.steps(subject.subject_id, until if until is not None else self._clock.now().timestamp())
        times: dict[str, str | None] = {name: None for _, name in STATUSES.values()}
        for step in steps:
            if step.status in STATUSES:
                times[STATUSES[step.status][1]] = _time(step.at)
        attributes = {
            "status": steps[-1].status if steps else "created",
            "reference-id": subject.own_id,
            "note": None,
            **times,
            "fields": {
                name: {"type": "string", "value": value} for name, value in subject.body.get("fields", {}).items()
            },
        }
        return {"type": "inquiry", "id": subject.subject_id, "attributes": attributes, "relationships": {}}


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
