"""The limits and rhythms of the stream."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

# The server refuses a larger frame with 1009 before the application sees it; 1,000 account ids fit.
MAX_FRAME_BYTES = 131_072


@dataclass(frozen=True)
class StreamPolicy:
    """Limits of the stream; seconds where the name ends in `_s`.

    `alert_overlap` is how long after its `detected_at` an alert may become visible and still be found;
    `alert_short_overlap` is the part of it that every poll reads, the rest is read every `deep_read_s`.
    """

    poll_interval_s: float = 0.4
    read_timeout_s: float = 5.0
    max_backoff_s: float = 10.0
    stale_after_s: float = 3.0
    heartbeat_s: float = 5.0
    send_timeout_s: float = 5.0
    close_timeout_s: float = 1.0
    subscribe_within_s: float = 30.0

    max_connections: int = 100
    max_accounts: int = 1_000
    max_accounts_together: int = 10_000
    max_assets: int = 100
    max_mistakes: int = 5
    max_messages_in_window: int = 50
    message_window_s: float = 10.0
    snapshot_accounts: int = 200

    # More than one page that a poll may bring, so that a burst alone closes nobody's connection.
    max_waiting_alerts: int = 5_000
    alert_page: int = 1_000
    kept_alerts: int = 20_000
    deep_read_s: float = 5.0
    alert_overlap: timedelta = timedelta(minutes=15)
    alert_short_overlap: timedelta = timedelta(seconds=30)
    # After a longer pause without subscribers the log begins anew.
    max_pause: timedelta = timedelta(hours=1)
    resume_lookback: timedelta = timedelta(hours=24)
    price_overlap: timedelta = timedelta(minutes=2)
    price_lookback: timedelta = timedelta(days=3)

    allowed_origins: frozenset[str] = frozenset()
