"""Buckets of addresses that get nothing any more go, and it makes no difference to the next alert."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from sqlalchemy import Engine, text

from alerting.planning_store import keep_buckets
from alerting.policy_model import Bucket, Rules
from alerting.retention import Retention
from infra.runtime.clock import FixedClock

KEEP = timedelta(days=35)


def test_retention__forgets_buckets_that_were_not_used(engine: Engine, clock: FixedClock) -> None:
    start, rules = clock.now(), Rules()
    old = Bucket(Decimal(0), start, is_changed=True)
    young = Bucket(Decimal(3), start + timedelta(days=39), is_changed=True)
    with engine.begin() as connection:
        keep_buckets(connection, {("email", f"old_{number}"): old for number in range(5)} | {("sms", "young"): young})
    clock.advance(timedelta(days=40))
    assert Retention(engine, clock, KEEP, chunk=2).run()["recipient_buckets"] == 5
    with engine.connect() as connection:
        rows = connection.execute(text("select channel, fingerprint, tokens from alerting.recipient_buckets")).all()
    assert [tuple(row) for row in rows] == [("sms", "young", Decimal(3))]
    # What is not there counts as full, and so would the old ones.
    old.refill(rules, clock.now())
    assert old.tokens == rules.bucket_size
