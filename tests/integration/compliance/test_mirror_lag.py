"""How far the copies of the chained record are behind, as the page of data health shows it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine, text

from compliance.mirror_lag import ChainLag, chain_lags

pytestmark = [pytest.mark.embedded, pytest.mark.timeout(600)]

_DECISION = text(
    """
    insert into compliance.decisions values (
        :sequence, 'dec_lag_' || :sequence, 'transaction', 'txn_1', 'blocked', 'a rule', 'system', 'pol_1', '{}', '{}',
        clock_timestamp() - make_interval(secs => :age_s), repeat('0', 63) || :sequence - 1,
        repeat('0', 63) || :sequence
    )
    """
)
_HEAD = text("update compliance.chain_heads set sequence = :sequence where chain = 'decisions'")
_PASSED = text(
    "insert into compliance.mirror_progress (stream, position, mirrored_at) values ('decisions', :position, :at)"
    " on conflict (stream) do update set position = excluded.position, mirrored_at = excluded.mirrored_at"
)


def test_chain_lags__count_what_waits_and_how_long_the_oldest_does(engine: Engine) -> None:
    mirrored_at = datetime(2026, 1, 31, 12, tzinfo=UTC)
    assert chain_lags(engine) == [ChainLag("case_events", 0, 0.0, None), ChainLag("decisions", 0, 0.0, None)]
    with engine.begin() as connection:
        for sequence, age_s in ((1, 7200), (2, 3600), (3, 60)):
            connection.execute(_DECISION, {"sequence": sequence, "age_s": age_s})
        connection.execute(_HEAD, {"sequence": 3})
    never = chain_lags(engine)[1]
    assert (never.waiting, never.mirrored_at) == (3, None)
    assert timedelta(seconds=never.lag_s) >= timedelta(hours=2)
    with engine.begin() as connection:
        connection.execute(_PASSED, {"position": "1:dec_lag_1", "at": mirrored_at})
    behind = chain_lags(engine)[1]
    assert (behind.waiting, behind.mirrored_at) == (2, mirrored_at)
    assert timedelta(hours=1) <= timedelta(seconds=behind.lag_s) < timedelta(hours=2)
    with engine.begin() as connection:
        connection.execute(_PASSED, {"position": "3:dec_lag_3", "at": mirrored_at})
    assert chain_lags(engine)[1] == ChainLag("decisions", 0, 0.0, mirrored_at)
