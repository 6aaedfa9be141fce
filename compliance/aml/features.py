"""Features: the figures about a transaction that rules read, computed once and shared by all of them.

The check of one transaction and the replay of a window read them by the same SQL (`features_sql.py`), so that a replay
says what the check would have said with the history that is known now.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from functools import cached_property
from typing import Any

from sqlalchemy import Connection, Engine, RowMapping

from compliance.aml.features_sql import MIXERS, ONE, WINDOW
from compliance.model import Decision, Direction, Transaction
from compliance.policy.model import Policy
from infra.runtime.pipelining import Executes

CUSTOMER_KINDS = frozenset({"deposit", "withdrawal", "draw", "repayment"})
# An address of more accounts than this is a service, which is not followed; so many of its rows are looked at.
HUB_ACCOUNTS = 50
HUB_ROWS = 200
CHUNK = 2_000
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


class WalletOutcome(StrEnum):
    """What screening said of the counterparty's address; `not_screened`: there was no address to screen."""

    CLEAR = "clear"
    HIT = "hit"
    ERROR = "error"
    NOT_SCREENED = "not_screened"


@dataclass(frozen=True, slots=True)
class Band:
    """Amounts just under one limit, in the direction of the transaction."""

    limit_usd: Decimal
    count_24h: int
    sum_24h_usd: Decimal
    count_7d: int
    sum_7d_usd: Decimal


@dataclass(frozen=True)
class Basis:
    """What the figures are computed by: parameters of a policy, and addresses of mixers on the active lists."""

    limits_usd: tuple[Decimal, ...]
    band_from_pct: Decimal
    modulus_usd: Decimal
    mixer_topics: tuple[str, ...]
    mixers: tuple[str, ...] = ()

    @cached_property
    def values(self) -> Mapping[str, Any]:
        """The values of the statements."""
        return {
            "limits_usd": list(self.limits_usd),
            "band_from_pct": self.band_from_pct,
            "modulus_usd": self.modulus_usd,
            "mixers": self._mixers_text,
            "kinds": sorted(CUSTOMER_KINDS),
            "hub_accounts": HUB_ACCOUNTS,
            "hub_rows": HUB_ROWS,
        }

    @property
    def _mixers_text(self) -> str:
        """As PostgreSQL writes an array: made once, since there are hundreds of addresses and each check gives them."""
        quoted = (address.replace("\\", "\\\\").replace('"', '\\"') for address in self.mixers)
        return "{" + ",".join(f'"{address}"' for address in quoted) + "}"


@dataclass(frozen=True, slots=True)
class Features:
    """Figures at the time of a transaction, which is itself among them; sums are USD of what has a price.

    `unpriced` counts say what is missing in sums. `history` and `p95` are of the 30 days before the last 24 hours, by
    24 hours; days without a transaction are no days. `new_senders_7d` sent nothing in the 24 days before. Flows
    (`inflow`, `outflow` after the first inflow, `collateral`, `drawn`, draws of other wallets) leave out what was
    blocked or rejected.
    """

    count_1h: int = 0
    count_24h: int = 0
    count_7d: int = 0
    count_30d: int = 0
    amount_24h_usd: Decimal = Decimal(0)
    amount_7d_usd: Decimal = Decimal(0)
    unpriced_24h: int = 0
    unpriced_7d: int = 0
    history_count_30d: int = 0
    history_unpriced_30d: int = 0
    p95_daily_30d_usd: Decimal | None = None
    inflow_24h_usd: Decimal = Decimal(0)
    outflow_24h_usd: Decimal = Decimal(0)
    inflow_unpriced_24h: int = 0
    outflow_unpriced_24h: int = 0
    collateral_in_24h_usd: Decimal = Decimal(0)
    collateral_out_24h_usd: Decimal = Decimal(0)
    drawn_24h_usd: Decimal = Decimal(0)
    senders_7d: int = 0
    new_senders_7d: int = 0
    senders_unknown_7d: int = 0
    round_count_7d: int = 0
    draw_other_wallet_at: datetime | None = None
    draw_unknown_wallet_at: datetime | None = None
    last_activity_at: datetime | None = None
    has_prior_deposit: bool = False
    customer_since: datetime | None = None
    declared_profile_usd: Decimal | None = None
    has_mixer_list: bool = False
    is_mixer: bool | None = None
    is_hub: bool = False
    mixer_one_hop_count: int = 0
    mixer_one_hop_usd: Decimal = Decimal(0)
    bands: tuple[Band, ...] = ()
    wallet: WalletOutcome = WalletOutcome.NOT_SCREENED
    wallet_entries: tuple[str, ...] = ()

    def band(self, limit_usd: Decimal) -> Band | None:
        """The figures just under a limit; None where they were not computed."""
        return next((band for band in self.bands if band.limit_usd == limit_usd), None)

    def to_json(self) -> dict[str, Any]:
        """The features as they are recorded: numbers that can be money as texts."""
        return {name: _plain(getattr(self, name)) for name in _NAMES}


@dataclass(frozen=True, slots=True)
class Replayed:
    """A transaction of the past with its features, and what was decided then (None: nothing yet)."""

    transaction: Transaction
    features: Features
    decision: Decision | None
    policy_version: str | None


def basis_of(policy: Policy) -> Basis:
    """What a policy computes features by; a rule that it does not name gives nothing to compute."""
    structuring = policy.parameters("structuring") if "structuring" in policy.aml else {}
    rounding = policy.parameters("round_amounts") if "round_amounts" in policy.aml else {}
    mixing = policy.parameters("mixer_exposure") if "mixer_exposure" in policy.aml else {}
    return Basis(
        limits_usd=_decimals(structuring.get("limits_usd", ())),
        band_from_pct=Decimal(str(structuring.get("band_from_pct", 90))),
        modulus_usd=Decimal(str(rounding.get("modulus_usd", 1000))),
        mixer_topics=_texts(mixing.get("topics", ())),
    )


def read_mixers(connection: Connection, basis: Basis) -> Basis:
    """The basis with the addresses that the active lists call mixers."""
    found: Sequence[str] = connection.execute(MIXERS, {"topics": list(basis.mixer_topics)}).scalars().all()
    return replace(basis, mixers=tuple(found))


def read_features(connection: Connection, transaction: Transaction, basis: Basis) -> Features:
    """The features of one transaction, recorded or not; the wallet is screened by the caller."""
    return features_of(ask_features(connection, transaction, basis).mappings().one())


def ask_features(connection: Executes, transaction: Transaction, basis: Basis) -> Any:
    """The answer whose one row is for `features_of`, in one statement."""
    values = {
        "transaction_id": transaction.transaction_id,
        "account_id": transaction.account_id,
        "direction": transaction.direction.value,
        "kind": transaction.kind,
        "side": transaction.side,
        "amount_usd": transaction.amount_usd,
        "address": transaction.counterparty_address,
        "occurred_at": transaction.occurred_at,
    }
    return connection.execute(ONE, {**values, **basis.values})


def replay(engine: Engine, basis: Basis, since: datetime, until: datetime, chunk: int = CHUNK) -> Iterator[Replayed]:
    """All transactions with `since < occurred_at <= until` with their features, account by account, newest first.

    Each chunk is one statement, so that a long replay holds no transaction open, and is read while the one before is
    used. The wallet's screening is the one of then: lists of that day are not searched again.
    """
    with engine.connect() as connection:
        known = read_mixers(connection, basis)
    values = {**known.values, "since": since, "until": until, "max_rows": chunk}

    def read(after: Mapping[str, Any]) -> Sequence[RowMapping]:
        with engine.connect() as connection:
            return connection.execute(WINDOW, {**values, **after}).mappings().all()

    with ThreadPoolExecutor(1, "replay-reader") as reader:
        waiting = reader.submit(read, {"after_account": "", "after_at": _LONG_AGO, "after_id": ""})
        is_more = True
        while is_more:
            rows = waiting.result()
            is_more = len(rows) == chunk
            if is_more:
                last = rows[-1]
                places = {
                    "after_account": last["account_id"],
                    "after_at": last["occurred_at"],
                    "after_id": last["transaction_id"],
                }
                waiting = reader.submit(read, places)
            yield from map(_replayed, rows)


def _replayed(row: Mapping[Any, Any]) -> Replayed:
    return Replayed(
        transaction_of(row),
        features_of(row, **_recorded_wallet(row["features"])),
        None if row["decision"] is None else Decision(row["decision"]),
        row["policy_version"],
    )


def transaction_of(row: Mapping[Any, Any]) -> Transaction:
    """A transaction from its row; what only the caller stated stands beside the features."""
    stated = (row["features"] or {}).get("stated", {})
    return Transaction(
        transaction_id=row["transaction_id"],
        account_id=row["account_id"],
        direction=Direction(row["direction"]),
        kind=row["kind"],
        side=row["side"],
        asset=row["asset"],
        quantity=row["quantity"],
        amount_usd=row["amount_usd"],
        chain=row["chain"],
        occurred_at=row["occurred_at"],
        counterparty_address=row["counterparty_address"],
        counterparty_country=row["counterparty_country"],
        has_travel_rule_data=stated.get("has_travel_rule_data"),
        is_self_hosted=stated.get("is_self_hosted"),
        has_ownership_proof=stated.get("has_ownership_proof"),
        is_settled_unasked=row.get("is_settled_unasked", False),
    )


def _recorded_wallet(recorded: Mapping[str, Any] | None) -> dict[str, Any]:
    """The wallet's screening that is recorded; none is recorded before the decision."""
    found = (recorded or {}).get("features", {})
    if "wallet" not in found:
        return {}
    return {"wallet": WalletOutcome(found["wallet"]), "wallet_entries": tuple(found["wallet_entries"])}


_NAMES = tuple(each.name for each in fields(Features))
_FROM_ROW = tuple(name for name in _NAMES if name not in {"bands", "wallet", "wallet_entries"})


def features_of(row: Mapping[Any, Any], **wallet: Any) -> Features:
    """The features from a row of the statements of features."""
    found: dict[str, Any] = {name: row[name] for name in _FROM_ROW}
    for name in ("history_count_30d", "history_unpriced_30d"):
        found[name] = int(found[name])
    return Features(**found, bands=tuple(_band(band) for band in row["bands"]), **wallet)


def _band(found: Mapping[str, Any]) -> Band:
    return Band(
        Decimal(found["limit_usd"]),
        int(found["count_24h"]),
        Decimal(found["sum_24h_usd"]),
        int(found["count_7d"]),
        Decimal(found["sum_7d_usd"]),
    )


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Band):
        return {name: _plain(each) for name, each in asdict(value).items()}
    if isinstance(value, tuple | list):
        return [_plain(each) for each in value]
    return value


def _decimals(value: object) -> tuple[Decimal, ...]:
    values: Sequence[object] = value if isinstance(value, tuple | list) else ()
    return tuple(Decimal(str(each)) for each in values)


def _texts(value: object) -> tuple[str, ...]:
    values: Sequence[object] = value if isinstance(value, tuple | list) else ()
    return tuple(str(each) for each in values)
