"""Test cases of policies: `<policy>.test.yaml` beside `<policy>.yaml` says what the policy must answer.

A case gives a transaction and features, each on top of the file's `defaults`, and expects a decision and the outcome of
every rule that is not `no_hit`: a rule that is not named must be clean, so that nobody misses a side effect.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from compliance.errors import PolicyInvalidError
from compliance.model import Decision, RuleOutcome, Transaction
from compliance.policy.book import CASES_SUFFIX
from compliance.policy.documents import Document, policy_of, read_document
from compliance.policy.judging import Judge, Rule
from compliance.policy.model import Policy


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Expected(_Part):
    decision: Decision
    rules: Mapping[str, RuleOutcome] = Field(default_factory=dict)


class _Case(_Part):
    name: str = Field(min_length=1)
    transaction: Mapping[str, Any] = Field(default_factory=dict)
    features: Mapping[str, Any] = Field(default_factory=dict)
    expect: _Expected


class _Defaults(_Part):
    transaction: Mapping[str, Any] = Field(default_factory=dict)
    features: Mapping[str, Any] = Field(default_factory=dict)


class _CaseFile(_Part):
    defaults: _Defaults = Field(default_factory=_Defaults)
    cases: Sequence[_Case] = Field(min_length=1)


@dataclass(frozen=True, slots=True)
class CaseResult:
    """How one case ended: `problems` are what differs from what it expects."""

    name: str
    where: str
    problems: Sequence[str]

    @property
    def has_passed(self) -> bool:
        """Whether the policy answered as expected."""
        return not self.problems


def cases_file(policy_file: Path) -> Path:
    """Where the cases of a policy stand."""
    return policy_file.with_name(policy_file.stem + CASES_SUFFIX)


def policy_file(cases: Path) -> Path:
    """The policy that a file of cases is about."""
    return cases.with_name(cases.name.removesuffix(CASES_SUFFIX) + ".yaml")


def read_policy(path: Path) -> Policy:
    """The policy in a file; raises `PolicyInvalidError`."""
    return policy_of(read_document(path))


def run_cases(cases: Path, rules: Mapping[str, Rule], features_type: type) -> list[CaseResult]:
    """Run a file of cases against its policy; raises `PolicyInvalidError` where either file cannot be used."""
    judge = Judge(read_policy(policy_file(cases)), rules, features_type, explains_clean=True)
    document = read_document(cases)
    try:
        file = _CaseFile.model_validate(document.content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise PolicyInvalidError(f"{document.where(first['loc'])}: {first['msg']}") from error
    return [_run(judge, document, file.defaults, case, at, features_type) for at, case in enumerate(file.cases)]


def _run(
    judge: Judge, document: Document, defaults: _Defaults, case: _Case, at: int, features_type: type
) -> CaseResult:
    where = document.where(("cases", at)).partition(" ")[0]
    transaction = _build(
        Transaction,
        {"transaction_id": f"case-{at + 1}", **defaults.transaction, **case.transaction},
        document,
        ("cases", at, "transaction"),
    )
    features = _build(features_type, {**defaults.features, **case.features}, document, ("cases", at, "features"))
    judgement = judge.judge(transaction, features)
    problems = []
    if judgement.decision is not case.expect.decision:
        problems.append(f"decision is {judgement.decision} ({judgement.reason}), expected {case.expect.decision}")
    results = {result.rule_id: result for result in judgement.results}
    for rule_id in sorted(case.expect.rules.keys() - results.keys()):
        problems.append(f"{rule_id} does not run in this policy")
    for rule_id, result in results.items():
        expected = case.expect.rules.get(rule_id, RuleOutcome.NO_HIT)
        if result.outcome is not expected:
            problems.append(f"{rule_id} is {result.outcome} ({result.reason}), expected {expected}")
    return CaseResult(case.name, where, problems)


def _build(owner: type, values: Mapping[str, Any], document: Document, place: tuple[str | int, ...]) -> Any:
    unknown = sorted(values.keys() - {field.name for field in fields(owner)})
    if unknown:
        raise PolicyInvalidError(f"{document.where((*place, unknown[0]))}: there is no {unknown[0]}")
    try:
        return TypeAdapter(owner).validate_python(values)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise PolicyInvalidError(f"{document.where((*place, *first['loc']))}: {first['msg']}") from error
