"""Replays of a policy: choose a version or give a candidate's text, watch it run, read what it would have changed."""

from __future__ import annotations

from typing import Any

import streamlit as st

from compliance.api.replay_schemas import MOST_DAYS, ReplayView
from compliance.api.replays import ReplayState
from compliance.authorization import Action
from compliance.policy.documents import MAX_BYTES
from infra.runtime.errors import BallastError
from streamlit_app.api_client import ApiAway
from streamlit_app.components import aml_api, formats, replay_report
from streamlit_app.views import asked
from streamlit_app.visitor import Visitor

KEY = "aml_replay_live"
PARAMETER = "replay"
RUNNING_S = 1.0
VERSION, TEXT, FILE = "version", "text", "file"
_SOURCES = {VERSION: "A version of the policy", TEXT: "Text of a candidate", FILE: "File of a candidate"}
MAX_ID_LENGTH = 64


def render(someone: Visitor) -> None:
    """The form, and below it the replay that the address names."""
    st.html(
        "<p>A replay judges the transactions of the past by a policy and compares with what was decided then. It "
        "decides and stores nothing.</p>"
    )
    _form()
    replay_id = st.query_params.get(PARAMETER, "")[:MAX_ID_LENGTH]
    if replay_id:
        _replay(replay_id, someone)


def _form() -> None:
    source = st.radio(
        "Judge by", list(_SOURCES), format_func=lambda code: _SOURCES[code], horizontal=True, key="aml_replay_source"
    )
    body: dict[str, Any] = {}
    if source == VERSION:
        found = asked.ask(("policies",), lambda: aml_api.open_monitoring().policies(), asked.SLOW)
        if found.value is None:
            st.error(_plain(found.problem.message if found.problem else "The versions could not be read."))
            return
        versions = {each.version: each for each in found.value.policies}
        if not versions:
            st.info("There is no version of the policy.")
            return
        chosen = st.selectbox(
            "Version",
            list(versions),
            format_func=lambda each: f"{each} (in force)" if versions[each].is_current else each,
            key="aml_replay_version",
            width=260,
        )
        body["version"] = chosen
    elif source == TEXT:
        given = st.text_area("YAML of the candidate", key="aml_replay_text", height=260, max_chars=MAX_BYTES)
        body["text"] = given
    else:
        body["text"] = _uploaded()
    days = st.number_input("Days to go back", 1, MOST_DAYS, 90, key="aml_replay_days", width=180)
    body["days"] = int(days)
    is_given = bool(body.get("version") or str(body.get("text") or "").strip())
    if st.button("Start the replay", type="primary", disabled=not is_given, key="aml_replay_start"):
        _start(body)


def _uploaded() -> str:
    given = st.file_uploader("YAML of the candidate", type=["yaml", "yml"], key="aml_replay_file", max_upload_size=1)
    if given is None:
        return ""
    content = given.getvalue()
    if len(content) > MAX_BYTES:
        st.error(f"The file has {len(content):,} bytes; a policy has {MAX_BYTES:,} at most.")
        return ""
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        st.error("The file is no text in UTF-8.")
        return ""


def _start(body: dict[str, Any]) -> None:
    try:
        begun = aml_api.open_monitoring().start_replay(body)
    except ApiAway as away:
        st.error(_plain(f"Whether the replay has begun is not known. {away.message}"))
    except BallastError as problem:
        st.error(_plain(f"The replay has not begun: {problem.message}"))
    else:
        st.query_params[PARAMETER] = begun.replay_id


def _replay(replay_id: str, someone: Visitor) -> None:
    """The replay as it stands; while it runs the part looks again by itself."""
    found = _ask(replay_id)
    is_running = found.value is None or found.value.state is ReplayState.RUNNING
    if is_running:
        _watch(replay_id)
    else:
        _show(replay_id, someone)


@st.fragment(run_every=RUNNING_S)
def _watch(replay_id: str) -> None:
    found = _ask(replay_id)
    run = found.value
    if found.problem is None and run is not None and run.state is not ReplayState.RUNNING:
        # The whole page stops asking every second.
        st.rerun(scope="app")
    if run is not None:
        _progress(run)
    asked.show(f"{KEY}_head", {} if run is None else {"head": replay_report.head_html(run)}, found)
    if run is not None and st.button("Cancel the replay", key="aml_replay_cancel"):
        try:
            aml_api.open_monitoring().cancel_replay(replay_id)
        except BallastError as problem:
            st.error(_plain(problem.message))
        else:
            st.info("The replay stops soon.")


@st.fragment(run_every=asked.EVERY_S)
def _show(replay_id: str, someone: Visitor) -> None:
    # What has ended does not change.
    found = _ask(replay_id, is_ended=True)
    run = found.value
    sections: dict[str, str] = {}
    if run is not None:
        sections["head"] = replay_report.head_html(run)
        if run.report is not None:
            sections |= replay_report.report_sections(run.report, someone.can(Action.READ_CASE))
    asked.show(KEY, sections, found)


def _ask(replay_id: str, *, is_ended: bool = False) -> asked.Asked[ReplayView]:
    age = asked.SLOW if is_ended else asked.NOW
    return asked.ask(("replay", replay_id), lambda: aml_api.open_monitoring().replay(replay_id), age)


def _progress(run: ReplayView) -> None:
    if run.total is None:
        st.progress(0.0, text="Counting transactions")
        return
    share = 1.0 if run.total == 0 else min(1.0, run.done / run.total)
    st.progress(share, text=f"{run.done:,} of {formats.count(run.total, 'transaction')} judged")


def _plain(text: str) -> str:
    # These elements read Markdown.
    return "".join(f"\\{char}" if char in "\\`*_{}[]()#+!|<>~$:-" else char for char in text)
