"""The transactions of the past as replays read them: features of today's SQL, and what was flagged and decided then."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import islice

from sqlalchemy import Engine, text

from compliance.aml.features import Replayed, basis_of
from compliance.aml.features import replay as read_window
from compliance.policy.model import Policy
from compliance.policy.replay import Past

CHUNK = 2_000

_COUNT = text(
    """
    select count(*)
    from compliance.transaction_logs
    where occurred_at > :since and occurred_at <= :until
    """
)
_HITS = text(
    """
    select transaction_id, rule_id
    from compliance.aml_alerts
    where transaction_id = any(cast(:transaction_ids as text[])) and outcome = 'hit'
    """
)


def count_past(engine: Engine, since: datetime, until: datetime) -> int:
    """How many transactions happened in `(since, until]`."""
    with engine.connect() as connection:
        return int(connection.execute(_COUNT, {"since": since, "until": until}).scalar_one())


def read_past(engine: Engine, policy: Policy, since: datetime, until: datetime, chunk: int = CHUNK) -> Iterator[Past]:
    """The transactions of `(since, until]` with the features that the policy goes by; holds one chunk at a time."""
    for rows in _chunks(read_window(engine, basis_of(policy), since, until, chunk), chunk):
        hits = _read_hits(engine, [row.transaction.transaction_id for row in rows])
        for row in rows:
            found = hits.get(row.transaction.transaction_id, frozenset())
            yield Past(row.transaction, row.features, row.decision, found)


def _chunks(rows: Iterable[Replayed], size: int) -> Iterator[list[Replayed]]:
    source = iter(rows)
    while chunk := list(islice(source, size)):
        yield chunk


def _read_hits(engine: Engine, transaction_ids: list[str]) -> dict[str, frozenset[str]]:
    with engine.connect() as connection:
        rows = connection.execute(_HITS, {"transaction_ids": transaction_ids}).all()
    found: dict[str, set[str]] = {}
    for row in rows:
        found.setdefault(row.transaction_id, set()).add(row.rule_id)
    return {transaction_id: frozenset(rule_ids) for transaction_id, rule_ids in found.items()}
