"""A policy: every limit, list and threshold that compliance decides by, as one immutable, versioned document.

Money is USD as exact decimals. A rule reads its parameters from `Policy.parameters(rule_id)`; countries and the
thresholds of the travel rule stand once in the document and are among the parameters of the rules that need them. How
the rules of a policy are run and what follows is `compliance/policy/judging.py`, for the gate and for replays alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from rigour.territories import get_territory

from compliance.model import Decision, RuleSeverity
from compliance.policy.parameters import CATALOGUE, ParameterValue, parameter_value
from infra.runtime.clock import UtcTime

# FATF publishes three times a year, about every 120 days.
COUNTRIES_MAX_AGE = timedelta(days=150)
EXPRESSION_MAX = 1000
_ORDER = {severity: place for place, severity in enumerate(RuleSeverity)}


def _no_float(value: Any) -> Any:
    if isinstance(value, float):
        raise ValueError("must be exact: write a plain decimal in YAML, or give a Decimal or text")
    return value


def _country(code: str) -> str:
    territory = get_territory(code.lower())
    if territory is None or territory.code.upper() != code or code == "ZZ":
        raise ValueError(f"{code} is no ISO 3166 country")
    return code


Version = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$", examples=["2026-03-01"])]
Country = Annotated[str, Field(pattern=r"^[A-Z]{2}$", examples=["KP"]), AfterValidator(_country)]
Usd = Annotated[Decimal, BeforeValidator(_no_float), Field(ge=0, decimal_places=9, allow_inf_nan=False)]
Score = Annotated[Decimal, BeforeValidator(_no_float), Field(gt=0, le=1, allow_inf_nan=False)]
Days = Annotated[int, Field(strict=True, ge=1, le=3650)]
Hours = Annotated[int, Field(strict=True, ge=1, le=8760)]
Flag = Annotated[bool, Field(strict=True)]


class CasePriority(StrEnum):
    """How soon an officer must have looked at a case."""

    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"
    URGENT = "urgent"


class PolicyPart(BaseModel):
    """What all parts share: immutable, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class PolicyCountries(PolicyPart):
    """Countries of counterparties by what follows, as a source had them on a day."""

    as_of: date = Field(description="the day of the source; older than 150 days is overdue")
    source: str = Field(min_length=10)
    block: frozenset[Country] = Field(min_length=1)
    edd: frozenset[Country] = Field(description="enhanced due diligence")
    review: frozenset[Country]

    @model_validator(mode="after")
    def _disjoint(self) -> Self:
        twice = (self.block & self.edd) | (self.block & self.review) | (self.edd & self.review)
        if twice:
            raise ValueError(f"{', '.join(sorted(twice))} stands in more than one list")
        return self

    def is_overdue(self, today: date) -> bool:
        """Whether the source has published since, by its rhythm."""
        return today - self.as_of > COUNTRIES_MAX_AGE


class RulePolicy(PolicyPart):
    """What a policy says of one rule.

    A `shadow` rule is evaluated and recorded and never decides. `when` narrows a rule: its answer counts only where the
    expression over the features is true; one that cannot be evaluated is an error of the rule.
    """

    enabled: Flag = True
    shadow: Flag = False
    severity: RuleSeverity
    params: Mapping[str, ParameterValue] = Field(default_factory=dict)
    when: str | None = Field(default=None, min_length=1, max_length=EXPRESSION_MAX, description="CEL; a boolean")


class PolicyDecision(PolicyPart):
    """What follows from the answers of the rules, the heaviest first."""

    review_from: RuleSeverity = Field(description="a hit from this severity on is looked at by a person")
    block_from: RuleSeverity = Field(description="a hit from this severity on stops the transaction")
    on_error: Literal["review", "blocked"] = Field("review", description="a rule that could not run")
    on_insufficient_history: Literal["accepted", "review"] = Field(
        "accepted", description="a rule whose window is not filled yet; recorded either way"
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if _ORDER[self.review_from] > _ORDER[self.block_from]:
            raise ValueError("review_from must not be above block_from")
        return self

    def of_hit(self, severity: RuleSeverity) -> Decision:
        """What a hit of this severity calls for."""
        if _ORDER[severity] >= _ORDER[self.block_from]:
            return Decision.BLOCKED
        return Decision.REVIEW if _ORDER[severity] >= _ORDER[self.review_from] else Decision.ACCEPTED


class PolicyPep(PolicyPart):
    """Politically exposed persons: lawful customers who are looked at."""

    topics: tuple[str, ...] = Field(min_length=1)
    handling: Literal["review", "record"]


class PolicyScreening(PolicyPart):
    """How names are matched against lists; scores lie between 0 and 1."""

    threshold: Score = Field(description="from this score on a name is a hit")
    limit: int = Field(strict=True, ge=1, le=100, description="hits shown for one name at most")
    clear_days: Days = Field(description="how long an officer's clearance of a hit is remembered")
    topics_block: tuple[str, ...] = Field(min_length=1, description="topics whose hit must be cleared by two people")
    pep: PolicyPep


class PolicyKyc(PolicyPart):
    """How customers are verified."""

    valid_days: Days = Field(description="after so long a customer is verified again")
    cache_hours: Hours = Field(description="how long an answer of a provider is reused for the same applicant")
    decide_within_s: int = Field(strict=True, ge=1, le=3600, description="how soon an automatic answer must be there")
    provider_order: tuple[str, ...] = Field(min_length=1)
    auto_decline: Flag = Field(description="whether a provider's refusal declines without a person")

    @model_validator(mode="after")
    def _once(self) -> Self:
        if len(set(self.provider_order)) != len(self.provider_order):
            raise ValueError("provider_order names a provider twice")
        return self


class PolicySla(PolicyPart):
    """Hours within which a case must be closed, by priority."""

    kyc: Mapping[CasePriority, Hours]
    screening: Mapping[CasePriority, Hours]
    aml: Mapping[CasePriority, Hours]

    @model_validator(mode="after")
    def _complete(self) -> Self:
        for kind in ("kyc", "screening", "aml"):
            missing = set(CasePriority) - set(getattr(self, kind))
            if missing:
                raise ValueError(f"{kind} lacks {', '.join(sorted(missing))}")
        return self

    def due_in(self, kind: Literal["kyc", "screening", "aml"], priority: str) -> timedelta:
        """How long a case of the kind and priority may stay open."""
        by_kind = {"kyc": self.kyc, "screening": self.screening, "aml": self.aml}
        return timedelta(hours=by_kind[kind][CasePriority(priority)])


class PolicyTravelRule(PolicyPart):
    """From which amount a transfer needs data on originator and beneficiary; the euro's thresholds in USD equivalent.

    Sources: 31 CFR 1010.410 (US), FATF R.16, Regulation (EU) 2023/1113 (every transfer; self-hosted above EUR 1000).
    """

    regime: Literal["us", "fatf", "eu"]
    us_usd: Usd
    fatf_usd: Usd
    eu_usd: Usd
    self_hosted_usd: Usd

    @property
    def threshold_usd(self) -> Decimal:
        """The threshold of the regime that the desk falls under."""
        return {"us": self.us_usd, "fatf": self.fatf_usd, "eu": self.eu_usd}[self.regime]


class PolicyReporting(PolicyPart):
    """When suspicious activity is a candidate for a report (31 CFR 1022.320)."""

    sar_candidate_usd: Usd = Field(description="from this aggregate of suspicious transactions on")


class Policy(PolicyPart):
    """One version of the policy; `effective_from` is when it begins to count.

    `aml` names the rules that run: one that is not named does not. Raises pydantic's `ValidationError`.
    """

    version: Version
    name: str = Field(min_length=1, max_length=200)
    effective_from: UtcTime
    changes: str = Field("", max_length=2000, description="what differs from the version before, for people")
    countries: PolicyCountries
    aml: Mapping[str, RulePolicy]
    decision: PolicyDecision
    screening: PolicyScreening
    kyc: PolicyKyc
    sla: PolicySla
    travel_rule: PolicyTravelRule
    reporting: PolicyReporting

    def parameters(self, rule_id: str) -> Mapping[str, ParameterValue]:
        """All parameters of the rule: its `severity`, its own, and those that stand once for several rules.

        `geo_*` get `countries`, `travel_rule_data` and `self_hosted_proof` get `threshold_usd`. Raises `KeyError` for a
        rule that the policy does not name.
        """
        rule = self.aml[rule_id]
        return {"severity": rule.severity.value, **rule.params, **self._shared.get(rule_id, {})}

    @property
    def _shared(self) -> Mapping[str, Mapping[str, ParameterValue]]:
        return {
            "geo_block": {"countries": tuple(sorted(self.countries.block))},
            "geo_edd": {"countries": tuple(sorted(self.countries.edd))},
            "geo_review": {"countries": tuple(sorted(self.countries.review))},
            "travel_rule_data": {"threshold_usd": self.travel_rule.threshold_usd},
            "self_hosted_proof": {"threshold_usd": self.travel_rule.self_hosted_usd},
        }

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, given: Any) -> Any:
        """Check the parameters of each rule against the catalogue and give the defaults of those left out."""
        if not isinstance(given, Mapping) or not isinstance(given.get("aml"), Mapping):
            return given
        rules = {str(rule_id): _filled(str(rule_id), rule) for rule_id, rule in given["aml"].items()}
        return {**given, "aml": rules}


class ParameterError(ValueError):
    """A rule or a parameter cannot be used; `place` is where in the document."""

    def __init__(self, place: tuple[str, ...], reason: str) -> None:
        super().__init__(f"{'.'.join(place)}: {reason}")
        self.place = place
        self.reason = reason


def _filled(rule_id: str, rule: Any) -> Any:
    if isinstance(rule, RulePolicy):
        rule = rule.model_dump()
    if not isinstance(rule, Mapping):
        return rule
    spec = CATALOGUE.get(rule_id)
    if spec is None:
        raise ParameterError(("aml", rule_id), f"there is no such rule; there are {', '.join(sorted(CATALOGUE))}")
    given = rule.get("params") or {}
    if not isinstance(given, Mapping):
        return rule
    params = {name: parameter.default for name, parameter in spec.parameters.items()}
    for name, value in given.items():
        place = ("aml", rule_id, "params", str(name))
        if name not in spec.parameters:
            known = ", ".join(sorted(spec.parameters)) or "none of its own"
            raise ParameterError(place, f"the rule has no such parameter; it has {known}")
        try:
            params[name] = parameter_value(spec.parameters[name].kind, value)
        except ValueError as error:
            raise ParameterError(place, str(error)) from None
    return {"severity": spec.severity, **rule, "params": params}
