"""The only reader of the environment: where the servers are and which credentials open them."""

from __future__ import annotations

import os
from decimal import Decimal
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from infra.runtime.errors import SettingsError

PROJECT_ROOT = Path(__file__).resolve().parents[2]
ENV_FILE_NAME = "ballast.env"


class Settings(BaseSettings):
    """Endpoints and credentials, from variables named `BALLAST_<FIELD>` or the state folder's `ballast.env`.

    An endpoint that is empty means the provider's own (production); the embedded servers write theirs into
    `ballast.env` when they start. Nothing else distinguishes a laptop from production.
    """

    model_config = SettingsConfigDict(env_prefix="BALLAST_", extra="ignore", frozen=True)

    state_dir: Path = Field(default=PROJECT_ROOT / ".ballast", description="local state: logs, sockets, databases")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    gcp_project: str = Field(default="ballast", description="project that owns datasets and topics")
    bigquery_location: str = "US"
    bigquery_endpoint: str | None = Field(default=None, description="REST root; empty: BigQuery itself")
    bigquery_storage_endpoint: str | None = Field(
        default=None, description="host:port of Storage Read without TLS; empty: BigQuery's own"
    )
    bigquery_token: SecretStr | None = Field(default=None, description="static bearer; empty: application default")
    bigquery_maximum_bytes_billed: int = Field(default=20 * 1024**3, gt=0)
    dbt_target: Literal["embedded", "production"] = "production"

    pubsub_endpoint: str | None = Field(default=None, description="host:port without TLS; empty: Pub/Sub itself")

    postgres_url: SecretStr = Field(
        default=SecretStr("postgresql+psycopg://127.0.0.1:5432/ballast"), description="SQLAlchemy address"
    )

    api_url: str = Field(default="http://127.0.0.1:8600", description="where clients reach the API")
    api_token: SecretStr | None = Field(default=None, description="bearer that the API accepts; empty: refuse all")
    app_host: str = Field(default="127.0.0.1", description="address that the app listens on")
    app_port: int = Field(default=8601, gt=0, lt=65536, description="port that the app listens on")
    app_sign_in: Literal["local", "oidc", "iap"] = Field(
        default="local", description="local: name and token; oidc: a provider; iap: Google's proxy in front"
    )
    app_session_key: SecretStr | None = Field(
        default=None, description="keys that sign sessions of the app, 32 characters or more, newest first, by commas"
    )
    app_assertion_key: SecretStr | None = Field(
        default=None, description="key by which the app tells the API who asks; the same for both; empty: it cannot"
    )
    app_cache_dir: Path | None = Field(
        default=None, description="where the app keeps compressed files; empty: in the state folder"
    )
    app_oidc_issuer: str | None = Field(default=None, description="issuer of the OpenID provider, https://...")
    app_oidc_client_id: str | None = Field(default=None, description="the app's id at the OpenID provider")
    app_oidc_client_secret: SecretStr | None = Field(
        default=None, description="the app's secret at the OpenID provider; empty: a public client, by PKCE alone"
    )
    app_iap_audience: str | None = Field(
        default=None, description="audience of the proxy's assertions: /projects/N/global/backendServices/ID"
    )
    app_iap_keys_url: str = Field(
        default="https://www.gstatic.com/iap/verify/public_key-jwk", description="public keys of the proxy, as JWK"
    )
    dagster_url: str | None = Field(
        default=None, description="Dagster's webserver, which the app asks; empty: not asked"
    )
    dagster_public_url: str | None = Field(
        default=None, description="where people reach Dagster, for links; empty: dagster_url"
    )
    compliance_users: SecretStr | None = Field(
        default=None, description="people of compliance: name:role:token, one a line or comma-separated; empty: nobody"
    )
    compliance_emails: SecretStr | None = Field(
        default=None, description="who they are at an identity provider: mail=name, one a line or comma-separated"
    )

    ethereum_rpc_urls: SecretStr | None = Field(
        default=None, description="comma-separated JSON-RPC addresses, the preferred one first; empty: no Chainlink"
    )
    pyth_hermes_url: str | None = Field(default=None, description="root of Hermes; empty: no Pyth")
    pyth_token: SecretStr | None = Field(default=None, description="bearer of Hermes and of Pyth's history")
    pyth_benchmarks_url: str | None = Field(default=None, description="root of Pyth's history; empty: none")
    price_feeds: Path | None = Field(default=None, description="feed table; empty: the pinned one of the main network")
    prices_are_simulated: bool = Field(
        default=False, description="the sources serve made-up prices: every price that rests on them is marked so"
    )
    oracle_port: int = Field(default=8617, gt=0, lt=65536, description="where the oracle serves health and metrics")
    market_token: SecretStr | None = Field(default=None, description="bearer that moves the local price sources")
    ethereum_control_url: str | None = Field(default=None, description="control of the local chain; empty: none")

    prices_dir: Path | None = Field(default=None, description="folder of ASSET.csv closes; empty: simulated closes")
    simulation_seed: int = Field(default=42, ge=0, description="seed of simulated closes and of the simulated book")
    book_accounts: int = Field(default=200, ge=1, le=200_000, description="accounts of the simulated book")

    webhook_url: str | None = Field(default=None, description="where margin alerts are posted; empty: none")
    webhook_secret: SecretStr | None = Field(default=None, description="Standard Webhooks secret, whsec_...")

    inbox_url: str | None = Field(default=None, description="the local inbox that shows delivered alerts; empty: none")
    inbox_token: SecretStr | None = Field(default=None, description="bearer that the local inbox accepts")

    public_url: str | None = Field(default=None, description="where people and providers reach the API; empty: api_url")
    app_url: str = Field(default="http://127.0.0.1:8601", description="where people reach the app; stands in alerts")
    sealing_key: SecretStr | None = Field(
        default=None, description="keys that seal contacts: 32 bytes in URL-safe base64, comma-separated, newest first"
    )

    pii_key_file: Path | None = Field(
        default=None, description="file of keys that wrap the keys of personal data; empty: Cloud KMS"
    )
    pii_kms_key: str | None = Field(
        default=None, description="Cloud KMS key, projects/P/locations/L/keyRings/R/cryptoKeys/K; empty: the key file"
    )
    pii_hash_key: SecretStr | None = Field(
        default=None, description="with Cloud KMS: 32 bytes in base64 that key hashes of personal data, for ever"
    )

    sendgrid_url: str = Field(default="https://api.sendgrid.com", description="root of SendGrid's API")
    sendgrid_api_key: SecretStr | None = Field(default=None, description="bearer of SendGrid's mail API; empty: none")
    sendgrid_from: str = Field(default="alerts@ballast.example", description="sender of mail, verified at SendGrid")
    sendgrid_webhook_key: str | None = Field(
        default=None, description="SendGrid's public key for event webhooks, base64; empty: events are refused"
    )
    email_per_second: float = Field(default=5000.0, gt=0, description="ceiling of mail, all workers together")

    twilio_url: str = Field(default="https://api.twilio.com", description="root of Twilio's API")
    twilio_account_sid: SecretStr | None = Field(default=None, description="Twilio account, AC...; empty: none")
    twilio_auth_token: SecretStr | None = Field(default=None, description="Twilio password of that account")
    twilio_from: str | None = Field(default=None, description="sending number, or messaging service (MG...)")
    sms_per_second: float = Field(default=100.0, gt=0, description="ceiling of text messages, all workers together")

    pagerduty_url: str = Field(default="https://events.pagerduty.com", description="root of PagerDuty's Events API")
    pagerduty_routing_key: SecretStr | None = Field(default=None, description="integration key; empty: none")

    persona_url: str = Field(default="https://api.withpersona.com/api/v1", description="root of Persona's API")
    persona_api_key: SecretStr | None = Field(default=None, description="bearer of Persona's API; empty: none")
    persona_version: str = Field(default="2025-12-08", description="Persona-Version that requests are pinned to")
    persona_template_id: str | None = Field(default=None, description="inquiry template, itmpl_...")
    persona_webhook_secrets: SecretStr | None = Field(
        default=None, description="comma-separated secrets of Persona's webhooks, two while one is rotated"
    )

    sumsub_url: str = Field(default="https://api.sumsub.com", description="root of Sumsub's API")
    sumsub_app_token: SecretStr | None = Field(
        default=None, description="X-App-Token, sbx:... for Sumsub's sandbox; empty: none"
    )
    sumsub_secret_key: SecretStr | None = Field(default=None, description="key that requests to Sumsub are signed with")
    sumsub_level_name: str = Field(default="basic-kyc-level", description="level of verification, case-sensitive")
    sumsub_webhook_secret: SecretStr | None = Field(
        default=None, description="comma-separated secrets of Sumsub's webhooks, two while one is rotated"
    )

    webhook_allowed_networks: str = Field(
        default="", description="comma-separated private networks that customers' webhooks may stand in; empty: none"
    )
    webhook_ca_file: Path | None = Field(default=None, description="further certificate authorities of webhooks")

    alert_repeat_s: float = Field(default=300.0, ge=0, description="the same alert again within this is suppressed")
    alert_escalation_s: float = Field(default=20.0, gt=0, description="nobody accepted within this: try the next")
    alert_cure_target_pct: Decimal = Field(default=Decimal(35), description="health that alerts say how to reach")
    alert_bucket_size: int = Field(default=10, ge=1, description="alerts that one address may get at once")
    alert_bucket_refill_s: float = Field(default=30.0, gt=0, description="seconds after which it may get one more")
    alert_retention_days: int = Field(default=35, ge=1, description="days that PostgreSQL keeps ended notifications")
    alert_worker_port: int = Field(default=0, ge=0, lt=65536, description="health and metrics of the worker; 0: none")
    alert_upkeep_port: int = Field(default=0, ge=0, lt=65536, description="health and metrics of upkeep; 0: none")
    compliance_worker_port: int = Field(
        default=0, ge=0, lt=65536, description="health and metrics of compliance's worker; 0: none"
    )

    @field_validator("prices_dir", "price_feeds", "webhook_ca_file", "pii_key_file", "app_cache_dir", mode="before")
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        # Path("") is the working directory.
        return None if value == "" else value

    @property
    def reachable_url(self) -> str:
        """The API's root as people and providers reach it."""
        return (self.public_url or self.api_url).rstrip("/")

    @property
    def ethereum_rpcs(self) -> tuple[SecretStr, ...]:
        """The JSON-RPC addresses in order of preference; they may hold keys."""
        text = self.ethereum_rpc_urls.get_secret_value() if self.ethereum_rpc_urls else ""
        return tuple(SecretStr(part.strip()) for part in text.split(",") if part.strip())

    @property
    def dbt_project_dir(self) -> Path:
        """The folder of the dbt project."""
        return PROJECT_ROOT / "dbt_project"

    @property
    def dbt_target_dir(self) -> Path:
        """Where dbt keeps its manifest and compiled SQL: in the state folder, so that parallel stacks do not mix."""
        return self.state_dir / "dbt"

    @property
    def env_file(self) -> Path:
        """The file of generated endpoints and credentials (mode 0600)."""
        return self.state_dir / ENV_FILE_NAME


def load_settings(state_dir: Path | None = None) -> Settings:
    """Settings from the environment and, below it, from `ballast.env` of the state folder.

    `state_dir` wins over `BALLAST_STATE_DIR`, which wins over `.ballast` in the project.
    Raises `SettingsError` naming each variable that is wrong, never its value.
    """
    folder = state_dir or Path(os.environ.get("BALLAST_STATE_DIR", PROJECT_ROOT / ".ballast"))
    folder = folder.expanduser().absolute()
    try:
        return Settings(_env_file=folder / ENV_FILE_NAME, state_dir=folder)
    except ValidationError as error:
        wrong = "; ".join(f"BALLAST_{'_'.join(map(str, e['loc'])).upper()}: {e['msg']}" for e in error.errors())
        raise SettingsError(f"The environment is not usable: {wrong}. Mend it, or remove it from {folder}.") from None


def export_for_dbt(settings: Settings) -> None:
    """Put what `dbt_project/profiles.yml` reads into this process's environment; dbt takes it from nowhere else."""
    os.environ.update(
        {
            "BALLAST_DBT_TARGET": settings.dbt_target,
            "BALLAST_GCP_PROJECT": settings.gcp_project,
            "BALLAST_BIGQUERY_LOCATION": settings.bigquery_location,
            "BALLAST_BIGQUERY_MAXIMUM_BYTES_BILLED": str(settings.bigquery_maximum_bytes_billed),
        }
    )
    if settings.bigquery_endpoint:
        os.environ["BALLAST_BIGQUERY_ENDPOINT"] = settings.bigquery_endpoint
    if settings.bigquery_token:
        os.environ["BALLAST_BIGQUERY_TOKEN"] = settings.bigquery_token.get_secret_value()
