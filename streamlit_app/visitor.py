"""Who looks at a page: the visitor whom the door let in, asked anew at every run of the script."""

from __future__ import annotations

import streamlit as st

from streamlit_app.server.session import SESSION_HEADER, Visitor, process_sessions

__all__ = ["Visitor", "current", "visitor"]

SIGNED_OUT = "You are signed out, or your access has ended. Nothing on this page is current any more."


def visitor() -> Visitor:
    """The person who looks at the page; where there is none any more, the way to sign in, and the script stops."""
    found = current()
    if found is None:
        st.warning(SIGNED_OUT)
        st.html('<p><a href="/sign-in">Sign in</a></p>')
        st.stop()
    return found


def current() -> Visitor | None:
    """The person who looks at the page, if somebody does."""
    return process_sessions().visitor(st.context.headers.get(SESSION_HEADER))
