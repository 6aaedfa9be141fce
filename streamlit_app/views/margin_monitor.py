"""The page *Margin monitor*: filters, the live table of accounts, and the newest alerts to acknowledge."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import streamlit as st

from assets.risk import monitor_queries
from assets.risk.monitor_queries import AccountFilter, Order
from compliance.model import Role
from infra.runtime.errors import SettingsError
from streamlit_app import data
from streamlit_app.acknowledgements import Poster, acknowledge, acknowledged
from streamlit_app.api_client import ApiAway, ApiProblem, api
from streamlit_app.components import actions, alert_panel, formats
from streamlit_app.reads import Read
from streamlit_app.views import address, monitor_page, parts, topic_text
from streamlit_app.views.monitor_page import ORDER_WORDS, Choice
from streamlit_app.visitor import visitor

LIVE_KEY = "monitor"
# Who works on margin; others see the alerts. The API decides and records.
ACKNOWLEDGERS = frozenset({Role.ANALYST, Role.OFFICER, Role.ADMIN})
ANY_ASSET = "Any asset"
ASSETS_MAX_AGE = timedelta(seconds=60)
_CHOICE, _SAID = "monitor_choice", "monitor_said"
_ASSET, _BORROW, _TEXT, _ORDER = "monitor_asset", "monitor_borrow", "monitor_text", "monitor_order"


def render() -> None:
    """The filters and the live page of what they say."""
    parts.head("Margin monitor")
    choice = _choice()
    _show_said()
    actions.show(
        LIVE_KEY,
        monitor_page.monitor_page(monitor_page.read_monitor(choice)),
        topic=choice.topic(),
        on_act=act,
        may_change=visitor().role in ACKNOWLEDGERS,
    )


def act(name: str, value: str) -> None:
    """What a button of the live part asks for; only from callbacks."""
    match name:
        case "status":
            choice = _kept()
            wanted = replace(choice.wanted, status=topic_text.code(value))
            st.session_state[_CHOICE] = replace(choice, wanted=wanted, page=1)
        case "page":
            st.session_state[_CHOICE] = replace(_kept(), page=topic_text.page_of(value))
        case alert_panel.ACKNOWLEDGE if visitor().role in ACKNOWLEDGERS:
            st.session_state[_SAID] = _acknowledged(value)


def said_of(asked: Poster, notification_id: str, name: str) -> tuple[str, str]:
    """Acknowledge for the person; how it went (`success`, `info` or `error`) and in words."""
    try:
        made = acknowledge(asked, notification_id, name)
    except ApiProblem as problem:
        return "error", f"The API refused the acknowledgement: {problem.message}"
    except ApiAway as away:
        return "error", f"Whether the acknowledgement is recorded is not known. {away.message} Look again, then retry."
    acknowledged().keep(made)
    at = formats.moment(made.at)
    if made.by != name:
        return "info", f"{made.by} had acknowledged this alert already at {at}; the first acknowledgement counts."
    return "success", f"You acknowledged the alert at {at}. Nobody else is called for it."


def _acknowledged(notification_id: str) -> tuple[str, str]:
    try:
        return said_of(api(), notification_id, visitor().name)
    except SettingsError as error:
        return "error", error.message


def _show_said() -> None:
    """How the last acknowledgement went, once."""
    said = st.session_state.pop(_SAID, None)
    match said:
        case ("success", words):
            st.success(_plain(words))
        case ("info", words):
            st.info(_plain(words))
        case ("error", words):
            st.error(_plain(words))


def _plain(words: str) -> str:
    # These elements read Markdown.
    return "".join(f"\\{char}" if char in "\\`*_{}[]()#+!|<>~$:-" else char for char in words)


def _kept() -> Choice:
    kept = st.session_state.get(_CHOICE)
    return kept if isinstance(kept, Choice) else Choice()


def _choice() -> Choice:
    """The filters as chips, pages and widgets stand now; an address that was followed or loaded sets them."""
    address.follow(_CHOICE, monitor_page.choice_of, (_ASSET, _BORROW, _TEXT, _ORDER))
    kept = _kept()
    wanted, order = _widgets(kept)
    return address.keep(_CHOICE, Choice(wanted, order, kept.page))


def _widgets(kept: Choice) -> tuple[AccountFilter, Order]:
    wanted = kept.wanted
    # Widgets forget their state while another page is shown.
    st.session_state.setdefault(_ASSET, wanted.asset)
    st.session_state.setdefault(_BORROW, int(wanted.min_borrow_usd))
    st.session_state.setdefault(_TEXT, wanted.text)
    st.session_state.setdefault(_ORDER, kept.order)
    left, middle, right, last = st.columns(4)
    text = left.text_input("Account id contains", key=_TEXT, max_chars=topic_text.MAX_PLAIN, on_change=_first_page)
    held = ["", *_assets_held()]
    if st.session_state[_ASSET] not in held:
        held.append(st.session_state[_ASSET])
    asset = middle.selectbox(
        "Asset held", held, key=_ASSET, format_func=lambda name: name or ANY_ASSET, on_change=_first_page
    )
    borrow = right.number_input(
        "Minimum borrow, USD",
        key=_BORROW,
        min_value=0,
        max_value=int(monitor_page.MAX_BORROW_USD),
        step=10_000,
        on_change=_first_page,
    )
    order = last.selectbox(
        "Order", list(Order), key=_ORDER, format_func=lambda each: ORDER_WORDS[each], on_change=_first_page
    )
    return (
        AccountFilter(
            status=wanted.status, asset=asset, min_borrow_usd=Decimal(int(borrow)), text=topic_text.plain(text)
        ),
        order,
    )


def _assets_held() -> list[str]:
    read = Read(("assets_held",), monitor_queries.assets_held, ASSETS_MAX_AGE)
    return list(data.shared().together(read)[0].value or [])


def _first_page() -> None:
    st.session_state[_CHOICE] = replace(_kept(), page=1)
