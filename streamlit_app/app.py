"""The app's entry: sign-in, then the page that the address names. Started by `streamlit run streamlit_app/app.py`."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from streamlit_app.components.sign_in import is_signed_in
from streamlit_app.components.theme import PAGE_CSS
from streamlit_app.views import portfolio_overview

# A file of ours: Streamlit would fetch a named icon from the network.
FAVICON = Path(__file__).with_name("favicon.svg")


def main() -> None:
    """Show the page, or the sign-in form before it."""
    st.set_page_config(page_title="Ballast", page_icon=str(FAVICON), layout="wide")
    st.html(PAGE_CSS)
    page = st.navigation(
        [st.Page(portfolio_overview.render, title="Portfolio overview", url_path="portfolio", default=True)],
        position="hidden",
    )
    if is_signed_in():
        page.run()


main()
