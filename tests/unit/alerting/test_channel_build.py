"""Which channels the settings make."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from alerting.channels.build import build_channels
from infra.runtime.clock import FixedClock
from infra.runtime.errors import SettingsError
from infra.runtime.settings import Settings

CLOCK = FixedClock(datetime(2026, 1, 31, 12, tzinfo=UTC))
SECRET = SecretStr("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
MAIL = {"sendgrid_api_key": SecretStr("SG.key")}
TEXTS = {"twilio_account_sid": SecretStr("AC1"), "twilio_auth_token": SecretStr("t"), "twilio_from": "+14155550100"}
PAGES = {"pagerduty_routing_key": SecretStr("r" * 32)}


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Settings:
    """Settings without anything from the environment."""
    for name in Settings.model_fields:
        monkeypatch.delenv(f"BALLAST_{name.upper()}", raising=False)
    return Settings(state_dir=tmp_path)


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({}, {"webhook"}),
        (MAIL, {"webhook", "email"}),
        (TEXTS, {"webhook", "sms"}),
        (PAGES, {"webhook", "pagerduty"}),
        ({**MAIL, **TEXTS, **PAGES}, {"webhook", "email", "sms", "pagerduty"}),
        ({"sendgrid_api_key": SecretStr(""), "pagerduty_routing_key": SecretStr("")}, {"webhook"}),
        ({"twilio_account_sid": SecretStr(""), "twilio_auth_token": SecretStr(""), "twilio_from": ""}, {"webhook"}),
        ({"webhook_url": "http://127.0.0.1:1/", "webhook_secret": SECRET}, {"webhook"}),
        ({"webhook_secret": SECRET}, {"webhook"}),
    ],
)
def test_build__makes_what_is_configured(settings: Settings, changes: dict[str, Any], names: set[str]) -> None:
    assert {channel.name for channel in build_channels(settings.model_copy(update=changes), CLOCK)} == names


def test_build__ceilings_come_from_the_settings(settings: Settings) -> None:
    changes = {**MAIL, **TEXTS, **PAGES, "email_per_second": 7.0, "sms_per_second": 3.0}
    limits = {channel.name: channel.limits for channel in build_channels(settings.model_copy(update=changes), CLOCK)}
    assert {name: found.per_second for name, found in limits.items()} == {
        "webhook": None,
        "email": 7.0,
        "sms": 3.0,
        "pagerduty": 10.0,
    }
    assert limits["email"].max_batch == 1000
    assert limits["webhook"].breaker_faults is None


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"twilio_account_sid": SecretStr("AC-secret")}, "BALLAST_TWILIO_AUTH_TOKEN, BALLAST_TWILIO_FROM"),
        ({**TEXTS, "twilio_from": None}, "BALLAST_TWILIO_FROM"),
        ({**TEXTS, "twilio_auth_token": None}, "BALLAST_TWILIO_AUTH_TOKEN"),
        ({**TEXTS, "twilio_account_sid": SecretStr("")}, "BALLAST_TWILIO_ACCOUNT_SID"),
        ({**TEXTS, "twilio_url": "api.twilio.com"}, "BALLAST_TWILIO_URL"),
        ({**MAIL, "sendgrid_from": ""}, "BALLAST_SENDGRID_FROM"),
        ({**MAIL, "sendgrid_url": ""}, "BALLAST_SENDGRID_URL"),
        ({**PAGES, "pagerduty_url": "ftp://x"}, "BALLAST_PAGERDUTY_URL"),
        ({"webhook_url": "http://127.0.0.1:1/"}, "BALLAST_WEBHOOK_SECRET"),
        ({"webhook_url": "/path", "webhook_secret": SECRET}, "BALLAST_WEBHOOK_URL"),
        ({"webhook_url": "ftp://host/", "webhook_secret": SECRET}, "BALLAST_WEBHOOK_URL"),
        ({"webhook_url": "http://h/", "webhook_secret": SecretStr("whsec_c2hvcnQ=")}, "BALLAST_WEBHOOK_SECRET"),
        ({"webhook_url": "http://h/", "webhook_secret": SecretStr("whsec_!!no base64!!")}, "BALLAST_WEBHOOK_SECRET"),
        ({"webhook_allowed_networks": "ten"}, "BALLAST_WEBHOOK_ALLOWED_NETWORKS"),
        ({"webhook_ca_file": Path("/nowhere/ca.pem")}, "BALLAST_WEBHOOK_CA_FILE"),
    ],
)
def test_build__refuses_halves_without_telling_values(settings: Settings, changes: dict[str, Any], names: str) -> None:
    with pytest.raises(SettingsError, match=names) as raised:
        build_channels(settings.model_copy(update=changes), CLOCK)
    hidden = [value.get_secret_value() for value in changes.values() if isinstance(value, SecretStr)]
    assert not any(text and text in raised.value.message for text in hidden if len(text) > 3)
