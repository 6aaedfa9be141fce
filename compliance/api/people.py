"""The people and programs of compliance: each has a name, a role and a bearer token of their own.

A name stands in the record for good, and four eyes are two names; so nobody may share one, nor be called `system`.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pydantic import SecretStr

from compliance.model import SYSTEM, Actor, Role
from infra.runtime.errors import SettingsError

API_TOKEN_NAME = "api-token"  # noqa: S105 -- a name, not a token
"""Who reads with the API's own token, which no person stands behind."""
API_TOKEN_READER = Actor(API_TOKEN_NAME, Role.VIEWER)
MIN_TOKEN_LENGTH = 20
SIGN_IN_ROLES = frozenset({Role.VIEWER, Role.ANALYST, Role.OFFICER, Role.ADMIN, Role.AUDITOR})
"""Whose people may sign in to the app; a role that is not listed acts by its token only."""
_NAME = re.compile(r"[a-z][a-z0-9_.-]{0,63}")
_TOKEN = re.compile(r"[\x21-\x2b\x2d-\x7e]+")
_MAIL = re.compile(r"[^\s@=,<>\"]{1,64}@[^\s@=,<>\"]{1,255}")


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with a token, of which only the SHA-256 is kept."""

    actor: Actor
    token_digest: bytes = field(repr=False)


class People:
    """Everybody who may use compliance, by token, by name, and by mail address where an identity provider vouches."""

    def __init__(self, people: Sequence[Person] = (), emails: Mapping[str, str] | None = None) -> None:
        self._people = tuple(people)
        self._emails = dict(emails or {})

    def __bool__(self) -> bool:
        return bool(self._people)

    @property
    def actors(self) -> tuple[Actor, ...]:
        """Names and roles."""
        return tuple(person.actor for person in self._people)

    def holds(self, token: SecretStr | None) -> bool:
        """Whether a person has this token."""
        return token is not None and self.actor_of(token.get_secret_value().strip().encode()) is not None

    def actor_of(self, token: bytes) -> Actor | None:
        """Whose token this is; every digest is compared, so that time tells nothing."""
        digest, found = hashlib.sha256(token).digest(), None
        for person in self._people:
            if hmac.compare_digest(digest, person.token_digest):
                found = person.actor
        return found

    def named(self, name: str) -> Actor | None:
        """The person of this name."""
        return next((person.actor for person in self._people if person.actor.name == name), None)

    def with_mail(self, mail: str) -> Actor | None:
        """The person whom this address is bound to; capitals do not matter."""
        name = self._emails.get(mail.strip().casefold())
        return None if name is None else self.named(name)

    def signed_in_as(self, name: str, token: str) -> Actor | None:
        """The person of this name and token; every person is compared, so that time tells neither."""
        wanted, digest, found = _digest(name), _digest(token), None
        for person in self._people:
            is_name = hmac.compare_digest(wanted, _digest(person.actor.name))
            is_token = hmac.compare_digest(digest, person.token_digest)
            if is_name & is_token:
                found = person.actor
        return found


def people_of(setting: SecretStr | None, emails: SecretStr | None = None) -> People:
    """The people of `BALLAST_COMPLIANCE_USERS`: `name:role:token`, one a line or separated by commas; empty: nobody.

    `emails` is `BALLAST_COMPLIANCE_EMAILS`: `mail=name` in the same form; it binds what an identity provider vouches
    for to a person, who may have several addresses. Raises `SettingsError` that names the entry by its number, never
    its content.
    """
    people = [_person(number, entry) for number, entry in enumerate(_entries(setting), start=1)]
    for what, values in (
        ("name", [person.actor.name for person in people]),
        ("token", [person.token_digest for person in people]),
    ):
        if len(set(values)) != len(values):
            raise SettingsError(f"BALLAST_COMPLIANCE_USERS gives the same {what} twice; each person needs an own one.")
    return People(people, _mails(emails, {person.actor.name for person in people}))


def _entries(setting: SecretStr | None) -> list[str]:
    content = setting.get_secret_value() if setting is not None else ""
    return [entry.strip() for entry in re.split(r"[\n,]", content) if entry.strip()]


def _mails(setting: SecretStr | None, names: set[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for number, entry in enumerate(_entries(setting), start=1):
        place = f"Entry {number} of BALLAST_COMPLIANCE_EMAILS"
        mail, _, name = (part.strip() for part in entry.partition("="))
        if not _MAIL.fullmatch(mail):
            raise SettingsError(f"{place} is not mail=name.")
        if name not in names:
            raise SettingsError(f"{place} names nobody of BALLAST_COMPLIANCE_USERS.")
        if mail.casefold() in found:
            raise SettingsError(f"{place} gives an address that another entry gives too; one address is one person.")
        found[mail.casefold()] = name
    return found


def _digest(text: str) -> bytes:
    # Equal lengths: a comparison tells nothing about the length either. A lone surrogate is no reason to fail.
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def _person(number: int, entry: str) -> Person:
    parts = entry.split(":", 2)
    if len(parts) != 3:
        raise SettingsError(f"Entry {number} of BALLAST_COMPLIANCE_USERS is not name:role:token.")
    name, role, token = (part.strip() for part in parts)
    if not _NAME.fullmatch(name) or name in (SYSTEM.name, API_TOKEN_NAME):
        raise SettingsError(
            f"The name of entry {number} of BALLAST_COMPLIANCE_USERS cannot be used: begin with a small letter, go on"
            f" with small letters, digits and _.-, at most 64; {SYSTEM.name} and {API_TOKEN_NAME} are taken."
        )
    if role not in {each.value for each in Role}:
        roles = ", ".join(each.value for each in Role)
        raise SettingsError(f"The role of entry {number} of BALLAST_COMPLIANCE_USERS is none of {roles}.")
    if len(token) < MIN_TOKEN_LENGTH or not _TOKEN.fullmatch(token):
        raise SettingsError(
            f"The token of entry {number} of BALLAST_COMPLIANCE_USERS needs at least {MIN_TOKEN_LENGTH} printable"
            " ASCII characters without blanks."
        )
    return Person(Actor(name, Role(role)), hashlib.sha256(token.encode()).digest())
