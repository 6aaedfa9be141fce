"""Persona's and Sumsub's webhooks as documented: what proves them, and what they are taken to say."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from compliance.kyc.errors import WebhookInvalidError, WebhookNotConfiguredError, WebhookRefusedError
from compliance.kyc.model import Verdict
from compliance.kyc.providers.base import ProviderEvent
from compliance.kyc.providers.persona import PersonaProvider
from compliance.kyc.providers.sumsub import SumsubProvider
from infra.runtime.clock import FixedClock

AT = datetime(2026, 1, 31, 12, tzinfo=UTC)
OLD, NEW = "wbhsec_old", "wbhsec_new"


@cache
def persona(secrets: str | None = NEW) -> PersonaProvider:
    return PersonaProvider(
        "http://127.0.0.1:9",
        SecretStr("key"),
        version="2025-12-08",
        template_id="itmpl_1",
        webhook_secrets=SecretStr(secrets) if secrets is not None else None,
        clock=FixedClock(AT),
    )


@cache
def sumsub(app_token: str = "prd:token", secret: str | None = "hooks") -> SumsubProvider:
    return SumsubProvider(
        "http://127.0.0.1:9",
        SecretStr(app_token),
        SecretStr("key"),
        level_name="basic",
        webhook_secret=SecretStr(secret) if secret is not None else None,
        clock=FixedClock(AT),
    )


def inquiry_event(status: str = "approved", **changes: Any) -> dict[str, Any]:
    attributes = {
        "status": status,
        "reference-id": "kyc_1",
        "created-at": "2026-01-31T11:59:00.000Z",
        "completed-at": "2026-01-31T11:59:30.000Z",
        "decisioned-at": "2026-01-31T11:59:40.000Z",
        "fields": {"name-first": {"type": "string", "value": "Ann"}},
        **changes,
    }
    inquiry = {"type": "inquiry", "id": "inq_1", "attributes": attributes}
    event = {
        "name": f"inquiry.{status}",
        "created-at": "2026-01-31T11:59:41.000Z",
        "payload": {"data": inquiry, "included": []},
    }
    return {"data": {"type": "event", "id": "evt_1", "attributes": event}}


def review_event(status: str = "completed", **changes: Any) -> dict[str, Any]:
    return {
        "applicantId": "a1",
        "inspectionId": "i1",
        "correlationId": "c1",
        "externalUserId": "kyc_1",
        "levelName": "basic",
        "type": "applicantReviewed",
        "reviewStatus": status,
        "createdAtMs": "2026-01-31 11:59:40.123",
        "sandboxMode": False,
        **changes,
    }


def signature(secret: str, at: datetime, body: bytes) -> str:
    seconds = str(int(at.timestamp()))
    digest = hmac.new(secret.encode(), f"{seconds}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={seconds},v1={digest}"


def of_persona(body: bytes, header: str | None, *, secrets: str | None = NEW, now: datetime = AT) -> ProviderEvent:
    headers = {} if header is None else {"persona-signature": header}
    return persona(secrets).event(headers, body, now)


def digest_headers(body: bytes, algorithm: str = "sha256", name: str = "HMAC_SHA256_HEX") -> dict[str, str]:
    digest = hmac.new(b"hooks", body, algorithm).hexdigest()
    return {"x-payload-digest": digest, "x-payload-digest-alg": name}


BODY = json.dumps(inquiry_event()).encode()
HEADERS = {
    "new secret only": signature(NEW, AT, BODY),
    "old secret only": signature(OLD, AT, BODY),
    "both, the new one first": f"{signature(NEW, AT, BODY)} {signature(OLD, AT, BODY)}",
    "a retired one beside a known one": f"{signature('wbhsec_gone', AT, BODY)} {signature(OLD, AT, BODY)}",
    "an unknown scheme beside": signature(NEW, AT, BODY) + ",v2=" + "0" * 64,
    "an unknown scheme in front": signature(NEW, AT, BODY).replace(",v1=", ",v9=abc,v1="),
    "a stale set beside a fresh one": f"{signature(OLD, AT - timedelta(hours=1), BODY)} {signature(NEW, AT, BODY)}",
    "at the edge of the window": signature(NEW, AT - timedelta(seconds=300), BODY),
    "a clock that is ahead": signature(NEW, AT + timedelta(seconds=300), BODY),
}


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
def test_persona__a_signature_of_any_secret_in_time_proves(header: str) -> None:
    event = of_persona(BODY, header, secrets=f"{NEW},{OLD}")
    assert (event.event_id, event.kind, event.reference) == ("evt_1", "inquiry.approved", "inq_1")


FRESH = signature(NEW, AT, BODY)
REFUSED = {
    "none": (BODY, None),
    "empty": (BODY, ""),
    "white space in the body": (BODY.replace(b", ", b","), FRESH),
    "white space after the body": (BODY + b"\n", FRESH),
    "another body": (json.dumps(inquiry_event("declined")).encode(), FRESH),
    "another secret": (BODY, signature("wbhsec_other", AT, BODY)),
    "stale": (BODY, signature(NEW, AT - timedelta(seconds=301), BODY)),
    "from the future": (BODY, signature(NEW, AT + timedelta(seconds=301), BODY)),
    "a fresh time on an old signature": (
        BODY,
        f"t={int(AT.timestamp())},{signature(NEW, AT - timedelta(hours=1), BODY).split(',')[1]}",
    ),
    "time of another set": (
        BODY,
        f"t={int(AT.timestamp())} {signature(NEW, AT - timedelta(hours=1), BODY).split(',')[1]}",
    ),
    "two times in a set": (BODY, f"t=1,{FRESH}"),
    "only an unknown scheme": (BODY, FRESH.replace("v1=", "v2=")),
    "no time": (BODY, FRESH.split(",")[1]),
    "no hex": (BODY, f"t={int(AT.timestamp())},v1=ünreadable"),
    "a prefix of the digest": (BODY, FRESH[:-1]),
}


@pytest.mark.parametrize(("body", "header"), REFUSED.values(), ids=REFUSED)
def test_persona__anything_else_proves_nothing(body: bytes, header: str | None) -> None:
    with pytest.raises(WebhookRefusedError) as caught:
        of_persona(body, header)
    assert "Ann" not in str(caught.value)
    assert NEW not in str(caught.value)


@given(st.binary(max_size=80), st.text(max_size=80))
def test_persona__no_made_up_header_passes(body: bytes, header: str) -> None:
    with pytest.raises(WebhookRefusedError):
        of_persona(body, header)


@pytest.mark.parametrize("secrets", [None, "", " , "])
def test_persona__without_a_secret_nothing_is_believed(secrets: str | None) -> None:
    with pytest.raises(WebhookNotConfiguredError):
        of_persona(BODY, FRESH, secrets=secrets)


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"data": {"attributes": {}}}', b'{"data": {"id": 7}}'])
def test_persona__a_proven_body_that_is_no_event_is_invalid(body: bytes) -> None:
    with pytest.raises(WebhookInvalidError):
        of_persona(body, signature(NEW, AT, body))


def told_by_persona(content: Mapping[str, Any]) -> ProviderEvent:
    body = json.dumps(content).encode()
    return of_persona(body, signature(NEW, AT, body))


def test_persona__empty_included_and_unknown_fields_are_fine() -> None:
    content = inquiry_event()
    content["data"]["attributes"]["payload"]["later"] = {"a": 1}
    event = told_by_persona(content)
    assert event.answer is not None
    assert (event.answer.verdict, event.kyc_case_id) == (Verdict.APPROVED, "kyc_1")
    assert event.answer.occurred_at == datetime(2026, 1, 31, 11, 59, 40, tzinfo=UTC)
    assert event.answer.submitted_at == datetime(2026, 1, 31, 11, 59, 30, tzinfo=UTC)


PERSONA_STATUSES = {
    "created": Verdict.PENDING,
    "pending": Verdict.PENDING,
    "completed": Verdict.PENDING,
    "failed": Verdict.FAILED,
    "expired": Verdict.EXPIRED,
    "approved": Verdict.APPROVED,
    "declined": Verdict.DECLINED,
    "needs_review": Verdict.REVIEW,
    "needs review": Verdict.REVIEW,
    "needs-review": Verdict.REVIEW,
    "approved_by_robot": Verdict.REVIEW,
    "": Verdict.REVIEW,
    "<script>": Verdict.REVIEW,
}


@pytest.mark.parametrize(("status", "verdict"), PERSONA_STATUSES.items())
def test_persona__unknown_statuses_go_to_a_person(status: str, verdict: Verdict) -> None:
    answer = told_by_persona(inquiry_event(status)).answer
    assert answer is not None
    assert answer.verdict is verdict
    assert "<" not in answer.status


@given(st.text(max_size=40))
def test_persona__only_approved_approves(status: str) -> None:
    answer = told_by_persona(inquiry_event(status)).answer
    assert answer is not None
    assert (answer.verdict is Verdict.APPROVED) == (status.lower() == "approved")


@pytest.mark.parametrize("status", [None, 7, ["approved"], {"approved": True}])
def test_persona__a_status_that_is_no_text_says_nothing(status: object) -> None:
    content = inquiry_event()
    content["data"]["attributes"]["payload"]["data"]["attributes"]["status"] = status
    assert told_by_persona(content).answer is None


def test_persona__other_objects_than_inquiries_say_nothing_of_the_case() -> None:
    content = inquiry_event()
    content["data"]["attributes"]["payload"]["data"]["type"] = "report/watchlist"
    event = told_by_persona(content)
    assert (event.reference, event.kyc_case_id, event.answer) == (None, None, None)


def test_persona__keeps_times_and_status_and_nothing_of_the_person() -> None:
    answer = told_by_persona(inquiry_event(note="Ann Lee called", tags=["vip"])).answer
    assert answer is not None
    assert set(answer.facts) == {"status", "created-at", "completed-at", "decisioned-at"}


def test_sumsub__digests_of_sha256_and_sha512_prove_and_sha1_does_not() -> None:
    body = json.dumps(review_event(reviewResult={"reviewAnswer": "GREEN"})).encode()
    for algorithm, name in (("sha256", "HMAC_SHA256_HEX"), ("sha512", "HMAC_SHA512_HEX")):
        assert sumsub().event(digest_headers(body, algorithm, name), body, AT).reference == "a1"
    wrong: list[dict[str, str]] = [
        digest_headers(body, "sha1", "HMAC_SHA1_HEX"),
        digest_headers(body, "sha256", "HMAC_SHA512_HEX"),
        {"x-payload-digest": digest_headers(body)["x-payload-digest"]},
        digest_headers(body + b" "),
        {"x-payload-digest": "", "x-payload-digest-alg": "HMAC_SHA256_HEX"},
        {},
    ]
    for headers in wrong:
        with pytest.raises(WebhookRefusedError):
            sumsub().event(headers, body, AT)


def test_sumsub__two_secrets_while_one_is_rotated() -> None:
    body = json.dumps(review_event()).encode()
    assert sumsub(secret="next,hooks").event(digest_headers(body), body, AT).kyc_case_id == "kyc_1"
    with pytest.raises(WebhookNotConfiguredError):
        sumsub(secret=None).event(digest_headers(body), body, AT)


def test_sumsub__events_of_the_sandbox_are_refused_in_production() -> None:
    body = json.dumps(review_event(sandboxMode=True)).encode()
    with pytest.raises(WebhookRefusedError):
        sumsub("prd:token").event(digest_headers(body), body, AT)
    assert sumsub("sbx:token").event(digest_headers(body), body, AT).reference == "a1"


def told_by_sumsub(**content: Any) -> ProviderEvent:
    body = json.dumps(review_event(**content)).encode()
    return sumsub().event(digest_headers(body), body, AT)


GREEN = {"reviewAnswer": "GREEN"}
SUMSUB_REVIEWS = {
    "init": ("init", None, Verdict.PENDING, False),
    "pending": ("pending", None, Verdict.PENDING, True),
    "prechecked": ("prechecked", None, Verdict.PENDING, True),
    "queued": ("queued", None, Verdict.PENDING, True),
    "on hold": ("onHold", None, Verdict.REVIEW, True),
    "waits for the customer": ("awaitingUser", None, Verdict.PENDING, False),
    "green before its time": ("awaitingService", GREEN, Verdict.PENDING, True),
    "green": ("completed", GREEN, Verdict.APPROVED, True),
    "red for good": ("completed", {"reviewAnswer": "RED", "reviewRejectType": "FINAL"}, Verdict.DECLINED, True),
    "red, try again": ("completed", {"reviewAnswer": "RED", "reviewRejectType": "RETRY"}, Verdict.PENDING, True),
    "red of an unknown kind": ("completed", {"reviewAnswer": "RED", "reviewRejectType": "X"}, Verdict.REVIEW, True),
    "red of no kind": ("completed", {"reviewAnswer": "RED"}, Verdict.REVIEW, True),
    "green that rejects": ("completed", {**GREEN, "reviewRejectType": "FINAL"}, Verdict.REVIEW, True),
    "an unknown colour": ("completed", {"reviewAnswer": "YELLOW"}, Verdict.REVIEW, True),
    "completed without a result": ("completed", None, Verdict.REVIEW, True),
    "an unknown status": ("approvedByRobot", GREEN, Verdict.REVIEW, False),
}


@pytest.mark.parametrize(("status", "result", "verdict", "is_submitted"), SUMSUB_REVIEWS.values(), ids=SUMSUB_REVIEWS)
def test_sumsub__approved_is_completed_and_green_alone(
    status: str, result: dict[str, Any] | None, verdict: Verdict, is_submitted: bool
) -> None:
    answer = told_by_sumsub(status=status, reviewResult=result).answer
    assert answer is not None
    assert (answer.verdict, answer.submitted_at is not None) == (verdict, is_submitted)
    assert answer.occurred_at == datetime(2026, 1, 31, 11, 59, 40, 123_000, tzinfo=UTC)


def test_sumsub__a_deactivated_applicant_goes_to_a_person() -> None:
    answer = told_by_sumsub(type="applicantDeactivated", reviewResult=GREEN).answer
    assert answer is not None
    assert answer.verdict is Verdict.REVIEW


def test_sumsub__unknown_types_make_us_ask() -> None:
    event = told_by_sumsub(type="applicantTeleported", reviewResult=GREEN)
    assert (event.answer, event.reference) == (None, "a1")


def test_sumsub__repetitions_have_one_id_and_another_event_has_another() -> None:
    assert told_by_sumsub().event_id == told_by_sumsub().event_id
    others = [told_by_sumsub(correlationId="c2"), told_by_sumsub(reviewResult=GREEN), told_by_sumsub(status="onHold")]
    assert len({told_by_sumsub().event_id, *(event.event_id for event in others)}) == 4


def test_sumsub__keeps_codes_and_no_comment() -> None:
    result = {
        "reviewAnswer": "RED",
        "reviewRejectType": "FINAL",
        "rejectLabels": ["FORGERY", "Ann Lee", 7, "BAD_PROOF"],
        "moderationComment": "Dear Ann",
        "clientComment": "Ann is known to us",
    }
    answer = told_by_sumsub(reviewResult=result).answer
    assert answer is not None
    assert answer.facts == {
        "reviewStatus": "completed",
        "reviewAnswer": "RED",
        "reviewRejectType": "FINAL",
        "rejectLabels": ["BAD_PROOF", "FORGERY"],
    }


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"applicantId": "a1"}', b'{"type": "applicantReviewed"}'])
def test_sumsub__a_proven_body_that_is_no_event_is_invalid(body: bytes) -> None:
    with pytest.raises(WebhookInvalidError):
        sumsub().event(digest_headers(body), body, AT)
