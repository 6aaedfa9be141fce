"""The what-if of an account's page: quantities and prices to change, and the API's answer before and after."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import streamlit as st
from pydantic import ValidationError

from infra.runtime.errors import SettingsError
from streamlit_app import api_client, data, what_if
from streamlit_app.api_client import ApiAway, ApiProblem
from streamlit_app.components import formats, live
from streamlit_app.components import what_if as what_if_parts
from streamlit_app.what_if import Answer, Line, NotANumberError, Portfolio, Start

TITLE = "What if"
LOWEST_PCT, HIGHEST_PCT = -95, 200
SIDE_WORDS = {"collateral": "held", "borrow": "owed"}
_START, _ADDED, _BEFORE = "what_if_start", "what_if_added", "what_if_before"
_INPUTS = ("what_if_quantity_", "what_if_price_", "what_if_move_")
INVITATION = (
    "Change a quantity or a price: health, status and Value at Risk before and after appear below. "
    + what_if_parts.STORED_NOTHING
)


@st.fragment
def show(account_id: str) -> None:
    """The inputs and, as soon as one of them is changed, the answer."""
    st.subheader(TITLE, anchor=False)
    start = _start(account_id)
    if start is None:
        st.info("The account could not be read, so there is nothing to begin with.")
        return
    at = formats.time_of_day(start.read_at)
    st.text(f"Begins with the positions and prices of {at}. {INVITATION}")
    lines = (*start.portfolio.lines, *st.session_state.get(_ADDED, ()))
    problems: list[str] = []
    changed = Portfolio(_lines(lines, problems), _prices(start, lines, problems))
    with st.container(horizontal=True, vertical_alignment="bottom"):
        _adding(start, lines)
        st.button("Reset to the account as it is now", key="what_if_reset", on_click=_forget)
    for problem in problems:
        st.error(problem)
    if not problems:
        _answer(start, changed)


def _start(account_id: str) -> Start | None:
    """The account as the what-if began; taken anew for another account and by the reset."""
    kept: Start | None = st.session_state.get(_START)
    if kept is not None and kept.account_id == account_id:
        return kept
    _forget()
    found = data.account(account_id)
    health, positions = found.health, found.exposures
    if health.value is None or positions.value is None or positions.read_at is None:
        return None
    start = what_if.start_of(health.value, positions.value, positions.read_at)
    st.session_state[_START] = start
    return start


def _forget() -> None:
    for name in [str(name) for name in st.session_state]:
        if name.startswith(_INPUTS) or name in (_START, _ADDED, _BEFORE):
            del st.session_state[name]


def _lines(lines: tuple[Line, ...], problems: list[str]) -> tuple[Line, ...]:
    """The positions as they are typed."""
    found = []
    columns = st.columns(min(4, max(1, len(lines))))
    for index, line in enumerate(lines):
        label = f"{line.asset} {SIDE_WORDS[line.side]}, units"
        with columns[index % len(columns)]:
            typed = st.text_input(label, what_if.plain(line.quantity), key=f"what_if_quantity_{line.asset}_{line.side}")
        found.append(Line(line.asset, line.side, _amount(typed, what_if.MAX_QUANTITY_DECIMALS, label, problems)))
    return tuple(found)


def _prices(start: Start, lines: tuple[Line, ...], problems: list[str]) -> dict[str, Decimal]:
    """The prices as they are typed or moved; an asset without one is left to its last close."""
    known = {**_current_prices(), **start.portfolio.prices} if len(lines) > len(start.portfolio.lines) else None
    prices = known or dict(start.portfolio.prices)
    assets = [asset for asset in dict.fromkeys(line.asset for line in lines) if asset in prices]
    found = {}
    columns = st.columns(min(4, max(1, len(assets))))
    for index, asset in enumerate(assets):
        with columns[index % len(columns)], st.container(border=True):
            found[asset] = _price(asset, prices[asset], problems)
    return found


def _price(asset: str, now: Decimal, problems: list[str]) -> Decimal:
    typed_key, moved_key = f"what_if_price_{asset}", f"what_if_move_{asset}"
    st.session_state.setdefault(typed_key, what_if.plain(now))
    st.session_state.setdefault(moved_key, 0)
    st.slider(
        f"{asset} price, change in %",
        LOWEST_PCT,
        HIGHEST_PCT,
        key=moved_key,
        on_change=_take_move,
        args=(typed_key, moved_key, now),
    )
    label = f"{asset} price, USD"
    typed = st.text_input(label, key=typed_key, on_change=_take_price, args=(typed_key, moved_key, now))
    price = _amount(typed, what_if.MAX_PRICE_DECIMALS, label, problems)
    if price <= 0:
        if not problems:
            problems.append(f"{label}: a price is above zero.")
        return now
    return price


def _take_move(typed_key: str, moved_key: str, now: Decimal) -> None:
    moved = int(st.session_state[moved_key])
    st.session_state[typed_key] = what_if.plain(now if moved == 0 else what_if.moved(now, moved))


def _take_price(typed_key: str, moved_key: str, now: Decimal) -> None:
    try:
        price = what_if.amount(str(st.session_state[typed_key]), what_if.MAX_PRICE_DECIMALS, "")
    except NotANumberError:
        return
    change = int(what_if.change_pct(now, price).to_integral_value())
    st.session_state[moved_key] = min(HIGHEST_PCT, max(LOWEST_PCT, change))


def _adding(start: Start, lines: tuple[Line, ...]) -> None:
    known = {(line.asset, line.side) for line in lines}
    choices = [
        (asset, side)
        for asset in dict.fromkeys((*start.assets, *_current_prices()))
        for side in what_if.SIDES
        if (asset, side) not in known
    ]
    if not choices:
        return
    st.selectbox(
        "Add a position",
        choices,
        index=None,
        key="what_if_adding",
        placeholder="Asset, held or owed",
        format_func=lambda choice: f"{choice[0]} {SIDE_WORDS[choice[1]]}",
        on_change=_add,
    )


def _add() -> None:
    chosen = st.session_state.get("what_if_adding")
    if chosen is not None:
        asset, side = chosen
        st.session_state[_ADDED] = (*st.session_state.get(_ADDED, ()), Line(asset, side, Decimal(0)))
        st.session_state["what_if_adding"] = None


def _current_prices() -> dict[str, Decimal]:
    rows = data.lately().prices.value or []
    return {each.asset: each.price_usd for each in rows if each.price_usd is not None and each.price_usd > 0}


def _answer(start: Start, changed: Portfolio) -> None:
    first, then = what_if.request_of(start, start.portfolio), what_if.request_of(start, changed)
    if then is None or first is None:
        st.info("Nothing is held or owed, so there is nothing to measure.")
        return
    if first == then:
        return
    try:
        before = st.session_state.get(_BEFORE) or _asked(first)
        st.session_state[_BEFORE] = before
        after = _asked(then)
    except ApiProblem as problem:
        st.error(f"The API refuses this: {problem.message}")
    except (ApiAway, ValidationError):
        st.warning("The API gives no usable answer now, so nothing is known. Change something, or try again later.")
    except SettingsError as problem:
        st.warning(problem.message)
    else:
        live.show("what_if_result", what_if_parts.result_sections(before, after, start), is_static=True)


def _asked(body: dict[str, Any]) -> Answer:
    return Answer.model_validate(api_client.api().post(what_if.PATH, body))


def _amount(typed: str, decimals: int, label: str, problems: list[str]) -> Decimal:
    try:
        return what_if.amount(typed, decimals, label)
    except NotANumberError as problem:
        problems.append(str(problem))
        return Decimal(0)
