"""The numbers of compliance: counted by PostgreSQL, and what is not known said as such."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text

from compliance.api.metrics import metrics_view, provider_state
from compliance.api.metrics_routes import get_compliance_metrics
from compliance.api.metrics_schemas import MetricsView, ProviderState
from compliance.api.services import build_services
from infra.runtime.clock import FixedClock
from infra.runtime.settings import Settings

_CASE = text(
    "insert into compliance.cases (case_id, kind, subject_id, title, state, priority, assignee, sla_due_at, opened_at)"
    " values (:id, :kind, :id, 'title', :state, 'normal', :assignee, :due, :opened)"
)
_KYC = text(
    "insert into compliance.kyc_cases (kyc_case_id, user_id, state, idempotency_key, submitted_at, decided_at,"
    " policy_version, created_at, updated_at) values (:id, 'usr_1', :state, :id, :submitted, :decided, 'p', :created,"
    " :created)"
)
_TRANSACTION = text(
    "insert into compliance.transaction_logs (transaction_id, account_id, direction, kind, side, asset, quantity,"
    " chain, occurred_at, received_at, decision, decided_at, event, published_at)"
    " values (:id, 'acct-1', 'in', 'deposit',"
    " 'collateral', 'BTC', 1, 'bitcoin', :at, :at, :decision, :at, cast(:event as jsonb), :published)"
)
_LIST = text(
    "insert into compliance.list_versions (list_version_id, list_name, content_hash, state, entries, loaded_at)"
    " values (:id, :name, :id, :state, 7, :at)"
)
_CHECK = text(
    "insert into compliance.kyc_checks (check_id, kyc_case_id, provider, source, verdict, received_at)"
    " values (:id, 'kyc_1', :provider, 'poll', :verdict, :at)"
)


def measured(engine: Engine, clock: FixedClock) -> MetricsView:
    return get_compliance_metrics(build_services(Settings(), engine, clock))


def test_metrics__of_an_empty_schema_are_zeros_and_unknowns(engine: Engine, clock: FixedClock) -> None:
    found = measured(engine, clock)
    assert not found.is_ready
    assert "list" in (found.not_ready_reason or "")
    assert found.policy is not None
    assert set(found.kyc.by_state.values()) == {0}
    assert (found.kyc.median_s, found.kyc.oldest_waiting_s) == (None, None)
    assert (found.undecided.count, found.undecided.oldest_s) == (0, None)
    assert [(each.kind, each.open, each.oldest_s) for each in found.cases] == [
        ("aml", 0, None),
        ("kyc", 0, None),
        ("screening", 0, None),
    ]
    assert {each.state for each in found.providers} == {ProviderState.UNKNOWN}
    assert {each.provider for each in found.providers} >= {"persona", "sumsub"}
    assert found.ledger == {"case_events": 0, "decisions": 0}


def test_metrics__count_what_is_there(engine: Engine, clock: FixedClock) -> None:
    now = clock.now()

    def ago(**by: float) -> datetime:
        return now - timedelta(**by)

    with engine.begin() as connection:
        user = (
            "insert into compliance.users (user_id, reference, kind, pii_sealed, pii_key_id, pii_wrapped_key,"
            " name_hash, created_at, updated_at) values ('usr_1', 'r', 'person', '', 'k', '', 'h', :at, :at)"
        )
        connection.execute(text(user), {"at": now})
        for key, state, submitted, decided, created in (
            ("kyc_1", "approved", ago(minutes=10), ago(minutes=10) + timedelta(seconds=4), ago(days=1)),
            ("kyc_2", "declined", ago(minutes=10), ago(minutes=9), ago(days=1)),
            ("kyc_3", "in_review", ago(hours=2), None, ago(days=1)),
            ("kyc_4", "pending", None, None, ago(days=1)),
            ("kyc_5", "approved", ago(days=40), ago(days=40), ago(days=40)),
        ):
            row = {"id": key, "state": state, "submitted": submitted, "decided": decided, "created": created}
            connection.execute(_KYC, row)
        for key, kind, state, assignee, due in (
            ("c1", "aml", "open", None, ago(minutes=1)),
            ("c2", "aml", "awaiting_approval", "anna", now + timedelta(hours=1)),
            ("c3", "kyc", "escalated", "anna", ago(hours=1)),
            ("c4", "aml", "closed", "anna", ago(hours=1)),
        ):
            row = {"id": key, "kind": kind, "state": state, "assignee": assignee, "due": due, "opened": ago(hours=3)}
            connection.execute(_CASE, row)
        for key, decision, event, published, at in (
            ("t1", None, None, None, ago(seconds=90)),
            ("t2", "accepted", "{}", None, ago(seconds=5)),
            ("t3", "accepted", "{}", now, ago(hours=1)),
            ("t4", "blocked", "{}", None, ago(hours=2)),
            ("t5", "released", None, None, ago(hours=1)),
        ):
            row = {"id": key, "decision": decision, "event": event, "published": published, "at": at}
            connection.execute(_TRANSACTION, row)
        for key, name, state, at in (
            ("l1", "ofac_sdn", "superseded", ago(days=2)),
            ("l2", "ofac_sdn", "active", ago(days=1)),
            ("l3", "ofac_sdn", "refused", ago(hours=1)),
            ("l4", "un", "refused", ago(hours=1)),
        ):
            connection.execute(_LIST, {"id": key, "name": name, "state": state, "at": at})
        for key, provider, verdict, at in (
            ("k1", "persona", "approved", ago(minutes=3)),
            ("k2", "persona", "error", ago(minutes=2)),
            ("k3", "sumsub", "error", ago(minutes=2)),
            ("k4", "sumsub", "approved", ago(hours=2)),
        ):
            connection.execute(_CHECK, {"id": key, "provider": provider, "verdict": verdict, "at": at})
    found = measured(engine, clock)
    assert found.is_ready
    assert {state: n for state, n in found.kyc.by_state.items() if n} == {
        "approved": 1,
        "declined": 1,
        "in_review": 1,
        "pending": 1,
    }
    assert (found.kyc.decided, found.kyc.within_target, found.kyc.median_s) == (2, 1, 32.0)
    assert (found.kyc.waiting, found.kyc.oldest_waiting_s) == (1, 7200.0)
    aml, kyc, _ = found.cases
    assert (aml.open, aml.unassigned, aml.awaiting_approval, aml.sla_breached, aml.oldest_s) == (2, 1, 1, 1, 10800.0)
    assert (kyc.open, kyc.escalated, kyc.sla_breached) == (1, 1, 1)
    assert found.sla_breached == 2
    assert (found.undecided.count, found.undecided.oldest_s) == (1, 90.0)
    assert (found.unpublished.count, found.unpublished.oldest_s) == (1, 5.0)
    assert found.held.count == 1
    assert [(each.list_name, each.list_version_id, each.age_s, each.refused_since) for each in found.lists] == [
        ("ofac_sdn", "l2", 86400.0, 1),
        ("un", None, None, 1),
    ]
    states = {each.provider: (each.state, each.answers, each.errors) for each in found.providers}
    assert states["persona"] == (ProviderState.DEGRADED, 2, 1)
    assert states["sumsub"] == (ProviderState.DOWN, 1, 1)


@pytest.mark.parametrize(
    ("answers", "errors", "is_last_error", "state"),
    [
        (0, 0, False, ProviderState.UNKNOWN),
        (1, 1, True, ProviderState.DOWN),
        (10, 1, False, ProviderState.OK),
        (10, 1, True, ProviderState.DEGRADED),
        (10, 3, False, ProviderState.DEGRADED),
        (10, 2, False, ProviderState.OK),
    ],
)
def test_provider_state__is_what_was_answered_lately(
    answers: int, errors: int, is_last_error: bool, state: ProviderState
) -> None:
    assert provider_state(answers, errors, is_last_error) is state


def test_metrics__without_a_policy_have_no_target_and_say_why(engine: Engine, clock: FixedClock) -> None:
    clock.advance(timedelta(days=-3650))
    found = measured(engine, clock)
    assert (found.policy, found.kyc.target_s, found.is_ready) == (None, None, False)
    assert "no policy" in (found.not_ready_reason or "")


@pytest.mark.parametrize(("days", "said"), [(150, None), (151, "151 days old, over 150; look at what FATF")])
def test_metrics__tell_the_officer_of_overdue_country_lists_and_stay_ready(
    engine: Engine, clock: FixedClock, days: int, said: str | None
) -> None:
    services = build_services(Settings(), engine, clock)
    newest = services.policies.policies[-1]
    clock.at = datetime.combine(newest.countries.as_of, time(23, 59), UTC) + timedelta(days=days)
    with engine.begin() as connection:
        connection.execute(_LIST, {"id": "l1", "name": "ofac_sdn", "state": "active", "at": clock.now()})
    found = get_compliance_metrics(services)
    assert found.is_ready
    assert found.policy is not None
    assert (found.policy.version, found.policy.countries_age_days) == (newest.version, days)
    assert (found.policy.countries_overdue is None) is (said is None)
    assert (said or "") in (found.policy.countries_overdue or "")


def test_metrics__tell_kinds_that_nobody_thought_of(clock: FixedClock) -> None:
    nothing: dict[str, Any] = {"oldest_at": None}
    found = {
        "kyc_by_state": {},
        "kyc_times": {"decided": 0, "median_s": None, "p95_s": None, "within_target": 0},
        "kyc_waiting": nothing | {"cases": 0},
        "cases": [{"kind": "new_kind", "open": 2, "sla_breached": 1}],
        "undecided": nothing | {"transactions": 0},
        "held": nothing | {"transactions": 0},
        "unpublished": nothing | {"transactions": 0},
        "outbox": nothing | {"events": 0},
        "lists": [],
        "providers": [],
        "ledger": {},
    }
    view = metrics_view(found, clock.now(), policy=None, target_s=None, not_ready_reason=None)
    assert ("new_kind", 2) in [(each.kind, each.open) for each in view.cases]
