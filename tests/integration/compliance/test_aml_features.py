"""Features by SQL against their definition in plain Python, for one transaction and a window, on random histories."""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from math import ceil
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, text

from compliance.aml.features import (
    HUB_ACCOUNTS,
    Band,
    Basis,
    Features,
    WalletOutcome,
    read_features,
    read_mixers,
    replay,
)
from compliance.model import Decision, Direction, Transaction

END = datetime(2026, 1, 31, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
CUSTOMER = ("deposit", "withdrawal", "draw", "repayment")
DIRECTIONS = {
    "deposit": "in",
    "repayment": "in",
    "withdrawal": "out",
    "draw": "out",
    "interest": "in",
    "seizure": "out",
}
MIXERS = ("0xmix1", "0xmix2")
BASIS = Basis((Decimal(1000), Decimal(3000)), Decimal(90), Decimal(1000), ("crime.mixer",), MIXERS)
AMOUNTS = (None, *map(Decimal, ("0", "900", "950.5", "999.999999999", "1000", "2700", "2999", "3000", "5000", "20000")))
INSERT = text(
    """
    insert into compliance.transaction_logs
        (transaction_id, account_id, direction, kind, side, asset, quantity, amount_usd, counterparty_address,
        counterparty_country, chain, occurred_at, received_at, decision, features)
    values
        (:transaction_id, :account_id, :direction, :kind, :side, 'ETH', 1, :amount_usd, :address, null, 'ethereum',
        :occurred_at, :occurred_at, :decision, cast(:features as jsonb))
    """
)
Row = Mapping[str, Any]


def row(transaction_id: str, occurred_at: datetime, **given: Any) -> dict[str, Any]:
    kind = given.pop("kind", "deposit")
    base = {
        "transaction_id": transaction_id,
        "account_id": "a",
        "direction": DIRECTIONS[kind],
        "kind": kind,
        "side": "borrow" if kind in ("draw", "repayment") else "collateral",
        "amount_usd": Decimal(100),
        "address": "0x1",
        "occurred_at": occurred_at,
        "decision": "accepted",
        "features": None,
    }
    return base | given


def transaction(found: Row) -> Transaction:
    return Transaction(
        transaction_id=found["transaction_id"],
        account_id=found["account_id"],
        direction=Direction(found["direction"]),
        kind=found["kind"],
        side=found["side"],
        asset="ETH",
        quantity=Decimal(1),
        amount_usd=found["amount_usd"],
        chain="ethereum",
        occurred_at=found["occurred_at"],
        counterparty_address=found["address"],
    )


def insert(connection: Connection, rows: Sequence[Row]) -> None:
    connection.execute(INSERT, rows)


def random_rows(seed: int, count: int) -> list[dict[str, Any]]:
    """A few accounts, addresses that they share, times that tie and fall on the edges of windows, any order."""
    chance = random.Random(seed)
    edges = (timedelta(0), HOUR, DAY, 2 * DAY, 7 * DAY, 30 * DAY, 31 * DAY, 90 * DAY, 91 * DAY)
    rows = []
    for number in range(count):
        back = chance.choice(edges) if chance.random() < 0.4 else timedelta(minutes=chance.randrange(45 * 24 * 60))
        kind = chance.choice((*CUSTOMER, *CUSTOMER, "interest", "seizure"))
        rows.append(
            row(
                f"t{number:03}",
                END - back,
                account_id=chance.choice("abc"),
                kind=kind,
                amount_usd=chance.choice(AMOUNTS),
                address=chance.choice((None, "0x1", "0x2", "0x3", "0x4", *MIXERS)),
                decision=chance.choice((None, "accepted", "accepted", "review", "blocked", "released", "rejected")),
            )
        )
    return rows


def total(rows: Sequence[Row]) -> Decimal:
    return sum((each["amount_usd"] for each in rows if each["amount_usd"] is not None), Decimal(0))


def unpriced(rows: Sequence[Row]) -> int:
    return sum(each["amount_usd"] is None for each in rows)


def by_definition(target: Row, rows: Sequence[Row]) -> Features:
    """What the docstrings of features say, one target and everything at a time."""
    at = target["occurred_at"]

    def within(found: Sequence[Row], window: timedelta) -> list[Row]:
        return [each for each in found if at - window < each["occurred_at"] <= at]

    others = [each for each in rows if each["transaction_id"] != target["transaction_id"] and each["occurred_at"] <= at]
    own = [each for each in others if each["account_id"] == target["account_id"] and each["kind"] in CUSTOMER]
    judged = dict(target) | {"decision": None}
    history = within([*own, *([judged] if target["kind"] in CUSTOMER else [])], 31 * DAY)
    moved = [each for each in history if each["decision"] not in ("blocked", "rejected")]
    last_day, last_week = within(history, DAY), within(history, 7 * DAY)
    incoming = [each for each in within(moved, DAY) if each["direction"] == "in"]
    outgoing = [each for each in within(moved, DAY) if each["direction"] == "out"]
    first_in = min((each["occurred_at"] for each in incoming), default=None)
    days: dict[int, list[Row]] = defaultdict(list)
    for each in history:
        if (at - each["occurred_at"]) // DAY >= 1:
            days[(at - each["occurred_at"]) // DAY].append(each)
    sums = sorted(total(found) for found in days.values() if unpriced(found) < len(found))
    senders = {each["address"] for each in last_week if each["direction"] == "in" and each["address"]}
    known = {each["address"] for each in history if each not in last_week}
    draws = [each for each in moved if each["kind"] == "draw"]
    shared = {
        each["account_id"]
        for each in within(rows, 90 * DAY)
        if target["address"] and each["address"] == target["address"]
    }
    near = shared | {target["account_id"]}
    flagged = [each for each in within(others, 90 * DAY) if each["account_id"] in near and each["address"] in MIXERS]
    return Features(
        count_1h=len(within(history, HOUR)),
        count_24h=len(last_day),
        count_7d=len(last_week),
        count_30d=len(within(history, 30 * DAY)),
        amount_24h_usd=total(last_day),
        amount_7d_usd=total(last_week),
        unpriced_24h=unpriced(last_day),
        unpriced_7d=unpriced(last_week),
        history_count_30d=sum(len(found) for found in days.values()),
        history_unpriced_30d=sum(unpriced(found) for found in days.values()),
        p95_daily_30d_usd=sums[ceil(Decimal("0.95") * len(sums)) - 1] if sums else None,
        inflow_24h_usd=total(incoming),
        outflow_24h_usd=total([each for each in outgoing if first_in and each["occurred_at"] >= first_in]),
        inflow_unpriced_24h=unpriced(incoming),
        outflow_unpriced_24h=unpriced(outgoing),
        collateral_in_24h_usd=total([each for each in incoming if each["kind"] == "deposit"]),
        collateral_out_24h_usd=total([each for each in outgoing if each["kind"] == "withdrawal"]),
        drawn_24h_usd=total([each for each in outgoing if each["kind"] == "draw"]),
        senders_7d=len(senders),
        new_senders_7d=len(senders - known),
        senders_unknown_7d=sum(each["direction"] == "in" and each["address"] is None for each in last_week),
        round_count_7d=sum(
            each["amount_usd"] is not None and each["amount_usd"] > 0 and each["amount_usd"] % 1000 == 0
            for each in last_week
        ),
        draw_other_wallet_at=max(
            (
                each["occurred_at"]
                for each in draws
                if target["address"] and each["address"] and each["address"] != target["address"]
            ),
            default=None,
        ),
        draw_unknown_wallet_at=max(
            (each["occurred_at"] for each in draws if not target["address"] or not each["address"]), default=None
        ),
        last_activity_at=max((each["occurred_at"] for each in own), default=None),
        has_prior_deposit=any(
            each["kind"] == "deposit" and each["decision"] not in ("blocked", "rejected") for each in own
        ),
        has_mixer_list=True,
        is_mixer=None if target["address"] is None else target["address"] in MIXERS,
        mixer_one_hop_count=len(flagged),
        mixer_one_hop_usd=total(flagged),
        bands=tuple(band(limit, target, last_day, last_week) for limit in BASIS.limits_usd),
    )


def band(limit: Decimal, target: Row, last_day: Sequence[Row], last_week: Sequence[Row]) -> Band:
    def under(rows: Sequence[Row]) -> list[Row]:
        floor = limit * BASIS.band_from_pct / 100
        return [
            each
            for each in rows
            if each["direction"] == target["direction"]
            and each["amount_usd"] is not None
            and floor <= each["amount_usd"] < limit
        ]

    return Band(limit, len(under(last_day)), total(under(last_day)), len(under(last_week)), total(under(last_week)))


@pytest.mark.parametrize("seed", range(4))
def test_features__check_and_replay_say_what_the_definition_says(engine: Engine, seed: int) -> None:
    rows = random_rows(seed, 70)
    with engine.begin() as connection:
        insert(connection, rows)
        for values in BASIS_LISTS:
            connection.execute(text(values))
    expected = {each["transaction_id"]: by_definition(each, rows) for each in rows}
    with engine.connect() as connection:
        basis = read_mixers(connection, replace(BASIS, mixers=()))
        one = {each["transaction_id"]: read_features(connection, transaction(each), basis) for each in rows}
    whole = {
        found.transaction.transaction_id: found.features
        for found in replay(engine, basis, END - 365 * DAY, END, chunk=7)
    }
    assert basis == BASIS
    assert one == expected
    assert whole == expected
    assert sum(found.mixer_one_hop_count > 0 for found in expected.values()) > 5


BASIS_LISTS = (
    "insert into compliance.list_versions (list_version_id, list_name, content_hash, state, loaded_at)"
    " values ('v2', 'mixers', 'x', 'active', now()), ('v1', 'mixers', 'y', 'superseded', now())",
    "insert into compliance.list_entries (list_version_id, entry_id, entry_hash, kind, topics, names, details)"
    " values ('v2', 'e1', 'h', 'wallet', '{crime.mixer}', '[]', '{}'),"
    " ('v2', 'e2', 'h', 'wallet', '{sanction}', '[]', '{}'), ('v1', 'e3', 'h', 'wallet', '{crime.mixer}', '[]', '{}')",
    "insert into compliance.list_wallets (list_version_id, address, entry_id)"
    " values ('v2', '0xmix1', 'e1'), ('v2', '0xmix2', 'e1'), ('v2', '0x1', 'e2'), ('v1', '0x2', 'e3')",
)


def test_features__order_of_arrival_changes_nothing(engine: Engine) -> None:
    rows = random_rows(9, 40)
    last = max(rows, key=lambda each: (each["occurred_at"], each["transaction_id"]))
    found = []
    for order in (rows, rows[::-1]):
        with engine.connect() as connection:
            insert(connection, [each for each in order if each is not last])
            found.append(read_features(connection, transaction(last), BASIS))
            connection.rollback()
    assert found[0] == found[1] == by_definition(last, rows)


def test_features__a_late_transaction_counts_where_it_occurred(engine: Engine) -> None:
    now = row("now", END)
    with engine.begin() as connection:
        insert(connection, [row("before", END - HOUR)])
        without = read_features(connection, transaction(now), BASIS)
        insert(connection, [row("late", END - 20 * HOUR), row("after", END + HOUR), row("old", END - 25 * HOUR)])
        with_it = read_features(connection, transaction(now), BASIS)
    assert (without.count_24h, with_it.count_24h) == (2, 3)
    assert (with_it.count_1h, with_it.history_count_30d) == (1, 1)


def test_features__the_profile_is_the_customers(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(
            text(
                "insert into compliance.users (user_id, reference, account_id, kind, pii_sealed, pii_key_id,"
                " pii_wrapped_key, name_hash, declared_profile_usd, created_at, updated_at)"
                " values ('u1', 'r1', 'a', 'person', '', 'k', '', 'h', 5000, :at, :at),"
                " ('u2', 'r2', 'a', 'person', '', 'k', '', 'h', 7000, :later, :later)"
            ),
            {"at": END - DAY, "later": END},
        )
        found = read_features(connection, transaction(row("t", END)), BASIS)
        nobody = read_features(connection, transaction(row("t", END, account_id="z")), BASIS)
    assert (found.declared_profile_usd, found.customer_since) == (Decimal(5000), END - DAY)
    assert (nobody.declared_profile_usd, nobody.customer_since) == (None, None)


def test_features__a_service_address_is_not_followed(engine: Engine) -> None:
    crowd = [row(f"c{n}", END - HOUR, account_id=f"o{n}", address="0xexchange") for n in range(HUB_ACCOUNTS + 1)]
    theirs = row("m", END - HOUR, account_id="o1", address="0xmix1")
    target = transaction(row("t", END, address="0xexchange"))
    with engine.begin() as connection:
        insert(connection, [*crowd, theirs])
        hub = read_features(connection, target, BASIS)
        insert(connection, [row("own", END - HOUR, address="0xmix1")])
        own = read_features(connection, target, BASIS)
    assert (hub.is_hub, hub.mixer_one_hop_count) == (True, 0)
    assert (own.is_hub, own.mixer_one_hop_count) == (True, 1)


def test_replay__gives_what_was_stated_screened_and_decided_then(engine: Engine) -> None:
    recorded = {
        "stated": {"has_travel_rule_data": True, "is_self_hosted": False},
        "features": {"wallet": "hit", "wallet_entries": ["ofac_sdn:1"]},
    }
    with engine.begin() as connection:
        insert(
            connection,
            [
                row("judged", END, decision="blocked", features=json.dumps(recorded)),
                row("waiting", END - HOUR, decision=None),
                row("outside", END - 91 * DAY),
            ],
        )
    judged, waiting = replay(engine, BASIS, END - 90 * DAY, END)
    assert judged.transaction.has_travel_rule_data is True
    assert judged.transaction.is_self_hosted is False
    assert (judged.features.wallet, judged.features.wallet_entries) == (WalletOutcome.HIT, ("ofac_sdn:1",))
    assert judged.decision is Decision.BLOCKED
    assert (waiting.transaction.transaction_id, waiting.decision) == ("waiting", None)
    assert waiting.features.wallet is WalletOutcome.NOT_SCREENED
