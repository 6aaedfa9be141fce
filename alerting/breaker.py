"""The circuit breaker of channels, which stands in `infra.runtime` because other rooms use it as well."""

from __future__ import annotations

from infra.runtime.breaker import MAX_GROWTH, Breaker, BreakerState

__all__ = ["MAX_GROWTH", "Breaker", "BreakerState"]
