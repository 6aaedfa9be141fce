"""From messages to the ledger: acknowledged only when durable, poison set aside, preferences followed."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, select, text
from sqlalchemy.exc import OperationalError

from alerting.claims import Claims, Outcome, OutcomeKind
from alerting.compliance_events import ComplianceEvent, ComplianceSeverity
from alerting.contact_tables import contacts, preferences
from alerting.escalation import Escalator
from alerting.events import MarginEvent
from alerting.ledger import AlertEvent
from alerting.metrics import WorkerMetrics
from alerting.planning import Planner, margin_alert, parse_compliance_alert, parse_margin_alert
from alerting.policy_model import Rules
from alerting.tables import escalations, notifications
from infra.runtime.clock import FixedClock
from infra.runtime.pubsub import Ack, DeadLetter, Received, Retry

Make = Callable[..., MarginEvent]
States = Callable[..., list[str]]
RULES = Rules(has_operator_webhook=True, channels=frozenset({"email", "sms", "webhook", "pagerduty"}))
LEASE = timedelta(seconds=6)


def received(data: bytes) -> Received:
    return Received(data, {}, "m1", datetime(2026, 1, 31, tzinfo=UTC), "")


@pytest.fixture
def stop() -> threading.Event:
    return threading.Event()


@pytest.fixture
def make_planner(engine: Engine, clock: FixedClock, stop: threading.Event) -> Callable[..., Planner]:
    def make(
        kind: type[Planner] = Planner, rules: Rules = RULES, parse: Any = parse_margin_alert, **more: Any
    ) -> Planner:
        wake = more.pop("wake", lambda: None)
        return kind(engine, clock, rules, parse, stop, wake, WorkerMetrics())

    return make


@pytest.fixture
def add_contact(engine: Engine, clock: FixedClock) -> Callable[..., str]:
    """A verified contact of acc-1; its sealed address is nothing that opens."""

    def add(contact_id: str = "mail", channel: str = "email", **changes: Any) -> str:
        values = {
            "contact_id": contact_id,
            "owner": "acc-1",
            "channel": channel,
            "origin": "preference",
            "role": "primary",
            "position": 1,
            "address_sealed": b"",
            "address_hint": "",
            "fingerprint": f"print-{contact_id}",
            "status": "verified",
            "created_at": clock.now(),
            "updated_at": clock.now(),
        }
        with engine.begin() as connection:
            connection.execute(contacts.insert().values(values | changes))
        return contact_id

    return add


def rows(engine: Engine, *columns: str) -> list[tuple[Any, ...]]:
    with engine.connect() as connection:
        wanted = [notifications.c[name] for name in columns]
        return [tuple(row) for row in connection.execute(select(*wanted).order_by("created_at", "notification_id"))]


def test_planner__acknowledges_what_is_in_the_ledger(
    make_planner: Callable[..., Planner], make_event: Make, states: States
) -> None:
    woken: list[int] = []
    batch = [received(make_event(number, account_id=f"acc-{number}").to_wire()) for number in (1, 2, 1)]
    plan = make_planner(wake=lambda: woken.append(1))
    assert plan(batch) == [Ack(), Ack(), Ack()]
    assert plan(batch) == [Ack(), Ack(), Ack()]
    assert sorted(states()) == ["planned", "planned", "suppressed", "suppressed"]
    assert woken == [1]


def test_planner__sets_poison_aside_and_keeps_the_rest(
    make_planner: Callable[..., Planner], make_event: Make, engine: Engine
) -> None:
    good = make_event(1).to_wire()
    newer = json.dumps(json.loads(good) | {"schema_version": 2}).encode()
    odd = json.dumps(json.loads(good) | {"severity": "meltdown"}).encode()
    unstorable = make_event(2, account_id="acc\x00").to_wire()
    hidden = make_event(3, unpriced_reason="a\x00b").to_wire()
    messages = [received(data) for data in (b"{", good, newer, odd, unstorable, hidden)]
    outcomes = make_planner()(messages)
    codes = [o.reason_code if isinstance(o, DeadLetter) else "ack" for o in outcomes]
    assert codes == [
        "margin_event_invalid",
        "ack",
        "margin_event_version_unknown",
        "margin_event_invalid",
        "event_not_storable",
        "event_not_storable",
    ]
    assert {row[0] for row in rows(engine, "event_id")} == {"mev_1"}


class FailingPlanner(Planner):
    """A planner that loses its database for the first calls."""

    failures = 2

    def plan(self, events: Sequence[AlertEvent]) -> int:
        if self.failures:
            self.failures -= 1
            raise OperationalError("insert", {}, Exception("server closed the connection"))
        return super().plan(events)


def test_planner__waits_for_postgres_instead_of_using_up_deliveries(
    make_planner: Callable[..., Planner], make_event: Make, engine: Engine
) -> None:
    assert make_planner(FailingPlanner)([received(make_event().to_wire())]) == [Ack()]
    assert len(rows(engine, "event_id")) == 2


def test_planner__hands_messages_back_when_it_stops_during_an_outage(
    make_planner: Callable[..., Planner], make_event: Make, states: States, stop: threading.Event
) -> None:
    planner = make_planner(FailingPlanner)
    planner.failures = 1_000  # type: ignore[attr-defined]
    stop.set()
    outcomes = planner([received(make_event().to_wire()), received(b"{")])
    assert isinstance(outcomes[0], Retry)
    assert isinstance(outcomes[1], DeadLetter)
    assert states() == []


def test_plan__two_workers_plan_the_same_events_once(
    make_planner: Callable[..., Planner], make_event: Make, add_contact: Callable[..., str], engine: Engine
) -> None:
    add_contact()
    alerts = [margin_alert(make_event(n, account_id=f"acc-{n % 7}", episode_id=f"mep_{n}")) for n in range(1, 71)]
    with ThreadPoolExecutor(4) as pool:
        counts = list(pool.map(lambda turn: make_planner().plan(alerts[:: 1 if turn % 2 else -1]), range(4)))
    assert sum(counts) == 70
    keys = rows(engine, "event_id", "channel", "recipient")
    assert len(keys) == len(set(keys)) == 70 + 60 + 10


def test_plan__a_repeat_is_suppressed_and_an_escalation_passes(
    make_planner: Callable[..., Planner],
    make_event: Make,
    add_contact: Callable[..., str],
    engine: Engine,
    clock: FixedClock,
) -> None:
    add_contact()
    planner = make_planner()
    steps = ["margin_call", "unpriced", "margin_call", "liquidation"]
    for number, severity in enumerate(steps, start=1):
        planner.plan([margin_alert(make_event(number, severity=severity))])
        clock.advance(timedelta(seconds=30))
    with engine.connect() as connection:
        told = connection.execute(
            text(
                "select n.severity, s.state, s.detail from alerting.notifications n"
                " join alerting.notification_states s using (notification_id)"
                " where n.channel = 'email' order by s.state_id"
            )
        ).all()
    assert [tuple(row) for row in told] == [
        ("margin_call", "planned", None),
        ("unpriced", "planned", None),
        ("margin_call", "suppressed", "repeat within 300 s"),
        ("liquidation", "planned", None),
        ("margin_call", "suppressed", "inhibited by liquidation mev_4"),
    ]


def test_plan__a_repeat_within_one_batch_is_suppressed_too(
    make_planner: Callable[..., Planner], make_event: Make, add_contact: Callable[..., str], engine: Engine
) -> None:
    add_contact()
    steps = ["margin_call", "unpriced", "margin_call"]
    make_planner().plan([margin_alert(make_event(n, severity=s)) for n, s in enumerate(steps, start=1)])
    with engine.connect() as connection:
        mails = select(notifications.c.event_id).where(
            notifications.c.channel == "email", notifications.c.terminal_state == "suppressed"
        )
        assert list(connection.execute(mails).scalars()) == ["mev_3"]


def test_plan__quiet_hours_make_one_digest_of_early_warnings(
    make_planner: Callable[..., Planner],
    make_event: Make,
    add_contact: Callable[..., str],
    engine: Engine,
    clock: FixedClock,
    claims: Claims,
) -> None:
    add_contact()
    with engine.begin() as connection:
        connection.execute(
            preferences.insert().values(
                owner="acc-1",
                locale="en",
                time_zone="UTC",
                quiet_start=time(11),
                quiet_end=time(13),
                updated_at=clock.now(),
            )
        )
    planner = make_planner()
    for number in (1, 2):
        event = make_event(number, severity="early_warning", episode_id=f"mep_{number}")
        planner.plan([margin_alert(event)])
    assert claims.claim("email", 10, LEASE) == []
    clock.advance(timedelta(hours=1))
    [digest] = claims.claim("email", 10, LEASE)
    assert digest.kind == "digest"
    members = claims.digest_members([digest.notification_id])[digest.notification_id]
    assert [(each["margin_event_id"], each["severity"]) for each in members] == [
        ("mev_1", "early_warning"),
        ("mev_2", "early_warning"),
    ]
    # What comes once its sending has begun goes into the next one.
    late = margin_alert(make_event(3, severity="early_warning", episode_id="mep_3"))
    clock.advance(timedelta(hours=-1))
    planner.plan([late])
    clock.advance(timedelta(hours=1, seconds=30))
    claims.record([Outcome(digest, OutcomeKind.ACCEPTED)])
    [following] = claims.claim("email", 10, LEASE)
    assert [
        m["margin_event_id"] for m in claims.digest_members([following.notification_id])[following.notification_id]
    ] == ["mev_3"]


def test_plan__what_exceeds_an_addresss_rate_is_digested_not_dropped(
    make_planner: Callable[..., Planner],
    make_event: Make,
    add_contact: Callable[..., str],
    claims: Claims,
    clock: FixedClock,
) -> None:
    for number in range(1, 6):
        add_contact(f"mail-{number}", owner=f"acc-{number}", fingerprint="same")
    planner = make_planner(rules=replace(RULES, bucket_size=2))
    for number in range(1, 6):
        planner.plan([margin_alert(make_event(number, account_id=f"acc-{number}"))])
    at_once = claims.claim("email", 10, LEASE)
    assert len(at_once) == 2
    claims.record([Outcome(each, OutcomeKind.ACCEPTED) for each in at_once])
    clock.advance(timedelta(seconds=30))
    [digest] = claims.claim("email", 10, LEASE)
    members = claims.digest_members([digest.notification_id])[digest.notification_id]
    assert {each["account_id"] for each in members} == {"acc-3", "acc-4", "acc-5"}


def test_plan__compliance_events_go_to_the_compliance_team(
    make_planner: Callable[..., Planner], add_contact: Callable[..., str], engine: Engine, clock: FixedClock
) -> None:
    add_contact("officer", owner="team:compliance")
    event = ComplianceEvent(
        event_id="cev_1",
        kind="screening_match",
        severity=ComplianceSeverity.CRITICAL,
        case_id="case_1",
        account_id="acc-1",
        occurred_at=clock.now(),
    )
    planner = make_planner(parse=parse_compliance_alert)
    assert planner([received(event.to_wire()), received(event.to_wire()), received(b"[]")])[:2] == [Ack(), Ack()]
    assert set(rows(engine, "channel", "recipient", "rule")) == {
        ("email", "officer", "screening_match"),
        ("webhook", "operator", "screening_match"),
    }


def escalator(engine: Engine, clock: FixedClock, rules: Rules = RULES) -> Escalator:
    return Escalator(engine, clock, rules)


def outcome(engine: Engine, event_id: str = "mev_1") -> str | None:
    with engine.connect() as connection:
        statement = select(escalations.c.outcome).where(escalations.c.event_id == event_id)
        found: str | None = connection.execute(statement).scalar_one_or_none()
    return found


def test_escalation__tries_the_next_contacts_then_pages(
    make_planner: Callable[..., Planner],
    make_event: Make,
    add_contact: Callable[..., str],
    engine: Engine,
    clock: FixedClock,
) -> None:
    add_contact()
    add_contact("first", "sms", role="fallback", position=2)
    add_contact("second", "sms", role="fallback", position=3)
    make_planner().plan([margin_alert(make_event())])
    looks = escalator(engine, clock)
    steps = []
    for _ in range(5):
        clock.advance(timedelta(seconds=20))
        steps.append(dict(looks.look().outcomes))
    assert steps == [{"next_contact": 1}, {"next_contact": 1}, {"paged": 1}, {}, {}]
    assert {row[0] for row in rows(engine, "recipient")} == {"operator", "mail", "first", "second", "operators"}
    assert outcome(engine) == "paged"


@pytest.mark.parametrize("settled", ["accepted", "acknowledged", "recovered", "superseded"])
def test_escalation__ends_when_somebody_has_it_or_it_is_over(
    make_planner: Callable[..., Planner],
    make_event: Make,
    add_contact: Callable[..., str],
    engine: Engine,
    clock: FixedClock,
    claims: Claims,
    settled: str,
) -> None:
    add_contact()
    planner = make_planner()
    planner.plan([margin_alert(make_event())])
    if settled == "accepted":
        claims.record([Outcome(each, OutcomeKind.ACCEPTED) for each in claims.claim("email", 1, LEASE)])
    elif settled == "acknowledged":
        with engine.begin() as connection:
            connection.execute(
                text("insert into alerting.acknowledgements values ('ntf_1', 'mev_1', :now, 'jo', null)"),
                {"now": clock.now()},
            )
    else:
        severity = "recovered" if settled == "recovered" else "liquidation"
        planner.plan([margin_alert(make_event(2, severity=severity))])
    clock.advance(timedelta(seconds=20))
    escalator(engine, clock).look()
    assert outcome(engine) == settled


def test_escalation__the_operators_webhook_is_nobody_who_could_act(
    make_planner: Callable[..., Planner],
    make_event: Make,
    add_contact: Callable[..., str],
    engine: Engine,
    clock: FixedClock,
    claims: Claims,
) -> None:
    add_contact()
    make_planner().plan([margin_alert(make_event())])
    claims.record([Outcome(each, OutcomeKind.ACCEPTED) for each in claims.claim("webhook", 1, LEASE)])
    clock.advance(timedelta(seconds=20))
    assert escalator(engine, clock).look().outcomes == {"paged": 1}


def test_escalation__an_accepted_digest_is_an_acceptance(
    make_planner: Callable[..., Planner],
    make_event: Make,
    add_contact: Callable[..., str],
    engine: Engine,
    clock: FixedClock,
    claims: Claims,
) -> None:
    add_contact()
    planner = make_planner(rules=replace(RULES, bucket_size=1))
    planner.plan([margin_alert(make_event(1)), margin_alert(make_event(2, episode_id="mep_2"))])
    clock.advance(timedelta(seconds=30))
    claims.record([Outcome(each, OutcomeKind.ACCEPTED) for each in claims.claim("email", 9, LEASE)])
    clock.advance(timedelta(seconds=20))
    assert escalator(engine, clock).look().outcomes == {"accepted": 2}


def test_escalation__without_any_contact_pages_at_once(
    make_planner: Callable[..., Planner], make_event: Make, engine: Engine, clock: FixedClock
) -> None:
    make_planner().plan([margin_alert(make_event())])
    assert escalator(engine, clock).look().outcomes == {"paged": 1}
    assert ("operators", None) in rows(engine, "recipient", "terminal_state")


def test_escalation__says_that_nobody_is_left_without_pagerduty(
    make_planner: Callable[..., Planner], make_event: Make, engine: Engine, clock: FixedClock
) -> None:
    rules = replace(RULES, channels=RULES.channels - {"pagerduty"})
    make_planner(rules=rules).plan([margin_alert(make_event())])
    assert escalator(engine, clock, rules).look().outcomes == {"nobody_left": 1}
    assert ("operators", "suppressed") in rows(engine, "recipient", "terminal_state")


def test_escalation__is_hastened_by_a_final_failure(
    make_planner: Callable[..., Planner],
    make_event: Make,
    add_contact: Callable[..., str],
    engine: Engine,
    clock: FixedClock,
) -> None:
    add_contact()
    make_planner().plan([margin_alert(make_event())])
    looks = escalator(engine, clock)
    assert looks.look().outcomes == {}
    looks.hasten(["mev_1"])
    assert looks.look().outcomes == {"paged": 1}


def test_escalation__two_workers_take_each_step_once(
    make_planner: Callable[..., Planner], make_event: Make, engine: Engine, clock: FixedClock
) -> None:
    alerts = [margin_alert(make_event(n, account_id=f"acc-{n}")) for n in range(1, 41)]
    make_planner().plan(alerts)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: escalator(engine, clock).look().outcomes.get("paged", 0), range(4)))
    assert sum(found) == 40
    assert [row[0] for row in rows(engine, "recipient")].count("operators") == 40
