"""The file of one case: what it is, what it is about, its history, the work on it, and the draft of a report."""

from __future__ import annotations

import streamlit as st

from compliance.api.evidence_schemas import CaseEvidence
from compliance.authorization import Action
from compliance.kyc.model import Verdict
from infra.runtime.errors import BallastError
from streamlit_app import data
from streamlit_app.api_client import ApiProblem
from streamlit_app.components import cases_api, cases_evidence, cases_file, cases_fresh, live, markup
from streamlit_app.components.cases_style import STYLE
from streamlit_app.views import cases_forms, cases_papers
from streamlit_app.views.cases_state import FileState, file_state
from streamlit_app.visitor import visitor

KEY = "cases_file_live"
EVERY_S = 2.0


def render(case_id: str) -> None:
    """The live part, the work of who may do some, and the papers."""
    state, someone = file_state(case_id), visitor()
    evidence, problem = _read(state)
    state.see(evidence)
    if state.done:
        st.success(state.done)
        state.done = ""
    if state.newest is None:
        _show(problem)
        return
    _head(case_id)
    if someone.can(Action.COMMENT):
        cases_forms.render(state, evidence, someone)
    _live(case_id)
    cases_papers.render(state, evidence, someone)


@st.fragment(run_every=EVERY_S)
def _head(case_id: str) -> None:
    """How the case stands, read anew; the forms below keep what is typed in them."""
    state = file_state(case_id)
    problem = _read_case(state)
    now = data.system_clock().now()
    sections = {
        "freshness": cases_fresh.line_html(state.read_at),
        "banner": STYLE + cases_fresh.banner_html(problem, state.newest is not None),
    }
    if state.newest is not None:
        if state.seen is not None and state.newest.version != state.seen.version and not state.conflict:
            sections["changed"] = cases_file.changed_html(state.seen, state.newest)
        sections["head"] = cases_file.head_html(state.newest, now)
    live.show(f"{KEY}_head", sections, ages=cases_fresh.age_s(state.read_at, now), is_old=problem is not None)
    if "changed" in sections and st.button("Reload, keep what I typed", key="cases_reload_live"):
        state.look_anew()
        st.rerun(scope="app")


@st.fragment(run_every=EVERY_S)
def _live(case_id: str) -> None:
    """What the case is about and its history, read anew."""
    state = file_state(case_id)
    evidence, problem = _read_evidence(case_id)
    _show_parts(state, evidence, problem)


def _show(problem: BallastError | None) -> None:
    """A case that could never be read: why."""
    sections = {"banner": cases_fresh.banner_html(problem, False)}
    if isinstance(problem, ApiProblem) and problem.status == 404:
        sections["banner"] = markup.banner("info", "There is no such case.", "Check the address, or open the queue.")
    live.show(f"{KEY}_none", sections, is_static=True)


def _show_parts(state: FileState, evidence: CaseEvidence | None, problem: BallastError | None) -> None:
    sections = {"banner": STYLE + cases_fresh.banner_html(problem, False)}
    if evidence is not None:
        if _has_new_checks(state, evidence):
            sections["changed"] = cases_file.new_checks_html()
        sections |= cases_evidence.evidence_html(evidence)
    if state.newest is not None:
        sections["history"] = cases_file.timeline_html(state.newest.history)
    live.show(KEY, sections, is_old=False)


def _has_new_checks(state: FileState, evidence: CaseEvidence) -> bool:
    """Whether a provider said something since the form was made."""
    if evidence.verification is None or state.seen_checks is None:
        return False
    said = (check for check in evidence.verification.checks if check.verdict is not Verdict.ERROR)
    return any(check.check_id not in state.seen_checks for check in said)


def _read(state: FileState) -> tuple[CaseEvidence | None, BallastError | None]:
    problem = _read_case(state)
    if problem is not None:
        return None, problem
    return _read_evidence(state.case_id)


def _read_case(state: FileState) -> BallastError | None:
    """Read the case anew; what cannot be read stays as it was, what the API refuses does not."""
    try:
        state.newest = cases_api.open_cases().case(state.case_id)
        state.read_at = data.system_clock().now()
    except ApiProblem as error:
        state.newest = state.seen = None
        return error
    except BallastError as error:
        return error
    return None


def _read_evidence(case_id: str) -> tuple[CaseEvidence | None, BallastError | None]:
    try:
        return cases_api.open_cases().evidence(case_id), None
    except BallastError as error:
        return None, error
