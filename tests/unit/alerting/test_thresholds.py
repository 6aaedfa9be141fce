"""Thresholds of an account: what may be set, what holds, what is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from alerting.errors import AccountUnknownError, ThresholdsInvalidError
from alerting.margin.thresholds import Thresholds, read_thresholds, set_thresholds
from assets.risk import queries
from infra.runtime.bigquery import Appended
from infra.runtime.clock import FixedClock

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
DEFAULTS = {"margin_call_pct": 30, "liquidation_pct": 15, "early_warning_pct": None, "recovery_margin_pct": 2}


def given(**percent: str | int) -> Thresholds:
    return Thresholds(**{name: Decimal(value) for name, value in percent.items()})


@dataclass
class Terms:
    """A warehouse with one account and the changes of its thresholds."""

    appended: list[dict[str, Any]] = field(default_factory=list)
    row_ids: list[str] = field(default_factory=list)

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        account = (parameters or {}).get("account_id")
        if sql == queries.MARGIN_HEALTH_SQL:
            return [{"account_id": account}] if account == "acct-1" else []
        if "risk.margin_defaults" in sql:
            return [{name: None if value is None else Decimal(value) for name, value in DEFAULTS.items()}]
        assert "raw.account_thresholds" in sql
        return [row for row in self.appended if row["account_id"] == account][-1:]

    def append(
        self, table_id: str, rows: Sequence[Mapping[str, Any]], row_ids: Sequence[str] | None = None
    ) -> Appended:
        assert table_id == "raw.account_thresholds"
        self.appended += [dict(row) for row in rows]
        self.row_ids += row_ids or []
        return Appended(len(rows), 1)


@pytest.fixture
def terms() -> Terms:
    return Terms()


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(NOON)


def test_set__keeps_what_was_given_and_who_gave_it(terms: Terms, clock: FixedClock) -> None:
    found = set_thresholds(terms, "acct-1", given(margin_call_pct=45), "ann", "volatile book", clock)
    assert found.own == given(margin_call_pct=45)
    assert found.effective == given(margin_call_pct=45, liquidation_pct=15, recovery_margin_pct=2)
    [row] = terms.appended
    assert terms.row_ids == [row["change_id"]]
    assert row == {
        "change_id": row["change_id"],
        "account_id": "acct-1",
        "margin_call_pct": Decimal(45),
        "liquidation_pct": None,
        "early_warning_pct": None,
        "recovery_margin_pct": None,
        "set_at": NOON,
        "set_by": "ann",
        "reason": "volatile book",
    }
    assert read_thresholds(terms, "acct-1") == found


def test_set__again_appends_nothing_and_keeps_the_first_record(terms: Terms, clock: FixedClock) -> None:
    first = set_thresholds(terms, "acct-1", given(margin_call_pct=45), "ann", "volatile book", clock)
    clock.advance(timedelta(hours=1))
    assert set_thresholds(terms, "acct-1", given(margin_call_pct="45.0"), "bob", "again", clock) == first
    assert len(terms.appended) == 1


def test_set__back_to_the_default_is_a_change_of_its_own(terms: Terms, clock: FixedClock) -> None:
    for wanted in (given(margin_call_pct=45), Thresholds(), given(margin_call_pct=45)):
        clock.advance(timedelta(seconds=1))
        set_thresholds(terms, "acct-1", wanted, "ann", "why", clock)
    assert [row["margin_call_pct"] for row in terms.appended] == [45, None, 45]
    assert len(set(terms.row_ids)) == 3


def test_set__of_nothing_for_an_account_without_any_is_a_record_too(terms: Terms, clock: FixedClock) -> None:
    found = set_thresholds(terms, "acct-1", Thresholds(), "ann", "reviewed", clock)
    assert (found.set_at, found.set_by, len(terms.appended)) == (NOON, "ann", 1)


@pytest.mark.parametrize(
    ("wanted", "named"),
    [
        (given(margin_call_pct=15), "liquidation_pct must be below margin_call_pct"),
        (given(liquidation_pct=30), "liquidation_pct must be below margin_call_pct"),
        (given(early_warning_pct=30), "margin_call_pct must be below early_warning_pct"),
        (given(margin_call_pct=40, early_warning_pct="39.999999999"), "margin_call_pct must be below"),
        (given(recovery_margin_pct="-0.1"), "recovery_margin_pct must not be negative"),
    ],
)
def test_set__refuses_what_contradicts_itself_or_a_default(
    terms: Terms, clock: FixedClock, wanted: Thresholds, named: str
) -> None:
    with pytest.raises(ThresholdsInvalidError, match=named):
        set_thresholds(terms, "acct-1", wanted, "ann", "why", clock)
    assert terms.appended == []


def test_set__for_an_unknown_account_is_refused(terms: Terms, clock: FixedClock) -> None:
    with pytest.raises(AccountUnknownError, match="acct-2"):
        set_thresholds(terms, "acct-2", given(margin_call_pct=45), "ann", "why", clock)
    assert terms.appended == []


def test_read__of_an_account_without_its_own_shows_the_defaults(terms: Terms) -> None:
    found = read_thresholds(terms, "acct-1")
    assert (found.own, found.set_at) == (Thresholds(), None)
    assert found.effective == given(margin_call_pct=30, liquidation_pct=15, recovery_margin_pct=2)


def test_read__of_an_unknown_account_is_refused(terms: Terms) -> None:
    with pytest.raises(AccountUnknownError):
        read_thresholds(terms, "acct-2")
