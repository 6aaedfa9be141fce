"""The oracle: from what its sources report to published prices, one decision after the other, in one thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from infra.runtime.clock import Clock
from infra.runtime.ids import stable_id
from infra.runtime.logs import get_logger
from ingest.messages import BreakerState, OracleSourceMessage, Quality
from ingest.prices.breakers import Breaker, BreakerPolicy, explained
from ingest.prices.feeds import FeedTable
from ingest.prices.inbox import Answered, Broken, Event, Inbox
from ingest.prices.inputs import SOURCES, SourceView
from ingest.prices.metrics import OracleMetrics
from ingest.prices.outbox import Outbox
from ingest.prices.publication import Published, is_due, publication
from ingest.prices.selection import Decision, GoodPrice, Jump, select_price
from ingest.prices.ticks import Rejection, SourceFailure, Tick

NOT_CONFIGURED = "not_configured"
DECIDE_EVERY_S = 0.5
STATE_EVERY = timedelta(seconds=15)
# After a start one source answers before the other; what only that one says is not published so soon.
WARM_UP = timedelta(seconds=5)
MAX_REJECTIONS = 20
_log = get_logger(__name__)


@dataclass
class _Asset:
    """What is known of one asset; readings and rejections by source, `untold` rejections since the last publication."""

    ticks: dict[str, Tick] = field(default_factory=dict)
    rejections: dict[str, Rejection] = field(default_factory=dict)
    untold: list[Rejection] = field(default_factory=list)
    told: int = 0
    last_good: GoodPrice | None = None
    jump: Jump | None = None
    published: Published | None = None
    decision: Decision | None = None


class Oracle:
    """Holds the last readings, the breakers and the last publications; one thread calls `take` and `decide`.

    `running` names the sources that were started; a source that the feed table knows and that is not among them is
    open from the start, so that its absence degrades the prices.
    """

    def __init__(
        self,
        feeds: FeedTable,
        running: Sequence[str],
        outbox: Outbox,
        metrics: OracleMetrics,
        clock: Clock,
        *,
        is_simulated: bool = False,
        last_good: Mapping[str, GoodPrice] | None = None,
        policy: BreakerPolicy | None = None,
    ) -> None:
        self._feeds = feeds
        self._outbox = outbox
        self._metrics = metrics
        self._clock = clock
        self._is_simulated = is_simulated
        self._started_at = clock.now()
        self._assets = {asset: _Asset(last_good=(last_good or {}).get(asset)) for asset in sorted(feeds.assets)}
        self._breakers = {
            source: Breaker(source=source, since=self._started_at, policy=policy or BreakerPolicy())
            for source in SOURCES
        }
        for source in set(SOURCES) - set(running):
            reason = "the settings name no address of this source"
            self._breakers[source] = self._breakers[source].broken(NOT_CONFIGURED, reason, self._started_at)
        self._states: dict[str, tuple[BreakerState, datetime]] = {}
        self._decided_at: datetime | None = None

    @property
    def decided_at(self) -> datetime | None:
        """When the last decisions were made."""
        return self._decided_at

    @property
    def breakers(self) -> Mapping[str, Breaker]:
        """The breakers by source, as they are now."""
        return dict(self._breakers)

    @property
    def decisions(self) -> Mapping[str, Decision]:
        """The last decision of each asset that has one."""
        return {asset: known.decision for asset, known in self._assets.items() if known.decision is not None}

    def take(self, events: Iterable[Event]) -> set[str]:
        """Remember what sources reported; returns the assets that have something new."""
        touched: set[str] = set()
        for event in events:
            if event.source not in self._breakers:
                _log.error("source_unknown", source=event.source)
                continue
            self._breakers[event.source] = self._heard(self._breakers[event.source], event)
            if isinstance(event, Tick | Rejection):
                touched |= self._taken(event)
        return touched

    def decide(self, assets: Iterable[str] | None = None) -> None:
        """Decide the price of the assets (default all) and put into the outbox what is due."""
        now = self._clock.now()
        self._breakers = {source: breaker.passed(now) for source, breaker in self._breakers.items()}
        self._state_sources(now)
        sources = {name: SourceView(each.standing, explained(each)) for name, each in self._breakers.items()}
        for asset in self._assets if assets is None else sorted(assets):
            self._decide(asset, sources, now)
        self._decided_at = now

    def run(
        self,
        inbox: Inbox,
        stop: threading.Event,
        is_well: Callable[[], bool] = lambda: True,
        beat: Callable[[], None] = lambda: None,
    ) -> None:
        """Decide on each report and at least every half second, until `stop` or while `is_well`.

        `beat` is called whenever all assets were decided.
        """
        next_round = self._clock.now()
        while not stop.is_set() and is_well():
            touched = self.take(inbox.take(DECIDE_EVERY_S / 2))
            now = self._clock.now()
            if now >= next_round or next_round - now > timedelta(seconds=DECIDE_EVERY_S):
                self.decide()
                beat()
                next_round = now + timedelta(seconds=DECIDE_EVERY_S)
            elif touched:
                self.decide(touched)

    def _heard(self, breaker: Breaker, event: Event) -> Breaker:
        match event:
            case Tick():
                self._metrics.ticked(event.source)
                return breaker.ticked(event.received_at)
            case Rejection():
                self._metrics.rejected(event.source, event.code)
                return breaker.rejected(event.code, event.reason, event.received_at)
            case SourceFailure():
                # Once for a row of equal failures: the breaker's state tells that they go on.
                known = breaker.last_error.code if breaker.last_error and breaker.failures else None
                if event.code != known:
                    _log.warning("source_failed", source=event.source, code=event.code, reason=event.reason)
                return breaker.failed(event.code, event.reason, event.at)
            case Answered():
                return breaker.answered(event.at)
            case Broken():
                return breaker.broken(event.code, event.reason, event.at)

    def _taken(self, event: Tick | Rejection) -> set[str]:
        known = self._assets.get(event.asset)
        if known is None:
            _log.warning("asset_unknown", source=event.source, asset=event.asset)
            return set()
        if isinstance(event, Tick):
            known.ticks[event.source] = event
        else:
            known.rejections[event.source] = event
            surplus = max(0, len(known.untold) + 1 - MAX_REJECTIONS)
            known.untold = [*known.untold[surplus:], event]
            known.told = max(0, known.told - surplus)
        return {event.asset}

    def _decide(self, asset: str, sources: Mapping[str, SourceView], now: datetime) -> None:
        known, feeds = self._assets[asset], self._feeds.assets[asset]
        decision = select_price(asset, feeds, known.ticks, known.rejections, sources, known.last_good, known.jump, now)
        known.jump = decision.jump
        known.last_good = decision.good_price or known.last_good
        known.decision = decision
        self._metrics.decided(asset, decision.price_usd, decision.quality, decision.observed_at, now)
        if decision.quality is not Quality.OK and now - self._started_at < WARM_UP:
            return
        waits = self._outbox.waits(asset)
        if not waits and not is_due(decision, known.published, feeds, now):
            return
        if not waits:
            known.untold = known.untold[known.told :]
        _log_change(decision, known.published)
        made = publication(decision, known.published, feeds, known.untold, self._is_simulated, now)
        known.published, known.told = made.state, len(known.untold)
        self._outbox.put(made)

    def _state_sources(self, now: datetime) -> None:
        """Tell each source's state when it changed, and every so often."""
        for source, breaker in self._breakers.items():
            told = self._states.get(source)
            if told is not None and told[0] is breaker.state and now - told[1] < STATE_EVERY:
                continue
            if told is None or told[0] is not breaker.state:
                _log.info("source_state", source=source, state=str(breaker.state), reason=explained(breaker))
            self._states[source] = (breaker.state, now)
            self._metrics.breaker(source, breaker.state)
            self._outbox.put_source(source_message(breaker, now))


def source_message(breaker: Breaker, now: datetime) -> OracleSourceMessage:
    """The state of a source as it is told at `now`."""
    error = breaker.last_error
    return OracleSourceMessage(
        state_id=stable_id("src", breaker.source, breaker.state, now.isoformat()),
        source=breaker.source,
        state=breaker.state,
        since=breaker.since,
        failures=breaker.failures,
        last_error_code=error.code[:64] if error else None,
        last_error_reason=error.reason[:500] if error else None,
        last_error_at=error.at if error else None,
        last_answered_at=breaker.last_answered_at,
        last_tick_at=breaker.last_tick_at,
        stated_at=now,
    )


def _log_change(decision: Decision, last: Published | None) -> None:
    if last is None or (last.decision.kind, last.decision.quality) != (decision.kind, decision.quality):
        log = _log.info if decision.quality is Quality.OK else _log.warning
        log("price_quality", asset=decision.asset, quality=str(decision.quality), reason=decision.reason)
