"""`load-list` and `screen` as a person calls them, on real PostgreSQL."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from sqlalchemy import Engine
from typer.testing import CliRunner

from compliance.cli_lists import app
from compliance.errors import ComplianceInputError, ComplianceNotReadyError, ListRefusedError
from infra.runtime.settings import Settings

# The tables of the matcher take seconds to read: one process does.
pytestmark = pytest.mark.xdist_group("screener")

Call = Callable[..., Result]


@pytest.fixture
def call(postgres_settings: Settings, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    """The command as the shell calls it: settings come from the environment alone."""
    for name in [name for name in os.environ if name.startswith("BALLAST_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("BALLAST_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("BALLAST_POSTGRES_URL", postgres_settings.postgres_url.get_secret_value())
    return lambda *arguments: CliRunner().invoke(app, list(arguments))


@pytest.fixture
def listed(tmp_path: Path) -> str:
    path = tmp_path / "list.json"
    path.write_text('{"id": "q1", "schema": "Person", "properties": {"name": ["Otto Quist"], "topics": ["sanction"]}}')
    return str(path)


def test_commands__load_a_list_and_search_it(call: Call, listed: str) -> None:
    loaded = call("load-list", "sample", listed)
    assert loaded.exit_code == 0
    assert "1 entries, 1 names, 0 wallets; 1 added, 0 changed, 0 removed." in loaded.output
    found = call("screen", "Otto Quist", "--born", "1961-05-30")
    assert found.exit_code == 1
    assert "1. Otto Quist (sample q1, sanction)" in found.output
    assert call("screen", "Gundula Obermeier").exit_code == 0
    assert call("screen", "?!").exit_code == 2


def test_commands__say_what_is_wrong(call: Call, tmp_path: Path) -> None:
    assert isinstance(call("screen", "Otto Quist").exception, ComplianceNotReadyError)
    assert isinstance(call("screen", "Otto Quist", "--born", "30.5.1961").exception, ComplianceInputError)
    assert isinstance(call("load-list", "sample", str(tmp_path / "none.json")).exception, ListRefusedError)
