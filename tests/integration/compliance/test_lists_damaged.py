"""`ballast compliance load-list` with what is no list: refused, recorded with a reason, the version before stays."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from sqlalchemy import Engine, text
from typer.testing import CliRunner

from compliance.cli_lists import app
from compliance.errors import ListRefusedError
from infra.runtime.settings import Settings

UN = """<?xml version="1.0" encoding="UTF-8"?>
<CONSOLIDATED_LIST dateGenerated="2026-01-30T00:00:00Z"><INDIVIDUALS><INDIVIDUAL><DATAID>1</DATAID>
<FIRST_NAME>Otto</FIRST_NAME><SECOND_NAME>Quistmeyer</SECOND_NAME></INDIVIDUAL></INDIVIDUALS></CONSOLIDATED_LIST>"""
DAMAGED: dict[str, tuple[str, bytes]] = {
    "no byte": ("un.xml", b""),
    "cut off": ("un.xml", UN.encode()[:-40]),
    "cut off in a name": ("un.xml", UN.encode()[: UN.index("Quist")]),
    "a bomb": (
        "un.xml",
        b'<!DOCTYPE a [<!ENTITY b "x"><!ENTITY c "&b;&b;">]><CONSOLIDATED_LIST>&c;</CONSOLIDATED_LIST>',
    ),
    "a page": ("un.xml", b"<html><body>Not found</body></html>"),
    "no bytes of JSON": ("list.json", b""),
    "JSON that is cut off": ("list.json", b'{"id": "q1", "schema": "Person", "properties": {"name": ["Ot'),
    "no text": ("sdn.csv", b"\x00\x01\xff\xfe" * 50),
}


def test_load_list__keeps_the_version_before(
    postgres_settings: Settings, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("BALLAST_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("BALLAST_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("BALLAST_POSTGRES_URL", postgres_settings.postgres_url.get_secret_value())

    def load(name: str, content: bytes) -> BaseException | None:
        (tmp_path / name).write_bytes(content)
        return CliRunner().invoke(app, ["load-list", "un", str(tmp_path / name)]).exception

    assert load("un.xml", UN.encode()) is None
    for what, (name, content) in DAMAGED.items():
        refused = load(name, content)
        assert isinstance(refused, ListRefusedError), (what, refused)
        assert "Quist" not in refused.message, what
    with engine.connect() as connection:
        states = connection.execute(text("select state, count(*) from compliance.list_versions group by state")).all()
        entries = connection.execute(text("select count(*) from compliance.list_entries")).scalar_one()
    assert ({row.state for row in states} <= {"active", "refused"}, entries) == (True, 1)
    assert dict(tuple(row) for row in states)["active"] == 1
