"""One attempt each: claims become messages, results become outcomes, outcomes go to the ledger."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy.exc import SQLAlchemyError

from alerting.channels.base import (
    Accepted,
    Channel,
    DeliveryResult,
    OutboundMessage,
    Rejected,
    Retryable,
    retry_delay,
)
from alerting.claims import INHIBITED, Claim, Claims, Outcome, OutcomeKind
from alerting.composing import AddressMissingError, Composer, RecipientGoneError
from alerting.errors import TemplateError
from alerting.metrics import WorkerMetrics
from alerting.notices import Kind
from alerting.recorder import Recorder
from infra.runtime.clock import Clock
from infra.runtime.logs import get_logger
from infra.runtime.sealing import UnsealError

_log = get_logger(__name__)

# Messages composed before other tasks of the loop get their turn.
COMPOSE_AT_ONCE = 32
MISSING_ADDRESS_WAIT = timedelta(seconds=30)


@dataclass(frozen=True)
class SenderHooks:
    """What the sender tells others: contacts that want no more messages, and events of which a message has failed."""

    on_disabled: Callable[[str, str], None]
    on_failed: Callable[[Sequence[str]], None]


class Attempts:
    """Claims that this worker holds, from claim to recorded outcome; of one event loop."""

    def __init__(
        self,
        claims: Claims,
        composer: Composer,
        clock: Clock,
        metrics: WorkerMetrics,
        hooks: SenderHooks,
        lease: timedelta,
    ) -> None:
        self.metrics = metrics
        self.lease = lease
        self.recorder = Recorder(claims, self._left)
        self._claims = claims
        self._composer = composer
        self._clock = clock
        self._hooks = hooks
        self._held: dict[str, Claim] = {}

    async def claim(self, channel: Channel, limit: int) -> list[Claim]:
        """Claims of the channel, none while PostgreSQL is away."""
        limits, lease = channel.limits, self.lease
        try:
            claims = await asyncio.to_thread(self._claims.claim, channel.name, limit, lease, limits.per_second)
        except SQLAlchemyError as error:
            _log.warning("sender_waits_for_postgres", channel=channel.name, reason=type(error).__name__)
            return []
        self._held.update({claim.notification_id: claim for claim in claims})
        return claims

    async def compose(self, claims: Sequence[Claim]) -> list[tuple[Claim, OutboundMessage]]:
        """The messages of the claims; what cannot be sent is recorded with its reason instead."""
        digests = [claim.notification_id for claim in claims if claim.kind == Kind.DIGEST]
        members = await asyncio.to_thread(self._claims.digest_members, digests) if digests else {}
        now = self._clock.now()
        composed = []
        for number, claim in enumerate(claims, start=1):
            if claim.row["is_inhibited"]:
                self.record(Outcome(claim, OutcomeKind.SUPPRESSED, INHIBITED))
                continue
            try:
                message = self._composer.compose(claim, members.get(claim.notification_id, ()), now)
                composed.append((claim, message))
            except RecipientGoneError as error:
                self.record(Outcome(claim, OutcomeKind.SUPPRESSED, error.message))
            except (AddressMissingError, UnsealError) as error:
                self._held_back(claim, error.message, MISSING_ADDRESS_WAIT)
            except TemplateError as error:
                self.record(Outcome(claim, OutcomeKind.FAILED, f"{error.code}: {error.message}"))
            if number % COMPOSE_AT_ONCE == 0:
                await asyncio.sleep(0)
        return composed

    def give_back(self, claims: Sequence[Claim], reason: str) -> None:
        """Claims that were not attempted, due again at once."""
        for claim in claims:
            self._held_back(claim, reason, timedelta(0))

    def _held_back(self, claim: Claim, reason: str, wait: timedelta) -> None:
        self.record(
            Outcome(
                claim,
                OutcomeKind.RETRY,
                f"not attempted: {reason}",
                again_at=self._clock.now() + wait,
                is_unknown=claim.may_have_arrived,
                counts=False,
            )
        )

    def finish(self, channel: Channel, claim: Claim, result: DeliveryResult) -> None:
        """Have the result of an attempt recorded."""
        now = self._clock.now()
        match result:
            case Accepted():
                self.record(Outcome(claim, OutcomeKind.ACCEPTED, result.detail, result.provider_message_id))
                self.metrics.accepted(claim.channel, claim.severity, (now - claim.detected_at).total_seconds())
            case Rejected():
                self._log_refusal(claim, "rejected", result.reason)
                self.record(Outcome(claim, OutcomeKind.FAILED, f"{result.reason}; final"))
                if result.disables_recipient:
                    self._hooks.on_disabled(claim.recipient, result.reason)
            case Retryable():
                self._log_refusal(claim, "retryable", result.reason)
                self.record(self._retry(channel, claim, result))

    def _log_refusal(self, claim: Claim, result: str, reason: str) -> None:
        _log.warning(
            "notification_not_accepted",
            notification_id=claim.notification_id,
            channel=claim.channel,
            attempt=claim.attempt,
            result=result,
            reason=reason,
        )

    def _retry(self, channel: Channel, claim: Claim, result: Retryable) -> Outcome:
        attempt = claim.attempt if result.counts else max(1, claim.attempt - 1)
        wait = retry_delay(channel, claim.notification_id, attempt, result)
        if wait is None:
            return Outcome(claim, OutcomeKind.FAILED, f"{result.reason}; no attempts left")
        again_at = self._clock.now() + wait
        return Outcome(
            claim,
            OutcomeKind.RETRY,
            f"{result.reason}; next attempt at {again_at.isoformat(timespec='milliseconds')}",
            again_at=again_at,
            is_unknown=result.is_unknown or claim.may_have_arrived,
            counts=result.counts,
        )

    def record(self, outcome: Outcome) -> None:
        """Hand an outcome to the recorder."""
        self.recorder.add(outcome)

    def _left(self, outcomes: Sequence[Outcome]) -> None:
        for outcome in outcomes:
            held = self._held.get(outcome.claim.notification_id)
            if held is not None and held.token == outcome.claim.token:
                del self._held[outcome.claim.notification_id]
        failed = [each.claim.row["event_id"] for each in outcomes if each.kind is OutcomeKind.FAILED]
        if failed:
            self._hooks.on_failed(failed)

    async def renew_forever(self) -> None:
        """Keep what is held, until cancelled."""
        every_s = self.lease.total_seconds() / 3
        while True:
            await asyncio.sleep(every_s)
            try:
                await asyncio.to_thread(self._claims.renew, list(self._held.values()), self.lease)
            except SQLAlchemyError as error:
                _log.warning("lease_not_renewed", claims=len(self._held), reason=type(error).__name__)
