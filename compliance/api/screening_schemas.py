"""What callers send and see of searches in lists."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from pydantic import Field

from compliance.api.case_schemas import Version
from compliance.api.schemas import Birthday, Body, Country, Name, Shown, Why


class SearchInput(Body):
    """A name to look for; nothing of it is stored."""

    name: Name = Field(repr=False)
    kind: Literal["person", "company"] = "person"
    birth_date: Birthday | None = Field(default=None, repr=False)
    countries: Annotated[list[Country], Field(max_length=10)] = []


class HitView(Shown):
    """An entry of a list that the name may be."""

    list_name: str
    list_version_id: str
    entry_id: str
    listed_name: str = Field(description="the name of the entry that matched")
    topics: list[str] = Field(examples=[["sanction"]])
    score: float = Field(description="0 to 1, how well the names match; not a probability")
    rank: int = Field(description="1 for the likeliest")
    reasons: list[str] = Field(description="in plain words: which names matched, how, and what speaks against it")


class SearchView(Shown):
    """What the lists say; `clear` only where every list that was searched holds nothing."""

    outcome: Literal["clear", "hit", "error"]
    reason: str | None = Field(description="why it is an error, or that there are more hits than are shown")
    hits: list[HitView]
    list_versions: dict[str, str] = Field(description="list to version")
    policy_version: str
    searched_on: date


class HitDecisionInput(Body):
    """What somebody decides of a hit."""

    reason: Why
    version: Version


class HitDecisionView(Shown):
    """A hit after it was decided."""

    hit_id: str
    state: Literal["open", "cleared", "confirmed", "remembered"]
    case_id: str | None
