"""What all connections share: the feeds, their threads, the limits, and the list of connections."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from pydantic import SecretStr

from api.stream.alerts import AlertSource, Replay
from api.stream.errors import CLOSE_RESTART, MistakeError
from api.stream.feeds import Feed, Source
from api.stream.policy import StreamPolicy
from api.stream.repository import AlertRow
from api.stream.resume import Place, ResumeTokens
from api.stream.sources import HealthSource, PriceSource
from assets.risk.queries import Reader
from infra.runtime.clock import Clock

FEED_THREADS = 3
REPLAY_THREADS = 2
T = TypeVar("T")


@dataclass(frozen=True)
class Wants:
    """What a connection is subscribed to; `assets` None: all, `alert_accounts` None: all."""

    accounts: frozenset[str] = frozenset()
    has_prices: bool = False
    assets: frozenset[str] | None = frozenset()
    has_alerts: bool = False
    alert_accounts: frozenset[str] | None = frozenset()

    def takes_price(self, asset: str) -> bool:
        """Whether a price of the asset is wanted."""
        return self.has_prices and (self.assets is None or asset in self.assets)

    def takes_alert(self, row: AlertRow) -> bool:
        """Whether the alert is wanted."""
        return self.has_alerts and (self.alert_accounts is None or row.account_id in self.alert_accounts)

    def feeds(self) -> list[str]:
        """The feeds that it needs."""
        needs = {"health": bool(self.accounts), "prices": self.has_prices, "alerts": self.has_alerts}
        return [name for name, is_needed in needs.items() if is_needed]


class Subscriber(Protocol):
    """A connection, as the hub sees it."""

    def on_health(self, account_id: str) -> None:
        """The account changed."""
        ...

    def on_price(self, asset: str) -> None:
        """The asset has a new price."""
        ...

    def on_alerts(self) -> None:
        """The log of alerts has grown."""
        ...

    def wake(self) -> None:
        """The state of a feed may have changed."""
        ...

    def end(self, close_code: int, reason: str) -> None:
        """The connection must end."""
        ...


@dataclass
class Hub:
    """One for the application, used in its event loop; `start` in the lifespan, `close` when it ends.

    `secret` signs resume tokens, so that they outlive the process.
    """

    reader: Reader
    clock: Clock
    policy: StreamPolicy
    secret: SecretStr | None
    _wants: dict[Subscriber, Wants] = field(default_factory=dict, init=False)
    _by_account: dict[str, set[Subscriber]] = field(default_factory=dict, init=False)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        key = self.secret.get_secret_value() if self.secret else ""
        self.tokens = ResumeTokens(hashlib.sha256(key.encode()).digest())
        self.health = HealthSource(self.reader, self._health_changed)
        self.prices = PriceSource(self.reader, self.clock, self.policy, self._price_changed)
        self.alerts = AlertSource(self.reader, self.clock, self.policy, self._alerts_grew)
        self._pool = ThreadPoolExecutor(FEED_THREADS, thread_name_prefix="stream-feed")
        # Their own threads: clients that catch up must not hold back what is live.
        self._replay_pool = ThreadPoolExecutor(REPLAY_THREADS, thread_name_prefix="stream-replay")
        sources: dict[str, Source] = {"health": self.health, "prices": self.prices, "alerts": self.alerts}
        self.feeds = {name: Feed(name, source, self._pool, self.policy, self._wake) for name, source in sources.items()}

    def start(self) -> None:
        """Begin the feeds; they read nothing before somebody subscribes."""
        self._tasks = [asyncio.create_task(feed.run(), name=f"stream-{name}") for name, feed in self.feeds.items()]

    async def close(self) -> None:
        """End every connection and feed; a read that still runs ends at its own time limit."""
        for each in list(self._wants):
            each.end(CLOSE_RESTART, "restart")
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        for pool in (self._pool, self._replay_pool):
            pool.shutdown(wait=False, cancel_futures=True)

    @property
    def is_full(self) -> bool:
        """Whether no further connection may be opened."""
        return len(self._wants) >= self.policy.max_connections

    def join(self, subscriber: Subscriber) -> None:
        """Count a connection, which wants nothing yet."""
        self._wants[subscriber] = Wants()

    def leave(self, subscriber: Subscriber) -> None:
        """Forget a connection."""
        self._replace(subscriber, Wants())
        self._wants.pop(subscriber, None)

    def subscribe(self, subscriber: Subscriber, wants: Wants) -> None:
        """Replace what the connection wants; `MistakeError` where that is more than all may want together."""
        if self.health.count_with(wants.accounts) > self.policy.max_accounts_together:
            limit = self.policy.max_accounts_together
            raise MistakeError("accounts_full", f"All streams together may follow {limit} accounts. Follow fewer.")
        self._replace(subscriber, wants)
        for name in wants.feeds():
            self.feeds[name].nudge()

    def replay(self, place: Place, accounts: Iterable[str] | None) -> Replay:
        """The alerts of the accounts (None: all) behind a place."""
        return Replay(self.reader, self.clock, self.policy, place, None if accounts is None else sorted(accounts))

    async def in_replay_thread(self, read: Callable[[], T]) -> T:
        """Run a blocking read for one connection."""
        return await asyncio.get_running_loop().run_in_executor(self._replay_pool, read)

    def _replace(self, subscriber: Subscriber, wants: Wants) -> None:
        old = self._wants.get(subscriber, Wants())
        # The new ones first, so that what stays wanted is not forgotten in between.
        self.health.want(wants.accounts)
        self.health.release(old.accounts)
        self.prices.subscribers += wants.has_prices - old.has_prices
        self.alerts.subscribers += wants.has_alerts - old.has_alerts
        for account in old.accounts - wants.accounts:
            followers = self._by_account[account]
            followers.discard(subscriber)
            if not followers:
                del self._by_account[account]
        for account in wants.accounts - old.accounts:
            self._by_account.setdefault(account, set()).add(subscriber)
        self._wants[subscriber] = wants

    def _health_changed(self, account_id: str) -> None:
        for each in self._by_account.get(account_id, ()):
            each.on_health(account_id)

    def _price_changed(self, asset: str) -> None:
        for each, wants in self._wants.items():
            if wants.takes_price(asset):
                each.on_price(asset)

    def _alerts_grew(self) -> None:
        for each, wants in self._wants.items():
            if wants.has_alerts:
                each.on_alerts()

    def _wake(self) -> None:
        for each, wants in self._wants.items():
            if wants.feeds():
                each.wake()
