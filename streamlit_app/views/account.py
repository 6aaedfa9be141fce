"""The page *Account*: one account kept current by the stream, its history, what-ifs, estimates and settlements."""

from __future__ import annotations

import streamlit as st

from streamlit_app import account_data, data
from streamlit_app.components import account_tables, export_links, live, markup, states
from streamlit_app.components.scope import MAX_ID_LENGTH, PARAMETER
from streamlit_app.views import account_history, account_live, account_more, account_what_if, parts

CHOICE_KEY = "account_choice"
LIVE_KEY = "account_live"
AGAIN_S = 5
_IN_ADDRESS = "account_choice_in_address"


def render() -> None:
    """The choice of the account and everything about it."""
    with parts.head("Account"):
        account_id = _choice()
        if account_id:
            st.html(export_links.links_html(account_id))
    if not account_id:
        _invitation()
        return
    page = account_live.live_page(account_id)
    topic = account_live.topic_of(account_id)
    live.show(LIVE_KEY, page.sections, ages=page.ages, is_old=page.is_old, topic=topic)
    if "state" in page.sections:
        _await(account_id)
        return
    account_history.show(account_id)
    account_what_if.show(account_id)
    account_more.estimates(account_id)
    account_more.settlements(account_id)


def _choice() -> str:
    """The account of the address; any id can be typed, and those nearest to a margin call are offered."""
    wanted = st.query_params.get(PARAMETER, "")[:MAX_ID_LENGTH]
    if CHOICE_KEY not in st.session_state or st.session_state.get(_IN_ADDRESS) != wanted:
        st.session_state[_IN_ADDRESS] = wanted
        st.session_state[CHOICE_KEY] = wanted or None
    offered = account_data.nearest_ids()
    if wanted and wanted not in offered:
        offered = [wanted, *offered]
    chosen = st.selectbox(
        "Account",
        offered,
        key=CHOICE_KEY,
        index=None,
        placeholder="Type or choose an account id",
        accept_new_options=True,
        on_change=_chosen,
    )
    return str(chosen or "")[:MAX_ID_LENGTH]


def _chosen() -> None:
    _go_to(str(st.session_state.get(CHOICE_KEY) or ""))


def _go_to(account_id: str) -> None:
    cut = account_id.strip()[:MAX_ID_LENGTH]
    st.session_state[_IN_ADDRESS] = cut
    st.session_state[CHOICE_KEY] = cut or None
    if cut:
        st.query_params[PARAMETER] = cut
    else:
        st.query_params.pop(PARAMETER, None)


@st.fragment(run_every=AGAIN_S)
def _await(account_id: str) -> None:
    """Run the page again as soon as the account can be read; the stream alone would bring the live part only."""
    if data.account(account_id).health.value is not None:
        st.rerun()


def _invitation() -> None:
    known = account_data.nearest()
    nearest = [account.account_id for account in known.value or []][: account_data.ALERT_ROWS]
    words = "Type an account id above, or open one of those nearest to a margin call."
    body = account_tables.nearest_html(nearest) if nearest else '<p class="muted">No account is known yet.</p>'
    if known.problem is not None:
        # What is shown may be old, and nothing shown does not mean that there is nothing.
        body = (body if nearest else "") + states.part_problem_html(known.problem, "risk.margin_health")
    card = markup.card(markup.head("No account chosen"), f"<p>{words}</p>{body}")
    live.show(
        LIVE_KEY,
        {"state": card},
        is_static=True,
        on_account=lambda: _go_to(str(st.session_state[LIVE_KEY].account or "")),
    )
