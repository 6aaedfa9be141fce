"""Mail through SendGrid v3, up to a thousand in one request, of which a bad one fails alone."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from email_validator import EmailNotValidError, validate_email
from pydantic import SecretStr
from yarl import URL

from alerting.channels.answers import RETRY_DELAYS_S, misconfigured, trouble, unexpected
from alerting.channels.base import (
    Accepted,
    ChannelLimits,
    DeliveryResult,
    EmailContent,
    OutboundMessage,
    Rejected,
    Retryable,
)
from alerting.channels.email_requests import MailItem, mail_errors, planned_requests, rendered_request
from alerting.channels.http import HttpAnswer, HttpClient, HttpLimits
from alerting.channels.redaction import EXCERPT_CHARS, redacted
from alerting.notices import ChannelName
from infra.runtime.clock import Clock

PROVIDER = "SendGrid"
EMAIL_LIMITS = ChannelLimits(concurrency=4, max_batch=1000)
# Addresses that need no closer look; a contact's was judged when it was stored.
_PLAIN = re.compile(
    r"[A-Za-z0-9_+-]{1,32}(?:\.[A-Za-z0-9_+-]{1,15}){0,2}@(?:[a-z0-9]{1,30}(?:-[a-z0-9]{1,30})?\.){1,4}[a-z]{2,20}"
)
TOTAL_TIMEOUT_S = 15.0
# One `deliver` may need several requests, when an address occurs twice or words are many.
_REQUESTS_PER_DELIVERY = 4


@dataclass(slots=True)
class _Delivery:
    """The results of one `deliver` call; once the channel is to pause, what was not sent yet is not sent."""

    results: dict[int, DeliveryResult] = field(default_factory=dict)
    pause: Retryable | None = None


class EmailChannel:
    """Sends mails; SendGrid has no idempotency key, so its events tell by `notification_id` what arrived.

    An attempt whose outcome is unknown comes again after 5 s at the earliest, so that an event can come first.
    """

    name = ChannelName.EMAIL.value
    retry_delays_s: Sequence[float] = RETRY_DELAYS_S

    def __init__(
        self,
        url: str,
        api_key: SecretStr,
        sender: str,
        clock: Clock,
        *,
        limits: ChannelLimits = EMAIL_LIMITS,
        total_timeout_s: float = TOTAL_TIMEOUT_S,
    ) -> None:
        self.limits = limits
        self._url = URL(url.rstrip("/") + "/v3/mail/send")
        self._api_key = api_key
        self._sender = sender
        self._clock = clock
        requests = max(limits.concurrency, 1) * _REQUESTS_PER_DELIVERY
        self._slots = asyncio.Semaphore(requests)
        self._client = HttpClient(HttpLimits(requests, total_s=total_timeout_s, body_s=total_timeout_s))

    async def deliver(self, messages: Sequence[OutboundMessage]) -> Sequence[DeliveryResult]:
        """Make one attempt for each mail.

        202 accepts every mail of a request. 400 and 413 reject the mails that SendGrid names, and the others go out
        again at once; if it names none, halves are tried until the culprit stands alone. Refused credentials or a
        refused sender are faults of ours: they pause the channel and lose no mail. 429 pauses it and counts as no
        attempt.
        """
        delivery = _Delivery()
        items: list[MailItem] = []
        for index, message in enumerate(messages):
            found = _item(index, message)
            if isinstance(found, Rejected):
                delivery.results[index] = found
            else:
                items.append(found)
        async with asyncio.TaskGroup() as tasks:
            for request in planned_requests(items):
                tasks.create_task(self._send(request, delivery))
        return [delivery.results[index] for index in range(len(messages))]

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def _send(self, items: Sequence[MailItem], delivery: _Delivery) -> None:
        todo = [items]
        while todo:
            some = todo.pop()
            async with self._slots:
                if delivery.pause is not None:
                    unsent = replace(delivery.pause, is_fault=False, counts=False)
                    delivery.results.update((item.index, unsent) for item in some)
                    continue
                results, again = await self._attempt(some)
            delivery.results.update(results)
            delivery.pause = delivery.pause or next(
                (result for result in results.values() if isinstance(result, Retryable) and result.pauses_channel), None
            )
            todo.extend(again)

    async def _attempt(
        self, items: Sequence[MailItem]
    ) -> tuple[Mapping[int, DeliveryResult], Sequence[Sequence[MailItem]]]:
        """One request: what it decided for each mail, and the requests that must follow for the others."""
        outcome = await self._client.request(
            "POST", self._url, headers=self._headers(), body=rendered_request(items, self._sender)
        )
        general: DeliveryResult | None = trouble(PROVIDER, outcome, self._clock.now())
        if general is None and isinstance(outcome, HttpAnswer):
            if outcome.status == 202:
                general = Accepted("HTTP 202", outcome.headers.get("x-message-id"))
            elif outcome.status >= 400:
                return _refused(items, outcome)
            else:
                general = unexpected(PROVIDER, outcome)
        assert general is not None
        return {item.index: general for item in items}, ()

    def _headers(self) -> dict[str, str]:
        return {
            "authorization": f"Bearer {self._api_key.get_secret_value()}",
            "content-type": "application/json",
        }


def _item(index: int, message: OutboundMessage) -> MailItem | Rejected:
    if not isinstance(message.content, EmailContent):
        return Rejected("the message is no mail")
    address = message.address.text
    if not _PLAIN.fullmatch(address):
        try:
            # SendGrid takes no local part outside ASCII; an international domain goes as punycode.
            checked = validate_email(address, check_deliverability=False, allow_smtputf8=False)
        except EmailNotValidError:
            return Rejected("the mail address is not valid")
        address = checked.ascii_email or checked.normalized
    return MailItem(index, address, message, message.content)


def _refused(
    items: Sequence[MailItem], answer: HttpAnswer
) -> tuple[Mapping[int, DeliveryResult], Sequence[Sequence[MailItem]]]:
    errors = mail_errors(answer.json(), len(items))
    if errors.is_sender:
        return {item.index: misconfigured(PROVIDER, f"HTTP {answer.status}, sender") for item in items}, ()
    if errors.reasons:
        named: dict[int, DeliveryResult] = {
            items[place].index: _rejected(items[place], answer.status, words) for place, words in errors.reasons.items()
        }
        others = [item for place, item in enumerate(items) if place not in errors.reasons]
        return named, [others] if others else ()
    if len(items) == 1:
        return {items[0].index: _rejected(items[0], answer.status, errors.words)}, ()
    middle = len(items) // 2
    return {}, [items[middle:], items[:middle]]


def _rejected(item: MailItem, status: int, words: str) -> Rejected:
    said = redacted(words, item.message.address.text, item.address)[:EXCERPT_CHARS]
    return Rejected(f"{PROVIDER}: HTTP {status}: {said}" if said else f"{PROVIDER}: HTTP {status}")
