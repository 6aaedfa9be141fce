"""The page *Portfolio overview*: the book, or one account, live."""

from __future__ import annotations

import streamlit as st

from streamlit_app import data
from streamlit_app.components import scope
from streamlit_app.components.sign_in import sign_out
from streamlit_app.views import overview_account, overview_book, overview_slow

LIVE_EVERY_S = 1.0
SLOW_EVERY_S = 5


def render() -> None:
    """The selector, the live part and the slow part of the page."""
    title, controls = st.columns([3, 2], vertical_alignment="bottom")
    title.title("Portfolio overview", anchor=False)
    with controls.container(horizontal=True, vertical_alignment="bottom"):
        account_id = scope.select(data.account_ids().value or [])
        st.button("Sign out", on_click=sign_out, type="tertiary", width="content")
    _live(account_id)
    _slow(account_id)


@st.fragment(run_every=LIVE_EVERY_S)
def _live(account_id: str | None) -> None:
    # What is selected counts, not the press of a button: the run that received it may have been cut short by the next.
    if scope.selected() != (account_id or scope.WHOLE_BOOK):
        st.rerun()
    if account_id is None:
        overview_book.render()
    else:
        overview_account.render(account_id)


@st.fragment(run_every=SLOW_EVERY_S)
def _slow(account_id: str | None) -> None:
    overview_slow.render(account_id)
