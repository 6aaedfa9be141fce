"""Sends what providers report to its receivers, in waves, until each was taken or given up."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from urllib.parse import parse_qsl

import aiohttp
from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import SecretStr
from yarl import URL

from infra.embedded.inbox.callback_queue import CallbackQueue, DueCallback
from infra.embedded.inbox.models import CallbackProvider
from infra.embedded.inbox.sendgrid_events import webhook_body
from infra.embedded.inbox.signing import sendgrid_signature, twilio_signature
from infra.runtime.clock import Clock
from infra.runtime.logs import get_logger

WAVE = 2000
# SendGrid sends several events in one request; a few hundred stay far below any limit of a body.
EVENTS_IN_REQUEST = 300
AT_ONCE = 16
POLL_S = 0.1
TIMEOUT_S = 10.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 15.0
_log = get_logger(__name__)


class _Answer(StrEnum):
    TAKEN = "taken"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True)
class Keys:
    """What reports are signed with; a provider without its key does not report."""

    sendgrid: ec.EllipticCurvePrivateKey | None
    twilio: SecretStr | None


@dataclass
class _Receiver:
    """What is known of one receiver: failures to reach it in a row, and until when it is left alone."""

    faults: int = 0
    paused_until: datetime | None = None


class Courier:
    """One task that empties the queue; receivers that cannot be reached are left alone for a while."""

    def __init__(self, queue: CallbackQueue, keys: Keys, clock: Clock) -> None:
        self._queue = queue
        self._keys = keys
        self._clock = clock
        self._receivers: dict[str, _Receiver] = defaultdict(_Receiver)

    async def run(self) -> None:
        """Send until cancelled."""
        connector = aiohttp.TCPConnector(limit=AT_ONCE)
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
            while True:
                try:
                    sent = await self._wave(session)
                except sqlite3.Error as error:
                    _log.warning("callbacks_not_read", error=type(error).__name__)
                    sent = 0
                if not sent:
                    await asyncio.sleep(POLL_S)

    async def _wave(self, session: aiohttp.ClientSession) -> int:
        """Send what is due; how many were answered."""
        given_up = await asyncio.to_thread(self._queue.give_up, self._clock.now())
        if given_up:
            _log.warning("callbacks_given_up", callbacks=given_up)
        return sum(await asyncio.gather(*(self._to_receiver(session, origin) for origin in self._queue.origins)))

    async def _to_receiver(self, session: aiohttp.ClientSession, origin: str) -> int:
        """Send what is due to one receiver; how many were answered."""
        receiver, now = self._receivers[origin], self._clock.now()
        if receiver.paused_until is not None and now < receiver.paused_until:
            return 0
        due = await asyncio.to_thread(self._queue.due, origin, now, WAVE)
        if not due:
            return 0
        is_unreachable = False
        free = asyncio.Semaphore(AT_ONCE)

        async def send(parcel: tuple[DueCallback, ...]) -> _Answer:
            nonlocal is_unreachable
            async with free:
                answer = _Answer.UNREACHABLE if is_unreachable else await self._send(session, parcel)
            is_unreachable = is_unreachable or answer is _Answer.UNREACHABLE
            return answer

        parcels = _parcels(due)
        answers = await asyncio.gather(*(send(parcel) for parcel in parcels))
        by_answer: dict[_Answer, list[DueCallback]] = defaultdict(list)
        for parcel, answer in zip(parcels, answers, strict=True):
            by_answer[answer] += parcel
        taken, refused = by_answer[_Answer.TAKEN], by_answer[_Answer.REFUSED]
        await asyncio.to_thread(self._queue.settle, taken, refused, self._clock.now())
        self._judge(origin, is_reachable=not is_unreachable)
        return len(taken) + len(refused)

    def _judge(self, origin: str, *, is_reachable: bool) -> None:
        """Remember whether the receiver could be reached; if not, everything for it waits, longer each time."""
        receiver = self._receivers[origin]
        if is_reachable:
            if receiver.faults:
                _log.info("callbacks_go_on", receiver=origin)
            self._receivers[origin] = _Receiver()
            return
        if not receiver.faults:
            # Normal while the API is down.
            _log.info("callbacks_wait", receiver=origin)
        pause = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** min(receiver.faults, 10))
        self._receivers[origin] = _Receiver(receiver.faults + 1, self._clock.now() + timedelta(seconds=pause))

    async def _send(self, session: aiohttp.ClientSession, parcel: tuple[DueCallback, ...]) -> _Answer:
        prepared = self._prepared(parcel)
        if prepared is None:
            return _Answer.REFUSED
        body, headers = prepared
        try:
            # The signature covers the address as it was given, so that it must not be normalised.
            url = URL(parcel[0].url, encoded=True)
            async with session.post(url, data=body, headers=headers, allow_redirects=False) as response:
                return _Answer.TAKEN if 200 <= response.status < 300 else _Answer.REFUSED
        except (aiohttp.ClientConnectionError, TimeoutError):
            return _Answer.UNREACHABLE
        except (aiohttp.ClientError, ValueError):
            return _Answer.REFUSED

    def _prepared(self, parcel: tuple[DueCallback, ...]) -> tuple[bytes, dict[str, str]] | None:
        """Body and headers of one request; None where the key to sign it is missing."""
        first = parcel[0]
        if first.provider is CallbackProvider.SENDGRID:
            if self._keys.sendgrid is None:
                return None
            body, timestamp = webhook_body([each.body for each in parcel]), str(int(self._clock.now().timestamp()))
            return body, {
                "content-type": "application/json",
                "user-agent": "SendGrid Event API",
                "X-Twilio-Email-Event-Webhook-Signature": sendgrid_signature(self._keys.sendgrid, timestamp, body),
                "X-Twilio-Email-Event-Webhook-Timestamp": timestamp,
            }
        if self._keys.twilio is None:
            return None
        form = parse_qsl(first.body, keep_blank_values=True)
        return first.body.encode(), {
            "content-type": "application/x-www-form-urlencoded",
            "user-agent": "TwilioProxy/1.1",
            "X-Twilio-Signature": twilio_signature(self._keys.twilio, first.url, form),
        }


def _parcels(due: Iterable[DueCallback]) -> list[tuple[DueCallback, ...]]:
    """What goes out in one request each: SendGrid's events by address, Twilio's one by one."""
    parcels: list[tuple[DueCallback, ...]] = []
    events: dict[str, list[DueCallback]] = defaultdict(list)
    for each in due:
        if each.provider is CallbackProvider.SENDGRID:
            events[each.url].append(each)
        else:
            parcels.append((each,))
    for waiting in events.values():
        parcels += [tuple(waiting[at : at + EVENTS_IN_REQUEST]) for at in range(0, len(waiting), EVENTS_IN_REQUEST)]
    return parcels
