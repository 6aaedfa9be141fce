"""Risk of one account or of the book, computed by the engine from the warehouse's closes and positions of a day.

Beside each estimate stands the stored one, so that anybody can check on a terminal what the marts say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import ROUND_HALF_UP, Context, Decimal, localcontext
from enum import StrEnum

from google.api_core.exceptions import NotFound

from assets.risk import history_queries
from assets.risk.engine.batch import Histories, Question
from assets.risk.engine.portfolio import (
    AssetComponent,
    Estimate,
    Scenario,
    asset_components,
    estimates,
    headline,
    scenarios,
)
from assets.risk.history_queries import AssetPosition, PriceSetCloses
from assets.risk.queries import Reader, ValueAtRisk
from infra.embedded.errors import EmbeddedError
from infra.embedded.risk_options import RiskQuestion
from infra.runtime.errors import WarehouseError

# What the marts' SQL rounds to, and what floating point leaves of sums in another order.
AGREES_WITHIN_USD = Decimal("0.01")
AGREES_WITHIN_RATIO = Decimal("1e-9")
# The confidence that components and chart show, where it is among those asked for.
SHOWN_CONFIDENCE = Decimal("0.99")
# Exposures of the largest quantities keep the nine decimals of NUMERIC.
_EXACT = Context(prec=120, rounding=ROUND_HALF_UP)
_QUANTUM = Decimal("0.000000001")


class Agreement(StrEnum):
    """Whether a computed figure is the stored one."""

    AGREES = "agrees"
    DIFFERS = "differs"
    NOT_STORED = "not stored"


@dataclass(frozen=True)
class Compared:
    """An estimate, and the one that is stored for the same question."""

    estimate: Estimate
    stored: ValueAtRisk | None

    @property
    def agreement(self) -> Agreement:
        """Whether both VaR and ES agree to a cent, or to a billionth of a large figure."""
        if self.stored is None:
            return Agreement.NOT_STORED
        pairs = ((self.estimate.var_usd, self.stored.var_usd), (self.estimate.es_usd, self.stored.es_usd))
        return Agreement.AGREES if all(_agree(one, other) for one, other in pairs) else Agreement.DIFFERS


@dataclass(frozen=True)
class Held:
    """What was held and owed of one asset; USD at the close of the day, None without one."""

    position: AssetPosition
    close_usd: Decimal | None
    net_exposure_usd: Decimal | None


@dataclass(frozen=True)
class RiskReport:
    """What was found; components and scenarios are of historical simulation, empty where it has no figure."""

    question: RiskQuestion
    as_of: date
    price_set_id: str
    is_simulated: bool
    held: tuple[Held, ...]
    compared: tuple[Compared, ...]
    shown_confidence: Decimal
    components: tuple[AssetComponent, ...]
    scenarios: tuple[Scenario, ...]

    @property
    def is_confirmed(self) -> bool:
        """Whether no stored figure differs."""
        return all(each.agreement is not Agreement.DIFFERS for each in self.compared)


def report(reader: Reader, question: RiskQuestion, today: date) -> RiskReport:
    """Compute the answer; `EmbeddedError` says what is missing for it, `NotReadyError` that the warehouse is away."""
    if question.as_of is not None and question.as_of > today:
        raise EmbeddedError(f"{question.as_of} is in the future.")
    prices = history_queries.read_closes(reader)
    if prices is None:
        raise EmbeddedError("No daily closes are loaded yet; `ballast up` loads them.")
    as_of = _checked_day(question.as_of, prices)
    positions, assets = _positions(reader, question, as_of)
    with localcontext(_EXACT):
        held = tuple(_held(each, prices, as_of) for each in positions)
        return _computed(reader, question, prices, as_of, held, prices.histories(as_of, assets))


def _checked_day(as_of: date | None, prices: PriceSetCloses) -> date:
    if as_of is None:
        return prices.as_of_date
    if as_of > prices.as_of_date:
        raise EmbeddedError(
            f"There are no closes of {as_of} yet; the last day with all of them is {prices.as_of_date}."
        )
    if as_of < prices.first_date:
        raise EmbeddedError(f"There are no closes up to {as_of}; the first ones are of {prices.first_date}.")
    return as_of


def _positions(reader: Reader, question: RiskQuestion, as_of: date) -> tuple[list[AssetPosition], list[str]]:
    """The portfolio's positions that are not zero, and the assets of the book, which the marts fit a copula to."""
    try:
        book = history_queries.book_positions(reader, as_of)
        found = (
            book
            if question.account_id is None
            else history_queries.account_positions(reader, question.account_id, as_of)
        )
    except WarehouseError as error:
        if not isinstance(error.__cause__, NotFound):
            raise
        raise EmbeddedError("Settlements are not compacted yet; wait for the first build, or see Dagster.") from error
    if found is None:
        raise EmbeddedError(f"There is no account {question.account_id!r}: no settlement of it has been compacted.")
    held = [each for each in found if each.is_open]
    if not held:
        raise EmbeddedError(f"At the end of {as_of} {question.portfolio} held and owed nothing.")
    return held, sorted({each.asset for each in (*book, *held) if each.is_open})


def _held(position: AssetPosition, prices: PriceSetCloses, as_of: date) -> Held:
    close_usd = prices.closes.by_asset.get(position.asset, {}).get(as_of)
    exposure_usd = None if close_usd is None else (position.net_quantity * close_usd).quantize(_QUANTUM)
    return Held(position, close_usd, exposure_usd)


def _computed(
    reader: Reader,
    question: RiskQuestion,
    prices: PriceSetCloses,
    as_of: date,
    held: tuple[Held, ...],
    histories: Histories,
) -> RiskReport:
    exposures = {each.position.asset: each.net_exposure_usd for each in held}
    levels, horizon, window = question.confidences, question.horizon_days, question.window
    if question.methods:
        questions = [Question(method, horizon, window, levels) for method in question.methods]
        rows = estimates(exposures, histories, questions)
    else:
        rows = headline(exposures, histories, window, horizon, levels)
    stored = {_key(each): each for each in _stored(reader, question.account_id, as_of)}
    shown = SHOWN_CONFIDENCE if SHOWN_CONFIDENCE in levels else levels[-1]
    returns = histories.window(window, horizon)
    return RiskReport(
        replace(question, as_of=as_of),
        as_of,
        prices.price_set_id,
        any(each.position.asset in prices.simulated_assets for each in held),
        held,
        tuple(Compared(row, stored.get(_key(row))) for row in rows),
        shown,
        tuple(asset_components(exposures, returns, [shown])),
        tuple(scenarios(exposures, returns)),
    )


def _key(row: Estimate | ValueAtRisk) -> tuple[str, int, int, Decimal]:
    return str(row.method), row.horizon_days, row.window_observations, row.confidence


def _stored(reader: Reader, account_id: str | None, as_of: date) -> Sequence[ValueAtRisk]:
    """What is stored for the day; nothing before the first build of the marts."""
    try:
        if account_id is None:
            return history_queries.stored_book_var(reader, as_of)
        return history_queries.stored_account_var(reader, account_id, as_of)
    except WarehouseError as error:
        if not isinstance(error.__cause__, NotFound):
            raise
        return []


def _agree(one: Decimal | None, other: Decimal | None) -> bool:
    if one is None or other is None:
        return one is other
    return abs(one - other) <= max(AGREES_WITHIN_USD, AGREES_WITHIN_RATIO * abs(other))
