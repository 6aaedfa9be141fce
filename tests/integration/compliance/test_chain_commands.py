"""`verify-ledger` and `rotate-keys` as a person calls them, on real PostgreSQL."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import Result
from sqlalchemy import Engine, text
from typer.testing import CliRunner

from compliance.chain import GENESIS, ChainState, append_decision
from compliance.cli_ledger import app, parse_noted
from compliance.errors import ChainBrokenError, ComplianceInputError
from compliance.model import SYSTEM
from compliance.pii import PersonalData
from compliance.users import NewUser, create_users, read_users
from infra.runtime.clock import FixedClock
from infra.runtime.envelope import Envelope, LocalKeyRing
from infra.runtime.errors import SettingsError
from infra.runtime.settings import Settings

Call = Callable[..., Result]


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


@pytest.fixture
def call(postgres_settings: Settings, engine: Engine, key_file: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    """The command as the shell calls it: settings come from the environment alone."""
    for name in [name for name in os.environ if name.startswith("BALLAST_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("BALLAST_STATE_DIR", str(key_file.parent))
    monkeypatch.setenv("BALLAST_POSTGRES_URL", postgres_settings.postgres_url.get_secret_value())
    monkeypatch.setenv("BALLAST_PII_KEY_FILE", str(key_file))
    return lambda *arguments: CliRunner().invoke(app, list(arguments))


@pytest.fixture
def decided(engine: Engine) -> None:
    with engine.begin() as connection:
        for number in range(3):
            append_decision(
                connection,
                subject_kind="transaction",
                subject_id=f"tx_{number}",
                outcome="accepted",
                reason="no rule hit",
                actor=SYSTEM,
                policy_version="2026-01",
                list_versions={},
                evidence={},
                at=datetime(2026, 1, 31, 12, tzinfo=UTC),
            )


@pytest.mark.usefixtures("decided")
def test_verify_ledger__prints_what_can_be_given_to_it_again(call: Call) -> None:
    states = json.loads(call("verify-ledger", "--json").stdout)
    assert (states["decisions"]["rows"], states["case_events"]) == (3, {"rows": 0, "head_hash": GENESIS})
    shown = call("verify-ledger")
    line = f"--noted decisions:3:{states['decisions']['head_hash']}"
    assert (shown.exit_code, line in shown.stdout) == (0, True)
    assert call("verify-ledger", *line.split()).exit_code == 0


@pytest.mark.usefixtures("decided")
def test_verify_ledger__fails_and_names_the_row(call: Call, engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("alter table compliance.decisions disable trigger decisions_append_only"))
        connection.execute(text("update compliance.decisions set outcome = 'blocked' where sequence = 2"))
    found = call("verify-ledger")
    assert found.exit_code == 1
    assert isinstance(found.exception, ChainBrokenError)
    assert "row 2 was changed" in found.exception.message


def test_verify_ledger__fails_where_a_noted_row_is_gone(call: Call) -> None:
    found = call("verify-ledger", "--noted", f"decisions:3:{'a' * 64}")
    assert (found.exit_code, type(found.exception)) == (1, ChainBrokenError)


@pytest.mark.parametrize("wrong", ["", "decisions", f"decisions:x:{GENESIS}", "decisions:1:abc", f"a:b:1:{GENESIS}"])
def test_parse_noted__refuses_what_was_not_printed(wrong: str) -> None:
    with pytest.raises(ComplianceInputError, match="CHAIN:ROW:HASH"):
        parse_noted(wrong)


def test_parse_noted__reads_a_state() -> None:
    assert parse_noted(f"decisions:12:{'AB' * 32}") == ("decisions", ChainState(12, "ab" * 32))


def test_rotate_keys__wraps_everything_by_a_new_key(
    call: Call, engine: Engine, clock: FixedClock, key_file: Path
) -> None:
    before = LocalKeyRing.create(key_file).active_key_id
    users = [NewUser(f"ref_{n}", "person", PersonalData(names=(f"Person {n}",))) for n in range(5)]
    with engine.begin() as connection:
        create_users(connection, Envelope(LocalKeyRing(key_file)), clock, users)
    found = call("rotate-keys")
    after = LocalKeyRing(key_file).active_key_id
    assert (found.exit_code, after != before) == (0, True)
    assert "5 rows wrapped anew" in found.stdout
    assert f"{after} (active)" in found.stdout
    assert before not in found.stdout
    again = call("rotate-keys", "--rewrap-only")
    assert (again.exit_code, "0 rows" in again.stdout) == (0, True)
    assert LocalKeyRing(key_file).active_key_id == after
    with engine.connect() as connection:
        assert len(read_users(connection, Envelope(LocalKeyRing(key_file)))) == 5


def test_rotate_keys__without_a_ring_says_so(call: Call) -> None:
    found = call("rotate-keys")
    assert (found.exit_code, type(found.exception)) == (1, SettingsError)
