"""Prometheus metrics of the alert worker and of upkeep, each in a registry of its own; floats here, and only here.

Methods are called for each message that leaves, so that they do no more than look up a child and add. Labels hold codes
and names of ours, never a recipient, an account or a provider's words. Safe to call from several threads.
"""

from __future__ import annotations

from decimal import Decimal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

BREAKER_STATES = ("closed", "open", "half_open")
_ACCEPTANCE_BUCKETS_S = (0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 7.5, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0)
_REQUEST_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class WorkerMetrics:
    """What a monitor reads of the process that plans and sends."""

    def __init__(self) -> None:
        self.registry = own = CollectorRegistry()
        self._planned = Counter(
            "ballast_alerting_notifications_planned",
            "Notifications by what planning decided: planned, digested, suppressed or inhibited",
            ["channel", "outcome"],
            registry=own,
        )
        self._attempts = Counter(
            "ballast_alerting_attempts", "Attempts that ended, by result", ["channel", "result"], registry=own
        )
        self._request = Histogram(
            "ballast_alerting_provider_request_seconds",
            "How long the provider's request lasted; one request may carry many messages",
            ["channel"],
            buckets=_REQUEST_BUCKETS_S,
            registry=own,
        )
        self._acceptance = Histogram(
            "ballast_alerting_acceptance_seconds",
            "From the event's detection until the provider took the message",
            ["channel", "severity"],
            buckets=_ACCEPTANCE_BUCKETS_S,
            registry=own,
        )
        self._dead = Counter(
            "ballast_alerting_dead_letters", "Messages that can never be handled, by reason", ["code"], registry=own
        )
        self._escalations = Counter(
            "ballast_alerting_escalations", "Escalations that were decided, by outcome", ["outcome"], registry=own
        )
        self._breaker = Gauge(
            "ballast_alerting_breaker_state", "1 for the state of the breaker now", ["channel", "state"], registry=own
        )
        self._in_flight = Gauge("ballast_alerting_in_flight", "Messages under way now", ["channel"], registry=own)
        self._depth = Gauge(
            "ballast_alerting_queue_depth", "Notifications that are due; NaN: not known", ["channel"], registry=own
        )
        self._age = Gauge(
            "ballast_alerting_queue_oldest_due_seconds",
            "Age of the notification that is due longest, 0 where none is; NaN where it is not known",
            ["channel"],
            registry=own,
        )
        self._states = set(BREAKER_STATES)

    def planned(self, channel: str, outcome: str, count: int = 1) -> None:
        """Notifications were recorded; `outcome` is planned, digested, suppressed or inhibited."""
        self._planned.labels(channel, outcome).inc(count)

    def attempted(self, channel: str, result: str, seconds: float, count: int = 1) -> None:
        """A request of `seconds` ended; `count` of its messages had this result. Call it once for each result."""
        self._attempts.labels(channel, result).inc(count)
        self._request.labels(channel).observe(seconds)

    def accepted(self, channel: str, severity: str, seconds: float) -> None:
        """A provider took a message `seconds` after its event was detected."""
        self._acceptance.labels(channel, severity).observe(seconds)

    def dead_lettered(self, code: str) -> None:
        """A message was put aside for the reason of this code."""
        self._dead.labels(code).inc()

    def escalated(self, outcome: str, count: int = 1) -> None:
        """Escalations were decided."""
        self._escalations.labels(outcome).inc(count)

    def breaker(self, channel: str, state: str) -> None:
        """The breaker's state now; one that is not known is shown under its own name."""
        self._states.add(state)
        for each in tuple(self._states):
            self._breaker.labels(channel, each).set(each == state)

    def in_flight(self, channel: str, count: int) -> None:
        """How many messages are under way now."""
        self._in_flight.labels(channel).set(count)

    def queue(self, channel: str, depth: int | None, oldest_s: float | None) -> None:
        """How many notifications are due, and for how many seconds the first one has been; 0 and 0 for none.

        None: not known, because the ledger did not answer; it shows as NaN.
        """
        self._depth.labels(channel).set(_known(depth))
        self._age.labels(channel).set(_known(oldest_s))

    def render(self) -> bytes:
        """The exposition text."""
        return generate_latest(self.registry)


class UpkeepMetrics:
    """What a monitor reads of the process that mirrors, measures and tidies."""

    def __init__(self) -> None:
        self.registry = own = CollectorRegistry()
        self._rate = Gauge(
            "ballast_alerting_delivery_rate_pct",
            "Ended notifications that were accepted or delivered; NaN where too few ended to tell",
            ["channel", "window"],
            registry=own,
        )
        self._mirrored = Counter(
            "ballast_alerting_mirrored_rows", "Rows that the warehouse took", ["stream"], registry=own
        )
        self._lag = Gauge(
            "ballast_alerting_mirror_lag_seconds",
            "Age of the oldest row that the warehouse does not have, 0 where it has all; NaN where it is not known",
            ["stream"],
            registry=own,
        )
        self._retained = Counter(
            "ballast_alerting_retention_deleted_rows",
            "Rows that were deleted after their time",
            ["table"],
            registry=own,
        )

    def delivery_rate(self, channel: str, window: str, rate_pct: Decimal | None) -> None:
        """The delivery rate of a channel over a window in percent; None: not known."""
        self._rate.labels(channel, window).set(_known(rate_pct))

    def mirrored(self, stream: str, rows: int) -> None:
        """The warehouse took rows of a stream."""
        self._mirrored.labels(stream).inc(rows)

    def mirror_lag(self, stream: str, seconds: float) -> None:
        """How far the warehouse is behind."""
        self._lag.labels(stream).set(seconds)

    def retained(self, table: str, deleted: int) -> None:
        """Rows of a table were deleted after their time."""
        self._retained.labels(table).inc(deleted)

    def render(self) -> bytes:
        """The exposition text."""
        return generate_latest(self.registry)


def _known(value: Decimal | float | None) -> float:
    return float("nan") if value is None else float(value)
