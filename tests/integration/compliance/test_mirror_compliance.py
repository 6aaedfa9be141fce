"""The mirror of compliance on real servers: nothing skipped, nothing secret carried, whatever is late or killed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, text

from assets.compliance.mirroring import mirrored_streams
from assets.compliance.reconciliation import Reconciled, reconcile
from compliance.errors import ComplianceError
from compliance.mirror import Mirror, MirrorBusyError, held_mirror
from compliance.mirror_tables import CASES, DECISIONS, SCREENINGS, STREAMS, TRANSACTION_LOGS
from infra.embedded.services import child_environment
from infra.embedded.state import StateFolder
from infra.runtime.bigquery import Appended, Warehouse
from infra.runtime.clock import FixedClock
from infra.runtime.envelope import LocalKeyRing
from infra.runtime.errors import NotReadyError
from infra.runtime.settings import PROJECT_ROOT, Settings

pytestmark = [pytest.mark.embedded, pytest.mark.timeout(600)]

PATIENCE_S = 120.0
ADDRESS = "0x52908400098527886E0F7030069857D2E4169EE7"
# A process that is killed when its rows are in the warehouse and its cursor has not moved.
DIES_AFTER_APPEND = """
import os, signal
from compliance.mirror import held_mirror
from compliance.mirror_tables import CASES
from infra.runtime.bigquery import Warehouse
from infra.runtime.clock import SystemClock
from infra.runtime.postgres import postgres_engine
from infra.runtime.settings import load_settings

class Dying(Warehouse):
    def append(self, table_id, rows, row_ids=None):
        super().append(table_id, rows, row_ids)
        os.kill(os.getpid(), signal.SIGKILL)

settings = load_settings()
with held_mirror(postgres_engine(settings), Dying(settings), SystemClock(), str) as mirror:
    mirror.copy(CASES)
"""
_CASE = text(
    """
    insert into compliance.cases (case_id, kind, subject_id, title, state, priority, sla_due_at, opened_at)
    values (:case_id, 'aml', :case_id, 'Jane Doe sent too much', 'open', 'high', :at, :at)
    """
)
_TRANSACTION = text(
    """
    insert into compliance.transaction_logs (
        transaction_id, account_id, direction, kind, side, asset, quantity, amount_usd, counterparty_address, chain,
        occurred_at, received_at, decision, decision_reason, decided_at, policy_version, list_versions, features, event
    ) values (
        :transaction_id, 'acc-1', 'in', 'deposit', 'collateral', 'ETH', :quantity, :amount_usd, :address, 'ethereum',
        :at, :at, 'blocked', :reason, :at, 'pol_1', cast('{"ofac": "lst_1", "un": "lst_2"}' as jsonb),
        cast(:features as jsonb), cast(:event as jsonb)
    )
    """
)
_DECISION = text(
    """
    insert into compliance.decisions values (
        :sequence, :prefix || :sequence, 'transaction', 'txn_1', 'blocked', 'rule sanctioned_wallet', 'system', 'pol_1',
        '{}', cast(:evidence as jsonb), :at, repeat('0', 63) || :sequence - 1, repeat('0', 63) || :sequence
    )
    """
)


def _decision(sequence: int, prefix: str, clock: FixedClock, evidence: str = "{}") -> dict[str, Any]:
    """Ids differ from test to test, for BigQuery drops a repeated id of the last minutes."""
    return {"sequence": sequence, "prefix": prefix, "evidence": evidence, "at": clock.now()}


def hashed(address: str) -> str:
    return f"h{len(address)}"


@dataclass(frozen=True)
class WithoutRowIds:
    """Appends as BigQuery does when it does not notice a repeat."""

    warehouse: Warehouse

    def append(
        self, table_id: str, rows: Sequence[Mapping[str, Any]], row_ids: Sequence[str] | None = None
    ) -> Appended:
        assert row_ids is not None
        assert len(set(row_ids)) == len(rows)
        return self.warehouse.append(table_id, rows)


@pytest.fixture(scope="module")
def bigquery(new_project: Callable[..., Settings]) -> Settings:
    """A project with the raw tables."""
    return new_project("ballast-compliance-mirror")


@pytest.fixture
def warehouse(bigquery: Settings) -> Iterator[Warehouse]:
    made = Warehouse(bigquery)
    for stream in STREAMS:
        made.query(f"delete from {stream.target.table_id} where true")
    yield made
    made.client.close()  # type: ignore[no-untyped-call]


def open_cases(connection: Connection, clock: FixedClock, *numbers: int) -> None:
    connection.execute(_CASE, [{"case_id": f"case_{number}", "at": clock.now()} for number in numbers])


def commit_cases(engine: Engine, clock: FixedClock, *numbers: int) -> None:
    for number in numbers:
        with engine.begin() as connection:
            open_cases(connection, clock, number)


def set_state(engine: Engine, case_id: str, state: str) -> None:
    with engine.begin() as connection:
        connection.execute(
            text("update compliance.cases set state = :state, version = version + 1 where case_id = :case_id"),
            {"state": state, "case_id": case_id},
        )


def copies(warehouse: Warehouse) -> list[str]:
    """Copied cases and their states in the order of changes, with repeats."""
    rows = warehouse.query("select case_id, state from raw.compliance_cases order by change_number, case_id")
    return [f"{row['case_id']} {row['state']}" for row in rows]


def copy_cases(engine: Engine, warehouse: Any, clock: FixedClock, **limits: int) -> int:
    with held_mirror(engine, warehouse, clock, hashed, **limits) as mirror:
        return mirror.copy(CASES).rows


def compared(mirror: Mirror, warehouse: Warehouse, stream: Any = CASES) -> Reconciled:
    return reconcile(warehouse, stream, mirror.passed(stream))


def test_mirror__carries_each_state_of_a_row_once(engine: Engine, clock: FixedClock, warehouse: Warehouse) -> None:
    commit_cases(engine, clock, 1, 2)
    assert copy_cases(engine, warehouse, clock) == 2
    set_state(engine, "case_1", "escalated")
    assert copy_cases(engine, warehouse, clock) == 1
    assert copy_cases(engine, warehouse, clock) == 0
    assert copies(warehouse) == ["case_1 open", "case_2 open", "case_1 escalated"]


def test_mirror__waits_for_an_open_transaction_and_misses_nothing(
    engine: Engine, clock: FixedClock, warehouse: Warehouse
) -> None:
    """The first transaction draws its number first, and commits last."""
    with engine.connect() as slow:
        transaction = slow.begin()
        open_cases(slow, clock, 1)
        commit_cases(engine, clock, 2)
        with held_mirror(engine, warehouse, clock, hashed) as mirror:
            assert mirror.copy(CASES).rows == 0
            found = compared(mirror, warehouse)
            assert (found.is_equal, found.ledger.rows, found.waiting) == (True, 0, 1)
        transaction.commit()
    assert copy_cases(engine, warehouse, clock) == 2
    assert copies(warehouse) == ["case_1 open", "case_2 open"]


def test_mirror__leaves_a_row_that_changes_meanwhile_for_its_new_number(
    engine: Engine, clock: FixedClock, warehouse: Warehouse
) -> None:
    """A number of the copy is never greater than that of a later state, or staging would keep the older state."""

    class Interfering:
        def append(
            self, table_id: str, rows: Sequence[Mapping[str, Any]], row_ids: Sequence[str] | None = None
        ) -> Appended:
            if rows[0]["case_id"] == "case_1":
                set_state(engine, "case_2", "assigned")
            return warehouse.append(table_id, rows, row_ids)

    commit_cases(engine, clock, 1, 2, 3)
    assert copy_cases(engine, Interfering(), clock, chunk=1) == 2
    assert copies(warehouse) == ["case_1 open", "case_3 open"]
    assert copy_cases(engine, warehouse, clock) == 1
    assert copies(warehouse)[-1] == "case_2 assigned"


@pytest.mark.parametrize(("chunk", "scan"), [(1, 2), (2, 3), (3, 3), (10, 4)])
def test_mirror__passes_rows_of_one_transaction_in_any_chunks(
    engine: Engine, clock: FixedClock, warehouse: Warehouse, chunk: int, scan: int
) -> None:
    with engine.begin() as connection:
        open_cases(connection, clock, *range(1, 8))
    assert copy_cases(engine, warehouse, clock, chunk=chunk, scan=scan) == 7
    assert copies(warehouse) == [f"case_{number} open" for number in range(1, 8)]


def test_mirror__carries_no_name_and_no_address(engine: Engine, clock: FixedClock, warehouse: Warehouse) -> None:
    commit_cases(engine, clock, 1)
    with engine.begin() as connection:
        connection.execute(
            _TRANSACTION,
            {
                "transaction_id": "txn_1",
                "quantity": Decimal("28739.000000000000000001"),
                "amount_usd": Decimal("12345678901234567.123456789"),
                "address": ADDRESS,
                "at": clock.now(),
                "reason": f"{ADDRESS} is listed",
                "features": f'{{"senders": ["{ADDRESS}", "{"r" * 34}"], "count_1h": "12", "sum": 1.10}}',
                "event": json.dumps({"counterparty_address": ADDRESS}),
            },
        )
        connection.execute(_DECISION, _decision(1, "secret", clock, json.dumps({"wallet": ADDRESS})))
    with held_mirror(engine, warehouse, clock, hashed) as mirror:
        for stream in STREAMS:
            mirror.copy(stream)
            assert compared(mirror, warehouse, stream).is_equal, stream.name
    rows = [warehouse.query(f"select * from {stream.target.table_id}") for stream in STREAMS]
    assert sum(len(found) for found in rows) == 3
    assert ADDRESS.lower() not in str(rows).lower()
    assert "Jane" not in str(rows)
    [row] = warehouse.query("select * from raw.compliance_transaction_logs")
    assert row["quantity"] == Decimal("28739.000000000000000001")
    assert row["amount_usd"] == Decimal("12345678901234567.123456789")
    assert row["counterparty_hash"] == "h42"
    assert row["decision_reason"] == "address:h42 is listed"
    assert row["features"] == '{"sum": 1.10, "senders": ["address:h42", "address:h34"], "count_1h": "12"}'
    assert (row["list_version_ids"], row["has_event"], row["published_at"]) == ("lst_1,lst_2", True, None)
    [decision] = warehouse.query("select evidence, list_version_ids from raw.compliance_decisions")
    assert decision == {"evidence": '{"wallet": "address:h42"}', "list_version_ids": None}


def test_mirror__killed_between_append_and_cursor_repeats_and_loses_nothing(
    engine: Engine, postgres_settings: Settings, clock: FixedClock, warehouse: Warehouse
) -> None:
    commit_cases(engine, clock, 1, 2, 3)
    token = warehouse.settings.bigquery_token
    assert token is not None
    environment = child_environment(StateFolder(postgres_settings.state_dir), "mirror") | {
        "BALLAST_BIGQUERY_ENDPOINT": str(warehouse.settings.bigquery_endpoint),
        "BALLAST_BIGQUERY_TOKEN": token.get_secret_value(),
        "BALLAST_GCP_PROJECT": warehouse.settings.gcp_project,
        "PYTHONPATH": str(PROJECT_ROOT),
    }
    done = subprocess.run(
        [sys.executable, "-c", DIES_AFTER_APPEND],
        cwd=PROJECT_ROOT,
        env=environment,
        timeout=PATIENCE_S,
        capture_output=True,
        text=True,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert len(copies(warehouse)) == 3
    set_state(engine, "case_1", "closed")
    with _lock_of_killed_process(engine, WithoutRowIds(warehouse), clock) as mirror:
        assert mirror.copy(CASES).rows == 3
        found = compared(mirror, warehouse)
    assert (found.told, found.ledger.rows) == ("equal", 3)
    assert sorted(copies(warehouse)) == [
        "case_1 closed",
        "case_1 open",
        *(f"case_{number} open" for number in (2, 2, 3, 3)),
    ]


def _lock_of_killed_process(engine: Engine, warehouse: Any, clock: FixedClock) -> Any:
    """The server notices the end of a killed process's session in its own time."""
    for _ in range(1_000):
        try:
            with held_mirror(engine, warehouse, clock, hashed):
                return held_mirror(engine, warehouse, clock, hashed)
        except MirrorBusyError:
            continue
    pytest.fail("the lock of a killed process is still held")


def test_mirror__one_works_and_another_is_refused(engine: Engine, clock: FixedClock, warehouse: Warehouse) -> None:
    commit_cases(engine, clock, 1)
    with held_mirror(engine, warehouse, clock, hashed) as mirror:
        with pytest.raises(MirrorBusyError), held_mirror(engine, warehouse, clock, hashed):
            pytest.fail("two mirrors at once")
        assert mirror.copy(CASES).rows == 1
    assert copy_cases(engine, warehouse, clock) == 0


def test_mirror__stops_when_another_moved_the_cursor(engine: Engine, clock: FixedClock, warehouse: Warehouse) -> None:
    """As after a loss of the lock in the middle of an append."""
    commit_cases(engine, clock, 1)

    class Slow:
        def append(
            self, table_id: str, rows: Sequence[Mapping[str, Any]], row_ids: Sequence[str] | None = None
        ) -> Appended:
            with engine.begin() as connection:
                connection.execute(text("insert into compliance.mirror_progress values ('cases', '1:other', now())"))
            return warehouse.append(table_id, rows, row_ids)

    with pytest.raises(MirrorBusyError, match="moved the cursor of cases"):
        copy_cases(engine, Slow(), clock)
    with engine.connect() as connection:
        position: str = connection.execute(text("select position from compliance.mirror_progress")).scalar_one()
    assert position == "1:other"


def test_mirror__refuses_a_cursor_from_another_server(engine: Engine, clock: FixedClock, warehouse: Warehouse) -> None:
    with engine.begin() as connection:
        connection.execute(
            text("insert into compliance.mirror_progress values ('cases', :position, now())"),
            {"position": f"{2**62}:c"},
        )
    with pytest.raises(ComplianceError, match="ahead of PostgreSQL"):
        copy_cases(engine, warehouse, clock)


def test_mirror__warehouse_away_moves_no_cursor(engine: Engine, clock: FixedClock, warehouse: Warehouse) -> None:
    commit_cases(engine, clock, 1)
    away = Warehouse(warehouse.settings.model_copy(update={"bigquery_endpoint": "http://127.0.0.1:9"}), deadline_s=0.1)
    with closing(away.client), pytest.raises(NotReadyError):
        copy_cases(engine, away, clock)
    assert copy_cases(engine, warehouse, clock) == 1


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        ("delete from raw.compliance_cases where case_id = 'case_2'", "rows: 2 in PostgreSQL, 1 in the warehouse"),
        ("update raw.compliance_cases set version = 9 where case_id = 'case_2'", "sum of version: 2 in PostgreSQL, 10"),
        (
            "update raw.compliance_cases set change_number = change_number + 1 where case_id = 'case_2'",
            "sum of change_number: ",
        ),
    ],
)
def test_reconciliation__finds_what_the_copy_lost_or_changed(
    engine: Engine, clock: FixedClock, warehouse: Warehouse, damage: str, told: str
) -> None:
    commit_cases(engine, clock, 1, 2)
    with held_mirror(engine, warehouse, clock, hashed) as mirror:
        mirror.copy(CASES)
        assert compared(mirror, warehouse).told == "equal"
        warehouse.query(damage)
        found = compared(mirror, warehouse)
    assert not found.is_equal
    assert told in found.told


def test_reconciliation__leaves_out_what_changed_since(engine: Engine, clock: FixedClock, warehouse: Warehouse) -> None:
    commit_cases(engine, clock, 1, 2)
    with held_mirror(engine, warehouse, clock, hashed) as mirror:
        mirror.copy(CASES)
        set_state(engine, "case_1", "closed")
        commit_cases(engine, clock, 3)
        found = compared(mirror, warehouse)
    assert (found.told, found.ledger.rows, found.waiting) == ("equal", 1, 2)


def test_reconciliation__of_more_waiting_rows_than_can_be_named_is_not_equal(
    engine: Engine, clock: FixedClock, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("compliance.mirror.MOST_WAITING", 1)
    commit_cases(engine, clock, 1, 2)
    with held_mirror(engine, warehouse, clock, hashed) as mirror:
        found = compared(mirror, warehouse)
    assert (found.is_equal, found.differences, found.copy) == (False, None, None)
    assert "not compared" in found.told


def test_reconciliation__finds_a_row_that_vanished_from_the_chain(
    engine: Engine, clock: FixedClock, warehouse: Warehouse
) -> None:
    with engine.begin() as connection:
        connection.execute(_DECISION, [_decision(number, "chain", clock) for number in (1, 2, 3)])
    with held_mirror(engine, warehouse, clock, hashed) as mirror:
        assert (mirror.copy(DECISIONS).rows, mirror.copy(DECISIONS).rows) == (3, 0)
        assert compared(mirror, warehouse, DECISIONS).is_equal
        with engine.begin() as connection:
            connection.execute(text("alter table compliance.decisions disable trigger all"))
            connection.execute(text("delete from compliance.decisions where sequence = 2"))
        assert "rows: 2 in PostgreSQL, 3 in the warehouse" in compared(mirror, warehouse, DECISIONS).told


def test_mirrored_streams__hash_with_the_key_of_the_ring(
    engine: Engine, postgres_settings: Settings, clock: FixedClock, warehouse: Warehouse, tmp_path: Path
) -> None:
    LocalKeyRing.create(tmp_path / "keys.json")
    settings = postgres_settings.model_copy(update={"pii_key_file": tmp_path / "keys.json"})
    values = {"quantity": 1, "amount_usd": None, "at": clock.now(), "reason": "", "features": "{}", "event": None}
    with engine.begin() as connection:
        for number, address in enumerate((ADDRESS, ADDRESS.lower(), "1BoatSLRHtKNngkdXEeobR76b53LETtpyT")):
            connection.execute(_TRANSACTION, values | {"transaction_id": f"txn_{number}", "address": address})
    found = list(mirrored_streams(settings, warehouse, clock))
    assert [stream for stream, _, _ in found] == list(STREAMS)
    assert all(reconciled.is_equal for _, _, reconciled in found)
    assert {stream.name: copied.rows for stream, copied, _ in found if copied.rows} == {TRANSACTION_LOGS.name: 3}
    rows = warehouse.query("select counterparty_hash from raw.compliance_transaction_logs order by transaction_id")
    one, same, other = (row["counterparty_hash"] for row in rows)
    assert one == same != other
    assert len(one) == len(other) == 64


def test_tables__hold_no_column_of_personal_data() -> None:
    forbidden = ("address", "payload", "title", "sealed", "birth", "email", "phone", "document", "reasons", "proposal")
    names = {f"{stream.name}.{column.name}" for stream in STREAMS for column in stream.target.schema}
    assert {name for name in names if any(word in name for word in forbidden)} == {"cases.has_proposal"}
    assert "subject_hash" in {column.name for column in SCREENINGS.target.schema}


def test_clock__is_the_injected_one(engine: Engine, clock: FixedClock, warehouse: Warehouse) -> None:
    commit_cases(engine, clock, 1)
    clock.advance(timedelta(minutes=5))
    copy_cases(engine, warehouse, clock)
    [row] = warehouse.query("select opened_at, mirrored_at from raw.compliance_cases")
    assert row["mirrored_at"] - row["opened_at"] == timedelta(minutes=5)
