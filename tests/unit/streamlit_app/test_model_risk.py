"""What questions the model: the cards of backtests, components and stress on the book's page."""

from __future__ import annotations

import pytest

from assets.risk import var_queries
from infra.runtime.errors import WarehouseError


def test_backtests__show_each_verdict_with_its_words(app) -> None:
    app.open()
    card = app.parts()["backtests"]["html"]
    for part in (
        "Does the model hold?",
        "99%, all days",
        "11 of 923 days",
        "9.2 expected",
        "coverage holds",
        "As forecast",
    ):
        assert part in card
    assert 'class="tag unpriced">Unknown' in card


@pytest.mark.parametrize(
    ("verdict", "look", "words"),
    [
        ("green", "healthy", "Holds"),
        ("amber", "margin_call", "Amber"),
        ("red", "liquidation", "Fails"),
        ("unknown", "unpriced", "Unknown"),
        ("purple", "unpriced", "Purple"),
    ],
)
def test_backtests__colour_of_the_history_stands_in_the_heading(app, verdict: str, look: str, words: str) -> None:
    app.reader.backtests[0]["verdict"] = verdict
    app.open()
    heading = app.parts()["backtests"]["html"].split('<div class="fades">')[0]
    known = verdict != "purple"
    assert f'class="tag {look}">{words if known else "Unknown"}' in heading


def test_backtests__worst_verdict_wins(app) -> None:
    red = app.reader.backtests[0] | {"verdict": "red", "period": "last_250_days", "verdict_reason": "red zone"}
    app.reader.backtests.append(red)
    app.open()
    card = app.parts()["backtests"]["html"]
    assert 'class="tag liquidation">Fails' in card.split('<div class="fades">')[0]
    assert "red zone" in card


def test_components__show_shares_that_sum_to_the_whole(app) -> None:
    app.open()
    card = app.parts()["components"]["html"]
    for part in ("BTC", "900.00 USD", "112.5%", "USDC", "\u221212.5%", "1 day, 99%"):
        assert part in card


def test_stress__unknown_is_never_zero(app) -> None:
    app.open()
    card = app.parts()["stress"]["html"]
    for part in ("March 2020", "shocks: closes, proxy", "1,234.00 USD", "3 of 3 accounts unknown: no shock of NEW"):
        assert part in card
    assert card.count("unknown") >= 5


def test_model__cards_say_what_is_not_built(app) -> None:
    absent = WarehouseError("BigQuery refused a statement: Not found: Table ballast:risk.var_backtests was not found")
    app.reader.errors[var_queries.BACKTESTS_SQL] = absent
    app.open()
    assert "risk.var_backtests is not there yet" in app.parts()["backtests"]["html"]
    assert "March 2020" in app.parts()["stress"]["html"]


def test_model__is_not_shown_for_an_account(app) -> None:
    app.open()
    app.at.query_params["account"] = "acct-00001"
    app.run()
    assert "backtests" not in app.parts()
