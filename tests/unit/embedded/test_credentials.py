"""Generated credentials: made once, kept, private, and read back by the settings."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import SecretStr

from infra.embedded.credentials import ensure_env_file, postgres_password, read_env_file, stack_settings
from infra.embedded.errors import EmbeddedError
from infra.embedded.inbox.signing import ensure_signing_key, twilio_signature
from infra.embedded.ports import Ports
from infra.embedded.state import MarketChoice
from infra.runtime.sealing import Sealer
from infra.runtime.settings import load_settings

SECRETS = {
    "BALLAST_BIGQUERY_TOKEN",
    "BALLAST_API_TOKEN",
    "BALLAST_APP_SESSION_KEY",
    "BALLAST_APP_ASSERTION_KEY",
    "BALLAST_WEBHOOK_SECRET",
    "BALLAST_INBOX_TOKEN",
    "BALLAST_MARKET_TOKEN",
    "BALLAST_SEALING_KEY",
    "BALLAST_SENDGRID_API_KEY",
    "BALLAST_TWILIO_ACCOUNT_SID",
    "BALLAST_TWILIO_AUTH_TOKEN",
    "BALLAST_PAGERDUTY_ROUTING_KEY",
    "BALLAST_SENDGRID_WEBHOOK_KEY",
    "BALLAST_COMPLIANCE_USERS",
    "BALLAST_PERSONA_API_KEY",
    "BALLAST_PERSONA_TEMPLATE_ID",
    "BALLAST_PERSONA_WEBHOOK_SECRETS",
    "BALLAST_SUMSUB_APP_TOKEN",
    "BALLAST_SUMSUB_SECRET_KEY",
    "BALLAST_SUMSUB_WEBHOOK_SECRET",
}


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in read_env_file(_env_file(tmp_path / "other")):
        monkeypatch.delenv(name, raising=False)


def _env_file(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    ensure_env_file(folder, Ports.from_base())
    return folder / "ballast.env"


def test_env_file__first_time_is_told_and_private(tmp_path: Path) -> None:
    assert ensure_env_file(tmp_path, Ports.from_base())
    assert not ensure_env_file(tmp_path, Ports.from_base())
    assert (tmp_path / "ballast.env").stat().st_mode & 0o777 == 0o600


def test_env_file__secrets_are_long_different_and_of_the_right_form(tmp_path: Path) -> None:
    values = read_env_file(_env_file(tmp_path))
    assert len({values[name] for name in SECRETS}) == len(SECRETS)
    assert all(len(values[name]) >= 16 for name in SECRETS)
    kind, _, key = values["BALLAST_WEBHOOK_SECRET"].partition("_")
    assert kind == "whsec"
    assert len(base64.b64decode(key, validate=True)) == 32
    assert re.fullmatch("AC[0-9a-f]{32}", values["BALLAST_TWILIO_ACCOUNT_SID"])
    assert values["BALLAST_TWILIO_FROM"] == "+15005550006"
    assert len(values["BALLAST_PAGERDUTY_ROUTING_KEY"]) == 32
    Sealer(SecretStr(values["BALLAST_SEALING_KEY"]))
    public_key = serialization.load_der_public_key(base64.b64decode(values["BALLAST_SENDGRID_WEBHOOK_KEY"]))
    assert isinstance(public_key, ec.EllipticCurvePublicKey)


def test_env_file__other_ports_move_endpoints_and_keep_secrets(tmp_path: Path) -> None:
    before = read_env_file(_env_file(tmp_path))
    ensure_env_file(tmp_path, Ports.from_base(9600))
    after = read_env_file(tmp_path / "ballast.env")
    assert {name: after[name] for name in SECRETS} == {name: before[name] for name in SECRETS}
    assert after["BALLAST_POSTGRES_URL"] == before["BALLAST_POSTGRES_URL"].replace(":8613/", ":9613/")
    assert after["BALLAST_BIGQUERY_ENDPOINT"] == "http://127.0.0.1:9610"
    assert after["BALLAST_PUBSUB_ENDPOINT"] == "127.0.0.1:9612"
    assert after["BALLAST_API_URL"] == "http://127.0.0.1:9600"
    assert after["BALLAST_INBOX_URL"] == "http://127.0.0.1:9614"
    assert after["BALLAST_WEBHOOK_URL"] == "http://127.0.0.1:9614/webhooks/margin"
    for name in ("SENDGRID", "TWILIO", "PAGERDUTY"):
        assert after[f"BALLAST_{name}_URL"] == "http://127.0.0.1:9614"
    assert after["BALLAST_APP_URL"] == "http://127.0.0.1:9601"
    assert (after["BALLAST_ALERT_WORKER_PORT"], after["BALLAST_ALERT_UPKEEP_PORT"]) == ("9618", "9619")
    assert after["BALLAST_PERSONA_URL"] == "http://127.0.0.1:9620/api/v1"
    assert after["BALLAST_SUMSUB_URL"] == "http://127.0.0.1:9621"
    assert after["BALLAST_COMPLIANCE_WORKER_PORT"] == "9622"
    assert after["BALLAST_PII_KEY_FILE"] == before["BALLAST_PII_KEY_FILE"]
    assert after["BALLAST_DBT_TARGET"] == "embedded"


def test_env_file__missing_key_is_added_and_strange_ones_stay(tmp_path: Path) -> None:
    (tmp_path / "ballast.env").write_text("BALLAST_API_TOKEN=mine\nBALLAST_SENDGRID_API_KEY=theirs\n")
    assert not ensure_env_file(tmp_path, Ports.from_base())
    values = read_env_file(tmp_path / "ballast.env")
    assert values["BALLAST_API_TOKEN"] == "mine"
    assert values["BALLAST_SENDGRID_API_KEY"] == "theirs"
    assert set(values) > SECRETS


def test_env_file__webhook_of_a_customer_stays(tmp_path: Path) -> None:
    (tmp_path / "ballast.env").write_text("BALLAST_WEBHOOK_URL=https://desk.example/hook\n")
    ensure_env_file(tmp_path, Ports.from_base())
    assert read_env_file(tmp_path / "ballast.env")["BALLAST_WEBHOOK_URL"] == "https://desk.example/hook"


PROVIDERS = {
    "SENDGRID": ("API_KEY", "WEBHOOK_KEY"),
    "TWILIO": ("ACCOUNT_SID", "AUTH_TOKEN", "FROM"),
    "PAGERDUTY": ("ROUTING_KEY",),
    "PERSONA": ("API_KEY", "TEMPLATE_ID", "WEBHOOK_SECRETS"),
    "SUMSUB": ("APP_TOKEN", "SECRET_KEY", "WEBHOOK_SECRET"),
}


@pytest.mark.parametrize("provider", PROVIDERS)
def test_env_file__provider_elsewhere_stays_with_its_credentials(tmp_path: Path, provider: str) -> None:
    names = [f"BALLAST_{provider}_{name}" for name in PROVIDERS[provider]]
    theirs = {f"BALLAST_{provider}_URL": "https://provider.example"} | {names[0]: "theirs"}
    (tmp_path / "ballast.env").write_text("".join(f"{name}={value}\n" for name, value in theirs.items()))
    ensure_env_file(tmp_path, Ports.from_base())
    values = read_env_file(tmp_path / "ballast.env")
    assert {name: value for name, value in values.items() if name.startswith(f"BALLAST_{provider}")} == theirs


def test_env_file__the_inbox_vouches_for_no_event_of_the_real_sendgrid(tmp_path: Path) -> None:
    file = _env_file(tmp_path)
    file.write_text(file.read_text().replace("SENDGRID_URL=http://127.0.0.1:8614", "SENDGRID_URL=https://api.example"))
    ensure_env_file(tmp_path, Ports.from_base())
    assert "BALLAST_SENDGRID_WEBHOOK_KEY" not in read_env_file(file)


def test_env_file__app_elsewhere_stays(tmp_path: Path) -> None:
    (tmp_path / "ballast.env").write_text("BALLAST_APP_URL=https://desk.example\n")
    ensure_env_file(tmp_path, Ports.from_base())
    assert read_env_file(tmp_path / "ballast.env")["BALLAST_APP_URL"] == "https://desk.example"


def test_signing_key__is_private_and_fits_the_public_one(tmp_path: Path) -> None:
    public = read_env_file(_env_file(tmp_path))["BALLAST_SENDGRID_WEBHOOK_KEY"]
    file = tmp_path / "inbox" / "sendgrid-events.pem"
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o077 == 0
    assert ensure_signing_key(file.parent) == public
    file.unlink()
    ensure_env_file(tmp_path, Ports.from_base())
    renewed = read_env_file(tmp_path / "ballast.env")["BALLAST_SENDGRID_WEBHOOK_KEY"]
    assert renewed == ensure_signing_key(file.parent) != public


def test_signing_key__a_file_that_holds_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "sendgrid-events.pem").write_text("nonsense")
    with pytest.raises(EmbeddedError, match=r"sendgrid-events\.pem"):
        ensure_signing_key(tmp_path)


def test_twilio_signature__is_the_documented_one() -> None:
    form = {
        "CallSid": "CA1234567890ABCDE",
        "Digits": "1234",
        "From": "+14158675309",
        "To": "+18005551212",
        "Caller": "+14158675309",
    }
    url = "https://mycompany.com/myapp.php?foo=1&bar=2"
    assert twilio_signature(SecretStr("12345"), url, form.items()) == "RSOYDt4T1cUTdK1PDd93/VVr8B8="


@pytest.mark.parametrize("value", ["a b", "it's", "back\\slash", "a #b", "x=y", "'"])
def test_env_file__any_value_survives_rewriting_and_reaches_the_settings(tmp_path: Path, value: str) -> None:
    quoted = "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
    (tmp_path / "ballast.env").write_text(f"BALLAST_API_TOKEN={quoted}\n")
    ensure_env_file(tmp_path, Ports.from_base())
    ensure_env_file(tmp_path, Ports.from_base(9600))
    assert read_env_file(tmp_path / "ballast.env")["BALLAST_API_TOKEN"] == value
    token = load_settings(tmp_path).api_token
    assert token is not None
    assert token.get_secret_value() == value


def test_env_file__line_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "ballast.env").write_text("# fine\nnot a setting\n")
    with pytest.raises(EmbeddedError, match="line 2"):
        ensure_env_file(tmp_path, Ports.from_base())


def test_env_file__market_reaches_the_settings_and_can_be_taken_back(tmp_path: Path) -> None:
    prices = tmp_path / "daily closes #1"
    ensure_env_file(tmp_path, Ports.from_base(), MarketChoice(prices, seed=5, accounts=17))
    for settings in (load_settings(tmp_path), stack_settings(tmp_path)):
        assert (settings.prices_dir, settings.simulation_seed, settings.book_accounts) == (prices, 5, 17)
    ensure_env_file(tmp_path, Ports.from_base(), MarketChoice())
    assert load_settings(tmp_path).prices_dir is None


def test_settings__every_generated_name_is_a_setting(tmp_path: Path) -> None:
    values = read_env_file(_env_file(tmp_path))
    settings = load_settings(tmp_path)
    for name, value in values.items():
        field = getattr(settings, name.removeprefix("BALLAST_").lower())
        assert (field.get_secret_value() if isinstance(field, SecretStr) else str(field)) == value


def test_stack_settings__env_file_wins_over_the_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _env_file(tmp_path)
    monkeypatch.setenv("BALLAST_API_URL", "https://production.example")
    assert stack_settings(tmp_path).api_url == "http://127.0.0.1:8600"


def test_postgres_password__is_decoded() -> None:
    assert postgres_password(SecretStr("postgresql+psycopg://a:it%27s@127.0.0.1/ballast")) == "it's"


def test_postgres_password__missing_one_is_refused() -> None:
    with pytest.raises(EmbeddedError, match="no password"):
        postgres_password(SecretStr("postgresql+psycopg://127.0.0.1/ballast"))


def test_env_file__local_price_sources_are_marked_as_simulated(tmp_path: Path) -> None:
    settings = stack_settings(_env_file(tmp_path / "state").parent)
    assert settings.market_token is not None
    token = settings.market_token.get_secret_value()
    assert [url.get_secret_value() for url in settings.ethereum_rpcs] == [f"http://127.0.0.1:8615/{token}"]
    assert settings.pyth_hermes_url == "http://127.0.0.1:8616"
    assert settings.price_feeds == tmp_path / "state" / "feeds.toml"
    assert settings.prices_are_simulated
    assert settings.oracle_port == 8617


def test_env_file__real_price_sources_replace_the_local_ones(tmp_path: Path) -> None:
    file = _env_file(tmp_path / "state")
    lines = [line for line in file.read_text().splitlines() if not line.startswith("BALLAST_ETHEREUM_RPC_URLS")]
    file.write_text("\n".join([*lines, "BALLAST_ETHEREUM_RPC_URLS=https://rpc.example/key", ""]))
    ensure_env_file(file.parent, Ports.from_base(9600))
    settings = stack_settings(file.parent)
    assert [url.get_secret_value() for url in settings.ethereum_rpcs] == ["https://rpc.example/key"]
    assert (settings.pyth_hermes_url, settings.pyth_token, settings.pyth_benchmarks_url) == (None, None, None)
    assert (settings.price_feeds, settings.prices_are_simulated, settings.ethereum_control_url) == (None, False, None)


def test_env_file__price_sources_elsewhere_stay_and_are_not_marked(tmp_path: Path) -> None:
    (tmp_path / "ballast.env").write_text("BALLAST_ETHEREUM_RPC_URLS=https://rpc.example/key,https://other.example\n")
    ensure_env_file(tmp_path, Ports.from_base())
    values = read_env_file(tmp_path / "ballast.env")
    assert values["BALLAST_ETHEREUM_RPC_URLS"] == "https://rpc.example/key,https://other.example"
    assert not {name for name in values if name.startswith(("BALLAST_PYTH", "BALLAST_PRICE"))}
