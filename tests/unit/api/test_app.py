"""Creation of the application, its clients, and the address that it serves."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import anyio
import pytest
from pydantic import SecretStr

import api
from api import app as app_module
from api.__main__ import port_of
from api.app import create_app
from infra.runtime.errors import SettingsError
from infra.runtime.settings import Settings

ALLOWED = (
    *("infra.runtime", "ingest", "alerting", "api", "compliance"),
    *("assets.risk.engine", "assets.risk.history_queries", "assets.risk.queries", "assets.risk.stress_queries"),
    "assets.risk.var_queries",
)
BALLAST = ("infra", "ingest", "assets", "alerting", "api", "compliance", "orchestration", "streamlit_app", "dagster")
FILES = sorted(Path(next(iter(api.__path__))).rglob("*.py"))


def test_create_app__makes_no_client(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a client was made before the lifespan began")

    monkeypatch.setattr(app_module, "Warehouse", refuse)
    monkeypatch.setattr(app_module, "postgres_engine", refuse)
    assert create_app(Settings()).title == "Ballast"


def test_lifespan__makes_its_clients_and_closes_them(monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[str] = []

    class Client:
        def close(self) -> None:
            closed.append("warehouse")

    class Opened:
        client = Client()

        def dispose(self) -> None:
            closed.append("engine")

    monkeypatch.setattr(app_module, "Warehouse", lambda *_: Opened())
    monkeypatch.setattr(app_module, "postgres_engine", lambda *_, **__: Opened())
    application = create_app(Settings(api_token=SecretStr("t")))

    async def live() -> None:
        async with application.router.lifespan_context(application):
            assert isinstance(application.state.reader, Opened)
            assert closed == []

    anyio.run(live)
    assert sorted(closed) == ["engine", "warehouse"]


def test_lifespan__leaves_given_clients_open(reader: Any, engine: Any) -> None:
    application = create_app(Settings(), warehouse=reader, engine=engine)

    async def live() -> None:
        async with application.router.lifespan_context(application):
            assert application.state.postgres_engine is engine

    anyio.run(live)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("select 1").scalar_one() == 1


@pytest.mark.parametrize(
    ("url", "port"),
    [("http://127.0.0.1:8600", 8600), ("http://127.0.0.1:9123/", 9123), ("https://api.example.com", 8600)],
)
def test_port__comes_from_the_address(url: str, port: int) -> None:
    assert port_of(url) == port


@pytest.mark.parametrize("url", ["http://127.0.0.1:port", "http://127.0.0.1:99999"])
def test_port__that_is_none_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match="BALLAST_API_URL"):
        port_of(url)


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.name))
def test_imports__keep_the_law(file: Path) -> None:
    imported = [
        name
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        for name in (
            [f"{node.module}.{alias.name}" for alias in node.names]
            if isinstance(node, ast.ImportFrom)
            else [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else []
        )
    ]
    ours = [name for name in imported if name.split(".")[0].removesuffix("_dbt") in BALLAST]
    assert [name for name in ours if not name.startswith(ALLOWED)] == []
