"""The options of `ballast risk var`, and the question that they ask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal, InvalidOperation

from assets.risk.engine.levels import STANDARD_CONFIDENCES, checked_confidence
from assets.risk.engine.methods import FALLBACK_MIN_OBSERVATIONS, STANDARD_HORIZONS, STANDARD_WINDOW, Method
from infra.embedded.errors import EmbeddedError

LARGEST_WINDOW = 2_000


@dataclass(frozen=True)
class RiskQuestion:
    """What to compute: an account, or the book (None); the price set's last day and the headline unless told.

    Raises `RiskInputError` or `EmbeddedError` for a question that has no answer.
    """

    account_id: str | None
    as_of: date | None = None
    window: int = STANDARD_WINDOW
    horizon_days: int = 1
    methods: tuple[Method, ...] = ()
    confidences: tuple[Decimal, ...] = STANDARD_CONFIDENCES

    def __post_init__(self) -> None:
        if self.account_id is not None and not self.account_id.strip():
            raise EmbeddedError("--account is empty; give an account's id, or --book.")
        if not FALLBACK_MIN_OBSERVATIONS <= self.window <= LARGEST_WINDOW:
            raise EmbeddedError(
                f"A window of {self.window} days is not computed; give {FALLBACK_MIN_OBSERVATIONS} to {LARGEST_WINDOW}."
            )
        if self.horizon_days not in STANDARD_HORIZONS:
            known = " or ".join(map(str, STANDARD_HORIZONS))
            raise EmbeddedError(f"A horizon of {self.horizon_days} days is not computed; give {known}.")
        for confidence in self.confidences:
            checked_confidence(confidence)

    @property
    def portfolio(self) -> str:
        """The portfolio in words."""
        return "the book" if self.account_id is None else f"account {self.account_id}"


def question(
    account: str | None,
    is_book: bool,
    as_of: str | None,
    window: int | None,
    horizon: int | None,
    methods: Sequence[str],
    confidences: Sequence[str],
) -> RiskQuestion:
    """What the options ask for; `EmbeddedError` or `RiskInputError` for options that have no answer."""
    if (account is None) is not is_book:
        raise EmbeddedError("Give --account ACCOUNT or --book, one of them.")
    chosen = RiskQuestion(account)
    return replace(
        chosen,
        as_of=None if as_of is None else _day(as_of),
        window=chosen.window if window is None else window,
        horizon_days=chosen.horizon_days if horizon is None else horizon,
        methods=_methods(methods),
        confidences=tuple(dict.fromkeys(_confidence(each) for each in confidences)) or chosen.confidences,
    )


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise EmbeddedError(f"--as-of {text!r} is no day such as 2026-01-31.") from None


def _methods(names: Sequence[str]) -> tuple[Method, ...]:
    wanted = [name.strip() for each in names for name in each.split(",")]
    if wanted == ["all"]:
        return tuple(Method)
    unknown = [name for name in wanted if name not in set(Method)]
    if unknown:
        raise EmbeddedError(f"There is no method {unknown[0]!r}; choose from all, {', '.join(Method)}.")
    return tuple(dict.fromkeys(Method(name) for name in wanted))


def _confidence(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise EmbeddedError(f"--confidence {text!r} is not a number; 0.99 is usual.") from None
