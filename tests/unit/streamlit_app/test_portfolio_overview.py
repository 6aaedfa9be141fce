"""The page in each of its states, under Streamlit's AppTest."""

from __future__ import annotations

from decimal import Decimal
from html import unescape

import pytest

from assets.risk import queries
from infra.runtime.errors import NotReadyError, WarehouseError

HOSTILE = '<img src=x"y onerror=alert(1)>'
ABSENT = WarehouseError("BigQuery refused a statement: Not found: Table ballast:risk.margin_health was not found")


def test_book__shows_totals_statuses_and_simulation(app) -> None:
    app.open()
    words = app.words()
    assert not app.at.exception
    assert "287,150.00 USD" not in words
    collateral = sum(row["collateral_usd"] for row in app.reader.accounts)
    assert f"Collateral {collateral:,.2f} USD" in words
    assert "Borrow 200,000.00 USD" in words
    assert "Equity" in words
    assert "3 accounts" in words
    assert "Margin call 1" in words
    assert "simulated" in words
    assert "Data as of 12:34:56 UTC" in words


def test_book__lists_the_nearest_accounts_with_buttons(app) -> None:
    app.open()
    nearest = app.parts()["nearest"]["html"]
    for account_id in ("acct-00001", "acct-00002", "acct-00003"):
        assert f'data-account="{account_id}"' in nearest
    assert "Margin call at BTC 65,000.00 USD" in nearest


def test_book__with_an_unpriced_account_is_itself_unpriced(app, health_row) -> None:
    app.reader.accounts.insert(0, health_row("acct-00009", "44", "unpriced", unpriced_assets="SOL"))
    app.open()
    gauge = app.parts()["gauge"]["html"]
    assert "url(#hatch)" in gauge
    assert "1 account is unpriced" in app.words()
    assert "Margin health Unpriced" in app.words()


def test_var__shows_the_estimate_and_the_reason_where_there_is_none(app) -> None:
    app.open()
    words = app.parts()["var"]["html"]
    for part in ("95%", "1 day", "5,100.10 USD", "k-th worst loss", "2026-03-01", "simulated", "500 days"):
        assert part in words
    assert "No figure" in words
    assert "SOL has 120 of 500 returns" in words


def test_var__shows_the_interval_as_far_as_the_sample_bounds_it(app) -> None:
    first, second = app.reader.estimates
    second |= first | {"confidence": Decimal("0.999"), "tail_observations": 1, "var_upper_usd": None}
    app.open()
    words = app.parts()["var"]["html"]
    for part in ("5,000.10 to 5,300.10", "99.9%", "Worst of 500 days", "at least 5,000.10 USD", "95% confidence"):
        assert part in words


def test_var__of_a_fallback_shows_figure_and_reason_and_never_the_method_it_stands_in_for(app) -> None:
    reason = "199 common returns, for NEW has 199 of 500 returns"
    stands_in = {"method": "ewma_delta_normal", "estimator": "normal_closed_form", "is_fallback": True}
    for row in app.reader.estimates:
        row |= stands_in | {"var_usd": Decimal("5100.10"), "es_usd": Decimal("7000.2"), "reason": reason}
    app.open()
    words = app.parts()["var"]["html"]
    for part in ("5,100.10 USD", "7,000.20 USD", "Fallback: EWMA delta-normal", reason, "EWMA delta-normal (fallback)"):
        assert part in words
    for part in ("Historical simulation", "No figure", "worst of"):
        assert part not in words


def test_book__without_accounts_says_what_to_do(app) -> None:
    app.reader.accounts.clear()
    app.open()
    assert list(app.parts()) == ["state"]
    assert "No accounts yet." in app.words()
    assert "ballast up" in app.words()


def test_book__before_the_marts_are_built_says_what_to_run(app) -> None:
    app.reader.error = ABSENT
    app.open()
    assert list(app.parts()) == ["state"]
    assert "The marts are not built yet: run the risk_daily_job in Dagster" in app.words()


def test_book__shows_itself_as_soon_as_the_marts_are_there(app) -> None:
    app.reader.error = ABSENT
    app.open()
    app.reader.error = None
    app.run(seconds_later=2)
    assert "totals" in app.parts()


def test_book__that_was_never_read_says_that_it_connects(app) -> None:
    app.reader.error = NotReadyError("http://127.0.0.1 did not answer within 3 s")
    app.open()
    assert list(app.parts()) == ["state"]
    assert "Connecting" in app.words()


@pytest.mark.parametrize("error", [NotReadyError("did not answer"), ConnectionRefusedError("refused")])
def test_book__marks_old_figures_while_the_warehouse_is_away_and_recovers(app, error: Exception) -> None:
    app.open()
    app.reader.error = error
    app.run(seconds_later=40)
    parts = app.parts()
    assert "Connecting" in app.words()
    assert "Data as of 12:34:56 UTC" in app.words()
    assert parts["freshness"]["ages"]["data"] == 40
    for key in ("freshness", "totals", "gauge", "nearest", "assets", "events"):
        assert parts[key]["is_old"], key
    app.reader.error = None
    app.run(seconds_later=5)
    assert "BigQuery does not answer" not in app.words()
    assert "Data as of 12:35:41 UTC" in app.words()
    assert not any(part["is_old"] for part in app.parts().values())


def test_book__prices_age_while_the_warehouse_is_away(app) -> None:
    app.open()
    app.reader.error = NotReadyError("did not answer")
    app.run(seconds_later=40)
    assert app.parts()["freshness"]["ages"]["price"] == 130


def test_book__a_refusal_is_shown_and_the_figures_are_old(app) -> None:
    app.open()
    app.reader.error = WarehouseError("BigQuery refused a statement: Quota exceeded <b>")
    app.run(seconds_later=40)
    assert "Quota exceeded" in app.words()
    assert "<b>" not in app.parts()["banner"]["html"]
    assert app.parts()["totals"]["is_old"]


def test_book__a_part_that_is_not_there_does_not_hide_the_others(app) -> None:
    app.reader.errors[queries.MARGIN_EVENTS_SQL] = WarehouseError("Not found: Table ballast:risk.margin_events")
    app.reader.errors[queries.BOOK_VAR_SQL] = WarehouseError("Not found: Table ballast:risk.book_var")
    app.open()
    assert "risk.margin_events is not there yet" in app.words()
    assert "risk.book_var is not there yet" in app.words()
    assert "Borrow 200,000.00 USD" in app.words()
    assert not app.parts()["totals"]["is_old"]


def test_book__next_triggers_that_cannot_be_read_are_unknown(app) -> None:
    app.reader.errors[queries.LIQUIDATION_PRICES_SQL] = WarehouseError("Quota exceeded")
    app.open()
    assert "trigger prices not read" in app.parts()["nearest"]["html"]


def test_account__opens_by_its_link_with_positions_and_triggers(app) -> None:
    app.at.query_params["account"] = "acct-00001"
    app.open()
    words = app.words()
    assert app.at.selectbox[0].value == "acct-00001"
    assert "250 SOL" in words
    assert "65,000.00 USD \u22127.1% from now" in words
    assert "the other collateral covers the debt" in words
    assert "Margin call below 30%, liquidation below 15%; a call ends at 32%." in words
    assert "58.25%" in words


def test_account__chosen_in_the_selector_goes_into_the_address(app) -> None:
    app.open()
    app.at.selectbox[0].set_value("acct-00001").run()
    assert app.at.query_params["account"] in ("acct-00001", ["acct-00001"])
    assert "acct-00001" in app.parts()["account_head"]["html"]
    app.at.selectbox[0].set_value("").run()
    assert "account" not in app.at.query_params
    assert "nearest" in app.parts()


def test_account__that_is_unpriced_names_the_asset_and_the_age(app, health_row, exposure_row) -> None:
    stale = {"price_status": "stale", "price_age_seconds": 7200}
    app.reader.accounts = [health_row("acct-00009", "44", "unpriced", unpriced_assets="SOL")]
    app.reader.positions = {"acct-00009": [exposure_row("acct-00009", "SOL", "collateral", "10", "150", **stale)]}
    app.at.query_params["account"] = "acct-00009"
    app.open()
    words = app.words()
    assert "Unpriced: SOL stale, last price 2 h old" in words
    assert "last value 44.00%" in words
    assert "Healthy" not in app.parts()["account_head"]["html"]
    assert "at the last price" in app.parts()["assets"]["html"]


def test_account__without_debt_says_so(app) -> None:
    app.at.query_params["account"] = "acct-00003"
    app.open()
    assert "owes nothing" in app.words()
    assert "Margin health No debt" in app.words()


def test_account__above_the_scale_shows_its_number(app, health_row) -> None:
    app.reader.accounts = [health_row("acct-00009", "148.2", "healthy")]
    app.at.query_params["account"] = "acct-00009"
    app.open()
    assert "148.20%" in app.words()
    assert "above the scale" in app.words()


@pytest.mark.parametrize("account_id", ["acct-99999", HOSTILE])
def test_account__unknown_is_said_and_never_taken_as_markup(app, account_id: str) -> None:
    app.at.query_params["account"] = account_id
    app.open()
    assert f"{account_id} has no position." in unescape(app.html())
    assert "<img" not in app.html()


@pytest.mark.parametrize("opened", ["", HOSTILE])
def test_page__takes_nothing_from_data_as_markup(app, health_row, exposure_row, opened: str) -> None:
    app.reader.accounts = [health_row(HOSTILE, "44", "unpriced", unpriced_assets=HOSTILE)]
    app.reader.positions = {HOSTILE: [exposure_row(HOSTILE, HOSTILE, "collateral", "10", "150", price_status=HOSTILE)]}
    triggers = app.reader.triggers.pop("acct-00001")
    app.reader.triggers[HOSTILE] = [
        row | {"account_id": HOSTILE, "asset": HOSTILE, "reason": HOSTILE} for row in triggers
    ]
    for row in (*app.reader.events, *app.reader.estimates):
        text_columns = ("account_id", "severity", "estimator", "price_set_id", "reason")
        row |= {name: HOSTILE for name in text_columns if name in row}
    app.at.query_params["account"] = opened
    app.open()
    assert not app.at.exception
    assert {"gauge", "assets", "events", "var"} <= set(app.parts())
    assert "<img" not in app.html()
    assert 'x"y' not in app.html()


def test_account__negative_position_and_degraded_price_are_marked(app, health_row, exposure_row) -> None:
    app.reader.accounts = [
        health_row("acct-00009", "44", "healthy", has_negative_position=True, has_degraded_price=True)
    ]
    app.reader.positions = {"acct-00009": [exposure_row("acct-00009", "SOL", "collateral", "-10", "150")]}
    app.at.query_params["account"] = "acct-00009"
    app.open()
    assert "degraded price" in app.words()
    assert "an event may be missing" in app.words()


def test_page__sessions_share_one_read(app) -> None:
    app.open()
    asked = list(app.reader.asked)
    for _ in range(3):
        assert "totals" in app.another_session().parts()
    assert app.reader.asked == asked


def test_page__a_later_run_reads_again(app) -> None:
    app.open()
    asked = app.reader.asked.count(queries.BOOK_SUMMARY_SQL)
    app.run(seconds_later=1)
    assert app.reader.asked.count(queries.BOOK_SUMMARY_SQL) > asked


def test_page__figures_that_are_not_simulated_do_not_say_so(app) -> None:
    for rows in (app.reader.accounts, app.reader.estimates, app.reader.events, *app.reader.positions.values()):
        for row in rows:
            row["is_simulated"] = False
    for row in app.reader.triggers["acct-00001"]:
        row["is_simulated"] = False
    app.at.query_params["account"] = "acct-00001"
    app.open()
    assert Decimal("58.25") == app.reader.accounts[1]["health_pct"]
    assert "simulated" not in app.words().replace("simulated-42", "")
