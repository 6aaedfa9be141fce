"""`ballast policy test`: the shipped cases pass, and a policy that answers otherwise fails."""

from __future__ import annotations

import io
from datetime import date
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from compliance.aml.features import Features
from compliance.aml.rules import RULES
from compliance.cli_policy import app, run_tests
from compliance.errors import PolicyInvalidError
from compliance.policy.book import POLICIES
from compliance.policy.cases import cases_file, policy_file, run_cases

NEWEST = POLICIES / "2026-07-01.yaml"
DAY = date(2026, 7, 15)
OVERDUE = date(2026, 11, 17)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The newest policy and its cases in a folder of their own."""
    for path in (NEWEST, cases_file(NEWEST)):
        (tmp_path / path.name).write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
    return tmp_path / NEWEST.name


def change(path: Path, old: str, new: str) -> None:
    """Replace a text of a file once."""
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def outcome_of(*files: Path, today: date = DAY) -> tuple[bool, str]:
    """Whether the cases passed, and what was printed."""
    output = io.StringIO()
    console = Console(file=output, width=1000)
    return run_tests(files, today, console), output.getvalue()


def test_shipped_policies__answer_as_their_cases_expect() -> None:
    has_passed, output = outcome_of()
    assert has_passed, output
    assert output.count("cases passed") == len(list(POLICIES.glob("*.test.yaml"))) >= 3
    assert "Error" not in output


def test_shipped_cases__show_every_rule_of_the_newest_policy_at_work() -> None:
    text = cases_file(NEWEST).read_text(encoding="utf-8")
    missing = [rule_id for rule_id in RULES if f"{rule_id}: hit" not in text]
    assert not missing


def test_policy_test__shows_what_differs_and_where(copy: Path) -> None:
    change(copy, "max_count_1h: 10", "max_count_1h: 11")
    has_passed, output = outcome_of(copy)
    assert not has_passed
    assert "FAILED 2026-07-01.test.yaml:" in output
    assert "decision is accepted (no rule calls for a person), expected review" in output
    assert "velocity_count is no_hit (" in output


def test_policy_test__fails_where_a_rule_answers_that_nobody_named(copy: Path) -> None:
    change(cases_file(copy), "rules: {round_amounts: hit}", "rules: {}")
    has_passed, output = outcome_of(cases_file(copy))
    assert not has_passed
    assert "round_amounts is hit (" in output


def test_policy_test__shadow_rule_is_recorded_and_decides_nothing(copy: Path) -> None:
    change(copy, "  geo_review:\n    severity: medium", "  geo_review:\n    severity: medium\n    shadow: true")
    change(
        cases_file(copy),
        "counterparty_country: IQ}\n    expect: {decision: review,",
        "counterparty_country: IQ}\n    expect: {decision: accepted,",
    )
    has_passed, output = outcome_of(copy)
    assert has_passed, output


def test_policy_test__condition_narrows_a_rule(copy: Path) -> None:
    change(
        copy, "    params: {max_count_1h: 10}", "    params: {max_count_1h: 10}\n    when: amount_micro_usd > usd(1000)"
    )
    has_passed, output = outcome_of(copy)
    assert not has_passed
    assert "Does not apply, because this does not hold: amount_micro_usd > usd(1000)" in output


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("features: {count_1h: 10}", "features: {count_1hour: 10}", "there is no count_1hour"),
        ("features: {count_1h: 10}", "features: {count_1h: many}", "features.count_1h"),
        ("transaction: {counterparty_country: KP}", "transaction: {country: KP}", "there is no country"),
        ("expect: {decision: accepted}", "expect: {decision: fine}", "expect.decision"),
        ("    asset: BTC\n", "", "asset"),
        ("rules: {fan_in: hit}", "rules: {fan_in: strike}", "strike|rules.fan_in"),
    ],
)
def test_cases__that_cannot_be_read_are_refused(copy: Path, old: str, new: str, problem: str) -> None:
    change(cases_file(copy), old, new)
    with pytest.raises(PolicyInvalidError, match=problem) as raised:
        run_cases(cases_file(copy), RULES, Features)
    assert "2026-07-01.test.yaml:" in str(raised.value)


def test_cases__name_of_a_rule_that_does_not_run_is_a_failure(copy: Path) -> None:
    change(copy, "  fan_in:\n    severity: high", "  fan_in:\n    enabled: false\n    severity: high")
    failed = [case for case in run_cases(cases_file(copy), RULES, Features) if not case.has_passed]
    assert [case.problems[-1] for case in failed] == ["fan_in does not run in this policy"]


def test_cases__stand_beside_their_policy(tmp_path: Path) -> None:
    assert policy_file(cases_file(NEWEST)) == NEWEST
    lonely = tmp_path / "2030-01-01.yaml"
    lonely.write_text(NEWEST.read_text(encoding="utf-8"), encoding="utf-8")
    with pytest.raises(PolicyInvalidError, match=r"there are no test cases; write 2030-01-01.test.yaml"):
        outcome_of(lonely)


def test_policy_test__fails_where_country_lists_are_overdue(copy: Path) -> None:
    for files in ((), (copy,)):
        has_passed, output = outcome_of(*files, today=OVERDUE)
        assert not has_passed
        assert "FAILED" not in output
        assert "Error: the country lists of policy 2026-07-01 are of 2026-06-19 (FATF plenary of June 2026" in output
        assert "151 days old, over 150; look at" in output


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["test", str(NEWEST), "--today", "2026-07-15"], 0),
        (["test", str(NEWEST), "--today", "2026-11-17"], 1),
        (["test", "--today", "yesterday"], 2),
        (["replay"], 2),
    ],
)
def test_command__exit_code_says_how_it_went(arguments: list[str], code: int) -> None:
    assert CliRunner().invoke(app, arguments).exit_code == code
