"""Politically exposed persons among hits: lawful customers who are looked at, as the policy's `screening.pep` says.

FATF R.12 wants enhanced due diligence and a person's approval for them, not a refusal.
"""

from __future__ import annotations

from collections.abc import Collection

from compliance.policy.model import PolicyScreening

HANDLING = "enhanced_due_diligence"
"""The code in a case's body that says what an officer does with a hit of exposure."""


def is_exposure(topics: Collection[str], policy: PolicyScreening) -> bool:
    """Whether an entry is listed for exposure and nothing else; one that is sanctioned too is a sanction."""
    return bool(topics) and set(topics) <= set(policy.pep.topics) - set(policy.topics_block)


def is_recorded_only(topics: Collection[str], policy: PolicyScreening) -> bool:
    """Whether such a hit is kept and holds nobody."""
    return policy.pep.handling == "record" and is_exposure(topics, policy)
