"""The page *AML*: alerts, outcomes by rule, the file of a transaction, and replays of the policy."""

from __future__ import annotations

import streamlit as st

from compliance.authorization import Action
from streamlit_app.components.aml_alerts import PARAMETER
from streamlit_app.views import aml_file, aml_list, aml_replay, parts, sections
from streamlit_app.visitor import Visitor, visitor

TITLE = "AML"
ALERTS, RULES, REPLAY = "alerts", "rules", "replay"
_WORDS = {ALERTS: "Alerts", RULES: "Outcomes by rule", REPLAY: "Policy replay"}
MAX_ID_LENGTH = 128


def render() -> None:
    """What the address asks for, as far as the role may see it."""
    someone = visitor()
    place = parts.head(TITLE)
    transaction_id = st.query_params.get(PARAMETER, "")[:MAX_ID_LENGTH]
    if transaction_id and someone.can(Action.READ_CASE):
        with place:
            st.button("Back to the alerts", on_click=_back, key="aml_back")
        aml_list.keep_filters()
        aml_file.render(transaction_id, someone)
        return
    if transaction_id:
        st.info("Your role does not see transactions; analysts, officers and auditors do.")
    match _section(someone):
        case "rules":
            aml_list.render_outcomes()
        case "replay":
            aml_replay.render(someone)
        case _:
            aml_list.render_alerts()


def _section(someone: Visitor) -> str:
    """The part of the page that is shown; who may not read cases has the replay alone."""
    if not someone.can(Action.READ_CASE):
        st.html("<p>Your role sees replays of the policy; alerts are for analysts, officers and auditors.</p>")
        return REPLAY
    return sections.choose("aml_section", _WORDS)


def _back() -> None:
    st.query_params.pop(PARAMETER, None)
