"""Transaction monitoring, policies and lists through the API, as the person who looks: typed answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from pydantic import BaseModel, ValidationError

from compliance.api.aml_schemas import AlertList, AlertSummary, TransactionFile
from compliance.api.list_routes import ListsView
from compliance.api.policy_schemas import PolicyDifferences, PolicyList, PolicyView
from compliance.api.replay_schemas import ReplayView
from compliance.api.screening_schemas import SearchView
from streamlit_app.api_client import Api, ApiAway, Query, api, segment

ROOT = "/v1/compliance"
PAGE_ROWS = 25

Answer = TypeVar("Answer", bound=BaseModel)


class Caller(Protocol):
    """The part of `api_client.Api` that these pages use."""

    def get(self, path: str, params: Query | None = None) -> Any:
        """What stands at the path."""

    def post(self, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Any:
        """Send a body as JSON."""

    def delete(self, path: str, headers: Mapping[str, str] | None = None) -> Any:
        """Remove what stands at the path."""


@dataclass(frozen=True)
class Monitoring:
    """The requests of these pages; each raises `ApiProblem` and `ApiAway`."""

    caller: Caller

    def alerts(self, filters: Query, cursor: str | None) -> AlertList:
        """A page of alerts, the newest first."""
        return self._get(AlertList, "/aml-alerts", {**filters, "limit": PAGE_ROWS, "cursor": cursor})

    def summary(self, since: str) -> AlertSummary:
        """Outcomes by rule since a time (ISO 8601)."""
        return self._get(AlertSummary, "/aml-alerts/summary", {"since": since})

    def transaction(self, transaction_id: str, *, with_addresses: bool = False) -> TransactionFile:
        """One transaction with its rules, its case and its transfers."""
        whole = {"with_addresses": True} if with_addresses else None
        return self._get(TransactionFile, f"/transactions/{segment(transaction_id)}", whole)

    def policies(self) -> PolicyList:
        """Every version of the policy."""
        return self._get(PolicyList, "/policies")

    def policy(self, version: str) -> PolicyView:
        """One version with all that it says."""
        return self._get(PolicyView, f"/policies/{segment(version)}")

    def differences(self, before: str, after: str) -> PolicyDifferences:
        """What differs from one version to another."""
        return self._get(PolicyDifferences, f"/policies/{segment(before)}/diff/{segment(after)}")

    def lists(self) -> ListsView:
        """Every list with its loads."""
        return self._get(ListsView, "/lists")

    def start_replay(self, body: Mapping[str, Any]) -> ReplayView:
        """Begin a replay."""
        return _read(ReplayView, self.caller.post(f"{ROOT}/policies/replays", dict(body)))

    def replay(self, replay_id: str) -> ReplayView:
        """How far a replay is, and its report."""
        return self._get(ReplayView, f"/policies/replays/{segment(replay_id)}")

    def cancel_replay(self, replay_id: str) -> ReplayView:
        """Ask a replay to stop."""
        return _read(ReplayView, self.caller.delete(f"{ROOT}/policies/replays/{segment(replay_id)}"))

    def search(self, body: Mapping[str, Any]) -> SearchView:
        """Search a name in every active list."""
        return _read(SearchView, self.caller.post(f"{ROOT}/screening/search", dict(body)))

    def _get(self, kind: type[Answer], path: str, params: Query | None = None) -> Answer:
        return _read(kind, self.caller.get(ROOT + path, params))


def open_monitoring() -> Monitoring:
    """The requests of the person who looks at the page."""
    caller: Api = api()
    return Monitoring(caller)


def _read(kind: type[Answer], content: Any) -> Answer:
    try:
        return kind.model_validate(content)
    except ValidationError:
        # What came may name persons, so that it is not repeated.
        raise ApiAway("The API answers in a form that this app does not know.") from None
