"""Who is told, when, and who is not: the pure rules."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerting.ledger import AlertEvent
from alerting.notices import Kind
from alerting.policy import NOBODY, OPERATOR, OPERATORS, fallbacks, plan_event, quiet_until, window_end
from alerting.policy_model import Bucket, Known, Plan, Preferences, Recipient, Rules, Silence, Told

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
RULES = Rules(has_operator_webhook=True, channels=Rules().channels | {"pagerduty"})


def event(severity: str = "margin_call", **changes: Any) -> AlertEvent:
    values: dict[str, Any] = {
        "event_id": f"mev_{severity}",
        "topic": "alerts.margin.v1",
        "kind": Kind.MARGIN,
        "rule": "margin",
        "account_id": "acc-1",
        "owner": "acc-1",
        "severity": severity,
        "episode_id": "mep_1",
        "sequence": 1,
        "payload": {},
        "detected_at": NOON,
    }
    return AlertEvent(**values | changes)


def contact(name: str = "mail", channel: str = "email", **changes: Any) -> Recipient:
    values: dict[str, Any] = {
        "contact_id": name,
        "owner": "acc-1",
        "channel": channel,
        "role": "primary",
        "position": 1,
        "origin": "preference",
        "fingerprint": f"print-{name}",
        "severities": None,
    }
    return Recipient(**values | changes)


def plan(
    subject: AlertEvent,
    *recipients: Recipient,
    told: tuple[Told, ...] = (),
    tokens: Decimal = Decimal(10),
    now: datetime = NOON,
    is_paged: bool = False,
    rules: Rules = RULES,
    **wanted: Any,
) -> Plan:
    buckets = {(each.channel, each.fingerprint): Bucket(tokens, now) for each in recipients}
    known = Known(Preferences(recipients=recipients, **wanted), told, buckets, is_paged)
    return plan_event(subject, known, rules, now)


def sent(found: Plan) -> set[tuple[str, str]]:
    """Channel and recipient of what goes out now."""
    return {(item.channel, item.recipient) for item in found.notifications if item.suppressed_reason is None}


def reasons(found: Plan) -> dict[str, str]:
    return {item.recipient: item.suppressed_reason for item in found.notifications if item.suppressed_reason}


def told(severity: str, ago: timedelta = timedelta(minutes=1), **changes: Any) -> Told:
    values: dict[str, Any] = {
        "channel": "email",
        "recipient": "mail",
        "rule": "margin",
        "severity": severity,
        "episode_id": "mep_1",
        "at": NOON - ago,
    }
    return Told(**values | changes)


def test_plan__tells_primary_contacts_and_the_operator() -> None:
    found = plan(event(), contact(), contact("phone", "sms"), contact("aunt", "sms", role="fallback"))
    assert sent(found) == {("webhook", OPERATOR), ("email", "mail"), ("sms", "phone")}
    assert found.escalate_at == NOON + timedelta(seconds=20)


def test_plan__uses_registered_contacts_while_there_is_none_of_the_owners_choice() -> None:
    registered = contact("registered", origin="registered")
    assert ("email", "registered") in sent(plan(event(), registered))
    assert ("email", "registered") not in sent(plan(event(), registered, contact()))


def test_plan__records_that_nobody_is_told_and_escalates_at_once() -> None:
    found = plan(event())
    assert reasons(found) == {NOBODY: "acc-1 has no contact"}
    assert found.escalate_at == NOON


def test_plan__records_that_no_contact_wants_the_severity() -> None:
    found = plan(event("early_warning"), contact(severities=frozenset({"liquidation"})))
    assert reasons(found) == {NOBODY: "no contact wants this severity"}
    assert found.escalate_at is None


def test_plan__a_fallback_stands_in_where_no_primary_contact_is_left() -> None:
    found = plan(event(), contact("second", role="fallback", position=2), contact("first", role="fallback"))
    assert sent(found) == {("webhook", OPERATOR), ("email", "first")}


def test_plan__a_channel_that_is_not_configured_is_said_and_escalated_at_once() -> None:
    found = plan(event(), contact("phone", "sms"), rules=Rules(channels=frozenset({"email", "pagerduty"})))
    assert reasons(found) == {"phone": "channel sms is not configured"}
    assert found.escalate_at == NOON


@pytest.mark.parametrize(
    ("severity", "before", "is_suppressed"),
    [
        ("margin_call", [told("margin_call")], True),
        ("margin_call", [told("margin_call", timedelta(minutes=6))], False),
        ("margin_call", [told("margin_call", episode_id="mep_0")], False),
        ("margin_call", [told("margin_call", recipient="other")], False),
        ("margin_call", [told("margin_call", channel="sms")], False),
        ("margin_call", [told("margin_call", timedelta(minutes=2)), told("unpriced")], True),
        ("liquidation", [told("margin_call")], False),
        ("margin_call", [told("margin_call", timedelta(minutes=2)), told("early_warning")], False),
        ("margin_call", [told("early_warning", timedelta(minutes=2)), told("margin_call")], True),
        ("unpriced", [told("unpriced")], True),
        ("unpriced", [told("margin_call")], False),
        ("recovered", [told("margin_call")], False),
    ],
)
def test_plan__suppresses_repeats_but_never_an_escalation(
    severity: str, before: list[Told], is_suppressed: bool
) -> None:
    found = plan(event(severity), contact(), told=tuple(before))
    assert (("email", "mail") not in sent(found)) is is_suppressed
    assert reasons(found) == ({"mail": "repeat within 300 s"} if is_suppressed else {})


def test_plan__programs_get_every_event() -> None:
    hook = contact("hook", "webhook")
    found = plan(event(), hook, told=(told("margin_call", channel="webhook", recipient="hook"),), tokens=Decimal(0))
    assert ("webhook", "hook") in sent(found)


def test_plan__a_repeat_for_everybody_escalates_nothing() -> None:
    assert plan(event(), contact(), told=(told("margin_call"),)).escalate_at is None


@pytest.mark.parametrize(
    ("severity", "previous", "is_held"),
    [
        ("early_warning", None, True),
        ("recovered", "early_warning", True),
        ("recovered", "margin_call", False),
        ("margin_call", None, False),
        ("liquidation", "margin_call", False),
        ("unpriced", None, False),
    ],
)
def test_plan__quiet_hours_hold_early_warnings_only(severity: str, previous: str | None, is_held: bool) -> None:
    subject = event(severity, payload={"previous_severity": previous})
    found = plan(subject, contact(), quiet_start=time(11), quiet_end=time(13, 30))
    assert (("email", "mail") in sent(found)) is not is_held
    assert [digest.due_at for _, digest in found.digested] == ([NOON.replace(hour=13, minute=30)] if is_held else [])


def test_plan__a_digest_gathers_early_warnings_of_a_window() -> None:
    found = plan(event("early_warning"), contact(), digest_minutes=60)
    [(item, digest)] = found.digested
    assert (item.recipient, digest.due_at) == ("mail", NOON + timedelta(hours=1))
    assert ("email", "mail") in sent(plan(event(), contact(), digest_minutes=60))


def test_plan__an_address_that_gets_too_much_gets_the_rest_as_a_digest() -> None:
    found = plan(event(), contact(), tokens=Decimal("0.9"))
    [(item, digest)] = found.digested
    assert item.recipient == "mail"
    assert NOON < digest.due_at <= NOON + timedelta(seconds=30)
    assert found.escalate_at == digest.due_at + timedelta(seconds=20)
    assert ("email", "mail") in sent(plan(event("liquidation"), contact(), tokens=Decimal(0)))


def test_plan__contacts_of_one_address_share_a_bucket() -> None:
    one, two = contact("one", fingerprint="same"), contact("two", fingerprint="same")
    found = plan(event(), one, two, tokens=Decimal(1))
    assert sent(found) == {("webhook", OPERATOR), ("email", "one")}
    assert [digest.event_id for _, digest in found.digested] == [
        plan(event(), two, tokens=Decimal(0)).digested[0][1].event_id
    ]


@pytest.mark.parametrize(("severity", "is_silent"), [("margin_call", True), ("liquidation", False)])
def test_plan__a_silence_holds_all_but_liquidations(severity: str, is_silent: bool) -> None:
    both = frozenset({"margin_call", "liquidation"})
    silence = Silence("sil_1", both, NOON - timedelta(hours=1), NOON + timedelta(hours=1))
    found = plan(event(severity), contact(), silences=(silence,))
    assert (("email", "mail") not in sent(found)) is is_silent
    assert reasons(found) == ({"mail": "silenced until 2026-01-31T13:00:00+00:00 (sil_1)"} if is_silent else {})
    assert (found.escalate_at is None) is is_silent


def test_plan__pages_for_a_liquidation_and_resolves_on_recovery() -> None:
    paged = [item for item in plan(event("liquidation"), contact()).notifications if item.recipient == OPERATORS]
    resolved = plan(event("recovered", sequence=2), contact(), is_paged=True)
    [resolve] = [item for item in resolved.notifications if item.recipient == OPERATORS]
    assert [item.ordering_key for item in paged] == [resolve.ordering_key]
    assert OPERATORS not in {item.recipient for item in plan(event("recovered"), contact()).notifications}
    assert OPERATORS not in {item.recipient for item in plan(event(), contact()).notifications}


def test_plan__says_that_pagerduty_is_not_configured() -> None:
    found = plan(event("liquidation"), contact(), rules=Rules())
    assert reasons(found)[OPERATORS] == "PagerDuty is not configured"


def test_plan__compliance_news_that_nobody_asked_for_is_recorded_only() -> None:
    news = event("info", kind=Kind.COMPLIANCE, owner="team:compliance")
    assert reasons(plan(news, contact())) == {NOBODY: "no contact wants this severity"}
    assert ("email", "mail") in sent(plan(news, contact(severities=frozenset({"info"}))))
    critical = event("critical", kind=Kind.COMPLIANCE, owner="team:compliance")
    assert ("email", "mail") in sent(plan(critical, contact()))


def test_fallbacks__come_in_order_without_those_told_already() -> None:
    wanted = Preferences(
        recipients=(
            contact("b", "sms", role="fallback", position=3),
            contact("a", "sms", role="fallback", position=2),
            contact("c", "sms", role="fallback", position=4, severities=frozenset({"recovered"})),
            contact(),
        )
    )
    assert [each.contact_id for each in fallbacks(event(), wanted)] == ["a", "b"]


@pytest.mark.parametrize(
    ("zone", "start", "end", "at", "until"),
    [
        ("UTC", time(22), time(7), "2026-01-31T23:00", "2026-02-01T07:00"),
        ("UTC", time(22), time(7), "2026-01-31T06:59", "2026-01-31T07:00"),
        ("UTC", time(22), time(7), "2026-01-31T07:00", None),
        ("UTC", time(22), time(7), "2026-01-31T21:59", None),
        ("UTC", time(12), time(13), "2026-01-31T12:00", "2026-01-31T13:00"),
        ("Europe/Berlin", time(22), time(7), "2026-01-31T21:30", "2026-02-01T06:00"),
        # The night in which Berlin's clocks go forward, and the one in which they go back.
        ("Europe/Berlin", time(22), time(7), "2026-03-28T22:00", "2026-03-29T05:00"),
        ("Europe/Berlin", time(22), time(7), "2026-10-24T22:00", "2026-10-25T06:00"),
        ("Asia/Kolkata", time(0), time(6), "2026-01-31T20:00", "2026-02-01T00:30"),
        ("UTC", time(8), time(8), "2026-01-31T08:00", None),
        ("UTC", None, None, "2026-01-31T03:00", None),
    ],
)
def test_quiet_until__follows_the_local_clock(
    zone: str, start: time | None, end: time | None, at: str, until: str | None
) -> None:
    wanted = Preferences(time_zone=zone, quiet_start=start, quiet_end=end)
    expected = None if until is None else datetime.fromisoformat(until).replace(tzinfo=UTC)
    assert quiet_until(wanted, datetime.fromisoformat(at).replace(tzinfo=UTC)) == expected


def test_bucket__refills_with_time_and_not_when_the_clock_goes_back() -> None:
    bucket = Bucket(Decimal(0), NOON)
    bucket.refill(RULES, NOON - timedelta(hours=1))
    assert (bucket.tokens, bucket.at) == (0, NOON)
    bucket.refill(RULES, NOON + timedelta(seconds=45))
    assert bucket.tokens == Decimal("1.5")
    assert bucket.take(anyway=False)
    assert not bucket.take(anyway=False)
    bucket.refill(RULES, NOON + timedelta(days=1))
    assert bucket.tokens == RULES.bucket_size


@given(st.integers(1, 86_400), st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1)))  # noqa: DTZ001
def test_window_end__lies_ahead_by_at_most_the_window(seconds: int, at: datetime) -> None:
    now, window = at.replace(tzinfo=UTC), timedelta(seconds=seconds)
    end = window_end(now, window)
    assert now < end <= now + window
    assert window_end(end - timedelta(microseconds=1), window) == end


@given(st.sampled_from(["early_warning", "margin_call", "liquidation", "recovered", "unpriced"]), st.data())
def test_plan__loses_no_recipient(severity: str, data: st.DataObject) -> None:
    recipients = [
        contact(
            f"c{number}",
            data.draw(st.sampled_from(["email", "sms", "webhook"])),
            role=data.draw(st.sampled_from(["primary", "fallback"])),
            position=number,
        )
        for number in range(data.draw(st.integers(0, 4)))
    ]
    before = tuple(
        told(data.draw(st.sampled_from(["early_warning", "margin_call", "liquidation"])), recipient=each.contact_id)
        for each in recipients
    )
    subject = event(severity, payload={"previous_severity": "early_warning"})
    found = plan(subject, *recipients, told=before, tokens=Decimal(data.draw(st.integers(0, 2))))
    named = [item.recipient for item in found.notifications] + [item.recipient for item, _ in found.digested]
    assert len(named) == len(set(named))
    primary = {each.contact_id for each in recipients if each.role == "primary"}
    assert primary <= set(named)
    assert set(named) - {OPERATOR, OPERATORS}
    if severity == "liquidation":
        assert not found.digested
        assert primary <= {name for _, name in sent(found)} | set(reasons(found))
