"""Differences between versions of the policy: each is found, in words, and nothing else is."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from compliance.policy.book import PolicyBook
from compliance.policy.differences import Change, differences
from compliance.policy.documents import parse_document
from compliance.policy.model import Policy

BOOK = PolicyBook.load()
NEWEST = BOOK.policies[-1]


def changed(place: str, value: Any) -> Policy:
    """The newest policy with another value at the place; None takes the key away."""
    content = parse_document("newest.yaml", BOOK.content(NEWEST.version)).content
    *way, last = place.split(".")
    at = content
    for key in way:
        at = at[key]
    at[last] = value
    if value is None:
        del at[last]
    return Policy.model_validate(content)


@pytest.mark.parametrize(
    ("place", "value", "expected"),
    [
        (
            "aml.structuring.params.min_count",
            4,
            "Rule structuring, min_count (from so many amounts in the band, in 24 h or 7 d): 3 becomes 4.",
        ),
        ("aml.structuring.severity", "medium", "Rule structuring, severity: high becomes medium."),
        ("aml.structuring.shadow", True, "Rule structuring, shadow: no becomes yes."),
        (
            "aml.structuring.when",
            "amount_micro_usd > 5",
            "Rule structuring, when: nothing becomes amount_micro_usd > 5.",
        ),
        (
            "aml.round_amounts",
            None,
            "Rule round_amounts runs no longer (many round amounts; weak on its own).",
        ),
        ("countries.block", ["KP", "CU"], "Countries that are blocked: CU added; IR removed."),
        (
            "countries.source",
            "somebody's own list",
            f"Country lists, source: {NEWEST.countries.source} becomes somebody's",
        ),
        ("sla.aml.urgent", 3, "Sla, aml, urgent: 2 becomes 3."),
        ("screening.threshold", Decimal("0.75"), "Screening, threshold: 0.70 becomes 0.75."),
        ("screening.pep.handling", "record", "Screening, pep, handling: review becomes record."),
        ("decision.on_error", "blocked", "Decision, on error: review becomes blocked."),
    ],
)
def test_differences__name_the_one_field_that_differs(place: str, value: Any, expected: str) -> None:
    found = differences(NEWEST, changed(place, value))
    assert [each.place for each in found] == [place]
    assert found[0].words.startswith(expected)
    back = differences(changed(place, value), NEWEST)
    assert (back[0].before, back[0].after) == (found[0].after, found[0].before)


def test_differences__of_a_version_with_itself_are_none() -> None:
    for policy in BOOK.policies:
        assert differences(policy, policy) == ()


def test_differences__leave_out_what_only_names_a_version() -> None:
    other = NEWEST.model_copy(
        update={"version": "x", "changes": "nothing", "effective_from": BOOK.policies[0].effective_from}
    )
    assert differences(NEWEST, other) == ()


def test_differences__say_what_is_new_and_what_is_gone() -> None:
    shorter = changed("aml.round_amounts", None)
    (gone,) = differences(NEWEST, shorter)
    (new,) = differences(shorter, NEWEST)
    assert (gone.change, gone.after) == (Change.REMOVED, None)
    assert (new.change, new.before) == (Change.ADDED, None)
    assert "modulus usd" in str(new.after) or "modulus_usd" in str(new.after)


def test_differences__of_the_shipped_versions_are_what_their_authors_say() -> None:
    words = " ".join(each.words for each in differences(BOOK.version("2026-03-01"), BOOK.version("2026-07-01")))
    assert "Countries that are reviewed: BA, IQ added; DZ, NA removed." in words
