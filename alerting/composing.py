"""From a claim to the message that goes out: the address is opened, the words are made, just before the attempt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic import SecretStr

from alerting.channels.base import Address, OutboundMessage
from alerting.claims import Claim
from alerting.errors import AlertingError
from alerting.notices import ChannelName, Kind, Notice
from alerting.policy import OPERATOR, OPERATORS
from alerting.preferences.codes import address_place, secret_place, verification_code
from alerting.rendering.renderer import Renderer
from infra.runtime.sealing import Sealer

DEFAULT_LOCALE = "en"
DEFAULT_TIME_ZONE = "UTC"
_ARGUMENTS = ("margin_event_id", "case_id", "health", "is_simulated")


class RecipientGoneError(AlertingError):
    """The contact was removed or disabled after the notification was planned."""

    code = "recipient_gone"


class AddressMissingError(AlertingError):
    """The recipient has no address now, but may get one: the settings lack it, or the key that opens it."""

    code = "address_missing"


class Composer:
    """Composes messages; it knows the operator's own webhook and opens the addresses of contacts."""

    def __init__(
        self, renderer: Renderer, sealer: Sealer | None, webhook_url: str | None, webhook_secret: SecretStr | None
    ) -> None:
        self._renderer = renderer
        self._sealer = sealer
        self._operator = (
            Address(webhook_url, (webhook_secret.get_secret_value(),), is_trusted=True)
            if webhook_url and webhook_secret is not None
            else None
        )

    def compose(self, claim: Claim, members: Sequence[Mapping[str, Any]], now: datetime) -> OutboundMessage:
        """The message of the claim's attempt; `members` is what a digest sums up.

        Raises `RecipientGoneError`, `AddressMissingError`, `UnsealError`, and `TemplateError` for what has no words.
        """
        row = claim.row
        payload: Mapping[str, Any] = row["payload"]
        address = self._address(claim, now)
        notice = Notice(
            notification_id=claim.notification_id,
            kind=Kind(claim.kind),
            severity=claim.severity,
            channel=ChannelName(claim.channel),
            locale=row["locale"] or DEFAULT_LOCALE,
            time_zone=row["time_zone"] or DEFAULT_TIME_ZONE,
            payload=payload,
            detected_at=claim.detected_at,
            account_id=row["account_id"],
            members=members,
            code=self._code(claim),
        )
        return OutboundMessage(
            notification_id=claim.notification_id,
            channel=claim.channel,
            recipient=claim.recipient,
            address=address,
            content=self._renderer.render(notice),
            attempt=claim.attempt,
            may_have_arrived=claim.may_have_arrived,
            first_planned_at=row["created_at"],
            arguments=_arguments(claim, payload),
        )

    def _address(self, claim: Claim, now: datetime) -> Address:
        row = claim.row
        if claim.recipient == OPERATORS:
            return Address("")
        if claim.recipient == OPERATOR:
            if self._operator is None:
                raise AddressMissingError("the operator's webhook has no address or secret now (BALLAST_WEBHOOK_URL)")
            return self._operator
        usable = ("verified", "pending") if claim.kind == Kind.VERIFICATION else ("verified",)
        if row["contact_status"] not in usable:
            raise RecipientGoneError(f"the contact is {row['contact_status'] or 'unknown'} now")
        if self._sealer is None:
            raise AddressMissingError("contacts cannot be opened: BALLAST_SEALING_KEY is not set")
        secrets = []
        if row["secret_sealed"] is not None:
            secrets.append(self._sealer.open(bytes(row["secret_sealed"]), secret_place(claim.recipient)))
        until: datetime | None = row["previous_secret_until"]
        if row["previous_secret_sealed"] is not None and until is not None and until > now:
            secrets.append(self._sealer.open(bytes(row["previous_secret_sealed"]), secret_place(claim.recipient)))
        text = self._sealer.open(bytes(row["address_sealed"]), address_place(claim.recipient))
        return Address(text, tuple(secrets))

    def _code(self, claim: Claim) -> str | None:
        if claim.kind != Kind.VERIFICATION or self._sealer is None:
            return None
        return verification_code(self._sealer, str(claim.row["payload"]["verification_id"]), claim.channel)


def _arguments(claim: Claim, payload: Mapping[str, Any]) -> dict[str, str]:
    """What the provider keeps with the message: ids and figures, no personal data."""
    arguments = {
        "event_id": claim.row["event_id"],
        "severity": claim.severity,
        "detected_at": claim.detected_at.isoformat(),
    }
    if claim.row["account_id"]:
        arguments["account_id"] = claim.row["account_id"]
    for name in _ARGUMENTS:
        value = payload.get(name)
        if value is not None:
            arguments[name] = str(value).lower() if isinstance(value, bool) else str(value)
    return arguments
