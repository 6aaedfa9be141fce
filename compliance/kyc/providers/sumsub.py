"""Sumsub's applicants: created once, read, and reported by signed webhooks.

Source: https://docs.sumsub.com and github.com/SumSubstance/AppTokenUsageExamples. Approved is `completed` with GREEN
and nothing else: `awaitingService` can carry GREEN before its time. Comments of moderators are not kept.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

import httpx
from pydantic import SecretStr

from compliance.kyc.errors import Fault, ProviderError, WebhookInvalidError, WebhookRefusedError
from compliance.kyc.model import Answer, Handoff, Verdict
from compliance.kyc.providers.base import Applicant, Created, ProviderEvent
from compliance.kyc.providers.http import TIMEOUT, HttpAnswer, ProviderHttp
from compliance.kyc.providers.proofs import is_signed, json_object, secrets_of
from compliance.kyc.providers.words import a_code, a_status, an_id, an_object, codes, milliseconds
from infra.runtime.clock import Clock
from infra.runtime.ids import stable_id

NAME = "sumsub"
SANDBOX_PREFIX = "sbx:"
DIGEST_HEADER, ALGORITHM_HEADER = "x-payload-digest", "x-payload-digest-alg"
# SHA-1 is offered as well, and refused.
_ALGORITHMS = {"HMAC_SHA256_HEX": "sha256", "HMAC_SHA512_HEX": "sha512"}
ATTEMPTS = 2
_WAITS_FOR_CUSTOMER = frozenset({"init", "awaitingUser"})
_AT_WORK = frozenset({"pending", "prechecked", "queued", "awaitingService"})
# Types whose status is the applicant's; others are recorded, and make us ask.
_TOLD = frozenset(
    {
        "applicantCreated",
        "applicantPending",
        "applicantReviewed",
        "applicantOnHold",
        "applicantReset",
        "applicantPrechecked",
        "applicantWorkflowCompleted",
    }
)
_DEACTIVATED = "applicantDeactivated"


class SumsubProvider:
    """Verification by Sumsub."""

    name = NAME

    def __init__(
        self,
        url: str,
        app_token: SecretStr,
        secret_key: SecretStr,
        *,
        level_name: str,
        webhook_secret: SecretStr | None,
        clock: Clock,
        timeout: httpx.Timeout = TIMEOUT,
    ) -> None:
        self._http = ProviderHttp(NAME, url, clock, timeout)
        self._clock = clock
        self._app_token = app_token
        self._secret_key = secret_key
        self._level_name = level_name
        self._webhook_secret = webhook_secret
        self._is_sandbox = app_token.get_secret_value().startswith(SANDBOX_PREFIX)

    def create(self, applicant: Applicant, generation: int, *, may_exist: bool) -> Created:  # noqa: ARG002
        """One applicant for the case: Sumsub has no idempotency keys, but no two applicants of one external id."""
        if may_exist:
            found = self._find(applicant.kyc_case_id)
            if found is not None:
                return self._created(found)
        for attempt in range(ATTEMPTS):
            try:
                return self._created(self._post(applicant))
            except ProviderError as error:
                if not error.fault.is_uncertain:
                    raise
                found = self._find(applicant.kyc_case_id)
                if found is not None:
                    return self._created(found)
                if attempt == ATTEMPTS - 1:
                    raise
        raise self._http.unreadable()  # Not reached: the last attempt returns or raises.

    def read(self, reference: str) -> Answer:
        """The applicant's review now."""
        answer = self._send("GET", f"/resources/applicants/{quote(reference, safe='')}/status")
        return _answer(answer.content, None, answer.answered_at)

    def handoff(self, reference: str, kyc_case_id: str) -> Handoff:  # noqa: ARG002
        """A new token of Sumsub's component, which goes by our id of the applicant."""
        body = {"userId": kyc_case_id, "levelName": self._level_name}
        token = self._send("POST", "/resources/accessTokens/sdk", body).content.get("token")
        if not isinstance(token, str) or not token:
            raise self._http.unreadable()
        return Handoff("token", SecretStr(token))

    def event(self, headers: Mapping[str, str], body: bytes, now: datetime) -> ProviderEvent:
        """The event of a webhook, which has no id of its own and no time in its signature: repetitions are told apart
        by what the event is about.
        """
        self._prove(headers, body)
        content = json_object(body, NAME)
        if content.get("sandboxMode") is True and not self._is_sandbox:
            raise WebhookRefusedError("The event is of Sumsub's sandbox, and the app token is not.")
        reference, kind = an_id(content.get("applicantId")), an_id(content.get("type"))
        if reference is None or kind is None:
            raise WebhookInvalidError("Sumsub's webhook names no applicant or no type.")
        at = milliseconds(content.get("createdAtMs"))
        answer = None
        if kind in _TOLD and isinstance(content.get("reviewStatus"), str):
            answer = _answer(content, at, now)
        elif kind == _DEACTIVATED:
            answer = Answer("deactivated", Verdict.REVIEW, at or now, at is not None, None, {"status": "deactivated"})
        key = [content.get(name) for name in ("correlationId", "createdAtMs", "reviewStatus", "inspectionId")]
        key.append(json.dumps(content.get("reviewResult"), sort_keys=True))
        return ProviderEvent(
            stable_id("sse", kind, reference, *key), kind, at, reference, an_id(content.get("externalUserId")), answer
        )

    def close(self) -> None:
        """Close connections."""
        self._http.close()

    def _prove(self, headers: Mapping[str, str], body: bytes) -> None:
        secrets = secrets_of(self._webhook_secret, NAME)
        algorithm = _ALGORITHMS.get(headers.get(ALGORITHM_HEADER, ""))
        if algorithm is None:
            raise WebhookRefusedError("The digest's algorithm must be HMAC_SHA256_HEX or HMAC_SHA512_HEX.")
        if not is_signed(body, [headers.get(DIGEST_HEADER, "").lower()], secrets, algorithm):
            raise WebhookRefusedError("The digest is not Sumsub's over this body.")

    def _post(self, applicant: Applicant) -> HttpAnswer:
        fixed = {"firstName": applicant.first_name, "lastName": applicant.last_name}
        info = {name: value for name, value in fixed.items() if value}
        if applicant.birth_date is not None:
            info["dob"] = applicant.birth_date.isoformat()
        body: dict[str, Any] = {"externalUserId": applicant.kyc_case_id, "type": "individual"}
        if info:
            body["fixedInfo"] = info
        return self._send("POST", f"/resources/applicants?levelName={quote(self._level_name, safe='')}", body)

    def _find(self, kyc_case_id: str) -> HttpAnswer | None:
        try:
            return self._send("GET", f"/resources/applicants/-;externalUserId={quote(kyc_case_id, safe='')}/one")
        except ProviderError as error:
            if error.fault is Fault.NOT_FOUND:
                return None
            raise

    def _created(self, answer: HttpAnswer) -> Created:
        reference = an_id(answer.content.get("id"))
        if reference is None:
            raise self._http.unreadable()
        review = an_object(answer.content.get("review")) or {"reviewStatus": "init"}
        external = an_id(answer.content.get("externalUserId"))
        return Created(reference, _answer(review, None, answer.answered_at), self._token(external))

    def _token(self, external_user_id: str | None) -> Handoff | None:
        """The token of Sumsub's component; without it the customer is led on later, so that its lack is no fault."""
        if external_user_id is None:
            return None
        try:
            return self.handoff("", external_user_id)
        except ProviderError:
            return None

    def _send(self, method: str, path: str, content: Mapping[str, Any] | None = None) -> HttpAnswer:
        body = json.dumps(content).encode() if content is not None else b""
        headers = {"content-type": "application/json"} if body else {}
        request = self._http.build(method, path, headers=headers, body=body or None)
        at = str(int(self._clock.now().timestamp()))
        # What is signed is what is written: the path as the client encoded it, without the root's own.
        message = (at + method).encode() + request.url.raw_path + body
        digest = hmac.new(self._secret_key.get_secret_value().encode(), message, hashlib.sha256).hexdigest()
        request.headers["x-app-token"] = self._app_token.get_secret_value()
        request.headers["x-app-access-ts"] = at
        request.headers["x-app-access-sig"] = digest
        return self._http.send(request)


def _answer(review: Mapping[str, Any], told_at: datetime | None, seen_at: datetime) -> Answer:
    """What a review says; `told_at` is the time of the event that tells it, `seen_at` that of a look at it."""
    status = a_status(review.get("reviewStatus"))
    result = an_object(review.get("reviewResult"))
    color, reject_type = a_code(result.get("reviewAnswer")), a_code(result.get("reviewRejectType"))
    verdict = _verdict(status, color, reject_type)
    exact = told_at or (milliseconds(review.get("reviewDate")) if status == "completed" else None)
    if exact is None and verdict not in (Verdict.PENDING, Verdict.APPROVED):
        # The clock of a look counts whole seconds: the careful side of each answer is taken.
        seen_at += timedelta(seconds=1)
    facts: dict[str, Any] = {"reviewStatus": status}
    if color is not None:
        facts |= {"reviewAnswer": color, "rejectLabels": codes(result.get("rejectLabels"))}
    if reject_type is not None:
        facts["reviewRejectType"] = reject_type
    shown = "/".join(part for part in (status, color, reject_type) if part)
    occurred_at = exact or seen_at
    is_submitted = status in _AT_WORK or status in ("onHold", "completed")
    return Answer(shown, verdict, occurred_at, exact is not None, occurred_at if is_submitted else None, facts)


def _verdict(status: str, color: str | None, reject_type: str | None) -> Verdict:
    if status in _WAITS_FOR_CUSTOMER or status in _AT_WORK:
        return Verdict.PENDING
    if status != "completed":
        return Verdict.REVIEW
    match color, reject_type:
        case "GREEN", None:
            return Verdict.APPROVED
        case "RED", "FINAL":
            return Verdict.DECLINED
        case "RED", "RETRY":
            # The customer may hand in again, under the same applicant.
            return Verdict.PENDING
        case _:
            return Verdict.REVIEW
