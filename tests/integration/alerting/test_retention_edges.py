"""What retention may not change: the next alert's bucket, an escalation's answer, the words of a digest."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import pytest
from sqlalchemy import Engine, text

from alerting.events import MarginEvent
from alerting.ledger import PlannedNotification, store
from alerting.planning import margin_alert
from alerting.planning_store import keep_buckets, open_escalations
from alerting.policy_model import Bucket, Rules
from alerting.retention import Retention
from infra.runtime.clock import FixedClock

KEEP = timedelta(days=35)
MIRRORED = """
    insert into alerting.mirror_progress (stream, txid)
    values ('notification_states', cast(cast(pg_current_xact_id() as text) as bigint))
    """


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


@pytest.mark.parametrize(
    ("still_open", "closing"),
    [
        ("escalation", "update alerting.escalations set closed_at = due_at, outcome = 'accepted'"),
        ("digest", "delete from alerting.pending"),
    ],
)
def test_retention__keeps_what_something_open_asks_for(
    engine: Engine, clock: FixedClock, make_event: Callable[..., MarginEvent], still_open: str, closing: str
) -> None:
    """A call that was digested, and its digest, while the workers rested for longer than the retention."""
    member, digest = (margin_alert(make_event(number)) for number in (1, 2))
    sent = PlannedNotification(digest.event_id, "sms", "con_1")
    held = PlannedNotification(
        member.event_id, "sms", "con_1", suppressed_reason="digested", digest_id=sent.notification_id
    )
    with engine.begin() as connection:
        store(connection, [member, digest], [held, sent], clock.now())
        if still_open == "escalation":
            open_escalations(connection, {member.event_id: clock.now()})
            connection.execute(text("delete from alerting.pending"))
            connection.execute(text("update alerting.notifications set terminal_state = 'accepted'"))
    with engine.begin() as connection:
        connection.execute(text(MIRRORED))
    clock.advance(timedelta(days=40))
    retention = Retention(engine, clock, KEEP)
    assert retention.run().get("notifications", 0) == 0
    with engine.begin() as connection:
        connection.execute(text(closing))
    assert retention.run()["notifications"] == (2 if still_open == "escalation" else 1)


def test_retention__forgets_addresses_that_nobody_wants_any_more(engine: Engine, clock: FixedClock) -> None:
    with engine.begin() as connection:
        for name, status in (("con_gone", "removed"), ("con_kept", "verified")):
            connection.execute(
                text(
                    "insert into alerting.contacts (contact_id, owner, channel, origin, role, position, address_sealed,"
                    " address_hint, fingerprint, status, created_at, updated_at) values (:name, 'acc-1', 'email',"
                    " 'preference', 'primary', 1, '', '', :name, :status, :now, :now)"
                ),
                {"name": name, "status": status, "now": clock.now()},
            )
            connection.execute(
                text("insert into alerting.verifications values (:id, :name, :now, :now, 0, null)"),
                {"id": f"ver_{name}", "name": name, "now": clock.now()},
            )
    clock.advance(KEEP + timedelta(days=1))
    assert Retention(engine, clock, KEEP).run()["contacts"] == 1
    with engine.connect() as connection:
        assert list(connection.execute(text("select contact_id from alerting.contacts")).scalars()) == ["con_kept"]
