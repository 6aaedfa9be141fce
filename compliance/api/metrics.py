"""From counts to what a dashboard shows: ages, states of providers, whether anything can be judged. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from compliance.api.metrics_schemas import (
    CaseCounts,
    KycFunnel,
    ListState,
    MetricsView,
    PolicyState,
    ProviderState,
    ProviderView,
    Waiting,
)
from infra.runtime.clock import as_utc

WINDOW = timedelta(days=30)
PROVIDERS_WINDOW = timedelta(hours=1)
KYC_STATES = ("created", "pending", "submitted", "in_review", "approved", "declined", "expired", "failed")
CASE_KINDS = ("aml", "kyc", "screening")


def metrics_view(
    found: Mapping[str, Any],
    now: datetime,
    *,
    policy: PolicyState | None,
    target_s: float | None,
    not_ready_reason: str | None,
    provider_names: tuple[str, ...] = (),
) -> MetricsView:
    """The dashboard of these counts; a provider that nothing was asked of is there too, as `unknown`."""
    cases = {row["kind"]: row for row in found["cases"]}
    views = [_case_counts(kind, cases.get(kind, {}), now) for kind in sorted({*CASE_KINDS, *cases})]
    return MetricsView(
        measured_at=now,
        is_ready=not_ready_reason is None,
        not_ready_reason=not_ready_reason,
        kyc=_funnel(found, now, target_s),
        cases=views,
        sla_breached=sum(view.sla_breached for view in views),
        undecided=_waiting(found["undecided"], "transactions", now),
        held=_waiting(found["held"], "transactions", now),
        unpublished=_waiting(found["unpublished"], "transactions", now),
        outbox=_waiting(found["outbox"], "events", now),
        lists=[ListState(**row, age_s=_age(row["loaded_at"], now)) for row in found["lists"]],
        policy=policy,
        providers=_providers(found["providers"], provider_names),
        ledger=found["ledger"],
    )


def provider_state(answers: int, errors: int, is_last_error: bool) -> ProviderState:
    """Down: nothing but errors; degraded: the last answer is one, or more than one in five is."""
    if answers == 0:
        return ProviderState.UNKNOWN
    if errors == answers:
        return ProviderState.DOWN
    return ProviderState.DEGRADED if is_last_error or errors * 5 > answers else ProviderState.OK


def _providers(rows: list[dict[str, Any]], names: tuple[str, ...]) -> list[ProviderView]:
    asked = {row["provider"]: row for row in rows}
    views = []
    for name in sorted({*names, *asked}):
        row = asked.get(name, {})
        answered, failed = _time(row.get("last_answer_at")), _time(row.get("last_error_at"))
        is_last_error = failed is not None and (answered is None or failed > answered)
        answers, errors = row.get("answers", 0), row.get("errors", 0)
        state = provider_state(answers, errors, is_last_error)
        views.append(
            ProviderView(
                provider=name,
                state=state,
                answers=answers,
                errors=errors,
                last_answer_at=answered,
                last_error_at=failed,
            )
        )
    return views


def _funnel(found: Mapping[str, Any], now: datetime, target_s: float | None) -> KycFunnel:
    by_state, times, waiting = found["kyc_by_state"], found["kyc_times"], found["kyc_waiting"]
    return KycFunnel(
        window_days=WINDOW.days,
        by_state={state: by_state.get(state, 0) for state in KYC_STATES},
        decided=times["decided"],
        within_target=times["within_target"],
        target_s=target_s,
        median_s=times["median_s"],
        p95_s=times["p95_s"],
        waiting=waiting["cases"],
        oldest_waiting_s=_age(waiting["oldest_at"], now),
    )


def _case_counts(kind: str, row: Mapping[str, Any], now: datetime) -> CaseCounts:
    numbers = {
        name: row.get(name, 0) for name in ("open", "unassigned", "awaiting_approval", "escalated", "sla_breached")
    }
    due = _time(row.get("next_due_at"))
    return CaseCounts(kind=kind, **numbers, oldest_s=_age(row.get("oldest_at"), now), next_due_at=due)


def _waiting(row: Mapping[str, Any], counted: str, now: datetime) -> Waiting:
    return Waiting(count=row[counted], oldest_s=_age(row["oldest_at"], now))


def _age(at: str | None, now: datetime) -> float | None:
    since = _time(at)
    return round((now - since).total_seconds(), 3) if since is not None else None


def _time(at: str | None) -> datetime | None:
    return as_utc(datetime.fromisoformat(at)) if at is not None else None
