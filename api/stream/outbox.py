"""What one connection is to be sent next: alerts one by one, health and prices only in their newest state."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import deque
from collections.abc import Callable
from typing import Any

from api.stream import messages
from api.stream.cursor import AlertCursor
from api.stream.errors import CLOSE_TRY_AGAIN, MistakeError
from api.stream.feeds import NOT_READ_YET
from api.stream.hub import Hub, Wants
from api.stream.messages import FeedStatus, ServerMessage
from api.stream.repository import AlertRow
from infra.runtime.logs import get_logger

NOT_SUBSCRIBED = "not_subscribed"
_log = get_logger(__name__)


class Outbox:
    """The waiting messages of a connection. It holds names of what changed, not messages: the newest state is looked
    up when its turn comes, and alerts wait in the log that all connections share, so that its memory is bounded.
    """

    def __init__(self, hub: Hub) -> None:
        loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[tuple[int, str]] = loop.create_future()
        self.has_subscribed = False
        self.seq = 0
        self._hub = hub
        self._policy = hub.policy
        self._time: Callable[[], float] = loop.time
        self._woken = asyncio.Event()
        self._control: deque[ServerMessage] = deque()
        self._wants = Wants()
        self._requested_at: float | None = None
        self._parts: deque[messages.Snapshot] = deque()
        self._accounts: dict[str, None] = {}
        self._assets: dict[str, None] = {}
        self._left_out = 0
        self._cursor = AlertCursor(hub, self.wake)
        self._next_heartbeat = self._time() + self._policy.heartbeat_s
        self._next_lagging = self._time()
        self._told: tuple[FeedStatus, str | None] | None = None

    # What the hub tells.

    def on_health(self, account_id: str) -> None:
        """The account changed; it waits once, however often it changes."""
        self._left_out += account_id in self._accounts
        self._accounts[account_id] = None
        self.wake()

    def on_price(self, asset: str) -> None:
        """The asset has a new price; it waits once, however often it changes."""
        self._left_out += asset in self._assets
        self._assets[asset] = None
        self.wake()

    def on_alerts(self) -> None:
        """The log has grown; a connection with too many alerts waiting ends, and its client resumes."""
        if self._cursor.waiting(self._wants) > self._policy.max_waiting_alerts:
            self.end(CLOSE_TRY_AGAIN, "alerts_waiting")
        self.wake()

    def wake(self) -> None:
        """Look again for something to send."""
        self._woken.set()

    def end(self, close_code: int, reason: str) -> None:
        """End the connection."""
        if not self.ended.done():
            self.ended.set_result((close_code, reason))

    # What the client asks.

    def subscribe(self, request: messages.Subscribe) -> None:
        """Take a subscription in place of the one before; `MistakeError` if it cannot be taken."""
        if request.resume is not None and self.has_subscribed:
            raise MistakeError("resume_late", "resume belongs to the first subscription of a connection; leave it out.")
        wants = _wants(request)
        if len(wants.accounts) > self._policy.max_accounts:
            raise MistakeError("accounts_too_many", f"A stream follows at most {self._policy.max_accounts} accounts.")
        if wants.assets is not None and len(wants.assets) > self._policy.max_assets:
            raise MistakeError("assets_too_many", f'A stream follows at most {self._policy.max_assets} assets, or "*".')
        place = self._hub.tokens.read(request.resume) if request.resume is not None else None
        self._hub.subscribe(self, wants)
        self.has_subscribed, self._wants, self._requested_at = True, wants, self._time()
        if place is not None:
            self._cursor.resume_from(place)
        self._parts.clear()
        if not wants.has_alerts:
            self._cursor.stop()
        self.wake()

    def answer(self, message: ServerMessage) -> None:
        """Send this before all else."""
        self._control.append(message)
        self.wake()

    # What is sent.

    async def wait(self) -> None:
        """Until something may be there to send."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(self._next_heartbeat):
                await self._woken.wait()
        self._woken.clear()

    def next(self) -> ServerMessage | None:
        """The next message; None if there is none now."""
        if self._control:
            return self._control.popleft()
        if self._time() >= self._next_heartbeat or self._has_turned():
            return self._heartbeat()
        self._begin_snapshot()
        if self._control:
            return self._control.popleft()
        if self._parts:
            return self._parts.popleft().model_copy(update=self._numbered())
        return self._lagging() or self._next_alert() or self._next_update()

    def close(self) -> None:
        """Stop what runs for this connection."""
        self._cursor.stop()

    def _numbered(self) -> dict[str, Any]:
        self.seq += 1
        return {"seq": self.seq, "resume": self._token()}

    def _token(self) -> str | None:
        place = self._cursor.place()
        return None if place is None else self._hub.tokens.write(place)

    # Snapshot.

    def _begin_snapshot(self) -> None:
        if self._requested_at is None:
            return
        if not all(self._hub.feeds[name].has_read_since(self._requested_at) for name in self._wants.feeds()):
            return
        self._requested_at = None
        expired = self._cursor.begin(self._wants) if self._wants.has_alerts else None
        if expired is not None:
            self._control.append(expired)
        self._accounts.clear()
        self._assets.clear()
        self._left_out = 0
        self._parts.extend(self._snapshot())

    def _snapshot(self) -> list[messages.Snapshot]:
        accounts = sorted(self._wants.accounts)
        size = self._policy.snapshot_accounts
        groups = [accounts[start : start + size] for start in range(0, len(accounts), size)] or [[]]
        latest, rows = self._hub.prices.latest, self._hub.health.rows
        prices = [price for asset, price in sorted(latest.items()) if self._wants.takes_price(asset)]
        return [
            messages.Snapshot(
                seq=0,
                resume=None,
                part=number,
                parts=len(groups),
                accounts=[rows[each] for each in group if each in rows],
                unknown_accounts=[each for each in group if each not in rows],
                prices=prices if number == 1 else [],
                unknown_assets=sorted((self._wants.assets or frozenset()) - latest.keys()) if number == 1 else [],
                alerts=self._wants.has_alerts,
                server_time=self._hub.clock.now(),
            )
            for number, group in enumerate(groups, 1)
        ]

    # Updates.

    def _next_update(self) -> ServerMessage | None:
        if self._requested_at is not None:
            return None
        while self._assets:
            asset = next(iter(self._assets))
            del self._assets[asset]
            if self._wants.takes_price(asset):
                return messages.PriceUpdate(price=self._hub.prices.latest[asset], **self._numbered())
        while self._accounts:
            account_id = next(iter(self._accounts))
            del self._accounts[account_id]
            if account_id in self._wants.accounts:
                health = self._hub.health.rows.get(account_id)
                return messages.HealthUpdate(account_id=account_id, health=health, **self._numbered())
        return None

    def _lagging(self) -> messages.Lagging | None:
        if self._requested_at is not None or not self._left_out or self._time() < self._next_lagging:
            return None
        left_out, self._left_out = self._left_out, 0
        self._next_lagging = self._time() + self._policy.heartbeat_s
        waiting = len(self._accounts) + len(self._assets)
        alerts = self._cursor.waiting(self._wants)
        return messages.Lagging(left_out=left_out, waiting_updates=waiting, waiting_alerts=alerts)

    # Alerts.

    def _next_alert(self) -> messages.AlertMessage | None:
        row = self._cursor.next(self._wants)
        return None if row is None else self._alert(row)

    def _alert(self, row: AlertRow) -> messages.AlertMessage:
        return messages.AlertMessage(
            margin_event_id=row.margin_event_id,
            account_id=row.account_id,
            detected_at=row.detected_at,
            alert=_content(row),
            **self._numbered(),
        )

    # Heartbeat.

    def _status(self) -> tuple[FeedStatus, str | None, dict[str, messages.FeedView]]:
        feeds = {name: self._hub.feeds[name].view() for name in self._wants.feeds()}
        if not feeds:
            return FeedStatus.STALE, NOT_SUBSCRIBED, feeds
        stale = next((view for view in feeds.values() if view.status is FeedStatus.STALE), None)
        return (FeedStatus.OK, None, feeds) if stale is None else (FeedStatus.STALE, stale.reason, feeds)

    def _has_turned(self) -> bool:
        """Whether the state differs from what was told; a feed that only begins is no news."""
        status, reason, _ = self._status()
        if reason in (NOT_SUBSCRIBED, NOT_READ_YET):
            return False
        return (status, reason) != (self._told or (FeedStatus.OK, None))

    def _heartbeat(self) -> messages.Heartbeat:
        status, reason, feeds = self._status()
        self._told = (status, reason)
        self._next_heartbeat = self._time() + self._policy.heartbeat_s
        ages = [view.age_seconds for view in feeds.values()]
        known = [age for age in ages if age is not None]
        return messages.Heartbeat(
            seq=self.seq,
            server_time=self._hub.clock.now(),
            status=status,
            reason=reason,
            data_age_seconds=max(known) if known and len(known) == len(ages) else None,
            feeds=feeds,
            is_replaying=self._cursor.is_replaying,
            resume=self._token(),
        )


def _wants(request: messages.Subscribe) -> Wants:
    every_account, every_asset = request.accounts == "*", request.prices == "*"
    accounts: frozenset[str] = frozenset() if every_account else frozenset(request.accounts)
    return Wants(
        accounts=accounts,
        has_prices=bool(request.prices),
        assets=None if every_asset else frozenset(request.prices),
        has_alerts=request.alerts,
        alert_accounts=None if every_account else accounts,
    )


def _content(row: AlertRow) -> dict[str, Any] | None:
    try:
        found = json.loads(row.message)
    except ValueError:
        found = None
    if isinstance(found, dict):
        return found
    _log.error("stream_alert_unreadable", margin_event_id=row.margin_event_id)
    return None
