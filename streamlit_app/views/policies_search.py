"""A search of a name in the active lists: what is typed goes to the API alone and is kept nowhere."""

from __future__ import annotations

import re
from datetime import date
from html import escape
from typing import Any

import streamlit as st

from compliance.api.schemas import OLDEST_BIRTH
from infra.runtime.errors import BallastError
from streamlit_app import data
from streamlit_app.api_client import ApiAway, ApiProblem
from streamlit_app.components import aml_api, aml_style, list_parts, live, markup

KEY = "policies_search_live"
KINDS = {"person": "Person", "company": "Company"}
_CODES = re.compile(r"[,;\s]+")


def render() -> None:
    """The form, and what the lists say of the name that was sent last."""
    st.html(
        "<p>Searches every active list. The name is stored nowhere, and the form is empty again once it is sent.</p>"
    )
    with st.form("policies_search", clear_on_submit=True, width=560):
        name = st.text_input("Name", max_chars=200, autocomplete="off")
        kind = st.radio("It is a", list(KINDS), format_func=lambda code: KINDS[code], horizontal=True)
        today = data.system_clock().now().date()
        born = st.date_input("Born (may be left out)", value=None, min_value=OLDEST_BIRTH, max_value=today)
        countries = st.text_input("Countries (codes such as DE, may be left out)", max_chars=60, autocomplete="off")
        is_sent = st.form_submit_button("Search", type="primary")
    if not is_sent:
        return
    if not name.strip():
        st.error("Give a name.")
        return
    live.show(KEY, {"found": aml_style.STYLE + _searched(_body(name, kind, born, countries))}, is_static=True)


def _body(name: str, kind: str | None, born: date | None, countries: str) -> dict[str, Any]:
    return {
        "name": name.strip(),
        "kind": kind or "person",
        "birth_date": None if born is None else born.isoformat(),
        "countries": [code.upper() for code in _CODES.split(countries.strip()) if code],
    }


def _searched(body: dict[str, Any]) -> str:
    try:
        return list_parts.search_html(aml_api.open_monitoring().search(body))
    except ApiProblem as problem:
        return markup.banner("error", "The API refused the search:", escape(problem.message[:400]), role="alert")
    except ApiAway as away:
        words = (
            f"{escape(away.message[:300])} Nothing is known of the name; the lists may still be loading. Search again."
        )
        return markup.banner("away", "The name was not screened.", words, role="alert")
    except BallastError as problem:
        return markup.banner("error", "The name was not screened.", escape(problem.message[:300]), role="alert")
