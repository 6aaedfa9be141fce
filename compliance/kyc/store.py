"""Cases, answers and webhooks in PostgreSQL; every function works within the caller's transaction."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, RowMapping

from compliance.kyc import statements
from compliance.kyc.model import Answer, Check, KycCase, KycState, Source, Verdict
from compliance.kyc.providers.base import ProviderEvent
from infra.runtime.ids import stable_id


def read(connection: Connection, kyc_case_id: str, *, lock: bool = False) -> KycCase | None:
    """The case, locked until the transaction ends if wanted."""
    return _one(connection, statements.LOCK if lock else statements.READ, {"kyc_case_id": kyc_case_id})


def by_key(connection: Connection, idempotency_key: str) -> KycCase | None:
    """The case that a request with this key made."""
    return _one(connection, statements.BY_KEY, {"idempotency_key": idempotency_key})


def newest(connection: Connection, user_id: str) -> KycCase | None:
    """The customer's last case."""
    return _one(connection, statements.NEWEST, {"user_id": user_id})


def lock_user(connection: Connection, user_id: str) -> str | None:
    """Let nobody else start a case for the customer; returns their kind, None for an unknown one."""
    kind: str | None = connection.execute(statements.LOCK_USER, {"user_id": user_id}).scalar_one_or_none()
    return kind


def account_of(connection: Connection, user_id: str) -> str | None:
    """The customer's account."""
    found: str | None = connection.execute(statements.ACCOUNT_OF, {"user_id": user_id}).scalar_one_or_none()
    return found


def insert(connection: Connection, user_id: str, key: str, policy_version: str, now: datetime, lease: timedelta) -> str:
    """A new case, which the worker takes up after the lease unless it has gone on by then."""
    kyc_case_id = stable_id("kyc", user_id, key)
    values = {
        "kyc_case_id": kyc_case_id,
        "user_id": user_id,
        "idempotency_key": key,
        "next_poll_at": now + lease,
        "policy_version": policy_version,
        "now": now,
    }
    connection.execute(statements.INSERT, values)
    return kyc_case_id


def update(connection: Connection, case: KycCase) -> None:
    """Write the case, whose row the caller has locked."""
    names = (
        "kyc_case_id",
        "state_reason",
        "provider",
        "provider_reference",
        "submitted_at",
        "decided_at",
        "expires_at",
        "next_poll_at",
        "polls",
        "updated_at",
    )
    connection.execute(statements.UPDATE, {name: getattr(case, name) for name in names} | {"state": case.state.value})


def take_due(connection: Connection, now: datetime, lease: timedelta, limit: int) -> list[KycCase]:
    """Up to `limit` cases whose time has come, for this caller alone until the lease ends."""
    rows = connection.execute(statements.TAKE, {"now": now, "leased_until": now + lease, "max_rows": limit}).mappings()
    return [_case(row) for row in rows]


def hasten(connection: Connection, kyc_case_id: str, at: datetime, *, even_ended: bool) -> None:
    """Ask the provider no later than `at`, if it is to be asked again at all; `even_ended`: in any case."""
    connection.execute(statements.HASTEN, {"kyc_case_id": kyc_case_id, "at": at, "even_ended": even_ended})


def over(connection: Connection, now: datetime, begun_before: datetime, limit: int) -> list[str]:
    """Approved cases whose validity has ended, and cases begun so long ago that nobody will finish them."""
    values = {"now": now, "begun_before": begun_before, "max_rows": limit}
    return list(connection.execute(statements.OVER, values).scalars())


def checks(connection: Connection, kyc_case_id: str) -> list[Check]:
    """All answers on a case, in the order in which they came."""
    return [_check(row) for row in connection.execute(statements.CHECKS, {"kyc_case_id": kyc_case_id}).mappings()]


def add_answer(
    connection: Connection,
    case: KycCase,
    provider: str,
    source: Source,
    answer: Answer,
    known: Iterable[Check],
    external_id: str | None,
    now: datetime,
) -> bool:
    """Keep an answer and return whether it says anything new.

    One fact is one row, whichever way and however often it is told. Where the provider told no time, the answer is new
    only if the last word of this provider was another one.
    """
    if not answer.is_exact:
        own = [check for check in known if check.provider == provider and check.verdict is not Verdict.ERROR]
        last = max(own, key=lambda check: check.occurred_at or check.received_at, default=None)
        if last is not None and (last.status, last.verdict) == (answer.status, answer.verdict):
            return False
    at = answer.occurred_at
    payload = dict(answer.facts)
    if answer.submitted_at is not None:
        payload["submitted_at"] = answer.submitted_at.isoformat()
    values = {
        "check_id": stable_id("kyk", case.kyc_case_id, provider, answer.status, answer.verdict, at.isoformat()),
        "external_id": external_id,
        "provider_status": answer.status,
        "verdict": answer.verdict.value,
        "occurred_at": at,
    }
    return _add(connection, case.kyc_case_id, provider, source, values, payload, now)


def add_error(
    connection: Connection, kyc_case_id: str, provider: str, source: Source, fault: str, now: datetime
) -> None:
    """Keep that a provider did not answer."""
    values = {
        "check_id": stable_id("kyk", kyc_case_id, provider, "error", fault, now.isoformat()),
        "external_id": None,
        "provider_status": None,
        "verdict": Verdict.ERROR.value,
        "occurred_at": None,
    }
    _add(connection, kyc_case_id, provider, source, values, {"fault": fault}, now)


def add_decision(
    connection: Connection, kyc_case_id: str, verdict: Verdict, actor: str, known: Iterable[Check], now: datetime
) -> str:
    """Keep an officer's decision with the answers that were before them; returns its id."""
    considered = sorted(check.check_id for check in known)
    check_id = stable_id("kyk", kyc_case_id, Source.MANUAL, verdict, actor, *considered)
    values = {
        "check_id": check_id,
        "external_id": actor,
        "provider_status": None,
        "verdict": verdict.value,
        "occurred_at": now,
    }
    _add(connection, kyc_case_id, "manual", Source.MANUAL, values, {"considered": considered}, now)
    return check_id


def add_event(
    connection: Connection, provider: str, event: ProviderEvent, kyc_case_id: str | None, now: datetime
) -> bool:
    """Keep that a webhook came; False for one that came before."""
    values = {
        "provider": provider,
        "event_id": event.event_id,
        "kyc_case_id": kyc_case_id,
        "kind": event.kind,
        "occurred_at": event.occurred_at,
        "received_at": now,
    }
    return connection.execute(statements.ADD_EVENT, values).rowcount == 1


def case_of_event(connection: Connection, provider: str, event: ProviderEvent) -> str | None:
    """The case that a webhook is about; None: nobody's."""
    values = {"provider": provider, "reference": event.reference, "kyc_case_id": event.kyc_case_id}
    found: str | None = connection.execute(statements.CASE_OF_EVENT, values).scalar_one_or_none()
    return found


def state_of_user(connection: Connection, user_id: str, now: datetime) -> tuple[str, datetime | None]:
    """The customer's state by all their cases, and until when it is an approval."""
    row = connection.execute(statements.STATE_OF_USER, {"user_id": user_id, "now": now}).one()
    return row.state, row.approved_until if row.state == KycState.APPROVED else None


def _add(
    connection: Connection,
    kyc_case_id: str,
    provider: str,
    source: Source,
    values: Mapping[str, Any],
    payload: Mapping[str, Any],
    now: datetime,
) -> bool:
    common = {
        "kyc_case_id": kyc_case_id,
        "provider": provider,
        "source": source.value,
        "received_at": now,
        "payload": json.dumps(payload),
    }
    return connection.execute(statements.ADD_CHECK, {**values, **common}).rowcount == 1


def _one(connection: Connection, statement: Any, values: Mapping[str, Any]) -> KycCase | None:
    row = connection.execute(statement, values).mappings().one_or_none()
    return _case(row) if row is not None else None


def _case(row: RowMapping) -> KycCase:
    return KycCase(**{**row, "state": KycState(row["state"])})


def _check(row: RowMapping) -> Check:
    payload = row["payload"]
    told = payload.get("submitted_at")
    return Check(
        row["check_id"],
        row["provider"],
        Source(row["source"]),
        row["provider_status"],
        Verdict(row["verdict"]),
        row["occurred_at"],
        row["received_at"],
        datetime.fromisoformat(told) if told is not None else None,
        frozenset(payload.get("considered", ())),
    )
