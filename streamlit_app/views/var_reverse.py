"""Reverse stress: how far one asset must fall until the book has lost an amount, asked of the API."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import ROUND_CEILING, Decimal
from html import escape

import streamlit as st
from pydantic import BaseModel, ConfigDict, ValidationError

from assets.risk.engine.reverse_stress import Measure, NoFall
from infra.runtime.errors import SettingsError
from streamlit_app import api_client, data
from streamlit_app.api_client import ApiAway, ApiProblem
from streamlit_app.components import formats, live, markup

PATH = "/v1/risk/reverse-stress"
TITLE = "How far must an asset fall?"
DEFAULT_LOSS = "1,000,000"
FIRST_ASSET = "BTC"
BAD_AMOUNT = "Enter an amount in USD above zero with at most two decimals, such as 1,000,000."
MEASURE_WORDS = {Measure.EQUITY: "the accounts' equity has fallen by", Measure.BAD_DEBT: "uncovered debt reaches"}
_AMOUNT = re.compile(r"[0-9]{1,20}(\.[0-9]{1,2})?")
_STATE = "reverse_stress_answer"


class FallAnswer(BaseModel):
    """The API's answer; `fall_ratio` is a fraction of the price, None with a reason."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    asset: str
    measure: Measure
    loss_usd: Decimal
    fall_ratio: Decimal | None
    reason: NoFall | None
    accounts: int
    unpriced_accounts: int
    as_of_date: date | None
    price_set_id: str | None


@dataclass(frozen=True)
class Asked:
    """A question and what came back: an answer, or why there is none (ready HTML)."""

    answer: FallAnswer | None
    problem: str
    at: datetime


def render(assets: Sequence[str]) -> None:
    """The form and the last answer of this session."""
    names = sorted({*assets, FIRST_ASSET}, key=lambda name: (name != FIRST_ASSET, name))
    st.subheader(TITLE, anchor=False)
    with st.form("reverse_stress", border=True):
        left, middle, right, end = st.columns([1, 2, 1.4, 0.8], vertical_alignment="bottom")
        asset = left.selectbox("If the price of", names, key="reverse_asset")
        measure = middle.selectbox(
            "falls, all others held, until", list(Measure), format_func=lambda each: MEASURE_WORDS[each]
        )
        amount = right.text_input("Amount in USD", DEFAULT_LOSS, max_chars=40, key="reverse_amount")
        is_asked = end.form_submit_button("Find the fall", type="primary")
    if is_asked:
        loss = parsed_amount(amount)
        if loss is None:
            st.session_state.pop(_STATE, None)
            st.error(BAD_AMOUNT)
        else:
            st.session_state[_STATE] = ask(asset, measure, loss)
    asked: Asked | None = st.session_state.get(_STATE)
    if asked is not None:
        live.show("reverse_answer", {"answer": answer_html(asked)}, is_static=True)


def parsed_amount(text: str) -> Decimal | None:
    """The amount in USD that was typed; None where it is none, or not above zero."""
    plain = text.replace(",", "").replace(" ", "").upper().removesuffix("USD")
    if not _AMOUNT.fullmatch(plain):
        return None
    return Decimal(plain) if Decimal(plain) > 0 else None


def ask(asset: str, measure: Measure, loss_usd: Decimal) -> Asked:
    """Ask the API; a refusal or silence becomes words."""
    now = data.system_clock().now()
    try:
        content = api_client.api().get(PATH, {"asset": asset, "measure": str(measure), "loss_usd": f"{loss_usd:f}"})
        return Asked(FallAnswer.model_validate(content), "", now)
    except ApiProblem as problem:
        words = markup.banner("error", "The API refused the question.", escape(problem.message[:300]), role="alert")
    except (ApiAway, SettingsError) as away:
        words = markup.banner("away", "The API does not answer.", escape(away.message[:300]), role="alert")
    except ValidationError:
        words = markup.banner(
            "error", "The API's answer cannot be read.", "Nothing is known of the fall.", role="alert"
        )
    return Asked(None, words, now)


def answer_html(asked: Asked) -> str:
    """The answer in a sentence, with what it rests on."""
    answer = asked.answer
    if answer is None:
        return asked.problem
    facts = [
        ("Accounts", f"{answer.accounts:,}"),
        ("Closes of", answer.as_of_date.isoformat() if answer.as_of_date else "no day: the book is empty"),
        ("Price set", answer.price_set_id or "none"),
        ("Asked", formats.moment(asked.at)),
    ]
    heading = markup.head("Answer")
    return markup.card(heading, f'<p role="status"><b>{escape(sentence(answer))}</b></p>{markup.facts(facts)}')


def sentence(answer: FallAnswer) -> str:
    """The answer in words; a fall is rounded up, so that the amount is lost."""
    asset, amount = answer.asset, formats.usd(answer.loss_usd)
    until = f"{MEASURE_WORDS[answer.measure]} {amount}"
    if answer.fall_ratio is not None:
        fall = (answer.fall_ratio * 100).quantize(Decimal("0.01"), rounding=ROUND_CEILING)
        return f"{asset} must fall by {formats.percent(fall, 2)} until {until}."
    match answer.reason:
        case NoFall.ALREADY_LOST:
            return f"No fall is needed: {until} already, without any."
        case NoFall.NEVER_REACHED:
            return f"Not even a price of zero: no fall of {asset} goes so far that {until}."
        case NoFall.NO_EXPOSURE:
            return f"No fall of {asset} matters: the book has no exposure to it."
        case NoFall.UNPRICED:
            unpriced = formats.count(answer.unpriced_accounts, "account has", "accounts have")
            return f"Unknown: {unpriced} a position that cannot be valued."
        case _:
            return "Unknown: the API gave no figure and no reason."
