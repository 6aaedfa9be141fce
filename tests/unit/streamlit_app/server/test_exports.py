"""The exports behind the door: who gets them, what they are called, and that a failure is never half a file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from starlette.applications import Starlette

from assets.risk import account_queries, queries
from infra.runtime.clock import FixedClock
from infra.runtime.errors import NotReadyError, WarehouseError
from streamlit_app.server import exports
from streamlit_app.server.door import CookieIdentifier, Door
from streamlit_app.server.headers import SecurityHeaders
from streamlit_app.server.session import COOKIE, Sessions
from tests.unit.streamlit_app.account_book import AccountBook

APP_URL = "http://127.0.0.1:8601"
PATHS = ("/export/book.csv", "/export/book.pdf", "/export/account/acct-00001.csv", "/export/account/acct-00001.pdf")


@pytest.fixture
def reader(book: Any) -> AccountBook:
    return AccountBook(book)


@pytest.fixture
def app(reader: AccountBook, sessions: Sessions, clock: FixedClock) -> SecurityHeaders:
    inner = Starlette(routes=exports.routes(lambda: reader, clock))
    door = Door(inner, CookieIdentifier(sessions), sessions, APP_URL, frozenset())
    return SecurityHeaders(door, is_https=False)


@pytest.fixture
def cookie(sessions: Sessions) -> dict[str, str]:
    return {"Cookie": f"{COOKIE}={sessions.open('ann')}"}


@pytest.mark.parametrize("path", PATHS)
def test_exports__are_closed_to_strangers(ask: Any, app: SecurityHeaders, path: str) -> None:
    assert ask(app, path).status_code == 401


@pytest.mark.parametrize("name", ["ann", "bob", "cid", "dot", "eve"])
def test_exports__are_for_every_role_that_sees_the_page(
    ask: Any, app: SecurityHeaders, sessions: Sessions, name: str
) -> None:
    answer = ask(app, "/export/book.csv", headers={"Cookie": f"{COOKIE}={sessions.open(name)}"})
    assert answer.status_code == 200
    assert b"acct-00002" in answer.content


def test_exports__of_a_page_that_the_role_does_not_see_are_refused(
    ask: Any, app: SecurityHeaders, cookie: dict[str, str], reader: AccountBook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exports, "pages_for", lambda _role: exports.PAGES[:1])
    assert ask(app, "/export/account/acct-00001.csv", headers=cookie).status_code == 403
    assert not reader.asked
    assert ask(app, "/export/book.csv", headers=cookie).status_code == 200


@pytest.mark.parametrize(
    ("path", "kind", "start", "name"),
    [
        ("/export/book.csv", "text/csv; charset=utf-8; header=present", b"\xef\xbb\xbfas_of", "book-"),
        (
            "/export/account/acct-00001.csv",
            "text/csv; charset=utf-8; header=present",
            b"\xef\xbb\xbf",
            "account-acct-00001-",
        ),
        ("/export/account/acct-00001.pdf", "application/pdf", b"%PDF-", "account-acct-00001-"),
    ],
)
def test_exports__have_their_kind_a_name_with_the_moment_and_are_not_kept(
    ask: Any, app: SecurityHeaders, cookie: dict[str, str], path: str, kind: str, start: bytes, name: str
) -> None:
    answer = ask(app, path, headers=cookie)
    assert answer.headers["content-type"] == kind
    assert answer.content.startswith(start)
    assert int(answer.headers["content-length"]) == len(answer.content)
    ending = path.rpartition(".")[2]
    expected = f'attachment; filename="ballast-{name}2026-03-02T120000Z.{ending}"'
    assert answer.headers["content-disposition"] == expected
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/export/account/acct-99999.csv", "acct-99999 has no position"),
        ("/export/account/acct-99999.pdf", "acct-99999 has no position"),
        ("/export/account/acct-00001.xls", "There is no such export."),
        ("/export/account/%3Cb%3E.csv", "There is no such export."),
        ("/export/account/.csv", "There is no such export."),
        ("/export/book.xml", "There is no such export."),
    ],
)
def test_exports__of_what_is_not_there_say_so(
    ask: Any, app: SecurityHeaders, cookie: dict[str, str], path: str, words: str
) -> None:
    answer = ask(app, path, headers=cookie)
    assert answer.status_code == 404
    assert words in answer.text
    assert "content-disposition" not in answer.headers


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("error", "words"),
    [
        (NotReadyError("http://secret-host did not answer"), "BigQuery does not answer, so there is no file."),
        (WarehouseError("Quota exceeded for secret-project"), "BigQuery refused to answer, so there is no file."),
        (WarehouseError("Not found: Table ballast:risk.margin_health"), "The marts are not built yet"),
    ],
)
def test_exports__without_the_warehouse_are_words_and_no_file(
    ask: Any, app: SecurityHeaders, cookie: dict[str, str], reader: AccountBook, path: str, error: Exception, words: str
) -> None:
    reader.base.error = error
    answer = ask(app, path, headers=cookie)
    assert answer.status_code == 503
    assert words in answer.text
    assert "secret" not in answer.text
    assert f'href="{path}"' in answer.text
    assert "content-disposition" not in answer.headers


def test_exports__that_fail_between_two_pages_are_no_half_file(
    ask: Any,
    app: SecurityHeaders,
    cookie: dict[str, str],
    reader: AccountBook,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def one_page(source: AccountBook) -> Any:
        yield queries.read_rows(source, queries.MarginHealth, account_queries.BOOK_PAGE_SQL, _FIRST)
        raise NotReadyError("away")

    monkeypatch.setattr(account_queries, "book_pages", one_page)
    answer = ask(app, "/export/book.csv", headers=cookie)
    assert answer.status_code == 503
    assert "acct-0000" not in answer.text


_FIRST: Mapping[str, Any] = {"after_account_id": "", "max_rows": 2}


def test_exports__of_a_large_book_come_whole(
    ask: Any, app: SecurityHeaders, cookie: dict[str, str], reader: AccountBook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exports, "IN_MEMORY_BYTES", 100)
    monkeypatch.setattr(exports, "CHUNK_BYTES", 64)
    answer = ask(app, "/export/book.csv", headers=cookie)
    assert len(answer.content) > 640
    assert answer.text.count("\r\n") == 1 + len(reader.base.accounts)
