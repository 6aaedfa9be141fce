"""Policy files: what is read, what is refused, and where the refusal points."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compliance.errors import PolicyInvalidError
from compliance.policy.book import POLICIES
from compliance.policy.documents import MAX_BYTES, parse_document, policy_of, read_document

NEWEST = POLICIES / "2026-07-01.yaml"
TEXT = NEWEST.read_text(encoding="utf-8")


def line_of(text: str, part: str) -> int:
    """The number of the first line that holds the part."""
    return next(number for number, line in enumerate(text.splitlines(), 1) if part in line)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("0.70", Decimal("0.70")),
        ("0.1", Decimal("0.1")),
        ("10000", 10000),
        ("-5", -5),
        ("NO", "NO"),
        ("yes", "yes"),
        ("on", "on"),
        ("010", "010"),
        ("1e3", "1e3"),
        (".nan", ".nan"),
        ("1_000", "1_000"),
        ("12:30:00", "12:30:00"),
        ("2026-01-31", "2026-01-31"),
        ("'10'", "10"),
        ("true", True),
        ("null", None),
        ("", None),
        ("[NO, SE]", ["NO", "SE"]),
    ],
)
def test_document__reads_scalars_exactly(written: str, read: Any) -> None:
    content = parse_document("x.yaml", f"key: {written}").content
    assert content == {"key": read}
    assert type(content["key"]) is type(read)


@given(st.decimals(min_value=0, max_value=10**12, places=9))
def test_document__keeps_every_digit_of_a_decimal(value: Decimal) -> None:
    assert parse_document("x.yaml", f"key: {value:f}").content == {"key": value}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "x.yaml: is empty"),
        ("a: 1\nb: 2\na: 3", "x.yaml:3: 'a' stands twice"),
        ("a: &x 1\nb: *x", "anchors and aliases"),
        ("a: [1, 2", "x.yaml:1"),
        ("a: 1\n  b: 2", "x.yaml:2"),
        ("? [1, 2]\n: 3", "x.yaml:1: a key must be a text"),
        ("--- 1\n--- 2", "x.yaml:2"),
        ("a: " + "[" * 40 + "]" * 40, "nested too deep"),
        ("a: \x00", "x.yaml:1"),
        ("a: " + "[" * 1500 + "]" * 1500, "nested too deep"),
    ],
)
def test_document__refuses_what_is_ambiguous(text: str, problem: str) -> None:
    with pytest.raises(PolicyInvalidError) as raised:
        parse_document("x.yaml", text)
    assert problem in str(raised.value)


def test_document__refuses_a_file_that_is_no_text_or_too_large(tmp_path: Path) -> None:
    binary, large = tmp_path / "binary.yaml", tmp_path / "large.yaml"
    binary.write_bytes(b"\xff\xfe\x00")
    large.write_text("a" * (MAX_BYTES + 1), encoding="utf-8")
    for path in (binary, large, tmp_path / "absent.yaml"):
        with pytest.raises(PolicyInvalidError, match=path.name):
            read_document(path)


def test_document__hash_follows_values_and_not_layout() -> None:
    plain = parse_document("x.yaml", "a: 1\nb: [x, y]")
    laid_out = parse_document("x.yaml", "# why\nb:\n  - x\n  - y\na: 1")
    assert plain.content_hash == laid_out.content_hash
    assert plain.content_hash != parse_document("x.yaml", "a: 2\nb: [x, y]").content_hash
    assert plain.content_hash != parse_document("x.yaml", "a: '1'\nb: [x, y]").content_hash
    assert parse_document("x.yaml", "a: 0.5").content_hash != parse_document("x.yaml", "a: '0.5'").content_hash


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("name: Lending", "nome: Lending", "is not a known key"),
        ("threshold: 0.70", "threshold: 1.5", "less than or equal to 1"),
        ("threshold: 0.70", "threshold: about", "screening.threshold"),
        ("auto_decline: false", "auto_decline: no", "kyc.auto_decline"),
        ("max_count_1h: 10", "max_count_1h: 10.5", "must be a whole number"),
        ("max_count_1h: 10", "max_count: 10", "the rule has no such parameter; it has max_count_1h"),
        ("multiple: 3,", "multiple: 0,", "must be above 0"),
        ("multiple: 3,", "multiple: -3,", "at least 0"),
        ("multiple: 3,", "multiple: three,", "must be a number"),
        ("band_from_pct: 90", "band_from_pct: 101", "at most 100"),
        ("[1000, 3000, 10000]", "[3000, 1000]", "must rise"),
        ("[1000, 3000, 10000]", "[]", "at least one value"),
        ("one_hop_severity: medium", "one_hop_severity: grave", "is not a valid RuleSeverity"),
        ("  round_amounts:", "  round_numbers:", "there is no such rule"),
        ("block: [IR, KP]", "block: [IR, KP, UK]", "UK is no ISO 3166 country"),
        ("block: [IR, KP]", "block: [IR, KP, kp]", "countries.block"),
        ("block: [IR, KP]", "block: [IR, KP, MM]", "MM stands in more than one list"),
        ("block: [IR, KP]", "block: []", "countries.block"),
        ("review_from: medium", "review_from: block\n  # x", ""),
        ("block_from: block", "block_from: low", "review_from must not be above block_from"),
        ("on_error: review", "on_error: accepted", "decision.on_error"),
        ("T00:00:00Z", "T00:00:00", "timezone"),
        ("aml: {urgent: 2, ", "aml: {", "aml lacks urgent"),
        ("[persona, sumsub, manual]", "[persona, persona]", "names a provider twice"),
        ("regime: fatf", "regime: swiss", "travel_rule.regime"),
        ("  us_usd: 3000\n", "", "travel_rule.us_usd"),
    ],
)
def test_policy__says_where_and_why_it_is_refused(old: str, new: str, problem: str) -> None:
    text = TEXT.replace(old, new, 1)
    assert text != TEXT
    if not problem:
        assert policy_of(parse_document("p.yaml", text)).version
        return
    with pytest.raises(PolicyInvalidError) as raised:
        policy_of(parse_document("p.yaml", text))
    assert problem in str(raised.value)
    assert "p.yaml:" in str(raised.value)


@pytest.mark.parametrize("part", ["nome: x", "max_count: 10"])
def test_policy__refusal_of_a_key_names_its_line(part: str) -> None:
    text = TEXT.replace("reporting:", "nome: x\nreporting:").replace("max_count_1h: 10", "max_count: 10")
    keep = (
        text.replace("nome: x\n", "") if part.startswith("max") else text.replace("max_count: 10", "max_count_1h: 10")
    )
    with pytest.raises(PolicyInvalidError) as raised:
        policy_of(parse_document("p.yaml", keep))
    assert f"p.yaml:{line_of(keep, part)} (" in str(raised.value)


def test_policy__tells_every_problem_at_once() -> None:
    text = TEXT.replace("threshold: 0.70", "threshold: 7").replace("regime: fatf", "regime: none")
    with pytest.raises(PolicyInvalidError) as raised:
        policy_of(parse_document("p.yaml", text))
    assert "screening.threshold" in str(raised.value)
    assert "travel_rule.regime" in str(raised.value)
