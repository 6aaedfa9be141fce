"""Personal data: what cannot be read from reprs and errors, how hashes normalise, what the record refuses."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from compliance.errors import ComplianceInputError
from compliance.pii import (
    PersonalData,
    document_key,
    email_key,
    name_key,
    open_user,
    refuse_personal_data,
    seal_user,
)
from infra.runtime.envelope import Envelope, LocalKeyRing
from infra.runtime.sealing import UnsealError

FEW = settings(max_examples=30, deadline=None)
ANN = PersonalData(
    names=("Ann Elise Bergström",),
    first_name="Ann",
    last_name="Bergström",
    aliases=("A. Bergstrom",),
    birth_date=date(1980, 2, 29),
    nationality="SE",
    email="ann@post.example",
    phone="+46 70 123 45 67",
    address="Storgatan 1",
    document_number="AB 123-456",
)


@pytest.fixture
def envelope(tmp_path: Path) -> Envelope:
    return Envelope(LocalKeyRing.create(tmp_path / "keys.json"))


def test_personal_data__shows_nothing_of_itself() -> None:
    shown = f"{ANN!r} {ANN!s} {ANN} {[ANN]} {ANN.__rich_repr__()}"
    for value in (*ANN.names, "Ann", "Bergstr", "1980", "post.example", "70 123", "Storgatan", "123-456"):
        assert value not in shown


@pytest.mark.parametrize(
    "wrong",
    [
        {"names": ["Secret\x00Name"]},
        {"names": ["Secret Name"], "nationality": "Secretland"},
        {"names": ["Secret Name"], "email": "secret"},
        {"names": ["Secret Name"], "birth_date": "Secret day"},
        {"names": ["Secret Name"], "nickname": "Secret"},
        {"names": ["S" * 301]},
        {"names": [" "]},
        {"aliases": ["Secret Name"]},
        {"names": ["Secret Name"] * 21},
    ],
)
def test_personal_data__refuses_what_is_unusable_without_repeating_it(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        PersonalData.model_validate(wrong)
    assert "Secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("given_data", "name", "all_names"),
    [
        ({"first_name": "Ann", "last_name": "Berg"}, "Ann Berg", ("Ann Berg",)),
        ({"last_name": "Berg"}, "Berg", ("Berg",)),
        ({"names": ["Ann Berg", "Ann Lind"], "aliases": ["Ann Lind", "Annie"]}, "Ann Berg", None),
    ],
)
def test_personal_data__knows_its_whole_names(given_data: dict[str, Any], name: str, all_names: Any) -> None:
    personal = PersonalData.model_validate(given_data)
    assert personal.name == name
    assert personal.all_names == (all_names or ("Ann Berg", "Ann Lind", "Annie"))


def test_seal_user__opens_for_its_own_row_only(envelope: Envelope) -> None:
    sealed = seal_user(envelope, "usr_1", ANN)
    assert open_user(envelope, "usr_1", sealed) == ANN
    with pytest.raises(UnsealError, match="usr_2"):
        open_user(envelope, "usr_2", sealed)


def test_open_user__does_not_repeat_a_document_of_another_form(envelope: Envelope) -> None:
    sealed = envelope.seal('{"names": ["Secret"], "unknown": 1}', "compliance.users.usr_1.pii_sealed")
    with pytest.raises(UnsealError, match="usr_1") as caught:
        open_user(envelope, "usr_1", sealed)
    assert "Secret" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Ann Bergström", "BERGSTROM, Ann"),
        ("José  María", "maria jose"),
        ("Straße GmbH", "GMBH strasse"),
        ("Иван Петров", "петров иван"),
    ],
)
def test_name_key__is_equal_without_case_accents_and_order(one: str, other: str) -> None:
    assert name_key(one) == name_key(other) != ""


def test_keys__differ_where_the_value_does() -> None:
    assert name_key("Ann Berg") != name_key("Anna Berg")
    assert email_key(" Ann@Post.Example ") == "ann@post.example"
    assert document_key("ab 123-456") == document_key("AB123456") != document_key("AB123457")


@FEW
@given(st.text(max_size=40))
def test_name_key__of_a_key_is_the_key_again(text: str) -> None:
    assert name_key(name_key(text)) == name_key(text)


@pytest.mark.parametrize("text", ["write to ann@post.example now", "call +46 70 123 45 67", "tel:+14155550100"])
def test_refuse_personal_data__finds_addresses_and_numbers(text: str) -> None:
    with pytest.raises(ComplianceInputError, match="note holds") as caught:
        refuse_personal_data("note", text)
    assert text not in caught.value.message


@pytest.mark.parametrize(
    "text",
    [
        "0x8589427373D6D84E98730D7795D8f6f8731FDA16 received 1,234,567.89 USD",
        "due 2026-01-31T12:00:00+00:00, case cas_0123456789abcdef0123456789abcdef",
        "score 0.98 @ list ofac-sdn, +3 hits; 12345678901",
    ],
)
def test_refuse_personal_data__lets_ids_amounts_and_times_pass(text: str) -> None:
    refuse_personal_data("note", text)
