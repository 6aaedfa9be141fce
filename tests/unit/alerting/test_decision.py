"""The margin decision: one row a rule, then what must hold for every path."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerting.errors import MarginInputError
from alerting.events import LiquidationPrice, MarginEvent, Severity
from alerting.margin.decision import AccountHealth, AccountStatus, OpenState, decide
from infra.runtime.clock import FixedClock

CLOCK = FixedClock(datetime(2026, 1, 31, 12, tzinfo=UTC))
EARLY, CALL, LIQUIDATION, RECOVERED, UNPRICED = (
    Severity.EARLY_WARNING,
    Severity.MARGIN_CALL,
    Severity.LIQUIDATION,
    Severity.RECOVERED,
    Severity.UNPRICED,
)
NO_DEBT = "no_debt"
NO_PRICE = "unpriced"


def account(health: str | Decimal | None, *, early: str | None = None, **changes: Any) -> AccountHealth:
    """Thresholds 30 and 15, recovery margin 2; `health` is percent, `no_debt` or `unpriced`."""
    status, value = AccountStatus.HEALTHY, None
    if health in (NO_DEBT, NO_PRICE):
        status = AccountStatus(str(health))
    elif health is not None:
        value = Decimal(health)
    base = AccountHealth(
        account_id="acc-1",
        status=status,
        health_pct=value,
        collateral_usd=Decimal(65_000),
        borrow_usd=Decimal(0) if health == NO_DEBT else Decimal(50_000),
        margin_call_threshold_pct=Decimal(30),
        liquidation_threshold_pct=Decimal(15),
        recovery_margin_pct=Decimal(2),
        early_warning_threshold_pct=Decimal(early) if early else None,
    )
    return replace(base, **changes)


def state(severity: Severity, number: int = 1) -> OpenState:
    return OpenState("acc-1", severity, "mep_open", number)


@pytest.mark.parametrize(
    ("health", "last", "wanted"),
    [
        pytest.param("30", None, None, id="at the threshold is healthy"),
        pytest.param("29.99", None, CALL, id="below the threshold is a call"),
        pytest.param("15", None, CALL, id="at the liquidation threshold is a call"),
        pytest.param("14.99", None, LIQUIDATION, id="straight to liquidation"),
        pytest.param("-100", None, LIQUIDATION, id="no collateral"),
        pytest.param("100", None, None, id="healthy stays silent"),
        pytest.param("29", CALL, None, id="told once"),
        pytest.param("14.99", CALL, LIQUIDATION, id="worse at the bare threshold"),
        pytest.param("30", CALL, None, id="not recovered at the threshold"),
        pytest.param("31.99", CALL, None, id="not recovered inside the band"),
        pytest.param("32", CALL, RECOVERED, id="recovered at threshold plus margin"),
        pytest.param("16.99", LIQUIDATION, None, id="liquidation holds inside its band"),
        pytest.param("17", LIQUIDATION, CALL, id="liquidation eases to a call"),
        pytest.param("31", LIQUIDATION, CALL, id="recovery needs the call's margin as well"),
        pytest.param("32", LIQUIDATION, RECOVERED, id="liquidation recovers at once when far enough"),
        pytest.param("31", RECOVERED, None, id="closed episode: bare thresholds"),
        pytest.param("29", RECOVERED, CALL, id="closed episode: a new one opens"),
        pytest.param(NO_DEBT, None, None, id="no debt, nothing open"),
        pytest.param(NO_DEBT, RECOVERED, None, id="no debt, closed"),
        pytest.param(NO_DEBT, CALL, RECOVERED, id="no debt closes a call"),
        pytest.param(NO_DEBT, UNPRICED, RECOVERED, id="no debt closes an unpriced episode"),
        pytest.param(NO_PRICE, None, UNPRICED, id="unpriced opens an episode"),
        pytest.param(NO_PRICE, CALL, UNPRICED, id="unpriced in an open episode"),
        pytest.param(NO_PRICE, UNPRICED, None, id="unpriced told once"),
        pytest.param(NO_PRICE, RECOVERED, UNPRICED, id="unpriced after a closed episode"),
        pytest.param("31", UNPRICED, RECOVERED, id="priced again: healthy by the bare threshold"),
        pytest.param("29", UNPRICED, CALL, id="priced again: a call"),
        pytest.param("14", UNPRICED, LIQUIDATION, id="priced again: liquidation"),
    ],
)
def test_decide__follows_the_rules(health: str, last: Severity | None, wanted: Severity | None) -> None:
    event = decide(account(health), state(last) if last else None, CLOCK)
    assert (event.severity if event else None) == wanted


@pytest.mark.parametrize(
    ("health", "last", "wanted"),
    [
        pytest.param("40", None, None, id="at the early threshold"),
        pytest.param("39.9", None, EARLY, id="below the early threshold"),
        pytest.param("41.9", EARLY, None, id="inside the early band"),
        pytest.param("42", EARLY, RECOVERED, id="early recovers"),
        pytest.param("31", CALL, None, id="call holds inside its band"),
        pytest.param("32", CALL, EARLY, id="call eases to early"),
        pytest.param("41", LIQUIDATION, EARLY, id="two levels at once, not three"),
        pytest.param("29", EARLY, CALL, id="early worsens"),
    ],
)
def test_decide__with_early_warning(health: str, last: Severity | None, wanted: Severity | None) -> None:
    event = decide(account(health, early="40"), state(last) if last else None, CLOCK)
    assert (event.severity if event else None) == wanted


def test_decide__an_early_warning_that_was_switched_off_recovers() -> None:
    event = decide(account("35"), state(EARLY), CLOCK)
    assert event is not None
    assert event.severity is RECOVERED


def test_decide__without_margin_recovers_at_the_threshold() -> None:
    event = decide(account("30", recovery_margin_pct=Decimal(0)), state(CALL), CLOCK)
    assert event is not None
    assert event.severity is RECOVERED


@pytest.mark.parametrize(
    ("borrow", "has_borrow", "is_told"),
    [("50000", None, True), ("0", None, False), ("0", True, True), ("50000", False, False)],
)
def test_decide__unpriced_matters_only_with_a_borrow(borrow: str, has_borrow: bool | None, is_told: bool) -> None:
    event = decide(account(NO_PRICE, borrow_usd=Decimal(borrow), has_borrow=has_borrow), None, CLOCK)
    assert (event is not None) == is_told


def test_decide__unpriced_without_borrow_leaves_an_episode_open() -> None:
    assert decide(account(NO_PRICE, borrow_usd=Decimal(0)), state(CALL), CLOCK) is None


@pytest.mark.parametrize(
    ("health", "last", "threshold"),
    [
        ("29", None, "30"),
        ("14", CALL, "15"),
        ("17", LIQUIDATION, "15"),
        ("32", LIQUIDATION, "30"),
        ("32", CALL, "30"),
        ("29", UNPRICED, "30"),
        ("50", UNPRICED, "30"),
        (NO_PRICE, CALL, None),
        (NO_DEBT, CALL, None),
    ],
)
def test_decide__names_the_threshold_crossed(health: str, last: Severity | None, threshold: str | None) -> None:
    event = decide(account(health), state(last) if last else None, CLOCK)
    assert event is not None
    assert event.threshold_pct == (Decimal(threshold) if threshold else None)


def test_decide__carries_what_is_known() -> None:
    prices = (LiquidationPrice(asset="BTC", threshold_pct=Decimal(15), price_usd=Decimal(57_500)),)
    health = account("29", liquidation_prices=prices, price_ids=("p1",), unpriced_assets=("X",), is_simulated=True)
    event = decide(health, None, CLOCK)
    assert event is not None
    assert (event.health_pct, event.collateral_usd, event.borrow_usd) == (Decimal(29), Decimal(65_000), Decimal(50_000))
    assert (event.liquidation_prices, event.price_ids, event.unpriced_assets) == (prices, ("p1",), ("X",))
    assert (event.is_simulated, event.detected_at) == (True, CLOCK.now())


def test_decide__continues_the_episode_and_opens_a_new_one_after_recovery() -> None:
    events = walk(["29", "14", "17", "40", "29"])
    assert [e.severity for e in events] == [CALL, LIQUIDATION, CALL, RECOVERED, CALL]
    assert [e.previous_severity for e in events] == [None, CALL, LIQUIDATION, CALL, None]
    assert [e.transition_number for e in events] == [1, 2, 3, 4, 5]
    assert len({e.episode_id for e in events[:4]}) == 1
    assert events[4].episode_id != events[0].episode_id


def test_decide__racing_evaluators_make_the_same_ids() -> None:
    call, liquidation = decide(account("29"), None, CLOCK), decide(account("14"), None, CLOCK)
    assert call is not None
    assert liquidation is not None
    assert call.margin_event_id == liquidation.margin_event_id
    assert call.episode_id == liquidation.episode_id


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"liquidation_threshold_pct": Decimal(30)}, id="equal thresholds"),
        pytest.param({"early_warning_threshold_pct": Decimal(25)}, id="early below call"),
        pytest.param({"recovery_margin_pct": Decimal(-1)}, id="negative margin"),
        pytest.param({"health_pct": None}, id="priced without health"),
    ],
)
def test_account_health__refuses_contradictions(changes: dict[str, Any]) -> None:
    with pytest.raises(MarginInputError, match="acc-1"):
        account("29", **changes)


def test_decide__refuses_another_accounts_state() -> None:
    with pytest.raises(MarginInputError, match="acc-2"):
        decide(account("29"), OpenState("acc-2", CALL, "mep", 1), CLOCK)


HEALTH = st.one_of(
    st.sampled_from([NO_DEBT, NO_PRICE]),
    st.decimals(min_value=-100, max_value=60, places=2).map(str),
    st.sampled_from(["14.99", "15", "16.99", "17", "29.99", "30", "31.99", "32", "39.99", "40", "42"]),
)
PATHS = st.lists(HEALTH, max_size=40)
EARLY_THRESHOLDS = st.sampled_from([None, "31", "40"])


def walk(path: Sequence[str], early: str | None = None) -> list[MarginEvent]:
    """The events of a path of healths, from an account without events."""
    events: list[MarginEvent] = []
    last: OpenState | None = None
    for health in path:
        event = decide(account(health, early=early), last, CLOCK)
        if event is not None:
            events.append(event)
            last = OpenState.after(event)
    return events


@given(PATHS, EARLY_THRESHOLDS)
def test_every_path__never_repeats_a_severity_within_an_episode(path: list[str], early: str | None) -> None:
    events = walk(path, early)
    for before, after in itertools.pairwise(events):
        assert before.severity is not after.severity or before.episode_id != after.episode_id


@given(PATHS, EARLY_THRESHOLDS)
def test_every_path__has_consecutive_numbers_and_distinct_ids(path: list[str], early: str | None) -> None:
    events = walk(path, early)
    assert [e.transition_number for e in events] == list(range(1, len(events) + 1))
    assert len({e.margin_event_id for e in events}) == len(events)


@given(PATHS, EARLY_THRESHOLDS)
def test_every_path__closes_an_episode_once_and_by_recovery(path: list[str], early: str | None) -> None:
    events = walk(path, early)
    for before, after in itertools.pairwise(events):
        assert (before.episode_id == after.episode_id) == (before.severity is not RECOVERED)
        assert after.previous_severity == (None if before.severity is RECOVERED else before.severity)
    if events:
        assert events[0].severity is not RECOVERED


@given(PATHS, EARLY_THRESHOLDS)
def test_every_path__replayed_gives_the_same_events(path: list[str], early: str | None) -> None:
    assert walk(path, early) == walk(path, early)


@given(PATHS, EARLY_THRESHOLDS)
def test_every_path__evaluating_the_same_health_again_changes_nothing(path: list[str], early: str | None) -> None:
    assert walk(path, early) == walk([health for health in path for _ in range(2)], early)


@given(PATHS)
def test_every_path__unpriced_is_never_recovered(path: list[str]) -> None:
    last: OpenState | None = None
    for health in path:
        event = decide(account(health), last, CLOCK)
        if health == NO_PRICE:
            assert event is None or event.severity is UNPRICED
        last = OpenState.after(event) if event is not None else last


@given(st.lists(st.decimals(min_value=30, max_value=Decimal("31.99"), places=2), min_size=1, max_size=30))
def test_hysteresis__inside_the_band_nothing_happens(path: list[Decimal]) -> None:
    inside = [str(health) for health in path]
    assert [e.severity for e in walk(["29", *inside])] == [CALL]
    assert walk(inside) == []


@given(st.lists(st.decimals(min_value=Decimal("28.01"), max_value=Decimal("31.99"), places=2), max_size=60))
def test_hysteresis__noise_around_a_threshold_is_told_at_most_once(path: list[Decimal]) -> None:
    assert len(walk([str(health) for health in path])) <= 1
