"""Begin a verification: personal data goes from the form to the API, and is kept nowhere here after it was sent."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import date
from typing import Any

import streamlit as st

from infra.runtime.errors import BallastError
from streamlit_app.api_client import ApiAway
from streamlit_app.components import cases_api, formats
from streamlit_app.components.cases_words import KYC_STATE_WORDS

OLDEST_BIRTH = date(1900, 1, 1)
PREFIX = "cases_new_"
_KEY, _NONCE = "cases_begin_key", "cases_begin_nonce"
_KINDS = {"person": "Person", "company": "Company"}
_PERSONAL = ("first_name", "last_name", "nationality", "email", "phone", "address", "document_number")


def render() -> None:
    """The form; once it was sent well, the link for the customer in its place."""
    st.header("Begin a verification", anchor=False)
    st.markdown(
        "The customer's data is sealed by the API on arrival; this page keeps nothing of it after it was sent."
        " A reference that is known already leads to its open verification, with a new link."
    )
    place = st.empty()
    nonce = st.session_state.setdefault(_NONCE, 0)
    with place.container(), st.form(f"cases_begin_form_{nonce}"):
        body = _fields(nonce)
        is_sent = st.form_submit_button("Begin", type="primary")
    if not is_sent:
        return
    if begin(body, st.session_state.setdefault(_KEY, secrets.token_hex(16))):
        place.empty()
        forget()


def begin(body: Mapping[str, Any], key: str) -> bool:
    """Ask the API and show where the verification stands; False where it refused or did not answer."""
    try:
        found = cases_api.open_cases().begin_kyc(body, key)
    except ApiAway as error:
        st.error(f"{error.message} It may have begun all the same: send it again, it is the same verification.")
        return False
    except BallastError as error:
        st.error(error.message)
        return False
    state = formats.words(found.state.value, KYC_STATE_WORDS).lower()
    st.success(f"Verification {found.kyc_case_id}: {state}.")
    if found.handoff is not None and found.handoff.kind == "link":
        st.markdown("The link for the customer, which opens once. It is not shown again:")
        st.code(found.handoff.value, language=None, wrap_lines=True)
    elif found.handoff is not None:
        st.markdown("The token for the provider's component, for one use. It is not shown again:")
        st.code(found.handoff.value, language=None, wrap_lines=True)
    else:
        st.markdown("There is nothing for the customer to do, or the provider gives no link now.")
    return True


def forget() -> None:
    """Drop what was typed, and let the next form be a new verification."""
    for name in [name for name in st.session_state if str(name).startswith(PREFIX)]:
        del st.session_state[name]
    st.session_state.pop(_KEY, None)
    st.session_state[_NONCE] = st.session_state.get(_NONCE, 0) + 1


def _fields(nonce: int) -> Mapping[str, Any]:
    def line(label: str, name: str, **options: Any) -> str | None:
        typed = st.text_input(label, key=f"{PREFIX}{name}_{nonce}", autocomplete="off", **options)
        return typed.strip() or None

    left, right = st.columns(2)
    with left:
        reference = line("Reference", "reference", max_chars=128, help="The desk's own id of the customer, no name.")
        kind = st.selectbox("Kind", list(_KINDS), format_func=lambda code: _KINDS[code], key=f"{PREFIX}kind_{nonce}")
        account = line("Account", "account", max_chars=64)
        country = line("Country of residence", "country", max_chars=2, placeholder="DE")
        profile = line("Expected a month, USD", "profile", max_chars=30, placeholder="100000")
        company = line("Name of the company", "company", max_chars=200, help="For companies only.")
    with right:
        personal: dict[str, Any] = {
            "first_name": line("First name", "first_name", max_chars=200),
            "last_name": line("Last name", "last_name", max_chars=200),
        }
        birth = st.date_input(
            "Date of birth", value=None, min_value=OLDEST_BIRTH, max_value="today", key=f"{PREFIX}birth_{nonce}"
        )
        labels = ("Nationality", "Email", "Phone", "Address", "Document number")
        for label, name in zip(labels, _PERSONAL[2:], strict=True):
            longest = {"nationality": 2, "document_number": 64}.get(name, 254)
            personal[name] = line(label, name, max_chars=longest)
    personal["nationality"] = _code(personal["nationality"])
    personal["birth_date"] = birth.isoformat() if isinstance(birth, date) else None
    personal["names"] = [company] if kind == "company" and company else None
    customer = {
        "reference": reference,
        "kind": kind,
        "account_id": account,
        "country": _code(country),
        "declared_profile_usd": profile,
        "personal": _given(personal),
    }
    return {"customer": _given(customer)}


def _code(country: str | None) -> str | None:
    return country.upper() if country else None


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
