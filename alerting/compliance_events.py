"""What alerting reads of topic `compliance.events.v1`: the steps of cases that compliance publishes."""

from __future__ import annotations

from alerting.events import parse_event
from compliance.events import SCHEMA_VERSION, TOPIC, ComplianceEvent, ComplianceSeverity

__all__ = ["SCHEMA_VERSION", "SUBSCRIPTION", "TOPIC", "ComplianceEvent", "ComplianceSeverity", "parse_compliance_event"]

SUBSCRIPTION = "alert-worker-compliance"


def parse_compliance_event(data: bytes) -> ComplianceEvent:
    """The event in a message.

    Raises `EventVersionError` for a version other than 1 and `EventInvalidError` for anything else that is no event.
    """
    return parse_event(ComplianceEvent, "compliance event", data)
