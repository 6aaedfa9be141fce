"""What preferences are made of: owners, contacts and settings, as the service handles them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, time
from enum import StrEnum

from sqlalchemy import Engine

from alerting.channels.guard import IpNetwork
from alerting.compliance_events import ComplianceSeverity
from alerting.events import Severity
from infra.runtime.clock import Clock
from infra.runtime.sealing import Sealer

TEAM_PREFIX = "team:"


class Team(StrEnum):
    """A team of the desk that has preferences of its own."""

    RISK = "risk"
    COMPLIANCE = "compliance"


class ContactChannel(StrEnum):
    """A way that an owner can choose to be reached."""

    EMAIL = "email"
    SMS = "sms"
    WEBHOOK = "webhook"


class ContactRole(StrEnum):
    """Whether a contact is told at once, or when no primary one was reached."""

    PRIMARY = "primary"
    FALLBACK = "fallback"


class ContactStatus(StrEnum):
    """How far a contact may be used; only a verified one is."""

    PENDING = "pending"
    VERIFIED = "verified"
    DISABLED = "disabled"
    REMOVED = "removed"


class ContactOrigin(StrEnum):
    """Whether the owner chose the contact or onboarding registered it."""

    PREFERENCE = "preference"
    REGISTERED = "registered"


MARGIN_SEVERITIES = frozenset(severity.value for severity in Severity)
TEAM_SEVERITIES = MARGIN_SEVERITIES | {severity.value for severity in ComplianceSeverity}


@dataclass(frozen=True, slots=True)
class Context:
    """What the service works with; `networks` are private ones that webhooks may stand in."""

    engine: Engine
    sealer: Sealer
    clock: Clock
    networks: tuple[IpNetwork, ...] = ()


@dataclass(frozen=True, slots=True)
class Contact:
    """One stored contact, without its address; `hint` is masked."""

    contact_id: str
    owner: str
    channel: ContactChannel
    origin: ContactOrigin
    role: ContactRole
    position: int
    hint: str
    fingerprint: str
    severities: tuple[str, ...] | None
    status: ContactStatus
    status_reason: str | None
    verified_at: datetime | None
    previous_secret_until: datetime | None


@dataclass(frozen=True, slots=True)
class OwnerSettings:
    """How an owner wants to be told; these defaults hold until something is set."""

    locale: str = "en"
    time_zone: str = "UTC"
    quiet_start: time | None = None
    quiet_end: time | None = None
    digest_minutes: int | None = None


@dataclass(frozen=True, slots=True)
class WantedContact:
    """A contact as an owner asks for it: kept by its id, or an address on a channel."""

    role: ContactRole
    severities: tuple[str, ...] | None
    contact_id: str | None = None
    channel: ContactChannel | None = None
    address: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class WantedPreferences:
    """The whole of what an owner asks for, in the order of the contacts; who decided it, and why."""

    contacts: tuple[WantedContact, ...]
    settings: OwnerSettings
    set_by: str
    reason: str


@dataclass(frozen=True, slots=True)
class Silence:
    """A time in which an owner is not told of some severities."""

    silence_id: str
    owner: str
    severities: tuple[str, ...]
    starts_at: datetime
    ends_at: datetime
    reason: str
    created_by: str
    created_at: datetime


def account_of(owner: str) -> str | None:
    """The account that the owner is; None for a team, for account ids hold no colon."""
    return None if owner.startswith(TEAM_PREFIX) else owner


def severities_of(owner: str) -> frozenset[str]:
    """The severities that the owner can be told of."""
    return MARGIN_SEVERITIES if account_of(owner) is not None else TEAM_SEVERITIES


def gravest_of(owner: str) -> str:
    """The severity that at least one primary contact of the owner must be told of."""
    return ComplianceSeverity.CRITICAL if owner == f"{TEAM_PREFIX}{Team.COMPLIANCE}" else Severity.LIQUIDATION
