"""What callers send and see of replays of policies."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from compliance.api.replays import ReplayState
from compliance.api.schemas import Body, Shown, UtcTime
from compliance.model import Decision
from compliance.policy.documents import MAX_BYTES

MOST_DAYS = 3660


def _is_utf8(text: str) -> str:
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("holds half of a surrogate pair")
    return text


PolicyText = Annotated[
    str, Field(min_length=1, max_length=MAX_BYTES, description="YAML of a policy"), AfterValidator(_is_utf8)
]


class ReplayInput(Body):
    """What to replay: a version of the policy, or the text of a candidate that nobody has recorded."""

    version: Annotated[str | None, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")] = None
    text: PolicyText | None = None
    days: Annotated[int, Field(ge=1, le=MOST_DAYS, strict=True, description="how far to go back")] = 90

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.version is None) == (self.text is None):
            raise ValueError("give version or text, one of both")
        return self


class ReplayRuleView(Shown):
    """What one rule of the candidate flags, beside what was flagged then."""

    rule_id: str
    is_run: bool = Field(description="whether the candidate runs it")
    is_shadow: bool
    candidate: int = Field(description="transactions that the candidate flags")
    then: int = Field(description="transactions that were flagged then")
    both: int
    only_candidate: int
    only_then: int
    errors: int = Field(description="transactions on which it could not run")
    insufficient_history: int
    known_right: int = Field(description="of the candidate's flags, those that an officer rejected")
    known_wrong: int = Field(description="of the candidate's flags, those that an officer released")
    precision_pct: str | None = Field(description="null: of no flag the outcome is known")
    precision_then_pct: str | None
    examples: list[str] = Field(description="transactions that only the candidate flags")


class ReplayDecisions(Shown):
    """How many transactions were decided so then and would be decided so by the candidate."""

    then: str = Field(description="a decision, or undecided")
    candidate: Decision
    transactions: int


class ReplayMissed(Shown):
    """What an officer rejected and the candidate would accept."""

    transactions: int
    examples: list[str]


class ReplayReport(Shown):
    """The report, as `ballast policy replay --json` prints it."""

    policy_version: str
    transactions: int
    rules: list[ReplayRuleView]
    decisions: list[ReplayDecisions]
    missed: ReplayMissed


class ReplayView(Shown):
    """A replay as it stands."""

    replay_id: str
    policy_version: str
    days: int
    since: UtcTime
    until: UtcTime
    started_by: str
    started_at: UtcTime
    state: ReplayState
    done: int = Field(description="transactions that are judged")
    total: int | None = Field(description="null: not counted yet")
    ended_at: UtcTime | None
    problem: str | None = Field(description="why it failed")
    report: ReplayReport | None = Field(description="null until it is done")
