"""The metrics of compliance's worker."""

from __future__ import annotations

from compliance.worker_jobs import WorkerMetrics


def test_metrics__what_is_not_known_is_not_zero() -> None:
    metrics = WorkerMetrics()
    metrics.waiting({"undecided": float("nan")}, float("nan"))
    metrics.done("kyc", 2)
    text = metrics.render().decode()
    assert 'ballast_compliance_waiting{what="undecided"} NaN' in text
    assert "ballast_compliance_undecided_oldest_seconds NaN" in text
    assert 'ballast_compliance_work_total{job="kyc"} 2.0' in text
