"""Claims: which worker sends a notification now, and what became of its attempt. Everything here is in bulk.

A claim runs out unless its worker renews it, so work of a killed worker is taken over after the lease. `sent` is
recorded with the claim, because the attempt follows at once. One window for a second delivery remains: the provider
accepted and the worker died (or lost the database for longer than the lease) before `record` was durable. The next
claim then says `may_have_arrived`; the notification id goes out as the idempotency key where a provider takes one.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import Engine, text

from alerting import claims_sql as sql
from infra.runtime.clock import Clock


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to make attempt number `attempt` of one notification until the lease runs out.

    `row` holds what is needed to compose the message: columns of notification, event, contact and preferences.
    """

    token: uuid.UUID
    notification_id: str
    channel: str
    recipient: str
    severity: str
    kind: str
    attempt: int
    may_have_arrived: bool
    detected_at: datetime
    row: Mapping[str, Any]


class OutcomeKind(StrEnum):
    """How an attempt ended, as the ledger sees it."""

    ACCEPTED = "accepted"
    FAILED = "failed"
    SUPPRESSED = "suppressed"
    RETRY = "retry"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What to record of a claim; `again_at` only with a retry, `counts` False gives the attempt back."""

    claim: Claim
    kind: OutcomeKind
    detail: str | None = None
    provider_message_id: str | None = None
    again_at: datetime | None = None
    is_unknown: bool = False
    counts: bool = True


INHIBITED = "a liquidation of the same episode was announced meanwhile"


# What a ceiling lets pass at once, in seconds of it.
CEILING_BURST = timedelta(seconds=1)


class Claims:
    """Claims of one worker; `clock` is one that all workers share (`PostgresClock`). Safe to use from threads.

    Each method is one statement, which is a transaction of its own.
    """

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._single = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._clock = clock
        self._ceilings: set[str] = set()

    def claim(self, channel: str, limit: int, lease: timedelta, per_second: float | None = None) -> list[Claim]:
        """Take up to `limit` due notifications of the channel that nobody holds, the longest due first.

        `per_second` is the channel's ceiling for all workers together. `sent` is recorded: make the attempts at once.
        """
        if limit <= 0:
            return []
        now = self._clock.now()
        token = uuid.uuid4()
        if per_second is not None:
            self._ensure_ceiling(channel, now)
        values = {
            "channel": channel,
            "now": now,
            "until": now + lease,
            "token": token,
            "max_rows": limit,
            "per_second": per_second,
            "burst": CEILING_BURST,
            "interval": timedelta(seconds=1 / per_second) if per_second is not None else timedelta(0),
        }
        with self._single.connect() as connection:
            rows = connection.execute(sql.CLAIM, values).mappings().all()
        return [_claim(token, row) for row in rows]

    def _ensure_ceiling(self, channel: str, now: datetime) -> None:
        if channel not in self._ceilings:
            with self._single.connect() as connection:
                connection.execute(sql.NEW_CEILING, {"channel": channel, "free_at": now - CEILING_BURST})
            self._ceilings.add(channel)

    def renew(self, claims: Collection[Claim], lease: timedelta) -> None:
        """Extend the leases of claims that are still held."""
        if not claims:
            return
        held = sorted(claims, key=lambda claim: claim.notification_id)
        values = {
            "notification_id": [claim.notification_id for claim in held],
            "token": [claim.token for claim in held],
            "until": self._clock.now() + lease,
        }
        with self._single.connect() as connection:
            connection.execute(sql.RENEW, values)

    def record(self, outcomes: Sequence[Outcome]) -> None:
        """Record how attempts ended, at most one outcome a notification.

        An acceptance ends the notification even when the claim was lost meanwhile: the provider has it. Any other
        outcome of a lost claim goes to the history only, because the next holder decides.
        """
        if not outcomes:
            return
        ordered = sorted(outcomes, key=lambda each: each.claim.notification_id)
        values = {
            "notification_id": [each.claim.notification_id for each in ordered],
            "token": [each.claim.token for each in ordered],
            "outcome": [each.kind.value for each in ordered],
            "detail": [each.detail for each in ordered],
            "provider_message_id": [each.provider_message_id for each in ordered],
            "again_at": [each.again_at for each in ordered],
            "is_unknown": [each.is_unknown for each in ordered],
            "counts": [each.counts for each in ordered],
            "detected_at": [each.claim.detected_at for each in ordered],
            "now": self._clock.now(),
        }
        with self._single.connect() as connection:
            connection.execute(sql.RECORD, values)

    def digest_members(self, digest_ids: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
        """The payloads that each digest sums up, oldest first, with `kind`, `severity` and `account_id` beside them."""
        found: dict[str, list[dict[str, Any]]] = {key: [] for key in digest_ids}
        if digest_ids:
            with self._single.connect() as connection:
                for row in connection.execute(sql.DIGEST_MEMBERS, {"digest_ids": list(digest_ids)}).mappings():
                    own = {"kind": row["kind"], "severity": row["severity"], "account_id": row["account_id"]}
                    found[row["digest_id"]].append({**row["payload"], **own})
        return found

    def queue_depths(self) -> dict[str, tuple[int, float]]:
        """For each channel: notifications that are due, and the age in seconds of the one that is due longest."""
        now = self._clock.now()
        with self._single.connect() as connection:
            rows = connection.execute(sql.DEPTHS, {"now": now}).all()
        return {row.channel: (int(row.depth), (now - row.oldest).total_seconds()) for row in rows}

    def pending(self) -> int:
        """How many notifications have not ended."""
        with self._single.connect() as connection:
            return int(connection.execute(text("select count(*) from alerting.pending")).scalar_one())


def _claim(token: uuid.UUID, row: Mapping[Any, Any]) -> Claim:
    return Claim(
        token=token,
        notification_id=row["notification_id"],
        channel=row["channel"],
        recipient=row["recipient"],
        severity=row["severity"],
        kind=row["kind"],
        attempt=row["attempt"],
        may_have_arrived=row["may_have_arrived"],
        detected_at=row["detected_at"],
        row=dict(row),
    )
