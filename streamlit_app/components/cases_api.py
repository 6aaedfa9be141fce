"""Cases through the API, as the person who looks: typed answers, and one failure for whatever is no answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from pydantic import BaseModel, ValidationError

from compliance.api.case_schemas import CaseDetail, CaseList, CaseView
from compliance.api.evidence_schemas import CaseEvidence, CustomerView
from compliance.api.kyc_schemas import KycView
from compliance.api.metrics_schemas import MetricsView
from streamlit_app.api_client import Api, ApiAway, Query, api, segment

ROOT = "/v1/compliance"
PAGE_ROWS = 25

Answer = TypeVar("Answer", bound=BaseModel)


class Caller(Protocol):
    """The part of `api_client.Api` that these pages use."""

    def get(self, path: str, params: Query | None = None) -> Any:
        """What stands at the path."""

    def text(self, path: str) -> str:
        """A document that stands at the path."""

    def post(self, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Any:
        """Send a body as JSON."""


@dataclass(frozen=True)
class Cases:
    """The requests of these pages; each raises `ApiProblem` and `ApiAway`."""

    caller: Caller

    def queue(self, filters: Query, cursor: str | None) -> CaseList:
        """A page of cases, the one due first in front."""
        return self._get(CaseList, "/cases", {**filters, "limit": PAGE_ROWS, "cursor": cursor})

    def metrics(self) -> MetricsView:
        """The numbers of compliance now."""
        return self._get(MetricsView, "/compliance-metrics")

    def case(self, case_id: str) -> CaseDetail:
        """One case with its history."""
        return self._get(CaseDetail, f"/cases/{segment(case_id)}")

    def evidence(self, case_id: str) -> CaseEvidence:
        """What the case is about."""
        return self._get(CaseEvidence, f"/cases/{segment(case_id)}/evidence")

    def customer(self, case_id: str) -> CustomerView:
        """The customer's personal data; the API records that it was read."""
        return self._get(CustomerView, f"/cases/{segment(case_id)}/customer")

    def draft(self, case_id: str) -> str:
        """The draft of a report, Markdown; the API records it where it holds personal data."""
        return self.caller.text(f"{ROOT}/cases/{segment(case_id)}/sar-draft")

    def step(self, case_id: str, step: str, body: Mapping[str, Any]) -> CaseView:
        """Take a step of a case's work: assign, comment, propose, approve, reject-proposal, escalate, close."""
        return self._post(CaseView, f"/cases/{segment(case_id)}/{step}", body)

    def decide_hit(self, hit_id: str, word: str, body: Mapping[str, Any]) -> None:
        """`clear` or `confirm` a hit."""
        self.caller.post(f"{ROOT}/screening/hits/{segment(hit_id)}/{word}", dict(body))

    def finish_settlement(self, transaction_id: str, word: str, body: Mapping[str, Any]) -> None:
        """`release` or `reject` a settlement whose case is decided."""
        self.caller.post(f"{ROOT}/settlements/{segment(transaction_id)}/{word}", dict(body))

    def decide_kyc(self, kyc_case_id: str, body: Mapping[str, Any]) -> KycView:
        """An officer's decision on a verification."""
        return self._post(KycView, f"/kyc/{segment(kyc_case_id)}/decision", body)

    def begin_kyc(self, body: Mapping[str, Any], key: str) -> KycView:
        """Begin a verification, or lead the customer back to it; the same key is the same verification."""
        return self._post(KycView, "/kyc", body, {"Idempotency-Key": key})

    def _get(self, kind: type[Answer], path: str, params: Query | None = None) -> Answer:
        return _read(kind, self.caller.get(ROOT + path, params))

    def _post(
        self, kind: type[Answer], path: str, body: Mapping[str, Any], headers: Mapping[str, str] | None = None
    ) -> Answer:
        return _read(kind, self.caller.post(ROOT + path, dict(body), headers))


def open_cases() -> Cases:
    """The requests of the person who looks at the page."""
    caller: Api = api()
    return Cases(caller)


def _read(kind: type[Answer], content: Any) -> Answer:
    try:
        return kind.model_validate(content)
    except ValidationError:
        # What came may hold personal data, so that it is not repeated.
        raise ApiAway("The API answers in a form that this app does not know.") from None
