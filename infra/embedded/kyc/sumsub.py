"""Sumsub's applicants, as far as verification uses them.

Source: https://docs.sumsub.com: requests signed over time, method, path with query and body; one applicant for each
external id; errors `{code, description, correlationId}`.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from infra.embedded.access import matches
from infra.embedded.kyc.database import Database, Step, Subject
from infra.embedded.kyc.frame import Call, RefusedError, Reply
from infra.runtime.clock import Clock
from infra.runtime.settings import Settings

NAME = "sumsub"
SANDBOX_PREFIX = "sbx:"
MAX_SKEW_S = 60
_TYPES = {
    "init": "applicantCreated",
    "pending": "applicantPending",
    "queued": "applicantPending",
    "prechecked": "applicantPrechecked",
    "completed": "applicantReviewed",
    "onHold": "applicantOnHold",
    "awaitingUser": "applicantPending",
    "awaitingService": "applicantPending",
}


def error(status: int, description: str) -> dict[str, Any]:
    """Sumsub's shape of an error."""
    return {"code": status, "description": description, "correlationId": f"req-{secrets.token_hex(8)}"}


class Sumsub:
    """The endpoints; a review's status comes from steps, which `advance` adds."""

    def __init__(self, settings: Settings, database: Database, clock: Clock) -> None:
        self._settings = settings
        self._database = database
        self._clock = clock

    def create(self, call: Call, commanded: Reply | None) -> Reply:
        """`POST /resources/applicants?levelName=...`."""
        self._authorise(call)
        if commanded is not None:
            return commanded
        content = _object(call.body)
        own_id = content.get("externalUserId")
        if not isinstance(own_id, str) or call.query.get("levelName") != self._settings.sumsub_level_name:
            return Reply(400, error(400, "externalUserId or levelName is missing or not known."))
        with self._database.transaction():
            if self._database.subjects(NAME, own_id):
                return Reply(409, error(409, "There is an applicant of this external id already."))
            now = self._clock.now().timestamp()
            subject = Subject(secrets.token_hex(12), NAME, own_id, content, now)
            self._database.add_subject(subject)
            self.advance(subject, {"reviewStatus": "init"}, now)
        return Reply(201, self._resource(subject))

    def find(self, call: Call, commanded: Reply | None) -> Reply:
        """`GET /resources/applicants/-;externalUserId={id}/one`."""
        self._authorise(call)
        found = self._database.subjects(NAME, call.path_id)
        if commanded is not None or not found:
            return commanded or Reply(404, error(404, "There is no such applicant."))
        return Reply(200, self._resource(found[0]))

    def status(self, call: Call, commanded: Reply | None) -> Reply:
        """`GET /resources/applicants/{id}/status`."""
        self._authorise(call)
        subject = self._database.subject(NAME, call.path_id)
        if commanded is not None or subject is None:
            return commanded or Reply(404, error(404, "There is no such applicant."))
        return Reply(200, self._review(subject))

    def token(self, call: Call, commanded: Reply | None) -> Reply:
        """`POST /resources/accessTokens/sdk`."""
        self._authorise(call)
        content = _object(call.body)
        if commanded is not None or not isinstance(content.get("userId"), str):
            return commanded or Reply(400, error(400, "userId is missing."))
        return Reply(200, {"token": f"_act-sbx-{secrets.token_urlsafe(24)}", "userId": content["userId"]})

    def advance(self, subject: Subject, review: Mapping[str, Any], at: float) -> Step:
        """Let the review stand like this from then on, and report it."""
        with self._database.transaction():
            step = self._database.add_step(subject.subject_id, str(review.get("reviewStatus")), review, at)
            self._database.add_webhook(NAME, self.event(subject, step), at)
        return step

    def event(self, subject: Subject, step: Step) -> dict[str, Any]:
        """The webhook's body for a step; `type` in its detail wins over the status's own."""
        kind = step.detail.get("type") or _TYPES.get(step.status, "applicantPending")
        token = self._settings.sumsub_app_token
        return {
            "applicantId": subject.subject_id,
            "inspectionId": subject.subject_id[::-1],
            "correlationId": f"req-{step.step_id}",
            "externalUserId": subject.own_id,
            "levelName": self._settings.sumsub_level_name,
            "type": kind,
            **{name: value for name, value in step.detail.items() if name != "type"},
            "createdAtMs": _time(step.at, "milliseconds"),
            "sandboxMode": token is not None and token.get_secret_value().startswith(SANDBOX_PREFIX),
        }

    def _authorise(self, call: Call) -> None:
        secret, at = self._settings.sumsub_secret_key, call.headers.get("x-app-access-ts", "")
        message = (at + call.method + call.target).encode() + call.body
        wanted = hmac.new(secret.get_secret_value().encode(), message, hashlib.sha256).hexdigest() if secret else ""
        is_signed = bool(wanted) and hmac.compare_digest(
            wanted.encode(), call.headers.get("x-app-access-sig", "").encode()
        )
        is_recent = at.isdigit() and abs(self._clock.now().timestamp() - int(at)) <= MAX_SKEW_S
        if not (is_signed and is_recent and matches(call.headers.get("x-app-token"), self._settings.sumsub_app_token)):
            raise RefusedError(Reply(401, error(401, "The app token or the signature is missing or wrong.")))

    def _resource(self, subject: Subject) -> dict[str, Any]:
        return {
            "id": subject.subject_id,
            "createdAt": _time(subject.created_at),
            "externalUserId": subject.own_id,
            "type": "individual",
            "review": self._review(subject),
        }

    def _review(self, subject: Subject) -> dict[str, Any]:
        steps = self._database.steps(subject.subject_id, self._clock.now().timestamp())
        last = steps[-1]
        review = {name: value for name, value in last.detail.items() if name != "type"}
        review["createDate"] = _time(subject.created_at)
        if last.status == "completed":
            review["reviewDate"] = _time(last.at, "milliseconds")
        return review


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        content = json.loads(body)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _time(at: float, precision: str = "seconds") -> str:
    """A time in Sumsub's form: `2026-01-31 12:00:00.000`, in UTC."""
    return datetime.fromtimestamp(at, UTC).replace(tzinfo=None).isoformat(" ", timespec=precision)
