"""What verification needs of the other parts of compliance."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

from sqlalchemy import Connection

from compliance.policy.model import Policy
from compliance.users import User


class Policies(Protocol):
    """The book of policies."""

    def current(self, at: datetime) -> Policy:
        """The policy that counts at a time; raises `ComplianceNotReadyError` if none does."""
        ...


class Screened(Protocol):
    """One screening of a customer, stored; only the outcome `clear` is clean.

    `is_exposed`: the hit is that the customer is a politically exposed person, which an officer confirmed.
    """

    @property
    def screening_id(self) -> str: ...

    @property
    def outcome(self) -> str: ...

    @property
    def case_id(self) -> str | None: ...

    @property
    def list_versions(self) -> Mapping[str, str]: ...

    @property
    def is_exposed(self) -> bool: ...


class UserScreener(Protocol):
    """What searches the lists for a customer."""

    def screen_user(self, connection: Connection, user: User, policy: Policy, trigger: str) -> Screened:
        """Search and store within the caller's transaction."""
        ...
