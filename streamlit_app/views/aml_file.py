"""The file of one transaction, read anew by itself."""

from __future__ import annotations

import streamlit as st

from compliance.authorization import Action
from streamlit_app.api_client import ApiProblem
from streamlit_app.components import aml_api, aml_file, cases_fresh, live, markup
from streamlit_app.views import asked
from streamlit_app.visitor import Visitor

KEY = "aml_file_live"


def render(transaction_id: str, someone: Visitor) -> None:
    """The file; who may see personal data may have addresses shown whole, which the API's log tells."""
    st.subheader(f"Transaction {_plain(transaction_id)}", anchor=False)
    whole = False
    if someone.can(Action.READ_PERSONAL_DATA):
        whole = st.toggle("Show addresses whole (the API logs it)", key=f"aml_whole_{transaction_id}")
    _file(transaction_id, whole)


@st.fragment(run_every=asked.EVERY_S)
def _file(transaction_id: str, whole: bool) -> None:
    # Whole addresses are asked for once, not every few seconds: each time is an entry of the log.
    age = asked.SLOW if whole else asked.NOW
    found = asked.ask(
        ("transaction", transaction_id, whole),
        lambda: aml_api.open_monitoring().transaction(transaction_id, with_addresses=whole),
        age,
    )
    if isinstance(found.problem, ApiProblem) and found.problem.status == 404:
        banner = markup.banner("info", "There is no such transaction.", "Check the address, or open the alerts.")
        live.show(f"{KEY}_none", {"banner": banner + cases_fresh.banner_html(None, False)})
        return
    sections = {} if found.value is None else aml_file.file_sections(found.value)
    asked.show(KEY, sections, found)


def _plain(text: str) -> str:
    # A title reads Markdown.
    return "".join(f"\\{char}" if char in "\\`*_{}[]()#+!|<>~$:-" else char for char in text)
