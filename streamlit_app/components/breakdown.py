"""The collateral by asset: one bar for the whole and one line for each asset."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from html import escape
from typing import Protocol

from streamlit_app.components import formats
from streamlit_app.components.theme import asset_colour


class Position(Protocol):
    """What an account or the book holds of one asset on one side."""

    @property
    def asset(self) -> str: ...
    @property
    def side(self) -> str: ...
    @property
    def quantity(self) -> Decimal: ...
    @property
    def price_usd(self) -> Decimal | None: ...
    @property
    def exposure_usd(self) -> Decimal | None: ...
    @property
    def price_status(self) -> str: ...
    @property
    def price_age_seconds(self) -> int | None: ...
    @property
    def is_simulated(self) -> bool: ...


@dataclass(frozen=True)
class Share:
    """An asset's part of the valued collateral in percent; None where it has no value or is below zero."""

    asset: str
    exposure_usd: Decimal | None
    share_pct: Decimal | None
    is_current: bool


def shares(positions: Iterable[Position]) -> list[Share]:
    """The collateral by asset, largest first, those without a value last."""
    held = [position for position in positions if position.side == "collateral" and position.quantity != 0]
    total = sum((value for p in held if (value := p.exposure_usd) is not None and value > 0), Decimal(0))
    found = [
        Share(
            asset=position.asset,
            exposure_usd=position.exposure_usd,
            share_pct=_share(position.exposure_usd, total),
            is_current=position.price_status in ("ok", "degraded"),
        )
        for position in held
    ]
    return sorted(found, key=lambda share: (share.exposure_usd is None, -(share.exposure_usd or 0), share.asset))


def breakdown_html(parts: Sequence[Share]) -> str:
    """The chart; the line of each asset carries its name, value and share in words."""
    if not parts:
        return '<p class="muted">No collateral.</p>'
    whole = "".join(
        f'<i style="width:{part.share_pct:.4f}%;background:{asset_colour(part.asset)}"></i>'
        for part in parts
        if part.share_pct
    )
    lines = "".join(_line(part) for part in parts)
    return f'<div class="whole" aria-hidden="true">{whole}</div><ul class="parts">{lines}</ul>'


def _share(value: Decimal | None, total: Decimal) -> Decimal | None:
    return None if value is None or value <= 0 or total <= 0 else value / total * 100


def _line(part: Share) -> str:
    colour = asset_colour(part.asset)
    hatched = "" if part.exposure_usd is not None else " unvalued"
    if part.share_pct is None:
        bar, share = "", "no share"
    else:
        bar = f'<i style="width:{part.share_pct:.4f}%;background:{colour}"></i>'
        share = formats.percent(part.share_pct)
    value = "no price" if part.exposure_usd is None else formats.usd(part.exposure_usd)
    last = "" if part.is_current or part.exposure_usd is None else " (last price)"
    return (
        f'<li><span class="name"><i class="swatch{hatched}" style="background:{colour}"></i>{escape(part.asset)}</span>'
        f'<span class="bar" aria-hidden="true">{bar}</span>'
        f'<span class="figures"><span class="muted small">{escape(value + last)}</span> '
        f'<span class="share">{escape(share)}</span></span></li>'
    )
