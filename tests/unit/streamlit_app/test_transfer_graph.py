"""The picture of transfers: every counterparty at its place, and unknown amounts not as small ones."""

from __future__ import annotations

import re
from decimal import Decimal

import pytest

from compliance.api.aml_schemas import GraphView
from streamlit_app.components import aml_words, transfer_graph
from tests.unit.streamlit_app import monitoring_answers as given


def graph_of(senders: int, receivers: int) -> GraphView:
    """The account with so many of each."""
    nodes = [given.node(number) for number in range(1, senders + receivers + 1)]
    edges = [given.edge(f"counterparty-{number}", "account", f"{number}00") for number in range(1, senders + 1)]
    edges += [
        given.edge("account", f"counterparty-{number}", f"{number}00")
        for number in range(senders + 1, senders + receivers + 1)
    ]
    return GraphView.model_validate(given.graph(*nodes, edges=edges))


@pytest.mark.parametrize(("senders", "receivers"), [(1, 0), (0, 1), (3, 2), (39, 0), (0, 39), (20, 19)])
def test_picture__holds_all_of_it_however_many_there_are(senders: int, receivers: int) -> None:
    svg = transfer_graph.graph_svg(graph_of(senders, receivers))
    width, height = map(float, re.findall(r'viewBox="0 0 (\d+) (\d+)"', svg)[0])
    places = [(float(x), float(y)) for x, y in re.findall(r'class="node" cx="([\d.-]+)" cy="([\d.-]+)"', svg)]
    assert len(places) == senders + receivers
    assert all(200 <= x <= width - 200 and 15 <= y <= height - 15 for x, y in places)
    assert sum(x < width / 2 for x, _ in places) == senders
    ordered = sorted(places)
    assert len(set(ordered)) == len(places)


def test_picture__of_nothing_is_none() -> None:
    assert transfer_graph.graph_svg(GraphView.model_validate(given.graph(edges=[]))) == ""


def test_picture__widens_lines_with_the_amount_and_breaks_unknown_ones() -> None:
    edges = [
        given.edge("counterparty-1", "account", "100"),
        given.edge("counterparty-2", "account", "10000"),
        given.edge("account", "counterparty-2", None, unpriced=1),
    ]
    svg = transfer_graph.graph_svg(GraphView.model_validate(given.graph(given.node(1), given.node(2), edges=edges)))
    lines = re.findall(r'stroke-width="([\d.]+)"( stroke-dasharray="2 5")?', svg)
    assert [(float(width), bool(dashes)) for width, dashes in lines] == [(2.2, False), (9.0, False), (1.5, True)]


def test_party__stands_by_what_it_did_more() -> None:
    edges = [given.edge("counterparty-1", "account", "5"), given.edge("account", "counterparty-1", "6")]
    (party,) = transfer_graph.parties(GraphView.model_validate(given.graph(given.node(1), edges=edges)))
    assert not party.is_sender
    assert party.came is not None
    assert party.came.amount_usd == Decimal(5)


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("amount_usd", "1234.5", "1,234.50 USD"),
        ("amount_usd_limit", "9000", "9,000.00 USD"),
        ("out_pct", "80", "80%"),
        ("idle_days", 180, "180 days"),
        ("within_hours", "1", "1 hour"),
        ("last_activity_at", "2026-03-02T12:00:00+00:00", "2026-03-02 12:00:00 UTC"),
        ("last_activity_at", "none", "none"),
        ("count_24h", "3", "3"),
        ("amount_usd", "unknown", "unknown"),
    ],
)
def test_figure__has_the_unit_that_its_name_tells(name: str, value: object, shown: str) -> None:
    assert aml_words.figure(name, value) == shown


@pytest.mark.parametrize(
    ("kind", "value", "shown"),
    [
        ("usd", "10000", "10,000.00 USD"),
        ("usd_list", "1000, 3000.5", "1,000.00 USD, 3,000.50 USD"),
        ("pct", "90", "90%"),
        ("multiple", "3.0", "3 times"),
        ("hours", "24", "24 hours"),
        ("days", "1", "1 day"),
        ("severity", "block", "Blocks"),
        ("text_list", "crime.mixer", "crime.mixer"),
        ("count", "10", "10"),
    ],
)
def test_parameter__has_its_unit(kind: str, value: str, shown: str) -> None:
    assert aml_words.parameter(kind, value) == shown
