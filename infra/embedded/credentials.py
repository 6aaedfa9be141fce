"""Generated endpoints and credentials of a local stack, kept in `ballast.env` (mode 0600)."""

from __future__ import annotations

import base64
import re
import secrets
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pydantic import SecretStr

from infra.embedded.compliance_credentials import complete_compliance
from infra.embedded.errors import EmbeddedError
from infra.embedded.ports import HOST, Ports
from infra.embedded.provider_credentials import complete_providers, elsewhere
from infra.embedded.state import MarketChoice, write_atomically
from infra.runtime.sealing import new_key
from infra.runtime.settings import ENV_FILE_NAME, Settings

FEEDS_FILE = "feeds.toml"
POSTGRES_USER = "ballast"
POSTGRES_DATABASE = "ballast"
_PLAIN = re.compile(r"[A-Za-z0-9_./:@+=,~%?&-]*")
_HEADER = "# Written by `ballast up`. Endpoints follow the ports; secrets are made once and kept.\n"


def ensure_env_file(state_dir: Path, ports: Ports, market: MarketChoice | None = None) -> bool:
    """Write `ballast.env` for these ports and prices, keeping the secrets that are there; True if it is the first time.

    Values under other names are kept, and so are addresses that lead elsewhere than this machine: a webhook, a provider
    of mail, texts, pages or identities with its credentials, price sources.
    """
    file = state_dir / ENV_FILE_NAME
    present = read_env_file(file)
    values = {**_new_secrets(), **present}
    # Of older versions, when the app had one password for all.
    values.pop("BALLAST_APP_PASSWORD", None)
    values.update(_endpoints(ports, values))
    local = _price_sources(state_dir, ports, values["BALLAST_MARKET_TOKEN"])
    if _has_local_sources(values):
        values.update(local)
    else:
        _drop_local_sources(values, local)
    complete_providers(values, state_dir, ports)
    complete_compliance(values, state_dir, ports)
    if market is not None:
        values.update(_market(market))
        if market.prices is None:
            values.pop("BALLAST_PRICES_DIR", None)
    text = _HEADER + "".join(f"{name}={_quoted(value)}\n" for name, value in values.items())
    if not file.exists() or file.read_text(encoding="utf-8") != text:
        write_atomically(file, text)
    file.chmod(0o600)
    return not present


def read_env_file(file: Path) -> dict[str, str]:
    """The `NAME=value` lines of the file, empty if there is none; raises `EmbeddedError` naming a line that is not."""
    if not file.exists():
        return {}
    values = {}
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        name, separator, value = stripped.partition("=")
        if not separator or not name.isidentifier():
            raise EmbeddedError(f"{file}, line {number}: expected NAME=value. Mend the line, or remove the file.")
        values[name] = _unquoted(value)
    return values


def stack_settings(state_dir: Path) -> Settings:
    """Settings of the stack in this folder: its `ballast.env` wins over the environment of this process."""
    prefix = "BALLAST_"
    fields = {
        name.removeprefix(prefix).lower(): value
        for name, value in read_env_file(state_dir / ENV_FILE_NAME).items()
        if name.startswith(prefix)
    }
    known = {name: value for name, value in fields.items() if name in Settings.model_fields}
    return Settings.model_validate({**known, "state_dir": state_dir})


def postgres_password(url: SecretStr) -> str:
    """The password inside a SQLAlchemy address; raises `EmbeddedError` if there is none."""
    password = urlsplit(url.get_secret_value()).password
    if not password:
        raise EmbeddedError("BALLAST_POSTGRES_URL carries no password; run `ballast up`, which generates one.")
    return unquote(password)


def _new_secrets() -> dict[str, str]:
    return {
        "BALLAST_BIGQUERY_TOKEN": secrets.token_urlsafe(32),
        "BALLAST_API_TOKEN": secrets.token_urlsafe(32),
        "BALLAST_APP_SESSION_KEY": secrets.token_urlsafe(32),
        "BALLAST_APP_ASSERTION_KEY": secrets.token_urlsafe(32),
        "BALLAST_WEBHOOK_SECRET": "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode(),
        "BALLAST_INBOX_TOKEN": secrets.token_urlsafe(32),
        "BALLAST_MARKET_TOKEN": secrets.token_urlsafe(32),
        "BALLAST_SEALING_KEY": new_key(),
        "BALLAST_DBT_TARGET": "embedded",
    }


def _has_local_sources(values: dict[str, str]) -> bool:
    """Whether no price source was set that stands elsewhere."""
    addresses = [*values.get("BALLAST_ETHEREUM_RPC_URLS", "").split(","), values.get("BALLAST_PYTH_HERMES_URL", "")]
    return all(urlsplit(address.strip()).hostname == HOST for address in addresses if address.strip())


def _drop_local_sources(values: dict[str, str], local: dict[str, str]) -> None:
    """Leave nothing of the local sources beside real ones: neither their prices, nor their table, nor their token."""
    for name, ours in local.items():
        addresses = [each.strip() for each in values.get(name, "").split(",")]
        kept = [each for each in addresses if each and each != ours and urlsplit(each).hostname != HOST]
        if kept:
            values[name] = ",".join(kept)
        else:
            values.pop(name, None)


def _price_sources(state_dir: Path, ports: Ports, token: str) -> dict[str, str]:
    """The local chain, which takes its key in the path as providers do, and the local Hermes."""
    ethereum, hermes = f"http://{HOST}:{ports.ethereum}", f"http://{HOST}:{ports.hermes}"
    return {
        "BALLAST_ETHEREUM_RPC_URLS": f"{ethereum}/{token}",
        "BALLAST_ETHEREUM_CONTROL_URL": ethereum,
        "BALLAST_PYTH_HERMES_URL": hermes,
        "BALLAST_PYTH_BENCHMARKS_URL": hermes,
        "BALLAST_PYTH_TOKEN": token,
        "BALLAST_PRICE_FEEDS": str(state_dir / FEEDS_FILE),
        "BALLAST_PRICES_ARE_SIMULATED": "True",
    }


def _market(choice: MarketChoice) -> dict[str, str]:
    values = {"BALLAST_SIMULATION_SEED": str(choice.seed), "BALLAST_BOOK_ACCOUNTS": str(choice.accounts)}
    if choice.prices is not None:
        values["BALLAST_PRICES_DIR"] = str(choice.prices)
    return values


def _quoted(value: str) -> str:
    """The value as dotenv files write it: in single quotes, with backslashes, unless it is plain."""
    if _PLAIN.fullmatch(value):
        return value
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _unquoted(value: str) -> str:
    if len(value) > 1 and value[0] == value[-1] == "'":
        return re.sub(r"\\([\\'])", r"\1", value[1:-1])
    return value


def _endpoints(ports: Ports, values: dict[str, str]) -> dict[str, str]:
    known = urlsplit(values.get("BALLAST_POSTGRES_URL", ""))
    password = known.password or secrets.token_urlsafe(32)
    address = f"{POSTGRES_USER}:{password}@{HOST}:{ports.postgres}"
    webhook = f"http://{HOST}:{ports.inbox}/webhooks/margin"
    return {
        "BALLAST_BIGQUERY_ENDPOINT": f"http://{HOST}:{ports.bigquery_rest}",
        "BALLAST_BIGQUERY_STORAGE_ENDPOINT": f"{HOST}:{ports.bigquery_grpc}",
        "BALLAST_PUBSUB_ENDPOINT": f"{HOST}:{ports.pubsub}",
        "BALLAST_POSTGRES_URL": f"postgresql+psycopg://{address}/{POSTGRES_DATABASE}",
        "BALLAST_API_URL": f"http://{HOST}:{ports.api}",
        "BALLAST_DAGSTER_URL": f"http://{HOST}:{ports.dagster_ui}",
        "BALLAST_INBOX_URL": f"http://{HOST}:{ports.inbox}",
        "BALLAST_ORACLE_PORT": str(ports.oracle),
        "BALLAST_ALERT_WORKER_PORT": str(ports.alert_worker),
        "BALLAST_ALERT_UPKEEP_PORT": str(ports.alert_upkeep),
        "BALLAST_COMPLIANCE_WORKER_PORT": str(ports.compliance_worker),
        "BALLAST_APP_PORT": str(ports.app),
        "BALLAST_APP_URL": elsewhere(values, "BALLAST_APP_URL") or f"http://{HOST}:{ports.app}",
        "BALLAST_WEBHOOK_URL": elsewhere(values, "BALLAST_WEBHOOK_URL") or webhook,
    }
