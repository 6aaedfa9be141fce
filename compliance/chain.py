"""The record of case events and decisions: append-only, gapless, each row's hash covering the hash before it.

`hash` is SHA-256 over the row's columns (without `hash`) as canonical JSON: keys sorted, no spaces, ASCII, times as
`2026-01-31T12:00:00.000000Z`. Who has a row and its predecessor's hash can recompute it without this program.

Appends are serial: each one locks both heads (in one order, so that no two transactions wait for each other) until its
transaction ends. Lock your own rows before the first append, and commit soon after: where many append, in the pipeline
of the append, so that nobody waits for this process between the two.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, TextClause, text

from compliance.canonical import canonical, instant, plain
from compliance.errors import ChainBrokenError, ComplianceInputError
from compliance.model import SYSTEM, Actor
from compliance.pii import refuse_personal_data
from infra.runtime.clock import as_utc
from infra.runtime.ids import stable_id
from infra.runtime.pipelining import Executes

CASE_EVENTS = "case_events"
DECISIONS = "decisions"
GENESIS = "0" * 64
ROWS_PER_READ = 2_000
# PostgreSQL's to_char in the form of `canonical.instant`.
_INSTANT = """to_char(at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""


@dataclass(frozen=True, slots=True)
class _Chain:
    """A chained table: its columns beside sequence, at and the hashes, and which of them are JSON."""

    name: str
    id_column: str
    texts: tuple[str, ...]
    documents: tuple[str, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that the caller gives, without `at`."""
        return (self.id_column, *self.texts, *self.documents)


_CHAINS: Mapping[str, _Chain] = {
    CASE_EVENTS: _Chain(CASE_EVENTS, "event_id", ("case_id", "actor", "role", "kind"), ("body",)),
    DECISIONS: _Chain(
        DECISIONS,
        "decision_id",
        ("subject_kind", "subject_id", "outcome", "reason", "actor", "policy_version"),
        ("list_versions", "evidence"),
    ),
}


def _append_statement(chain: _Chain) -> TextClause:
    given = ", ".join(f"cast(:{name} as {'jsonb' if name in chain.documents else 'text'})" for name in chain.columns)
    # `for update` waits and then sees the newest heads; the hash is made of them where they are locked.
    return text(
        f"""
        with
            heads as materialized (
                select chain, sequence, hash from compliance.chain_heads order by chain for update
            ),

            appended as (
                insert into compliance.{chain.name}
                    (sequence, {", ".join(chain.columns)}, at, previous_hash, hash)
                select
                    sequence + 1, {given}, cast(:at as timestamptz), hash,
                    encode(
                        sha256(convert_to(
                            cast(:before_hash as text) || hash || cast(:before_sequence as text)
                            || cast(sequence + 1 as text) || cast(:after_sequence as text),
                            'UTF8'
                        )),
                        'hex'
                    )
                from heads
                where chain = '{chain.name}'
                on conflict ({chain.id_column}) do nothing
                returning sequence, hash
            )

        update compliance.chain_heads
        set sequence = appended.sequence, hash = appended.hash
        from appended
        where chain_heads.chain = '{chain.name}'
        """  # noqa: S608 - the names are constants of this module
    )


def _verify_statement(chain: _Chain) -> TextClause:
    documents = [f"cast({name} as text) as {name}" for name in chain.documents]
    columns = ", ".join([chain.id_column, *chain.texts, *documents])
    # One statement, one snapshot: rows and head belong together while others append. Ordered below the join, so that
    # rows come from the key's index as they are read; an order above it would sort the whole chain first.
    return text(
        f"""
        select heads.sequence as head_sequence, heads.hash as head_hash, entries.*
        from compliance.chain_heads as heads
        left join lateral (
            select sequence, {columns}, {_INSTANT} as at, previous_hash, hash
            from compliance.{chain.name}
            order by sequence
        ) as entries on true
        where heads.chain = '{chain.name}'
        """  # noqa: S608 - the names are constants of this module
    )


_APPEND = {name: _append_statement(chain) for name, chain in _CHAINS.items()}
_VERIFY = {name: _verify_statement(chain) for name, chain in _CHAINS.items()}
_LOCK = text("select chain from compliance.chain_heads order by chain for update")


def row_hash(row: Mapping[str, Any]) -> str:
    """The hash of a row: its columns without `hash`, `at` as text, JSON columns as plain values."""
    return hashlib.sha256(canonical(row).encode()).hexdigest()


def lock(connection: Connection) -> None:
    """Let no other transaction append until this one ends: for changes that must see what is recorded before."""
    connection.execute(_LOCK)


def append_event(
    connection: Executes,
    case_id: str,
    actor: Actor,
    kind: str,
    body: Mapping[str, Any],
    at: datetime,
    *,
    key: str | None = None,
) -> str:
    """Append an event of a case in the caller's transaction and return its id.

    The id follows from case, kind and `key`; without `key` from all that is given. An event that is there already is
    not appended again. The body holds ids and codes, no personal data.
    """
    document = plain(body)
    parts = (key,) if key is not None else (actor.name, canonical(document), instant(at))
    event_id = stable_id("cev", case_id, kind, *parts)
    given = {
        "event_id": event_id,
        "case_id": case_id,
        "actor": actor.name,
        "role": str(actor.role) if actor.role is not None else "system",
        "kind": kind,
        "body": document,
    }
    _append(connection, _CHAINS[CASE_EVENTS], given, at)
    return event_id


def append_decision(
    connection: Executes,
    *,
    subject_kind: str,
    subject_id: str,
    outcome: str,
    reason: str,
    actor: Actor,
    policy_version: str,
    list_versions: Mapping[str, str],
    evidence: Mapping[str, Any],
    at: datetime,
) -> str:
    """Append a decision in the caller's transaction and return its id, which follows from all but the evidence.

    The same decision of the same time is not appended again. Raises `ComplianceInputError` where a person's reason
    holds an email address or a phone number.
    """
    if actor != SYSTEM:
        refuse_personal_data("reason", reason)
    decision_id = stable_id("dec", subject_kind, subject_id, outcome, reason, actor.name, policy_version, instant(at))
    given = {
        "decision_id": decision_id,
        "subject_kind": subject_kind,
        "subject_id": subject_id,
        "outcome": outcome,
        "reason": reason,
        "actor": actor.name,
        "policy_version": policy_version,
        "list_versions": list_versions,
        "evidence": evidence,
    }
    _append(connection, _CHAINS[DECISIONS], given, at)
    return decision_id


def _append(connection: Executes, chain: _Chain, given: Mapping[str, Any], at: datetime) -> None:
    row = {name: plain(value) for name, value in given.items()} | {"at": instant(at)}
    written = {name: canonical(row[name]) for name in sorted(row)}
    before = [f"{canonical(name)}:{value}" for name, value in written.items() if name < "previous_hash"]
    between = [f"{canonical(name)}:{value}" for name, value in written.items() if "previous_hash" < name < "sequence"]
    after = [f"{canonical(name)}:{value}" for name, value in written.items() if name > "sequence"]
    texts = {name: written[name] if name in chain.documents else row[name] for name in chain.columns}
    connection.execute(
        _APPEND[chain.name],
        {
            **texts,
            "at": as_utc(at),
            "before_hash": "{" + "".join(f"{part}," for part in before) + '"previous_hash":"',
            "before_sequence": '",' + "".join(f"{part}," for part in between) + '"sequence":',
            "after_sequence": "".join(f",{part}" for part in after) + "}",
        },
    )


@dataclass(frozen=True, slots=True)
class ChainState:
    """How far a chain goes; whoever keeps rows and hash elsewhere can later prove that nothing was rewritten."""

    rows: int
    head_hash: str


@dataclass(frozen=True, slots=True)
class ChainReport:
    """The state of each chain, all of which follow from themselves."""

    chains: Mapping[str, ChainState] = field(default_factory=dict)


def verify(connection: Connection, noted: Mapping[str, ChainState] | None = None) -> ChainReport:
    """Recompute both chains from their first row to their head, reading in chunks.

    `noted` are states that were written down earlier: the chain must still pass through them. Raises
    `ChainBrokenError` that names the first row that does not follow, or the head.
    """
    given = noted or {}
    unknown = set(given) - set(_CHAINS)
    if unknown:
        raise ComplianceInputError(f"There is no chain {sorted(unknown)}: choose from {sorted(_CHAINS)}.")
    return ChainReport({name: _verified(connection, chain, given.get(name)) for name, chain in _CHAINS.items()})


def _verified(connection: Connection, chain: _Chain, noted: ChainState | None) -> ChainState:
    state = ChainState(0, GENESIS)
    head: ChainState | None = None
    is_noted_found = noted is None or noted == state
    for row in _rows(connection, chain):
        head = ChainState(row.pop("head_sequence"), row.pop("head_hash"))
        if row["sequence"] is None:
            break
        state = follow(chain.name, state, row)
        is_noted_found = is_noted_found or state == noted
    if head is None:
        raise ChainBrokenError(f"{chain.name}: the head is gone.")
    if head.rows != state.rows:
        what = "rows at the end were removed" if head.rows > state.rows else "rows were added past the head"
        raise ChainBrokenError(f"{chain.name}: the head is at row {head.rows}, the last row is {state.rows}: {what}.")
    if head.head_hash != state.head_hash:
        raise ChainBrokenError(f"{chain.name}: row {state.rows} is not the one that the head was set to.")
    if noted is not None and not is_noted_found:
        raise ChainBrokenError(f"{chain.name}: row {noted.rows} no longer has the hash that was noted.")
    return state


def follow(name: str, before: ChainState, row: Mapping[str, Any]) -> ChainState:
    """The state after `row`, all columns as `row_hash` takes them and `hash`; raises `ChainBrokenError`."""
    sequence = row["sequence"]
    expected = before.rows + 1
    if sequence > expected:
        raise ChainBrokenError(f"{name}: row {expected} is missing; the next one is row {sequence}.")
    if sequence < expected:
        raise ChainBrokenError(f"{name}: row {sequence} was inserted before the first one.")
    content = {key: value for key, value in row.items() if key != "hash"}
    if row_hash(content) != row["hash"]:
        raise ChainBrokenError(f"{name}: row {sequence} was changed: it does not have the hash of its content.")
    if row["previous_hash"] != before.head_hash:
        raise ChainBrokenError(
            f"{name}: row {sequence} does not follow row {before.rows}: one of them was inserted or rewritten."
        )
    return ChainState(sequence, row["hash"])


def _rows(connection: Connection, chain: _Chain) -> Iterator[dict[str, Any]]:
    result = connection.execute(
        _VERIFY[chain.name], execution_options={"stream_results": True, "yield_per": ROWS_PER_READ}
    )
    with result:
        for found in result.mappings():
            row = dict(found)
            for name in chain.documents:
                row[name] = json.loads(row[name]) if row[name] is not None else None
            yield row
