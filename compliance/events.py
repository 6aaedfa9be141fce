"""The message of topic `compliance.events.v1`: one step of a KYC, screening or AML case, without personal data."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from infra.runtime.clock import UtcTime

TOPIC = "compliance.events.v1"
SCHEMA_VERSION: Literal[1] = 1


class ComplianceSeverity(StrEnum):
    """How soon an officer must look."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


class ComplianceEvent(BaseModel):
    """One step of a case; `event_id` is the same whenever the step is published again.

    `kind` and `rule_id` are codes (`case_opened`, `screening_match`, `rule_failed`), `summary` a sentence in English
    without names, numbers or addresses of persons. Fields that this release does not know are kept.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    schema_version: Literal[1] = SCHEMA_VERSION
    event_id: str = Field(min_length=1, max_length=200)
    kind: str = Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")
    severity: ComplianceSeverity
    case_id: str = Field(min_length=1, max_length=200)
    sequence: int = Field(default=1, ge=1, description="1 for the case's first event, then rising")
    account_id: str | None = Field(default=None, max_length=200)
    rule_id: str | None = Field(default=None, max_length=200)
    policy_version: str | None = Field(default=None, max_length=200)
    summary: str = Field(default="", max_length=500)
    occurred_at: UtcTime

    def to_wire(self) -> bytes:
        """The message as it is published: UTF-8 JSON."""
        return self.model_dump_json().encode()
