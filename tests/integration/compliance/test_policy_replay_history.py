"""A replay over transactions in PostgreSQL: what a candidate would have flagged, beside what was flagged."""

from __future__ import annotations

import io
import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from sqlalchemy import Engine, text
from typer.testing import CliRunner

from compliance import cli_policy
from compliance.cli_policy import app, run_replay, show_replay
from compliance.policy.book import POLICIES
from compliance.policy.cases import read_policy
from compliance.policy.history import count_past, read_past
from infra.runtime.clock import FixedClock
from infra.runtime.settings import Settings

NEWEST = POLICIES / "2026-07-01.yaml"
POLICY = read_policy(NEWEST)
LOG = text(
    """
    insert into compliance.transaction_logs
        (transaction_id, account_id, direction, kind, side, asset, quantity, amount_usd, counterparty_address,
        counterparty_country, chain, occurred_at, received_at, decision, features)
    values
        (:transaction_id, :account_id, 'in', 'deposit', 'collateral', 'BTC', 1, :amount_usd, :address, :country,
        'bitcoin', :at, :at, :decision, cast(:features as jsonb))
    """
)
ALERT = text(
    """
    insert into compliance.aml_alerts
        (alert_id, transaction_id, account_id, rule_id, outcome, severity, evidence, policy_version, raised_at)
    values (:alert_id, :transaction_id, 'a', :rule_id, 'hit', 'high', '{}', 'earlier', now())
    """
)
RECORDED = {
    "stated": {"has_travel_rule_data": True, "is_self_hosted": False},
    "features": {"wallet": "clear", "wallet_entries": []},
}


def log(engine: Engine, name: str, at: datetime, decision: str | None, *rules: str, **changes: Any) -> None:
    """Record a deposit with its decision and the rules that hit then."""
    values = {
        "transaction_id": name,
        "account_id": f"acct-{name}",
        "amount_usd": 500,
        "address": f"bc1q{name}",
        "country": "DE",
        "at": at,
        "decision": decision,
        "features": json.dumps(RECORDED),
    }
    with engine.begin() as connection:
        connection.execute(LOG, values | changes)
        for rule_id in rules:
            connection.execute(ALERT, {"alert_id": f"{name}-{rule_id}", "transaction_id": name, "rule_id": rule_id})


@pytest.fixture
def history(engine: Engine, clock: FixedClock) -> Engine:
    """Five transactions within 90 days, and one before."""
    day = timedelta(days=1)
    now = clock.now()
    log(engine, "t-1", now - day, "rejected", "geo_block", country="KP")
    log(engine, "t-2", now - 2 * day, "released", "geo_review", country="IQ")
    log(engine, "t-3", now - 3 * day, "accepted", country="IQ")
    log(engine, "t-4", now - 4 * day, "rejected", "geo_review", country="DZ")
    log(engine, "t-5", now - 89 * day, None, country=None)
    log(engine, "t-6", now - 91 * day, "accepted", country="KP")
    return engine


def quiet() -> Console:
    """A console that writes into a text."""
    return Console(file=io.StringIO(), width=200)


def test_replay__compares_a_candidate_with_the_past(history: Engine, clock: FixedClock) -> None:
    report = run_replay(history, clock, POLICY, 90, quiet())
    lines = {line.rule_id: line for line in report.rules}
    assert report.transactions == 5
    block, review = lines["geo_block"], lines["geo_review"]
    assert (block.candidate, block.then, block.both, block.errors) == (1, 1, 1, 1)
    assert str(block.precision_pct) == "100.0"
    assert (review.candidate, review.then, review.both, review.only_candidate, review.only_then) == (2, 2, 1, 1, 1)
    assert (str(review.precision_pct), str(review.precision_then_pct)) == ("0.0", "50.0")
    assert review.examples == ["t-3"]
    assert sum(report.decisions.values()) == 5
    assert report.decisions["undecided", "review"] == 1


def test_replay__changes_nothing(history: Engine, clock: FixedClock) -> None:
    tables = ("transaction_logs", "aml_alerts", "cases", "decisions", "outbox", "policies")

    def contents() -> list[Any]:
        with history.connect() as connection:
            return [
                connection.execute(text(f"select t::text from compliance.{name} as t order by 1")).all()
                for name in tables
            ]

    before = contents()
    run_replay(history, clock, POLICY, 90, quiet())
    assert contents() == before


@pytest.mark.parametrize("chunk", [1, 2, 5, 100])
def test_read_past__gives_each_transaction_once_whatever_the_chunk(
    history: Engine, clock: FixedClock, chunk: int
) -> None:
    since = clock.now() - timedelta(days=90)
    found = list(read_past(history, POLICY, since, clock.now(), chunk))
    assert sorted(each.transaction.transaction_id for each in found) == ["t-1", "t-2", "t-3", "t-4", "t-5"]
    assert {each.transaction.transaction_id: each.hits for each in found}["t-4"] == {"geo_review"}
    assert count_past(history, since, clock.now()) == 5


def test_show_replay__prints_tables(history: Engine, clock: FixedClock) -> None:
    output = io.StringIO()
    console = Console(file=output, width=200)
    show_replay(run_replay(history, clock, POLICY, 90, console), 90, console)
    assert "Policy 2026-07-01 over 5 transactions of the last 90 days" in output.getvalue()
    assert "100.0 % (1 of 1)" in output.getvalue()


def test_command__replays_and_prints_json(
    history: Engine, clock: FixedClock, postgres_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli_policy, "load_settings", lambda: postgres_settings)
    monkeypatch.setattr(cli_policy, "SystemClock", lambda: clock)
    result = CliRunner().invoke(app, ["replay", "--days", "90", "--policy", str(NEWEST), "--json"])
    assert result.exit_code == 0
    assert json.loads(result.stdout)["transactions"] == 5


def test_replay__of_an_empty_past_is_empty(engine: Engine, clock: FixedClock) -> None:
    report = run_replay(engine, clock, POLICY, 90, quiet())
    assert (report.transactions, report.decisions) == (0, {})


def test_command__refuses_a_policy_that_cannot_be_used(
    tmp_path: Path, postgres_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli_policy, "load_settings", lambda: postgres_settings)
    bad = tmp_path / "bad.yaml"
    bad.write_text("version: 1", encoding="utf-8")
    result = CliRunner().invoke(app, ["replay", "--policy", str(bad)])
    assert result.exit_code == 1
    assert "bad.yaml:1" in str(result.exception)
