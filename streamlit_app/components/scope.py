"""What the page is about, the whole book or one account, kept the same in the selector and in the address."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlencode

import streamlit as st

APP_ROOT = "/app/"
"""Where the pages stand on this host; the first of them is the overview."""
PARAMETER = "account"
WHOLE_BOOK = ""
WHOLE_BOOK_LABEL = "Whole book"
MAX_ID_LENGTH = 200

_SELECTED = "selected_account"
_IN_ADDRESS = "account_in_address"


def select(known: Sequence[str]) -> str | None:
    """The selector; returns the account, or None for the whole book.

    An account that the address names is offered even if it is not among the known ones, so that a link never
    silently shows something else.
    """
    wanted = st.query_params.get(PARAMETER, WHOLE_BOOK)[:MAX_ID_LENGTH]
    if st.session_state.get(_IN_ADDRESS) != wanted:
        st.session_state[_IN_ADDRESS] = wanted
        st.session_state[_SELECTED] = wanted
    options = [WHOLE_BOOK, *known]
    if wanted not in options:
        options.append(wanted)
    chosen = st.selectbox(
        "Show",
        options,
        key=_SELECTED,
        format_func=lambda account: account or WHOLE_BOOK_LABEL,
        on_change=_selected,
        filter_mode="contains",
    )
    return chosen or None


def address_of(account_id: str) -> str:
    """The address of the overview of an account; of the whole book for an empty id."""
    return APP_ROOT + (f"?{urlencode({PARAMETER: account_id})}" if account_id else "")


def selected() -> str:
    """The account that the page is about; empty for the whole book."""
    return str(st.session_state.get(_SELECTED) or WHOLE_BOOK)


def go_to(account_id: str) -> None:
    """Make the account (empty: the whole book) the subject of the page; only from callbacks."""
    st.session_state[_SELECTED] = account_id
    _selected()


def _selected() -> None:
    account = st.session_state.get(_SELECTED) or WHOLE_BOOK
    st.session_state[_IN_ADDRESS] = account
    if account:
        st.query_params[PARAMETER] = account
    else:
        st.query_params.pop(PARAMETER, None)
