"""What the document of compliance promises holds for requests that nobody thought of, good and bad, over real HTTP."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import schemathesis
import uvicorn
from hypothesis import HealthCheck, Phase
from hypothesis import settings as examples
from pydantic import SecretStr
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from api.app import create_app
from compliance import cases
from compliance.migrations import upgrade
from compliance.screening.lists import load_list
from infra.embedded.compliance_ground import LIST_NAME, SAMPLE, SAMPLE_FILES
from infra.runtime.clock import FixedClock
from infra.runtime.key_ring import LocalKeyRing
from infra.runtime.postgres import postgres_engine
from infra.runtime.settings import Settings
from tests.integration.compliance.own_database import own_database

# Beside the values at the edges of each schema, which come without chance.
EXAMPLES = 1
TOKEN = "token-of-otto-0123456789"
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
# A first search reads the matcher's tables for seconds; searches have tests of their own.
SEARCH = "/v1/compliance/screening/search"
schema = (
    schemathesis.openapi.from_dict(create_app(Settings()).openapi())
    .include(path_regex="^/v1/compliance/")
    .exclude(path=SEARCH)
)


class NoPrices:
    """Nothing here is valued: what moves goes to review."""

    def query(self, sql: str, parameters: Any = None) -> list[dict[str, Any]]:
        return []


@dataclass(frozen=True)
class World:
    """A server with a list, a key ring, and one held settlement."""

    url: str
    case_id: str


@pytest.fixture(scope="module")
def world(ground: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("fuzz")
    clock = FixedClock(datetime(2026, 1, 31, 12, tzinfo=UTC))
    LocalKeyRing.create(folder / "keys.json")
    settings = Settings(
        compliance_users=SecretStr(f"otto:officer:{TOKEN}"),
        pii_key_file=folder / "keys.json",
        postgres_url=own_database(ground, "compliance_fuzz").postgres_url,
        # Nobody listens there: customers wait, and webhooks lack their proof.
        persona_url="http://127.0.0.1:9/api/v1",
        persona_api_key=SecretStr("key"),
        persona_template_id="itmpl_1",
        persona_webhook_secrets=SecretStr("wbhsec_1"),
        sumsub_url="http://127.0.0.1:9",
        sumsub_app_token=SecretStr("token"),
        sumsub_secret_key=SecretStr("key"),
        sumsub_webhook_secret=SecretStr("secret"),
    )
    engine = postgres_engine(settings, "test")
    upgrade(engine)
    load_list(engine, clock, LIST_NAME, [SAMPLE / name for name in SAMPLE_FILES])
    with engine.begin() as connection:
        case_id = cases.open_case(
            connection,
            kind="aml",
            subject_id="evt-1",
            title="Transaction held",
            priority="high",
            sla=timedelta(hours=4),
            at=clock.now(),
        )
    app = create_app(settings, warehouse=NoPrices(), engine=engine, clock=clock, request_timeout_s=120)
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, ws="none"))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        try:
            assert httpx.get(f"{url}/healthz", timeout=60).status_code == 200
            yield World(url, case_id)
        finally:
            server.should_exit = True
            thread.join(30)
            engine.dispose()


@schema.parametrize()
@examples(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_operation__keeps_its_promises_whatever_is_asked(case: schemathesis.Case[Any], world: World) -> None:
    if "case_id" in (case.path_parameters or {}) and len(str(case.path_parameters["case_id"])) % 2:
        # Half of the questions are about a case that there is.
        case.path_parameters["case_id"] = world.case_id
    response = case.call(base_url=world.url, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=30)
    case.validate_response(response, checks=CHECKS)
