"""Country lists that are older than FATF's rhythm: said wherever an officer looks, never a reason to stand still."""

from __future__ import annotations

from datetime import date

from compliance.policy.model import COUNTRIES_MAX_AGE, Policy


def overdue_countries(policy: Policy, today: date) -> str | None:
    """What an officer must be told where the country lists of a policy are overdue; None where they are not."""
    countries = policy.countries
    if not countries.is_overdue(today):
        return None
    return (
        f"the country lists of policy {policy.version} are of {countries.as_of} ({countries.source}), "
        f"{(today - countries.as_of).days} days old, over {COUNTRIES_MAX_AGE.days}; "
        "look at what FATF has published since, and write a new policy"
    )
