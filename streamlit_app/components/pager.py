"""Pages of a long table: the server reads one page, the browser gets no more."""

from __future__ import annotations

import streamlit as st

from streamlit_app.components import formats

PAGE_ROWS = 15


def skipped(key: str, total: int | None = None, size: int = PAGE_ROWS) -> int:
    """How many rows stand before the page that is shown; the last page where there are fewer by now."""
    wanted = int(st.session_state.get(_state(key), 0))
    if total is None:
        return wanted
    return min(wanted, max(0, (total - 1) // size * size))


def controls(key: str, total: int, noun: str, size: int = PAGE_ROWS) -> None:
    """Which rows are shown, and the way to those before and after; nothing for a table of one page."""
    if total <= size:
        return
    start = skipped(key, total, size)
    with st.container(horizontal=True, vertical_alignment="center", key=f"pager_{key}"):
        st.button("Previous", key=f"{key}_previous", disabled=start == 0, on_click=_go, args=(key, start - size))
        st.button("Next", key=f"{key}_next", disabled=start + size >= total, on_click=_go, args=(key, start + size))
        last = min(start + size, total)
        st.text(f"{start + 1:,} to {last:,} of {formats.count(total, noun)}")


def _go(key: str, start: int) -> None:
    st.session_state[_state(key)] = max(0, start)


def _state(key: str) -> str:
    return f"{key}_skipped"
