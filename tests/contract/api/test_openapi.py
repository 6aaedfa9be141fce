"""The committed OpenAPI document is the contract that clients are generated from."""

from __future__ import annotations

import json
from typing import Any

import pytest

from api.app import create_app
from api.auth import OPEN_PATHS, PROVEN_PREFIXES
from api.openapi import DOCUMENT_FILE, SECURITY_SCHEME, complete, render
from infra.runtime.settings import Settings

DOCUMENT: dict[str, Any] = create_app(Settings()).openapi()
OPERATIONS = [
    pytest.param(path, operation, id=f"{method} {path}")
    for path, operations in DOCUMENT["paths"].items()
    for method, operation in operations.items()
]
# What an account has of alert preferences needs no record of the account: there are defaults.
ALWAYS_FOUND = (
    "/v1/accounts/{account_id}/alert-preferences",
    "/v1/accounts/{account_id}/alert-preferences/changes",
    "/v1/accounts/{account_id}/alert-preferences/test",
    "/v1/accounts/{account_id}/registered-contact",
    "/v1/accounts/{account_id}/silences",
)


def needs_no_token(path: str) -> bool:
    return path in OPEN_PATHS or path.startswith(PROVEN_PREFIXES)


CLOSED = [each for each in OPERATIONS if not needs_no_token(each.values[0])]


def test_document__is_the_committed_one() -> None:
    assert DOCUMENT_FILE.read_text(encoding="utf-8") == render(DOCUMENT), "run python -m api.openapi and commit it"


def test_document__is_the_same_after_completing_it_again() -> None:
    copy = json.loads(json.dumps(DOCUMENT))
    assert complete(copy) == DOCUMENT


def test_document__names_the_security_scheme() -> None:
    scheme = DOCUMENT["components"]["securitySchemes"][SECURITY_SCHEME]
    assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")
    assert DOCUMENT["security"] == [{SECURITY_SCHEME: []}]


@pytest.mark.parametrize(("path", "operation"), OPERATIONS)
def test_operation__is_open_only_if_the_middleware_leaves_it_open(path: str, operation: dict[str, Any]) -> None:
    assert operation.get("security", DOCUMENT["security"]) == ([] if needs_no_token(path) else [{SECURITY_SCHEME: []}])


@pytest.mark.parametrize(("path", "operation"), CLOSED)
def test_operation__documents_its_errors_in_one_shape(path: str, operation: dict[str, Any]) -> None:
    errors = {status: each for status, each in operation["responses"].items() if int(status) >= 400}
    assert set(errors) >= {"401", "422", "500", "502", "503", "504"}
    assert ("404" in errors) is ("{" in path and path not in ALWAYS_FOUND)
    for response in errors.values():
        assert response["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/ErrorBody"}


@pytest.mark.parametrize(("path", "operation"), OPERATIONS)
def test_operation__has_a_short_stable_id_and_words(path: str, operation: dict[str, Any]) -> None:
    ids = [each.values[1]["operationId"] for each in OPERATIONS]
    assert ids.count(operation["operationId"]) == 1
    assert operation["operationId"].isidentifier()
    assert operation["description"]


@pytest.mark.parametrize("name", sorted(DOCUMENT["components"]["schemas"]))
def test_schema__carries_no_amount_as_a_number(name: str) -> None:
    properties = DOCUMENT["components"]["schemas"][name].get("properties", {})
    exact = [key for key in properties if key.endswith(("_usd", "_pct", "quantity", "confidence"))]
    for key in exact:
        kinds = {each.get("type") for each in properties[key].get("anyOf", [properties[key]])}
        assert "string" in kinds, f"{name}.{key}"
        assert kinds <= {"string", "null"}, f"{name}.{key}"
