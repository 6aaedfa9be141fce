"""The end of the demo: prices fall, people are told, and one text message leads back to why."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import ROUND_UP, Decimal
from typing import Any

import httpx
from rich.markup import escape
from sqlalchemy import Engine

from assets.risk import queries
from infra.embedded.demo import ledger, tables
from infra.embedded.demo.stage import Demo
from infra.embedded.errors import EmbeddedError
from infra.embedded.market import Market, current_prices
from infra.runtime.postgres import postgres_engine
from infra.runtime.settings import Settings
from ingest.simulation.market import STABLE

ALERT_TIMEOUT_S = 90.0
TRAIL_TIMEOUT_S = 60.0
INBOX_LIMIT = 5_000
# The drop takes this many accounts below the margin call, within these bounds.
CALLED_ACCOUNTS = 5
SMALLEST_DROP, LARGEST_DROP = Decimal("0.03"), Decimal("0.60")

CALLS_SQL = """
select margin_event_id, account_id, severity, health_pct, threshold_pct, detected_at
from risk.margin_events
where detected_at >= @since and severity in ('margin_call', 'liquidation')
order by detected_at, account_id
"""

TRAIL_SQL = """
select *
from audit.alert_trail
where provider_message_id = @provider_message_id and evidence_kind is not null
order by evidence_kind, evidence_at
"""


def drop_that_calls(accounts: Sequence[queries.MarginHealth], called: int) -> Decimal:
    """The fall of all non-stable prices, as a fraction, that takes the `called` weakest accounts below their call.

    Stablecoin debt stays what it is: collateral must fall to (1 + threshold/100) * borrow. Half a percent more makes
    it safe; the bounds keep the drop believable.
    """
    needed = sorted(
        1 - (1 + a.margin_call_threshold_pct / 100) * a.borrow_usd / a.collateral_usd
        for a in accounts
        if a.status == "healthy" and a.collateral_usd > 0
    )
    if not needed:
        return SMALLEST_DROP
    wanted = needed[min(called, len(needed)) - 1] + Decimal("0.005")
    return min(max(wanted, SMALLEST_DROP), LARGEST_DROP).quantize(Decimal("0.001"), rounding=ROUND_UP)


def drop_prices(demo: Demo, market: Market) -> None:
    """Let prices fall, wait until everybody was told, and show who was, how fast, and why."""
    drop = drop_that_calls(queries.nearest_to_call(demo.warehouse, 1_000), CALLED_ACCOUNTS)
    demo.console.print(f"[bold]Prices fall by {drop:.1%}[/] on the local chain and the local Hermes", highlight=False)
    since, before = demo.clock.now() - timedelta(seconds=1), current_prices(demo.settings)
    last_id = _newest_id(demo.settings)
    moved = time.monotonic()
    market.jump({asset: price * (1 - drop) for asset, price in before.items() if asset not in STABLE})
    engine = postgres_engine(demo.settings, "demo")
    try:
        with demo.step("waiting for the margin call in the inbox"):
            first_s = _wait_for_message(demo.settings, last_id, moved)
        with demo.step("waiting until everybody was told"):
            _wait_until_told(demo, engine, since, moved)
        told = ledger.told(engine, since)
    finally:
        engine.dispose()
    counts = _inbox(demo.settings, last_id, 1)["counts"]
    demo.console.print(
        f"[bold]The first margin call reached the inbox {first_s:.1f} s after the price moved[/]; "
        f"{counts['messages']} messages arrived, {counts['duplicates']} duplicates.",
        highlight=False,
    )
    calls = demo.warehouse.query(CALLS_SQL, {"since": since})
    for event in calls[:CALLED_ACCOUNTS]:
        demo.console.print(
            f"     {event['account_id']} {event['severity']}: health {tables.percent(event['health_pct'])}, "
            f"threshold {tables.percent(event['threshold_pct'])}",
            highlight=False,
        )
    demo.console.print(tables.told_table(told))
    _show_received(demo, last_id)


def _show_received(demo: Demo, last_id: int) -> None:
    """One mail and one text message as they arrived, and the evidence behind the text message."""
    received = _messages(demo.settings, last_id)
    mail = next((each for each in received if each["channel"] == "email"), None)
    sms = next((each for each in received if each["channel"] == "sms"), None)
    for words, found in (("Mail", mail and mail["title"]), ("SMS", sms and sms["content"])):
        demo.console.print(f"[bold]{words}:[/] {escape(found or 'none arrived')}", highlight=False, soft_wrap=True)
    if sms is None:
        return
    sid = str(sms["message_key"])
    with demo.step("the ledger reaches the warehouse"):
        trail = _wait_for_trail(demo, sid)
    if trail:
        demo.console.print(tables.trail_table(trail, sid))
    else:
        demo.console.print(
            f"[yellow]audit.alert_trail does not show {sid} after {TRAIL_TIMEOUT_S:.0f} s:[/] the ledger's copy has not"
            f" reached the warehouse; see `alert-upkeep` in {demo.stack.state.logs}.",
            highlight=False,
            soft_wrap=True,
        )


def _inbox(settings: Settings, since_id: int, limit: int) -> dict[str, Any]:
    assert settings.inbox_token is not None
    answer = httpx.get(
        f"{settings.inbox_url}/api/messages",
        params={"since_id": since_id, "limit": limit},
        headers={"Authorization": f"Bearer {settings.inbox_token.get_secret_value()}"},
        timeout=5.0,
    )
    answer.raise_for_status()
    body: dict[str, Any] = answer.json()
    return body


def _messages(settings: Settings, since_id: int) -> list[dict[str, Any]]:
    return list(_inbox(settings, since_id, INBOX_LIMIT)["messages"])


def _newest_id(settings: Settings) -> int:
    """The id of the last message that is there now."""
    last_id = 0
    while messages := _messages(settings, last_id):
        last_id = int(messages[-1]["id"])
    return last_id


def _wait_for_message(settings: Settings, last_id: int, since: float) -> float:
    """Seconds from `since` (monotonic) until the inbox holds a new message; raises `EmbeddedError` if none comes."""
    while time.monotonic() - since < ALERT_TIMEOUT_S:
        try:
            if _inbox(settings, last_id, 1)["messages"]:
                return time.monotonic() - since
        except httpx.TransportError:
            pass  # the inbox is being restarted; its messages are kept
        time.sleep(0.05)
    raise EmbeddedError(f"No margin call arrived in {ALERT_TIMEOUT_S:.0f} s: see dagster-daemon and alert-worker logs.")


def _wait_until_told(demo: Demo, engine: Engine, since: datetime, moved: float) -> None:
    """Return once every margin event was planned and its notifications have ended, or the time is over."""
    counted = "select count(*) as events from risk.margin_events where detected_at >= @since"
    while time.monotonic() - moved < ALERT_TIMEOUT_S:
        events = demo.warehouse.query(counted, {"since": since})[0]["events"]
        planned, is_open = ledger.progress(engine, since)
        if planned and planned >= events and not is_open:
            return
        time.sleep(0.2)


def _wait_for_trail(demo: Demo, provider_message_id: str) -> list[dict[str, Any]]:
    """The evidence behind a message; empty if the ledger's copy does not reach the warehouse in time."""
    deadline = time.monotonic() + TRAIL_TIMEOUT_S
    while True:
        rows = demo.warehouse.query(TRAIL_SQL, {"provider_message_id": provider_message_id})
        if rows or time.monotonic() > deadline:
            return rows
        time.sleep(0.5)
