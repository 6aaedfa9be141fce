"""What of a case holds personal data, shown on demand only: the customer beside the lists, the draft of a report."""

from __future__ import annotations

import secrets

import streamlit as st

from compliance.api.evidence_schemas import CaseEvidence
from compliance.authorization import Action
from compliance.cases import CaseKind
from infra.runtime.errors import BallastError
from streamlit_app.components import cases_api, cases_evidence, live
from streamlit_app.components.cases_style import STYLE
from streamlit_app.views import cases_begin
from streamlit_app.views.cases_state import FileState
from streamlit_app.visitor import Visitor

RECORDED = "That you read personal data is recorded in the history of this case."


def render(state: FileState, evidence: CaseEvidence | None, someone: Visitor) -> None:
    """The papers that the role may have; nothing of them is kept after this run."""
    case = state.newest
    if case is None:
        return
    may_see = someone.can(Action.READ_PERSONAL_DATA)
    with st.container(border=True, key="cases_papers"):
        st.subheader("Papers", anchor=False)
        if may_see:
            st.markdown(RECORDED)
        else:
            st.markdown("Your role does not see personal data: the draft says so where it is left out.")
        with st.container(horizontal=True):
            wants_customer = may_see and st.button("Show the customer's personal data", key="cases_customer")
            wants_draft = someone.can(Action.READ_SAR_DRAFT) and st.button("Draft a report", key="cases_draft")
            wants_link = (
                case.kind is CaseKind.KYC
                and case.user_id is not None
                and someone.can(Action.START_KYC)
                and st.button("New link for the customer", key="cases_link")
            )
        if wants_customer:
            _customer(case.case_id, evidence)
        if wants_draft:
            _draft(case.case_id, may_see)
        if wants_link and case.user_id is not None:
            cases_begin.begin({"user_id": case.user_id}, secrets.token_hex(16))


def _customer(case_id: str, evidence: CaseEvidence | None) -> None:
    try:
        customer = cases_api.open_cases().customer(case_id)
    except BallastError as error:
        st.error(error.message)
        return
    html = cases_evidence.comparison_html(customer, evidence.hits if evidence is not None else [])
    live.show("cases_customer_data", {"customer": STYLE + html}, is_static=True)


def _draft(case_id: str, may_see: bool) -> None:
    try:
        draft = cases_api.open_cases().draft(case_id)
    except BallastError as error:
        st.error(error.message)
        return
    what = "with personal data" if may_see else "without personal data"
    st.download_button(
        f"Download the draft ({what})",
        draft.encode(),
        file_name=f"sar-draft-{case_id}.md".replace(":", "_"),
        mime="text/markdown",
        on_click="ignore",
        key="cases_draft_file",
    )
    st.code(draft, language=None, wrap_lines=True, height=420)
