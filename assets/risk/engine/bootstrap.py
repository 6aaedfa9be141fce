"""Resampling of scenarios that keeps their clustering: the stationary bootstrap."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from assets.risk.engine.errors import RiskInputError

REPLICATES = 500
# Days that a block lasts on average; about n^(1/3) for 500, the order that Politis and White (2004) find optimal.
MEAN_BLOCK = 8


def seed_of(*parts: object) -> int:
    """A seed that follows from what is estimated: the same question gets the same random numbers for ever."""
    digest = hashlib.sha256("\0".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:6], "big")


def stationary_draws(
    observations: int, seed: int, replicates: int = REPLICATES, mean_block: int = MEAN_BLOCK
) -> NDArray[np.int64]:
    """How often each observation is drawn, shape (replicates, observations); each row sums to `observations`.

    Blocks of geometric length that wrap around (Politis and Romano, JASA 89, 1994), by the `arch` library.
    """
    if observations < 2:
        raise RiskInputError("a bootstrap needs at least two observations")
    # It takes two seconds to import, which only a bootstrap should pay.
    from arch.bootstrap import StationaryBootstrap

    resampler = StationaryBootstrap(mean_block, np.arange(observations), seed=np.random.default_rng(seed))
    draws = np.empty((replicates, observations), dtype=np.int64)
    for replicate, (positional, _named) in enumerate(resampler.bootstrap(replicates)):
        draws[replicate] = np.bincount(positional[0], minlength=observations)
    return draws
