"""What each part of a portfolio adds to its risk: component, marginal, incremental and stand-alone figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from assets.risk.engine.levels import tail_count

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Components:
    """One entry a part, in USD; a positive figure adds to the risk of the whole, a negative one hedges it.

    `component_var` sums to `var`, `component_es` to `es`. `incremental_var` is VaR of the whole less VaR without the
    part, `standalone_var` VaR of the part alone.
    """

    confidence: Decimal
    var: float
    es: float
    component_var: Floats
    component_es: Floats
    incremental_var: Floats
    standalone_var: Floats


def components(parts: Floats, confidences: Sequence[Decimal]) -> list[Components]:
    """Euler allocation of historical VaR and ES: the parts' losses in the scenarios that make the tail of the whole.

    `parts` is P&L of shape (parts, scenarios), oldest first, whose sum is the whole (Tasche 1999; McNeil, Frey and
    Embrechts, Quantitative Risk Management, 8.5). The allocation of VaR rests on one scenario: noisy, but exact.
    """
    whole = parts.sum(axis=0)
    order = np.argsort(whole, kind="stable")
    found = []
    for confidence in confidences:
        tail = tail_count(len(whole), confidence)
        worst = order[:tail]
        without = np.partition(whole - parts, tail - 1, axis=1)[:, tail - 1]
        alone = np.partition(parts, tail - 1, axis=1)[:, tail - 1]
        var = -float(whole[worst[-1]])
        found.append(
            Components(
                confidence,
                var=var,
                es=-float(whole[worst].mean()),
                component_var=-parts[:, worst[-1]],
                component_es=-parts[:, worst].mean(axis=1),
                incremental_var=var + without,
                standalone_var=-alone,
            )
        )
    return found
