"""The metrics of the alert worker and of upkeep, and the rules that watch them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from decimal import Decimal

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from alerting.metrics import BREAKER_STATES, UpkeepMetrics, WorkerMetrics
from alerting.rates import TARGETS_PCT
from infra.runtime.settings import PROJECT_ROOT

RULES = PROJECT_ROOT / "infra" / "monitoring" / "alerting.rules.yml"


def samples(metrics: WorkerMetrics | UpkeepMetrics) -> dict[tuple[str, tuple[str, ...]], float]:
    """Values by name and labels, without the times of creation."""
    families = text_string_to_metric_families(metrics.render().decode())
    found = [sample for family in families for sample in family.samples]
    return {(s.name, tuple(s.labels.values())): s.value for s in found if not s.name.endswith("_created")}


def used() -> tuple[WorkerMetrics, UpkeepMetrics]:
    worker, upkeep = WorkerMetrics(), UpkeepMetrics()
    worker.planned("sms", "planned")
    worker.attempted("sms", "accepted", 0.2)
    worker.accepted("sms", "margin_call", 1.2)
    worker.dead_lettered("margin_event_invalid")
    worker.escalated("accepted")
    worker.breaker("sms", "closed")
    worker.in_flight("sms", 1)
    worker.queue("sms", 1, 0.5)
    upkeep.delivery_rate("sms", "1h", Decimal(100))
    upkeep.mirrored("notification_states", 1)
    upkeep.mirror_lag("notification_states", 0.5)
    upkeep.retained("notifications", 1)
    return worker, upkeep


def test_worker_metrics__count_plans_attempts_and_what_went_aside() -> None:
    metrics = WorkerMetrics()
    metrics.planned("sms", "planned", 3)
    metrics.planned("sms", "suppressed:repeat")
    metrics.planned("sms", "suppressed:repeat")
    metrics.attempted("email", "accepted", 0.3, 998)
    metrics.attempted("email", "rejected", 0.3, 2)
    metrics.dead_lettered("margin_event_invalid")
    metrics.escalated("next_contact")
    metrics.escalated("accepted", 4)
    found = samples(metrics)
    assert found["ballast_alerting_notifications_planned_total", ("sms", "planned")] == 3
    assert found["ballast_alerting_notifications_planned_total", ("sms", "suppressed:repeat")] == 2
    assert found["ballast_alerting_attempts_total", ("email", "accepted")] == 998
    assert found["ballast_alerting_attempts_total", ("email", "rejected")] == 2
    assert found["ballast_alerting_provider_request_seconds_sum", ("email",)] == pytest.approx(0.6)
    assert found["ballast_alerting_dead_letters_total", ("margin_event_invalid",)] == 1
    assert found["ballast_alerting_escalations_total", ("next_contact",)] == 1
    assert found["ballast_alerting_escalations_total", ("accepted",)] == 4


def test_worker_metrics__tell_acceptance_by_channel_up_to_ten_minutes() -> None:
    metrics = WorkerMetrics()
    for seconds in (0.05, 9.9, 10.1, 599.0, 700.0):
        metrics.accepted("sms", "margin_call", seconds)
    found = samples(metrics)
    name = "ballast_alerting_acceptance_seconds"
    # Labels come in the order of their names: channel, le, severity.
    buckets = {labels: value for (bucket, labels), value in found.items() if bucket == f"{name}_bucket"}
    within = {labels[1]: value for labels, value in buckets.items() if (labels[0], labels[2]) == ("sms", "margin_call")}
    assert (within["0.1"], within["10.0"], within["600.0"], within["+Inf"]) == (1, 2, 4, 5)
    assert found[f"{name}_count", ("sms", "margin_call")] == 5


def test_worker_metrics__one_state_of_a_breaker_at_a_time_and_the_unknown_under_its_name() -> None:
    metrics = WorkerMetrics()

    def states() -> dict[str, float]:
        found = samples(metrics).items()
        return {labels[1]: value for (name, labels), value in found if name == "ballast_alerting_breaker_state"}

    for state in BREAKER_STATES:
        metrics.breaker("sms", state)
        assert states() == {each: float(each == state) for each in BREAKER_STATES}
    metrics.breaker("sms", "melted")
    assert states() == dict.fromkeys(BREAKER_STATES, 0.0) | {"melted": 1.0}
    metrics.breaker("sms", "open")
    assert states() == {"closed": 0, "open": 1, "half_open": 0, "melted": 0}


def test_worker_metrics__show_the_queue_and_not_known_as_nan() -> None:
    metrics = WorkerMetrics()
    metrics.queue("email", 7, 3.5)
    metrics.queue("sms", None, None)
    metrics.in_flight("email", 2)
    found = samples(metrics)
    assert found["ballast_alerting_queue_depth", ("email",)] == 7
    assert found["ballast_alerting_queue_oldest_due_seconds", ("email",)] == 3.5
    assert math.isnan(found["ballast_alerting_queue_depth", ("sms",)])
    assert math.isnan(found["ballast_alerting_queue_oldest_due_seconds", ("sms",)])
    assert found["ballast_alerting_in_flight", ("email",)] == 2


def test_upkeep_metrics__show_rates_mirror_and_retention() -> None:
    metrics = UpkeepMetrics()
    metrics.delivery_rate("sms", "1h", Decimal("98.7"))
    metrics.delivery_rate("email", "1h", None)
    metrics.mirrored("notification_states", 2_000)
    metrics.mirrored("notification_states", 5)
    metrics.mirror_lag("notification_states", 1.5)
    metrics.retained("callbacks", 12)
    found = samples(metrics)
    assert found["ballast_alerting_delivery_rate_pct", ("sms", "1h")] == 98.7
    assert math.isnan(found["ballast_alerting_delivery_rate_pct", ("email", "1h")])
    assert found["ballast_alerting_mirrored_rows_total", ("notification_states",)] == 2_005
    assert found["ballast_alerting_mirror_lag_seconds", ("notification_states",)] == 1.5
    assert found["ballast_alerting_retention_deleted_rows_total", ("callbacks",)] == 12


def test_metrics__of_two_processes_do_not_mix() -> None:
    first, second = WorkerMetrics(), WorkerMetrics()
    first.dead_lettered("margin_event_invalid")
    assert not [name for name, _ in samples(second) if name.startswith("ballast_alerting_dead")]


def rules() -> list[Mapping[str, object]]:
    content = yaml.safe_load(RULES.read_text())
    return [rule for group in content["groups"] for rule in group["rules"]]


def test_rules__ask_only_for_metrics_that_there_are() -> None:
    worker, upkeep = used()
    known = {name for name, _ in (*samples(worker), *samples(upkeep))}
    asked = {name for rule in rules() for name in re.findall(r"ballast_\w+", str(rule["expr"]))}
    assert asked
    assert asked <= known


def test_rules__say_what_happened_and_what_to_do() -> None:
    names = [str(rule["alert"]) for rule in rules()]
    assert len(set(names)) == len(names)
    for rule in rules():
        annotations = rule["annotations"]
        assert isinstance(annotations, dict)
        assert all(annotations[key].strip() for key in ("summary", "action")), rule["alert"]
        assert isinstance(rule["labels"], dict)
        assert rule["labels"]["severity"] in ("critical", "warning")


def test_rules__hold_the_delivery_targets() -> None:
    rates = [str(rule["expr"]) for rule in rules() if "delivery_rate_pct" in str(rule["expr"])]
    told = {
        channel: Decimal(target)
        for expression in rates
        for channel, target in re.findall(r'channel="(\w+)"[^<]*< ([\d.]+)', expression)
    }
    assert told == {str(channel): target for channel, target in TARGETS_PCT.items()}
