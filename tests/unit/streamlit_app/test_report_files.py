"""The exports as files: CSV that no spreadsheet misreads, and a PDF with the same bytes for the same content."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from assets.risk import account_queries
from infra.runtime.errors import NotReadyError
from streamlit_app.reports import content, csv_files, documents
from streamlit_app.reports.content import UnknownAccountError
from streamlit_app.reports.pdf import printable
from tests.unit.streamlit_app.account_book import NOW, AccountBook


@pytest.fixture
def reader(book: Any) -> AccountBook:
    return AccountBook(book)


def _read(data: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline="")))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (True, "true"),
        (7, "7"),
        (Decimal("-0.000000001"), "-0.000000001"),
        (Decimal("1E+3"), "1000"),
        (Decimal("63046.325970353"), "63046.325970353"),
        (datetime(2026, 3, 2, 12, 0, 0, 5, tzinfo=UTC), "2026-03-02T12:00:00.000005Z"),
        (date(2026, 3, 1), "2026-03-01"),
        ("acct-1", "acct-1"),
        ("=1+1", "'=1+1"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@x", "'@x"),
        ("\t=1", "'\t=1"),
        ("\r=1", "'\r=1"),
    ],
)
def test_cell__is_exact_and_never_a_formula(value: csv_files.Value, text: str) -> None:
    assert csv_files.cell(value) == text


def test_lines__quote_and_end_as_the_standard_says() -> None:
    assert csv_files.lines([("a,b", 'c"d', "e\nf"), ("\u20ac", None, 1)]) == (
        '"a,b","c""d","e\nf"\r\n\u20ac,,1\r\n'.encode()
    )


def test_book_csv__has_every_account_with_units_and_the_moment(reader: AccountBook) -> None:
    data = b"".join(csv_files.book_csv(reader, NOW))
    assert data.startswith(b"\xef\xbb\xbfas_of_utc,measured_at_utc,account_id,")
    rows = _read(data)
    assert [row["account_id"] for row in rows] == ["acct-00001", "acct-00002", "acct-00003"]
    assert {row["as_of_utc"] for row in rows} == {"2026-03-02T12:34:56Z"}
    assert (rows[0]["health_pct"], rows[0]["collateral_usd"]) == ("58.25", "158250.0000")
    assert (rows[2]["status"], rows[2]["health_pct"]) == ("no_debt", "")


def test_book_csv__reads_page_by_page(reader: AccountBook, monkeypatch: pytest.MonkeyPatch) -> None:
    pages = [len(page) for page in account_queries.book_pages(reader, 2)]
    assert pages == [2, 1]
    assert [given["after_account_id"] for _sql, given in reader.asked] == ["", "acct-00002"]


def test_account_csv__has_a_row_for_each_position_with_its_triggers(reader: AccountBook) -> None:
    rows = _read(b"".join(csv_files.account_csv(reader, "acct-00001", NOW)))
    assert [(row["asset"], row["side"]) for row in rows] == [
        ("BTC", "collateral"),
        ("SOL", "collateral"),
        ("USDC", "borrow"),
    ]
    assert (rows[0]["quantity_units"], rows[0]["price_usd"]) == ("1.5", "70000")
    assert (rows[0]["margin_call_price_usd"], rows[0]["liquidation_price_usd"]) == ("65000", "57500")
    assert (rows[1]["margin_call_price_usd"], rows[1]["margin_call_price_reason"]) == ("", "covered_without_asset")


def test_account_csv__of_an_account_without_positions_has_one_row(reader: AccountBook) -> None:
    rows = _read(b"".join(csv_files.account_csv(reader, "acct-00003", NOW)))
    assert [(row["account_id"], row["asset"]) for row in rows] == [("acct-00003", "")]


def test_account_csv__of_an_unknown_account_is_refused(reader: AccountBook) -> None:
    with pytest.raises(UnknownAccountError, match="acct-9 has no position"):
        list(csv_files.account_csv(reader, "acct-9", NOW))


def test_content__with_a_part_that_fails_is_no_content(reader: AccountBook) -> None:
    reader.base.errors[account_queries.OWN_THRESHOLDS_SQL] = NotReadyError("away")
    with pytest.raises(NotReadyError):
        content.read_account(reader, "acct-00001", NOW)


@pytest.fixture
def words(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every text that is put on paper."""
    said: list[str] = []

    def heard(text: str) -> str:
        said.append(text)
        return printable(text)

    monkeypatch.setattr("streamlit_app.reports.pdf.printable", heard)
    return said


def test_book_pdf__says_first_what_is_not_to_be_relied_upon(
    reader: AccountBook, words: list[str], health_row: Any
) -> None:
    reader.base.accounts.append(health_row("acct-00009", "44", "unpriced", unpriced_assets="SOL"))
    reader.base.positions["acct-00001"][1] |= {"price_status": "stale", "price_age_seconds": 7200}
    made = documents.book_pdf(content.read_book(reader, NOW))
    assert made.startswith(b"%PDF-")
    said = "\n".join(words)
    caveat = said.index("1 account is unpriced")
    assert caveat < said.index("Collateral")
    assert "SOL has no current price; the last is 2 h old." in said
    assert said.index("made up, not on a market") < said.index("Collateral")
    assert "UNPRICED: NOT CURRENT" in said
    assert "As of 2026-03-02 12:34:56 UTC" in said
    for part in ("Accounts nearest to margin call", "last 44.00%", "No figure: SOL has 120 of 500 returns"):
        assert part in said


def test_account_pdf__carries_figures_and_who_set_the_thresholds(reader: AccountBook, words: list[str]) -> None:
    reader.thresholds = [
        {"margin_call_pct": Decimal(30), "set_at": NOW, "set_by": "dana \u4e2d", "reason": None},
    ]
    documents.account_pdf(content.read_account(reader, "acct-00001", NOW))
    said = "\n".join(words)
    for part in (
        "58.25%",
        "250 SOL",
        "65,000.00 USD, \u22127.1% from now",
        "dana",
        "5,100.10 USD (5,000.10 to 5,300.10)",
    ):
        assert part in said
    assert "UNPRICED" not in said


@pytest.mark.parametrize("account_id", ["acct-00002", "acct-00003"])
def test_account_pdf__is_made_for_accounts_of_every_kind(reader: AccountBook, account_id: str) -> None:
    assert documents.account_pdf(content.read_account(reader, account_id, NOW)).startswith(b"%PDF-")


def test_pdf__has_page_numbers_on_every_page_of_a_long_report(reader: AccountBook, health_row: Any) -> None:
    reader.base.accounts = [health_row(f"acct-{number:05}", "40", "healthy") for number in range(60)]
    made = documents.book_pdf(content.read_book(reader, NOW))
    assert made.count(b"/Type /Page\n") >= 2


def test_pdf__has_the_same_bytes_for_the_same_content(reader: AccountBook) -> None:
    found = content.read_account(reader, "acct-00001", NOW)
    assert documents.account_pdf(found) == documents.account_pdf(found)


def test_pdf__has_the_same_bytes_in_another_process() -> None:
    script = (
        "import hashlib, datetime as d\n"
        "from streamlit_app.reports.pdf import Columns, Report\n"
        "r = Report('T', d.datetime(2026, 3, 2, tzinfo=d.UTC), ['M'])\n"
        "r.heading('T'); r.caveats(['\\u20ac \\u2212 \\u00b1']); r.rows(Columns(('A', 'B'), (1, 1)), [('1', '2')])\n"
        "print(hashlib.sha256(bytes(r.output())).hexdigest())\n"
    )
    made = [
        subprocess.run(
            [sys.executable, "-c", script],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        ).stdout
        for seed in ("1", "2")
    ]
    assert made[0] == made[1]
    assert made[0]


def test_printable__marks_what_the_fonts_lack() -> None:
    assert (
        printable("\u2212 \u00b1 \u20ac \u017e \u0416 \u03b1 \u2022 \u2026")
        == "\u2212 \u00b1 \u20ac \u017e \u0416 \u03b1 \u2022 \u2026"
    )
    assert printable("a\u4e2db\nc") == "a\ufffdb\ufffdc"
