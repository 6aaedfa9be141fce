"""The navigation by role, and one theme for everything."""

from __future__ import annotations

import re

import pytest

from compliance.model import Role
from streamlit_app import pages
from streamlit_app.components import markup, theme
from streamlit_app.pages import PAGES, PageSpec, address_of, pages_for


def test_pages__have_distinct_addresses_that_the_server_knows() -> None:
    paths = [page.path for page in PAGES]
    assert len(set(paths)) == len(paths)
    assert all(re.fullmatch(r"[a-z][a-z0-9-]*", path) for path in paths)
    assert all(page.roles <= frozenset(Role) and page.roles for page in PAGES)


@pytest.mark.parametrize("role", list(Role))
def test_pages__every_role_sees_the_overview_first(role: Role) -> None:
    assert pages_for(role)[0] is PAGES[0]
    assert address_of(PAGES[0]) == "/app/"


def test_pages__of_other_roles_are_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    secret = PageSpec("Ledger", "ledger", pages.COMPLIANCE, lambda: None, frozenset({Role.AUDITOR}))
    monkeypatch.setattr(pages, "PAGES", (*PAGES, secret))
    assert secret in pages_for(Role.AUDITOR)
    assert secret not in pages_for(Role.OFFICER)
    assert address_of(secret, case="a b&c") == "/app/ledger?case=a+b%26c"


def test_app__says_who_is_signed_in_and_the_way_out(app) -> None:
    app.open()
    assert not app.at.exception
    assert app.at.title[0].value == "Portfolio overview"
    head = "".join(element.proto.body for element in app.at.get("html"))
    assert "ann, Officer" in head
    assert "/sign-out" in head


def test_theme__gives_the_light_page_the_colours_of_streamlits_pages() -> None:
    css = theme.light_page_css()
    used = set(re.findall(r"var\((--st-[a-z-]+)\)", css))
    light, dark = css.split("@media(prefers-color-scheme:dark)", 1)
    dark = dark.split("}}", 1)[0]
    for name in used - {"--st-font", "--st-code-font"}:
        assert f"{name}:#" in light, name
        assert f"{name}:#" in dark, name
    assert css.count("{") == css.count("}")


def test_theme__shortening_changes_no_meaning() -> None:
    assert theme.shortened("a > b , c { d: e  f; }\n\n@media (x: y) { g { h: calc(1px + 2px); } }") == (
        "a>b,c{d: e f}@media (x: y){g{h: calc(1px + 2px)}}"
    )


def test_filled__writes_each_age_once_and_unknown_where_there_is_none() -> None:
    html = markup.age_span("data") + markup.age_span('x"<') + markup.age_span("none")
    assert re.sub("<[^>]+>", "|", markup.filled(html, {"data": 61, 'x"<': 5.9})) == "|1 min||5 s||unknown|"


def test_account_link__escapes_the_account() -> None:
    html = markup.account_link('a"b <c>&d')
    assert 'href="/app/?account=a%22b+%3Cc%3E%26d"' in html
    assert "<c>" not in html
