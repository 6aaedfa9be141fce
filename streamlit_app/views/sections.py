"""Parts of a page of which one is shown: the choice stands in the address, so that a link leads to it."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

PARAMETER = "section"
# Streamlit writes the chosen part in the theme's first colour, which is too faint on a dark page.
_STYLE = '<style>button[data-variant="segmented_control"][data-selected="true"] { color: inherit !important; }</style>'


def choose(key: str, known: Mapping[str, str]) -> str:
    """The part that the person chose, or that the address names, or the first; `known` gives each its words."""
    first = next(iter(known))
    if st.session_state.get(key) not in known:
        wanted = st.query_params.get(PARAMETER, first)
        st.session_state[key] = wanted if wanted in known else first
    st.html(_STYLE)
    chosen = st.segmented_control(
        "Part of the page",
        list(known),
        format_func=lambda code: known[code],
        key=key,
        label_visibility="collapsed",
        on_change=_chosen,
        args=(key, first),
    )
    return chosen or first


def _chosen(key: str, first: str) -> None:
    # Pressing the chosen part again clears it.
    section = st.session_state.get(key) or st.query_params.get(PARAMETER, first)
    st.session_state[key] = section
    st.query_params[PARAMETER] = section
