"""What the policy weighs and what it decides: contacts, preferences, buckets, digests, plans."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from decimal import Decimal

from alerting.ledger import AlertEvent, PlannedNotification
from alerting.notices import ChannelName, Kind
from infra.runtime.ids import stable_id


@dataclass(frozen=True, slots=True)
class Rules:
    """Settings of the policy; `digest_window` is how long an address that got too much waits for the rest."""

    repeat_window: timedelta = timedelta(minutes=5)
    escalation_after: timedelta = timedelta(seconds=20)
    bucket_size: int = 10
    bucket_refill: timedelta = timedelta(seconds=30)
    digest_window: timedelta = timedelta(seconds=30)
    has_operator_webhook: bool = False
    channels: frozenset[str] = frozenset({"email", "sms", "webhook"})

    @property
    def has_pagerduty(self) -> bool:
        """Whether the operators can be paged."""
        return ChannelName.PAGERDUTY in self.channels


@dataclass(frozen=True, slots=True)
class Recipient:
    """A contact, as far as the policy needs it; `severities` None: all."""

    contact_id: str
    owner: str
    channel: str
    role: str
    position: int
    origin: str
    fingerprint: str
    severities: frozenset[str] | None = None

    def wants(self, severity: str) -> bool:
        """Whether the contact asked for this severity."""
        return self.severities is None or severity in self.severities


@dataclass(frozen=True, slots=True)
class Silence:
    """A time in which an owner is not told of some severities."""

    silence_id: str
    severities: frozenset[str]
    starts_at: datetime
    ends_at: datetime


@dataclass(frozen=True, slots=True)
class Preferences:
    """What an owner wants; quiet hours are local times, `recipients` verified ones only."""

    recipients: tuple[Recipient, ...] = ()
    time_zone: str = "UTC"
    quiet_start: time | None = None
    quiet_end: time | None = None
    digest_minutes: int | None = None
    silences: tuple[Silence, ...] = ()

    def chosen(self) -> tuple[Recipient, ...]:
        """The owner's own contacts, or while there is none the registered ones."""
        own = tuple(each for each in self.recipients if each.origin == "preference")
        return own or self.recipients


@dataclass(frozen=True, slots=True)
class Told:
    """Something that a recipient was told of an account within the repeat window."""

    channel: str
    recipient: str
    rule: str
    severity: str
    episode_id: str
    at: datetime


@dataclass(slots=True)
class Bucket:
    """Alerts that an address may still get at once, as of `at`."""

    tokens: Decimal
    at: datetime
    is_changed: bool = False

    def refill(self, rules: Rules, now: datetime) -> None:
        """Add what has come since `at`; a clock that went back adds nothing."""
        gained = Decimal(max(0, (now - self.at) // timedelta(milliseconds=1))) / Decimal(
            rules.bucket_refill // timedelta(milliseconds=1)
        )
        self.tokens = min(Decimal(rules.bucket_size), self.tokens + gained).quantize(Decimal("0.001"))
        self.at = max(self.at, now)

    def take(self, *, anyway: bool) -> bool:
        """Use a token; with `anyway` also where none is left. False: there was none."""
        had = self.tokens >= 1
        if had or anyway:
            self.tokens = max(Decimal(0), self.tokens - 1)
            self.is_changed = True
        return had


@dataclass(frozen=True, slots=True)
class Digest:
    """A notification that sums up others for one address, due at `due_at`; `window` is the time to the next one."""

    channel: str
    recipient: Recipient
    due_at: datetime
    window: timedelta

    @property
    def event_id(self) -> str:
        """Equal for the same address and time, whoever asks for it."""
        return stable_id("dig", self.channel, self.recipient.fingerprint, self.due_at.isoformat())

    def following(self) -> Digest:
        """The next digest of the same address."""
        return Digest(self.channel, self.recipient, self.due_at + self.window, self.window)

    def event(self, now: datetime) -> AlertEvent:
        """The event that the digest's notification is of."""
        payload = {"window_start": now.isoformat(), "window_end": self.due_at.isoformat()}
        return AlertEvent.internal(Kind.DIGEST, self.event_id, self.recipient.owner, None, payload, now)


@dataclass(slots=True)
class Plan:
    """What an event leads to: notifications, those that go into a digest, and when somebody must have accepted."""

    notifications: list[PlannedNotification] = field(default_factory=list)
    digested: list[tuple[PlannedNotification, Digest]] = field(default_factory=list)
    escalate_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """What is known when an event is planned: preferences, what was told lately, buckets, and whether it was paged."""

    preferences: Preferences
    told: Sequence[Told]
    buckets: Mapping[tuple[str, str], Bucket]
    is_paged: bool = False
