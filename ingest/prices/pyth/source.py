"""The source `pyth`: follows the stream of Hermes and reports what it says, for as long as it is let."""

from __future__ import annotations

import random
import re
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import timedelta

import httpx
from httpx_sse import ServerSentEvent
from pydantic import SecretStr

from infra.runtime.clock import Clock, SystemClock
from infra.runtime.errors import SettingsError
from infra.runtime.settings import Settings
from ingest.errors import FeedTableError
from ingest.messages import ALLOWED_SKEW
from ingest.prices.feeds import FeedTable
from ingest.prices.pyth.backoff import Backoff
from ingest.prices.pyth.errors import HermesError, UnknownFeedsError
from ingest.prices.pyth.hermes import HermesClient, HermesOptions
from ingest.prices.pyth.readings import Readings
from ingest.prices.pyth.wire import PriceUpdate, parse_update
from ingest.prices.ticks import PYTH, Rejection, Sink, SourceFailure

# How Hermes words its errors, and what we call them.
_STREAM_ERRORS = (
    ("connection timeout reached", "Hermes ended the stream at its time limit."),
    ("slow consumer", "Hermes ended the stream because it was read too slowly."),
    ("error receiving update", "Hermes lost updates of the stream."),
)


@dataclass(frozen=True, kw_only=True)
class PythOptions:
    """Times of the source, in seconds.

    A stream without an event for `silent_s` counts as dead, and so does one on which no feed's publish time has
    advanced for `frozen_s`. The back-off between attempts starts at `backoff_base_s`, ends at `backoff_max_s`, and
    begins anew once prices have moved on a stream that has lived for `stable_s`. `poll_s` is how soon a stop is seen.
    Feeds that Hermes did not know are asked for again after `unknown_again_s`.
    """

    silent_s: float = 15.0
    frozen_s: float = 20.0
    backoff_base_s: float = 1.0
    backoff_max_s: float = 30.0
    stable_s: float = 60.0
    unknown_again_s: float = 300.0
    poll_s: float = 0.2
    allowed_skew: timedelta = ALLOWED_SKEW
    hermes: HermesOptions = field(default_factory=HermesOptions)


class PythSource:
    """Reports every new price of the table's Pyth feeds; `run` is for one thread, once.

    Each connection begins with one request for the latest prices of all feeds, so that no gap passes unseen.
    """

    def __init__(
        self,
        table: FeedTable,
        url: str,
        token: SecretStr | None,
        *,
        is_simulated: bool = False,
        options: PythOptions | None = None,
        clock: Clock | None = None,
        generator: random.Random | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._assets = _assets_of(table)
        self._url = _checked(url)
        self._token = _sendable(token)
        self._options = options or PythOptions()
        self._clock = clock or SystemClock()
        self._monotonic = monotonic
        self._readings = Readings(self._assets, is_simulated, self._options.allowed_skew)
        generator = generator or random.Random()  # noqa: S311 -- spreads attempts, hides nothing
        self._backoff = Backoff(self._options.backoff_base_s, self._options.backoff_max_s, generator)

    @classmethod
    def from_settings(cls, settings: Settings, table: FeedTable, clock: Clock | None = None) -> PythSource:
        """The source that the settings name; raises `SettingsError` where they name none."""
        if not settings.pyth_hermes_url:
            raise SettingsError("There is no Pyth: set BALLAST_PYTH_HERMES_URL to the root of Hermes.")
        return cls(
            table,
            settings.pyth_hermes_url,
            settings.pyth_token,
            is_simulated=settings.prices_are_simulated,
            clock=clock,
        )

    @property
    def name(self) -> str:
        """`pyth`."""
        return PYTH

    def run(self, sink: Sink, stop: threading.Event) -> None:
        """Report until `stop` is set; whatever Hermes does is reported, and tried again after a while."""
        with HermesClient(self._url, self._token, self._options.hermes, self._clock) as client:
            while not stop.is_set():
                try:
                    feed_ids = self._catch_up(client, sink)
                    self._follow(client, feed_ids, sink, stop)
                except HermesError as error:
                    sink.failed(SourceFailure(source=PYTH, code=error.code, reason=error.message, at=self._clock.now()))
                    stop.wait((error.wait_s or 0.0) + self._backoff.next_s())

    def _catch_up(self, client: HermesClient, sink: Sink) -> list[str]:
        """Report the latest prices; returns the feeds that Hermes knows. One that it does not know is rejected."""
        wanted = sorted(self._assets)
        try:
            self._report(client.latest(wanted), sink)
        except UnknownFeedsError as error:
            known = [feed_id for feed_id in wanted if feed_id not in error.feed_ids]
            self._reject_unknown(sorted(error.feed_ids & set(wanted)), sink)
            if not known or known == wanted:
                raise
            self._report(client.latest(known), sink)
            return known
        return wanted

    def _follow(self, client: HermesClient, feed_ids: Sequence[str], sink: Sink, stop: threading.Event) -> None:
        """Report events until `stop` is set or it is time to ask for missing feeds again.

        Raises `HermesError` once the stream is of no use.
        """
        options = self._options
        with closing(client.stream(feed_ids)) as stream:
            opened_at = event_at = moved_at = self._monotonic()
            while not stop.is_set():
                event = stream.next(options.poll_s)
                now = self._monotonic()
                if event is not None and event.data:
                    event_at = now
                    if self._report(_update_of(event), sink):
                        moved_at = now
                        if now - opened_at >= options.stable_s:
                            self._backoff.reset()
                if len(feed_ids) < len(self._assets) and now - opened_at >= options.unknown_again_s:
                    return
                if now - event_at >= options.silent_s:
                    raise HermesError("silent", f"Hermes sent no price for {options.silent_s:g} s on an open stream.")
                if now - moved_at >= options.frozen_s:
                    message = f"No feed's publish time advanced for {options.frozen_s:g} s on an open stream."
                    raise HermesError("frozen", message)

    def _report(self, update: PriceUpdate, sink: Sink) -> bool:
        """Report one update; whether any publish time advanced."""
        now = self._clock.now()
        outcome = self._readings.take(update, now)
        for tick in outcome.ticks:
            sink.tick(tick)
        for rejection in outcome.rejections:
            sink.rejected(rejection)
        sink.answered(PYTH, now)
        return outcome.is_moved

    def _reject_unknown(self, feed_ids: Sequence[str], sink: Sink) -> None:
        now = self._clock.now()
        for feed_id in feed_ids:
            reason = f"Hermes does not know the feed {feed_id}; correct it in the feed table"
            sink.rejected(
                Rejection(source=PYTH, asset=self._assets[feed_id], code="unknown_feed", reason=reason, received_at=now)
            )


def _update_of(event: ServerSentEvent) -> PriceUpdate:
    if event.event == "error":
        text = event.data.lower()
        known = (message for start, message in _STREAM_ERRORS if text.startswith(start))
        raise HermesError("stream_error", next(known, "Hermes reported an error of the stream."))
    return parse_update(event.data)


def _assets_of(table: FeedTable) -> dict[str, str]:
    """Feed id to asset; raises `FeedTableError` where there is none, or one feed prices two assets."""
    found: dict[str, str] = {}
    for asset, feeds in table.assets.items():
        if feeds.pyth is None:
            continue
        if other := found.get(feeds.pyth.feed_id):
            raise FeedTableError(f"{other} and {asset} have the same Pyth feed in the feed table; correct one of them.")
        found[feeds.pyth.feed_id] = asset
    if not found:
        raise FeedTableError("The feed table names no Pyth feed; add one, or run without BALLAST_PYTH_HERMES_URL.")
    return found


def _checked(url: str) -> str:
    try:
        parts = httpx.URL(url)
    except httpx.InvalidURL:
        parts = httpx.URL()
    if parts.scheme not in ("http", "https") or not parts.host:
        raise SettingsError("BALLAST_PYTH_HERMES_URL is no address such as https://host/path.")
    return url


def _sendable(token: SecretStr | None) -> SecretStr | None:
    if token is not None and not re.fullmatch(r"[!-~]+", token.get_secret_value()):
        raise SettingsError("BALLAST_PYTH_TOKEN holds characters that no HTTP header carries; copy the key again.")
    return token
