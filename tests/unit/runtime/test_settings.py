"""Where settings come from, which source wins, and what an error tells."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from infra.runtime.errors import SettingsError
from infra.runtime.settings import PROJECT_ROOT, export_for_dbt, load_settings

SECRET = "hunter2hunter2"


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("BALLAST_"):
            monkeypatch.delenv(name)


def write(folder: Path, *lines: str) -> Path:
    (folder / "ballast.env").write_text("\n".join(lines))
    return folder


def test_load__without_anything_means_production(tmp_path: Path) -> None:
    settings = load_settings(tmp_path)
    assert settings.bigquery_endpoint is None
    assert settings.pubsub_endpoint is None
    assert settings.api_token is None
    assert settings.dbt_target == "production"
    assert settings.state_dir == tmp_path


def test_load__reads_the_file_and_the_environment_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "BALLAST_GCP_PROJECT=of-file", "BALLAST_BIGQUERY_LOCATION=EU", "UNRELATED=1")
    monkeypatch.setenv("BALLAST_GCP_PROJECT", "of-environment")
    settings = load_settings(tmp_path)
    assert (settings.gcp_project, settings.bigquery_location) == ("of-environment", "EU")


def test_load__folder_of_the_call_wins_over_the_environment(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = write(tmp_path_factory.mktemp("other"), "BALLAST_GCP_PROJECT=other")
    monkeypatch.setenv("BALLAST_STATE_DIR", str(other))
    assert load_settings().gcp_project == "other"
    assert load_settings().state_dir == other
    assert load_settings(write(tmp_path, "BALLAST_GCP_PROJECT=mine")).gcp_project == "mine"
    assert load_settings(tmp_path).state_dir == tmp_path


def test_load__without_a_folder_uses_the_one_in_the_project() -> None:
    assert load_settings().state_dir == PROJECT_ROOT / ".ballast"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BALLAST_BOOK_ACCOUNTS", f"many-{SECRET}"),
        ("BALLAST_BOOK_ACCOUNTS", "0"),
        ("BALLAST_LOG_LEVEL", SECRET),
        ("BALLAST_DBT_TARGET", SECRET),
        ("BALLAST_BIGQUERY_MAXIMUM_BYTES_BILLED", "-1"),
    ],
)
def test_load__names_a_wrong_variable_and_never_its_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as refused:
        load_settings(tmp_path)
    assert name in refused.value.message
    assert SECRET not in refused.value.message
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__


def test_load__names_every_wrong_variable(tmp_path: Path) -> None:
    write(tmp_path, "BALLAST_LOG_LEVEL=loud", "BALLAST_BOOK_ACCOUNTS=x")
    with pytest.raises(SettingsError, match=r"BALLAST_LOG_LEVEL.*BALLAST_BOOK_ACCOUNTS"):
        load_settings(tmp_path)


def test_load__an_empty_prices_folder_means_simulated_closes(tmp_path: Path) -> None:
    assert load_settings(write(tmp_path, "BALLAST_PRICES_DIR=")).prices_dir is None
    assert load_settings(write(tmp_path, "BALLAST_PRICES_DIR=/data")).prices_dir == Path("/data")


def test_secrets__do_not_show_in_the_settings(tmp_path: Path) -> None:
    names = ["BIGQUERY_TOKEN", "API_TOKEN", "APP_SESSION_KEY", "APP_ASSERTION_KEY", "APP_OIDC_CLIENT_SECRET"]
    names += ["COMPLIANCE_EMAILS", "WEBHOOK_SECRET", "SENDGRID_API_KEY", "TWILIO_AUTH_TOKEN"]
    write(
        tmp_path,
        *(f"BALLAST_{name}={SECRET}" for name in names),
        f"BALLAST_POSTGRES_URL=postgresql://u:{SECRET}@h/db",
    )
    settings = load_settings(tmp_path)
    assert settings.bigquery_token is not None
    assert settings.bigquery_token.get_secret_value() == SECRET
    assert SECRET not in repr(settings)
    assert SECRET not in str(settings.model_dump())
    assert SECRET not in settings.model_dump_json()


def test_export__gives_dbt_the_endpoint_and_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", dict(os.environ))
    settings = load_settings(
        write(tmp_path, "BALLAST_BIGQUERY_ENDPOINT=http://127.0.0.1:1", "BALLAST_BIGQUERY_TOKEN=t")
    )
    export_for_dbt(settings)
    assert os.environ["BALLAST_BIGQUERY_ENDPOINT"] == "http://127.0.0.1:1"
    assert os.environ["BALLAST_BIGQUERY_TOKEN"] == "t"
    assert os.environ["BALLAST_DBT_TARGET"] == "production"
