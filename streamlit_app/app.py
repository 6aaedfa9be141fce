"""The app's entry: the pages that the visitor's role may see. Run by the server at `/app/`, behind its door."""

from __future__ import annotations

from pathlib import Path

import streamlit as st
from streamlit.navigation.page import StreamlitPage

from streamlit_app.components.theme import PAGE_CSS
from streamlit_app.pages import PAGES, pages_for
from streamlit_app.visitor import visitor

# A file of ours: Streamlit would fetch a named icon from the network.
FAVICON = Path(__file__).with_name("favicon.svg")


def main() -> None:
    """Show the page that the address names, if the visitor's role may see it."""
    st.set_page_config(page_title="Ballast", page_icon=str(FAVICON), layout="wide")
    st.html(PAGE_CSS)
    groups: dict[str, list[StreamlitPage]] = {}
    for spec in pages_for(visitor().role):
        page = st.Page(spec.render, title=spec.title, url_path=spec.path, default=spec is PAGES[0])
        groups.setdefault(spec.group, []).append(page)
    st.navigation(groups, position="top").run()


main()
