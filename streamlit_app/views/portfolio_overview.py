"""The page *Portfolio overview*: the book, or one account, kept current by the stream."""

from __future__ import annotations

import streamlit as st

from streamlit_app import data
from streamlit_app.components import account_tables, export_links, scope
from streamlit_app.views import overview_account, overview_book, parts


def render() -> None:
    """The selector and the live page of what it says."""
    with parts.head("Portfolio overview"):
        account_id = scope.select(data.account_ids().value or [])
        page = account_tables.page_address(account_id) if account_id else ""
        st.html(export_links.links_html(account_id or "", page))
    if account_id is None:
        parts.show_live(overview_book.live_page(), overview_book.TOPIC)
    else:
        parts.show_live(overview_account.live_page(account_id), overview_account.topic_of(account_id))
