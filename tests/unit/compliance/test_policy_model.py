"""Policies as data: parameters, thresholds, terms; the shipped ones in particular."""

from __future__ import annotations

import json
import os
import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import jsonschema
import pytest

from compliance.aml.rules import RULES
from compliance.errors import ComplianceNotReadyError, PolicyInvalidError
from compliance.model import Decision, RuleSeverity
from compliance.policy import json_schema
from compliance.policy.book import POLICIES, Entry, PolicyBook, policy_files
from compliance.policy.documents import parse_document, policy_of, read_document
from compliance.policy.model import Policy
from compliance.policy.parameters import CATALOGUE, Parameter

# FATF, 24 October 2025: increased monitoring.
OCTOBER_2025 = frozenset(re.findall("..", "DZAOBOBGCMCICDHTKELALBMCNANPSSSYVEVNVGYE"))
BOOK = PolicyBook.load()
NEWEST = BOOK.policies[-1]
# The day of a build, from its caller: nothing here looks at the clock. Without it, the newest policy's first day.
BUILD_DATE = date.fromisoformat(os.environ.get("BUILD_DATE", NEWEST.effective_from.date().isoformat()))


def entry(text: str, name: str = "p.yaml") -> Entry:
    """The entry of a policy's text."""
    document = parse_document(name, text)
    return Entry(policy_of(document), document)


def changed(**changes: Any) -> Policy:
    """The newest policy with other values, checked anew."""
    return Policy.model_validate({**NEWEST.model_dump(), **changes})


def test_countries__of_the_newest_policy_are_not_overdue_on_the_day_of_the_build() -> None:
    assert not NEWEST.countries.is_overdue(BUILD_DATE), (
        f"the country lists are of {NEWEST.countries.as_of}: look at what FATF has published since"
    )


@pytest.mark.parametrize(("days", "is_overdue"), [(0, False), (150, False), (151, True), (400, True)])
def test_countries__are_overdue_after_150_days(days: int, is_overdue: bool) -> None:
    assert NEWEST.countries.is_overdue(NEWEST.countries.as_of + timedelta(days=days)) is is_overdue


def test_countries__of_fatf_by_plenary() -> None:
    october, february, june = (policy.countries for policy in BOOK.policies)
    for lists in (october, february, june):
        assert lists.block == {"KP", "IR"}
        assert lists.edd == {"MM"}
    assert october.review == OCTOBER_2025
    assert february.review == october.review | {"KW", "PG"}
    assert june.review == february.review - {"DZ", "NA"} | {"BA", "IQ"}


@pytest.mark.parametrize("path", policy_files(POLICIES), ids=lambda path: path.stem)
def test_shipped_policy__is_named_by_its_version_and_states_every_rule_and_parameter(path: Any) -> None:
    document = read_document(path)
    assert policy_of(document).version == path.stem
    written = document.content["aml"]
    assert set(written) == set(RULES) == set(CATALOGUE)
    for rule_id, spec in CATALOGUE.items():
        assert set(written[rule_id].get("params", {})) == set(spec.parameters)
        assert "severity" in written[rule_id]


@pytest.mark.parametrize("path", policy_files(POLICIES), ids=lambda path: path.stem)
def test_shipped_policy__fits_the_committed_schema(path: Any) -> None:
    schema = json.loads(json_schema.SCHEMA_FILE.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema).validate(read_document(path).content)


def test_schema__is_what_the_model_gives() -> None:
    assert json_schema.SCHEMA_FILE.read_text(encoding="utf-8") == json_schema.render(), (
        "write it anew: python -m compliance.policy.json_schema"
    )


@pytest.mark.parametrize(
    "change",
    [
        {"nome": "x"},
        {"aml": {"no_rule": {}}},
        {"aml": {"fan_in": {"params": {"other": 1}}}},
        {"aml": {"fan_in": {"params": {"min_senders_7d": 0}}}},
    ],
)
def test_schema__refuses_what_the_model_refuses(change: dict[str, Any]) -> None:
    content = {**read_document(POLICIES / "2026-07-01.yaml").content, **change}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(json_schema.json_schema()).validate(content)
    with pytest.raises(ValueError, match=r"error|parameter|rule"):
        Policy.model_validate(content)


@pytest.mark.parametrize(
    ("rule_id", "name", "parameter"),
    [(rule_id, name, parameter) for rule_id, spec in CATALOGUE.items() for name, parameter in spec.parameters.items()],
)
def test_parameter__left_out_has_the_default_of_the_catalogue(rule_id: str, name: str, parameter: Parameter) -> None:
    policy = changed(aml={rule_id: {}})
    assert policy.parameters(rule_id)[name] == parameter.default
    assert policy.aml[rule_id].severity is CATALOGUE[rule_id].severity
    assert NEWEST.parameters(rule_id)[name] == parameter.default


@pytest.mark.parametrize(
    ("rule_id", "name", "value"),
    [
        ("geo_block", "countries", ("IR", "KP")),
        ("geo_edd", "countries", ("MM",)),
        ("travel_rule_data", "threshold_usd", Decimal(1000)),
        ("self_hosted_proof", "threshold_usd", Decimal(1000)),
        ("fan_in", "severity", "high"),
    ],
)
def test_parameters__hold_what_stands_once_for_all(rule_id: str, name: str, value: Any) -> None:
    assert NEWEST.parameters(rule_id)[name] == value
    assert name not in NEWEST.aml[rule_id].params


@pytest.mark.parametrize(("regime", "threshold"), [("us", 3000), ("fatf", 1000), ("eu", 0)])
def test_travel_rule__threshold_follows_the_regime(regime: str, threshold: int) -> None:
    policy = changed(travel_rule={**NEWEST.travel_rule.model_dump(), "regime": regime})
    assert policy.parameters("travel_rule_data")["threshold_usd"] == threshold


def test_policy__refuses_floats() -> None:
    with pytest.raises(ValueError, match="must be exact"):
        changed(reporting={"sar_candidate_usd": 2000.1})
    with pytest.raises(ValueError, match="must be a number"):
        changed(aml={"velocity_amount": {"params": {"multiple": 3.5}}})


def test_policy__comes_back_from_its_own_dump() -> None:
    assert Policy.model_validate(NEWEST.model_dump()) == NEWEST
    assert Policy.model_validate({**NEWEST.model_dump(), "aml": NEWEST.aml}) == NEWEST


@pytest.mark.parametrize(
    ("review_from", "block_from", "expected"),
    [
        ("medium", "block", ("accepted", "review", "review", "blocked")),
        ("low", "high", ("review", "review", "blocked", "blocked")),
        ("block", "block", ("accepted", "accepted", "accepted", "blocked")),
    ],
)
def test_decision__of_a_hit_follows_its_severity(review_from: str, block_from: str, expected: tuple[str, ...]) -> None:
    policy = changed(decision={"review_from": review_from, "block_from": block_from})
    assert [policy.decision.of_hit(severity) for severity in RuleSeverity] == [Decision(each) for each in expected]


@pytest.mark.parametrize(("kind", "priority", "hours"), [("aml", "urgent", 2), ("kyc", "low", 72)])
def test_sla__is_due_by_kind_and_priority(kind: Any, priority: str, hours: int) -> None:
    assert NEWEST.sla.due_in(kind, priority) == timedelta(hours=hours)


@pytest.mark.parametrize(
    ("at", "version"),
    [
        (datetime(2025, 11, 1, tzinfo=UTC), "2025-11-01"),
        (datetime(2026, 2, 28, 23, 59, 59, 999999, tzinfo=UTC), "2025-11-01"),
        (datetime(2026, 3, 1, tzinfo=UTC), "2026-03-01"),
        (datetime(2030, 1, 1, tzinfo=UTC), "2026-07-01"),
    ],
)
def test_book__current_is_the_last_that_has_begun(at: datetime, version: str) -> None:
    assert BOOK.current(at).version == version


def test_book__has_none_before_the_first() -> None:
    with pytest.raises(ComplianceNotReadyError, match="no policy counts"):
        BOOK.current(datetime(2025, 10, 31, 23, 59, 59, tzinfo=UTC))
    with pytest.raises(ComplianceNotReadyError, match="no policy counts"):
        PolicyBook([]).current(datetime(2026, 1, 1, tzinfo=UTC))


def test_book__gives_a_version_or_says_which_there_are() -> None:
    assert BOOK.version("2026-03-01").changes.startswith("Kuwait")
    assert BOOK.content("2026-03-01") == (POLICIES / "2026-03-01.yaml").read_text(encoding="utf-8")
    with pytest.raises(PolicyInvalidError, match="there is no policy 1999; there are 2025-11-01, "):
        BOOK.version("1999")


@pytest.mark.parametrize(
    ("replaced", "problem"),
    [((), "both are version 2026-07-01"), (("2026-07-01", "2026-07-02"), "both count from")],
)
def test_book__refuses_two_of_a_version_or_a_time(replaced: tuple[str, ...], problem: str) -> None:
    text = (POLICIES / "2026-07-01.yaml").read_text(encoding="utf-8")
    other = text.replace('version: "2026-07-01"', 'version: "2026-07-02"') if replaced else text
    with pytest.raises(PolicyInvalidError, match=problem):
        PolicyBook([entry(text, "a.yaml"), entry(other, "b.yaml")])
