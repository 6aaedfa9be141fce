"""What callers see of policies: versions, rules with their meaning, and differences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any

from pydantic import Field
from rigour.territories import get_territory

from compliance.api.schemas import Shown, UtcTime
from compliance.model import RuleSeverity
from compliance.policy.differences import Change
from compliance.policy.model import Policy
from compliance.policy.parameters import CATALOGUE, Kind, ParameterValue


class PolicySummary(Shown):
    """One version of the policy."""

    version: str
    name: str
    effective_from: UtcTime
    is_current: bool
    changes: str = Field(description="what differs from the version before")
    countries_as_of: date
    content_hash: str = Field(description="SHA-256 of the file")


class PolicyList(Shown):
    """All versions, newest first."""

    policies: list[PolicySummary]


class ParameterView(Shown):
    """A parameter of a rule, as the policy has it."""

    name: str
    kind: Kind
    value: str
    is_default: bool
    meaning: str


class PolicyRuleView(Shown):
    """A rule of transaction monitoring: what it looks for, and what the policy says of it."""

    rule_id: str
    meaning: str
    source: str = Field(description="where the defaults of its parameters come from")
    is_named: bool = Field(description="whether the policy names it; a rule that is not named does not run")
    is_enabled: bool
    is_shadow: bool = Field(description="it watches and decides nothing")
    severity: RuleSeverity
    when: str | None = Field(description="a condition that narrows it, in CEL")
    parameters: list[ParameterView]


class PolicyView(PolicySummary):
    """One version with all that it says."""

    document: dict[str, Any] = Field(description="the policy with every parameter, amounts as strings")
    content: str = Field(description="the file as it was recorded")
    rules: list[PolicyRuleView] = Field(description="every rule that there is, those of the policy first")
    country_names: dict[str, str] = Field(description="of the codes in its country lists")
    countries_age_days: int
    countries_overdue: str | None = Field(description="what to do where the country lists are too old; null otherwise")


class DifferenceView(Shown):
    """One field that differs."""

    place: str = Field(description="where in the document", examples=["aml.structuring.params.min_count"])
    change: Change
    before: str | None
    after: str | None
    words: str


class PolicyDifferences(Shown):
    """What differs from one version to another."""

    before: str
    after: str
    differences: list[DifferenceView]


def rule_views(policy: Policy) -> Iterator[PolicyRuleView]:
    """Every rule of the catalogue, those that the policy names first and in its order."""
    for rule_id in [*policy.aml, *(rule_id for rule_id in CATALOGUE if rule_id not in policy.aml)]:
        spec, rule = CATALOGUE[rule_id], policy.aml.get(rule_id)
        given = {} if rule is None else rule.params
        yield PolicyRuleView(
            rule_id=rule_id,
            meaning=spec.meaning,
            source=spec.source,
            is_named=rule is not None,
            is_enabled=rule is not None and rule.enabled,
            is_shadow=rule is not None and rule.shadow,
            severity=spec.severity if rule is None else rule.severity,
            when=None if rule is None else rule.when,
            parameters=[
                ParameterView(
                    name=name,
                    kind=parameter.kind,
                    value=_text(given.get(name, parameter.default)),
                    is_default=given.get(name, parameter.default) == parameter.default,
                    meaning=parameter.meaning,
                )
                for name, parameter in spec.parameters.items()
            ],
        )


def country_names(policy: Policy) -> Mapping[str, str]:
    """The names of all countries of the lists."""
    countries = policy.countries
    codes = sorted(countries.block | countries.edd | countries.review)
    return {code: _name(code) for code in codes}


def _name(code: str) -> str:
    territory = get_territory(code.lower())
    return code if territory is None else str(territory.name)


def _text(value: ParameterValue) -> str:
    return ", ".join(str(each) for each in value) if isinstance(value, tuple | list) else str(value)
