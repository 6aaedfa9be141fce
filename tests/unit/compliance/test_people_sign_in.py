"""People by name and password, and by the mail address that an identity provider vouches for."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from compliance.api.people import SIGN_IN_ROLES, people_of
from compliance.model import Role
from infra.runtime.errors import SettingsError

USERS = SecretStr("ann:officer:token-of-ann-0123456789,bob:viewer:token-of-bob-0123456789")


@pytest.mark.parametrize(
    ("name", "password", "found"),
    [
        ("ann", "token-of-ann-0123456789", "ann"),
        ("bob", "token-of-bob-0123456789", "bob"),
        ("bob", "token-of-ann-0123456789", None),
        ("Ann", "token-of-ann-0123456789", None),
        ("", "token-of-ann-0123456789", None),
        ("ann", "", None),
        ("ann", "token-of-ann-012345678", None),
        ("\ud800", "\ud800", None),
    ],
)
def test_signed_in_as__needs_name_and_token_of_one_person(name: str, password: str, found: str | None) -> None:
    actor = people_of(USERS).signed_in_as(name, password)
    assert (actor.name if actor else None) == found


def test_named__finds_a_person_with_the_role() -> None:
    ann = people_of(USERS).named("ann")
    assert ann is not None
    assert ann.role is Role.OFFICER
    assert people_of(USERS).named("carl") is None


@pytest.mark.parametrize("mail", ["ann@desk.example", "ANN@Desk.Example", " ann@desk.example "])
def test_with_mail__finds_the_person_whatever_the_capitals(mail: str) -> None:
    people = people_of(USERS, SecretStr("Ann@desk.example=ann\nann2@desk.example = ann, bob@desk.example=bob"))
    ann = people.with_mail(mail)
    assert ann is not None
    assert ann.name == "ann"
    assert people.with_mail("eve@desk.example") is None
    assert people.with_mail("ann") is None


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("ann@desk.example", "Entry 1.*names nobody"),
        ("ann=ann", "Entry 1.*is not mail=name"),
        ("ann@desk.example=ann,bob@desk.example=carl", "Entry 2.*names nobody"),
        ("ann@desk.example=ann,ANN@desk.example=bob", "Entry 2.*another entry"),
        ("=ann", "Entry 1.*is not mail=name"),
    ],
)
def test_emails__a_wrong_entry_is_named_by_its_number_only(setting: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said) as caught:
        people_of(USERS, SecretStr(setting))
    assert "desk.example" not in str(caught.value)


def test_sign_in_roles__are_those_of_persons() -> None:
    assert {role.value for role in SIGN_IN_ROLES} == {"viewer", "analyst", "officer", "admin", "auditor"}
