"""The page *KYC and cases*: the queue, the file of one case, or the form that begins a verification."""

from __future__ import annotations

import streamlit as st

from compliance.authorization import Action
from streamlit_app.components.cases_queue import PARAMETER
from streamlit_app.views import cases_begin, cases_list, cases_open, parts
from streamlit_app.visitor import visitor

TITLE = "KYC and cases"
BEGIN = "begin"
MAX_ID_LENGTH = 128


def render() -> None:
    """What the address asks for, as far as the role may see it."""
    someone = visitor()
    place = parts.head(TITLE)
    case_id = st.query_params.get(PARAMETER, "")[:MAX_ID_LENGTH]
    is_beginning = BEGIN in st.query_params and someone.can(Action.START_KYC)
    with place:
        if case_id or is_beginning:
            st.button("Back to the queue", on_click=_go, args=({},), key="cases_back")
        elif someone.can(Action.START_KYC):
            st.button("Begin a verification", on_click=_go, args=({BEGIN: "1"},), key="cases_begin")
    if is_beginning:
        cases_begin.render()
    elif case_id and someone.can(Action.READ_CASE):
        cases_open.render(case_id)
    else:
        if case_id:
            st.info("Your role sees the queue and its numbers; analysts, officers and auditors open cases.")
        cases_list.render(someone)


def _go(parameters: dict[str, str]) -> None:
    st.query_params.from_dict(parameters)
