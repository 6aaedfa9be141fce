"""Which closes and which book this installation works on: a folder of real closes, or the simulator."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

from infra.runtime.clock import Clock
from infra.runtime.settings import Settings
from ingest.closes import Close, PriceSet, price_set, read_closes
from ingest.messages import SettlementEvent
from ingest.simulation.book import BookShape, simulate_book
from ingest.simulation.market import STABLE, simulate_closes, write_closes


def collect_closes(settings: Settings, clock: Clock) -> PriceSet:
    """The closes of `settings.prices_dir`, or simulated ones up to yesterday where no folder is set.

    A stablecoin without a file is simulated as well, because debt in it must be priced. Simulated closes are
    written to `<state>/simulated/<ASSET>.csv`, where anyone can check a figure against them.
    Raises `PriceFileError` where the folder cannot be used.
    """
    if settings.prices_dir is None:
        closes = simulate_closes(settings.simulation_seed, clock.now().date() - timedelta(days=1))
        simulated = closes
    else:
        closes = read_closes(settings.prices_dir)
        simulated = _missing_stablecoins(settings.simulation_seed, closes)
        closes = closes + simulated
    if simulated:
        write_closes(simulated, settings.state_dir / "simulated")
    return price_set(closes)


def _missing_stablecoins(seed: int, closes: list[Close]) -> list[Close]:
    assets = {close.asset for close in closes}
    missing = [asset for asset in STABLE if asset not in assets]
    last_date = min(max(close.price_date for close in closes if close.asset == asset) for asset in assets)
    return simulate_closes(seed, last_date, assets=missing) if missing else []


def collect_book(settings: Settings, found: PriceSet) -> list[SettlementEvent]:
    """The settlement events of this installation's simulated book.

    Made once, to fit the closes of that day and end with it, and kept in `<state>/simulated/book.jsonl`: closes that
    are added later must not bring a second book.
    """
    kept = settings.state_dir / "simulated" / "book.jsonl"
    if kept.exists():
        return [SettlementEvent.model_validate_json(line) for line in kept.read_text().splitlines()]
    last_closes = {asset: close.close_usd for asset, close in found.last_closes().items()}
    until = datetime.combine(found.last_date, time(23, 59), UTC)
    shape = BookShape(settings.book_accounts, settings.simulation_seed, until)
    events = simulate_book(shape, last_closes, frozenset(STABLE))
    kept.parent.mkdir(parents=True, exist_ok=True)
    unfinished = kept.with_suffix(".unfinished")
    unfinished.write_bytes(b"".join(event.to_json() + b"\n" for event in events))
    unfinished.replace(kept)
    return events
