"""Every page of the navigation for every role: shown exactly to whom it is for, in words, and never broken."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator, Mapping
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from streamlit.testing.v1 import AppTest
from streamlit.util import calc_hash

from alerting.notices import Kind
from compliance.model import Role
from infra.runtime.errors import NotReadyError
from infra.runtime.settings import Settings
from streamlit_app import api_client, data, health, visitor
from streamlit_app.components import formats
from streamlit_app.pages import PAGES, PageSpec
from streamlit_app.views.parts import ROLE_WORDS
from streamlit_app.visitor import Visitor
from tests.unit.streamlit_app.conftest import App, FakeReader, small_book
from tests.unit.streamlit_app.operations_server import operations

PEOPLE = [role for role in Role if role is not Role.SERVICE]
CODES = {
    *formats.STATUS_WORDS,
    *formats.SEVERITY_WORDS,
    *formats.REASON_WORDS,
    *formats.METHOD_WORDS,
    *formats.ESTIMATOR_WORDS,
    *(kind.value for kind in Kind),
    *("awaiting_approval", "in_progress", "not_ready", "heartbeat_old", "could_not_run", "insufficient_history"),
}
# Single words read the same in prose.
CODE = re.compile(r"(?<![\w.-])(?:" + "|".join(sorted(each for each in CODES if "_" in each)) + r")(?![\w.-])")


class AnyReader(FakeReader):
    """Answers what it knows from its book, and every other query with no row."""

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        try:
            return super().query(sql, parameters)
        except KeyError:
            return []


@pytest.fixture
def book() -> FakeReader:
    """The small book, for queries of every page."""
    return AnyReader(**vars(small_book()))


@pytest.fixture
def pages(app: App, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[App]:
    """The app with an API, a Dagster and a PostgreSQL that are away."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        away = f"http://127.0.0.1:{taken.getsockname()[1]}"
        settings = Settings(
            state_dir=tmp_path, api_url=away, dagster_url=away, app_assertion_key=SecretStr("an-assertion-key-of-tests")
        )
        monkeypatch.setattr(data, "load_settings", lambda: settings)
        monkeypatch.setattr(api_client, "process_settings", lambda: settings)
        monkeypatch.setattr(health, "ask_beats", _away)
        monkeypatch.setattr(health, "ask_mirrors", _away)
        yield app


def _away() -> Any:
    raise NotReadyError("PostgreSQL does not answer (OperationalError).")


def _open(app: App, page: PageSpec) -> AppTest:
    """The app's own script at the page's address; AppTest names no pages that are functions."""
    app.at._page_hash = calc_hash("" if page is PAGES[0] else page.path)
    app.at.run()
    return app.at


def _said(at: AppTest) -> str:
    """Everything that the page says, without tags and without what stands as code."""
    told: list[str] = []
    for element in at.main:
        if element.type == "bidi_component":
            message = json.loads(element.proto.mixed.json or element.proto.json)
            told += [html for _, html in message.get("sections", [])]
        else:
            told.append(str(getattr(element, "value", "") or getattr(element.proto, "body", "") or ""))
            told += [str(getattr(element, name, "") or "") for name in ("label", "help", "placeholder")]
            told += [str(option) for option in getattr(element, "options", [])]
    without_code = re.sub(r"<(code|style|script)\b.*?</\1>|`[^`]*`", " ", " ".join(told), flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", without_code)).split())


def _check(at: AppTest, page: PageSpec, role: Role) -> None:
    assert not at.exception, (page.title, at.exception)
    assert [title.value for title in at.title] == [page.title]
    said = _said(at)
    assert f"ann, {ROLE_WORDS.get(role.value, role.value.capitalize())}" in said, page.title
    assert "Sign out" in said
    assert not CODE.findall(said), (page.title, CODE.findall(said))
    # A page that only has its head tells nothing.
    assert len(said) > 100, (page.title, said)


@pytest.mark.parametrize("role", PEOPLE)
def test_every_page__is_shown_exactly_to_whom_it_is_for(
    pages: App, role: Role, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(visitor, "current", lambda: Visitor("ann", role))
    for page in PAGES:
        at = _open(pages, page)
        if role in page.roles:
            _check(at, page, role)
        else:
            assert [title.value for title in at.title] == [PAGES[0].title], page.title


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OFFICER])
def test_every_page__without_any_data_says_so(pages: App, role: Role, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(visitor, "current", lambda: Visitor("ann", role))
    vars(pages.reader).update(vars(AnyReader()))
    for page in PAGES:
        if role in page.roles:
            _check(_open(pages, page), page, role)


def test_every_page__while_the_warehouse_is_away_says_so(pages: App) -> None:
    pages.reader.error = NotReadyError("did not answer")
    for page in PAGES:
        at = _open(pages, page)
        _check(at, page, Role.OFFICER)
        assert re.search(r"Connecting|does not answer|did not answer|cannot be asked", _said(at)), page.title


def test_every_page__in_case_of_a_refusal_says_so_in_words(pages: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """The API lets nobody through: each page says that, and none breaks."""
    with operations() as server:
        refusing = Settings(api_url=server.url, app_assertion_key=SecretStr("an-assertion-key-of-tests"))
        monkeypatch.setattr(api_client, "process_settings", lambda: refusing)
        for page in PAGES:
            _check(_open(pages, page), page, Role.OFFICER)


def test_service__has_no_page_of_persons() -> None:
    assert all(Role.SERVICE not in page.roles for page in PAGES if page.group == "Compliance")
