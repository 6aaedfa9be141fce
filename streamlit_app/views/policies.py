"""The page *Policies and lists*: what compliance decides by, which lists it screens against, and a search in them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import streamlit as st

from compliance.api.policy_schemas import PolicySummary
from compliance.authorization import Action
from streamlit_app import data
from streamlit_app.components import aml_api, list_parts, policy_parts
from streamlit_app.views import asked, parts, policies_search, sections
from streamlit_app.visitor import Visitor, visitor

TITLE = "Policies and lists"
POLICIES, DIFFERENCES, LISTS, SEARCH = "policies", "differences", "lists", "search"
_WORDS = {POLICIES: "Policies", DIFFERENCES: "Differences", LISTS: "Lists", SEARCH: "Screening search"}
KEY = "policies_live"


def render() -> None:
    """The part of the page that the person chose."""
    someone = visitor()
    parts.head(TITLE)
    match _section(someone):
        case "lists":
            _lists()
        case "search":
            policies_search.render()
        case "differences":
            _with_versions(_differences)
        case _:
            _with_versions(_policy)


def _section(someone: Visitor) -> str:
    can_search = someone.can(Action.SEARCH_LISTS)
    return sections.choose(
        "policies_section", {code: word for code, word in _WORDS.items() if code != SEARCH or can_search}
    )


def _with_versions(show: Callable[[Sequence[PolicySummary]], None]) -> None:
    """Ask for the versions, and show what rests on them; without an answer why there is none."""
    found = asked.ask(("policies",), lambda: aml_api.open_monitoring().policies(), asked.SLOW)
    if found.value is None:
        _versions_away()
    else:
        show(found.value.policies)


@st.fragment(run_every=asked.EVERY_S)
def _versions_away() -> None:
    found = asked.ask(("policies",), lambda: aml_api.open_monitoring().policies())
    if found.value is not None:
        st.rerun(scope="app")
    asked.show(f"{KEY}_away", {}, found)


def _policy(policies: Sequence[PolicySummary]) -> None:
    versions = [policy.version for policy in policies]
    current = next((place for place, policy in enumerate(policies) if policy.is_current), 0)
    chosen = st.selectbox("Version to read", versions, index=current, key="policies_version", width=220)
    _show_policy(chosen)


@st.fragment(run_every=asked.EVERY_S)
def _show_policy(version: str | None) -> None:
    now = data.system_clock().now()
    every = asked.ask(("policies",), lambda: aml_api.open_monitoring().policies(), asked.SLOW)
    shown = {}
    if every.value is not None:
        shown["versions"] = policy_parts.versions_html(every.value.policies, now)
    if version is None:
        asked.show(KEY, shown, every)
        return
    one = asked.ask(("policy", version), lambda: aml_api.open_monitoring().policy(version), asked.SLOW)
    if one.value is not None:
        shown["overdue"] = policy_parts.overdue_html(one.value)
        shown["countries"] = policy_parts.countries_html(one.value)
        shown["rules"] = policy_parts.rules_html(one.value)
        shown["limits"] = policy_parts.limits_html(one.value)
    asked.show(KEY, shown, every, one)
    if one.value is not None:
        with st.expander(f"The file of version {version} as it was recorded"):
            st.code(one.value.content, language="yaml")


def _differences(policies: Sequence[PolicySummary]) -> None:
    versions = [policy.version for policy in policies]
    if len(versions) < 2:
        st.info("There are no two versions to compare.")
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        before = st.selectbox("From", versions, index=1, key="policies_before", width=220)
        after = st.selectbox("To", versions, index=0, key="policies_after", width=220)
    if before and after:
        _show_differences(before, after)


@st.fragment(run_every=asked.EVERY_S)
def _show_differences(before: str, after: str) -> None:
    found = asked.ask(
        ("differences", before, after), lambda: aml_api.open_monitoring().differences(before, after), asked.SLOW
    )
    shown = {} if found.value is None else {"differences": policy_parts.differences_html(found.value)}
    asked.show(f"{KEY}_differences", shown, found)


@st.fragment(run_every=asked.EVERY_S)
def _lists() -> None:
    found = asked.ask(("lists",), lambda: aml_api.open_monitoring().lists(), asked.SLOW)
    shown = {} if found.value is None else list_parts.lists_sections(found.value)
    asked.show(f"{KEY}_lists", shown, found)
