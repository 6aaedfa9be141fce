"""The transfers around a transaction: a picture of who sent and received, and the same in a table.

The account stands in the middle; who sent more than they received stands at its left, the others at its right. The
width of a line is by amount, its arrow says which way value went, and shapes mark who stands on a list.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from html import escape

from compliance.api.aml_schemas import EdgeView, GraphView, NodeView
from streamlit_app.components import formats, markup
from streamlit_app.components.markup import Cell, Column, text

ACCOUNT = "account"
WIDTH, CENTRE_X, REACH = 960.0, 480.0, 190.0
ROW, MARGIN, LEAST_HEIGHT = 25.0, 40.0, 220.0
THINNEST, THICKEST = 1.5, 9.0
NODE, ARROW = 7.0, 7.0


@dataclass(frozen=True)
class Party:
    """A counterparty with what it sent (`came`) and what it received (`left`)."""

    node: NodeView
    came: EdgeView | None
    left: EdgeView | None

    @property
    def is_sender(self) -> bool:
        """Whether more came from it than went to it; of unknown amounts, whether anything came."""
        came, left = _usd(self.came), _usd(self.left)
        return came > left or (came == left and self.came is not None)

    @property
    def name(self) -> str:
        """How it is called: its address as far as the reader may see it."""
        if self.node.address is None:
            return "address not known"
        return self.node.address.masked


def parties(graph: GraphView) -> tuple[Party, ...]:
    """The counterparties in the order of the API: that of the transaction first, then by amount."""
    came = {edge.source: edge for edge in graph.edges if edge.target == ACCOUNT}
    left = {edge.target: edge for edge in graph.edges if edge.source == ACCOUNT}
    return tuple(
        Party(node, came.get(node.node_id), left.get(node.node_id)) for node in graph.nodes if node.kind != ACCOUNT
    )


def graph_svg(graph: GraphView) -> str:
    """The picture; nothing where the week has no transfer."""
    found = parties(graph)
    if not found:
        return ""
    senders = [party for party in found if party.is_sender]
    receivers = [party for party in found if not party.is_sender]
    height = max(LEAST_HEIGHT, ROW * (max(len(senders), len(receivers)) - 1) + 2 * MARGIN)
    most = max((_usd(edge) for edge in graph.edges), default=Decimal(0))
    middle = height / 2
    drawn = _side(senders, -1, height, most) + _side(receivers, 1, height, most)
    account = next((node.account_id for node in graph.nodes if node.kind == ACCOUNT), None) or ""
    return (
        '<div class="wide" tabindex="0" role="region" aria-label="Picture of the transfers">'
        f'<svg class="graph" viewBox="0 0 {WIDTH:.0f} {height:.0f}" role="img" aria-label="{escape(summary(graph))}">'
        f'{drawn}<circle class="node account" cx="{CENTRE_X:.0f}" cy="{middle:.1f}" r="11"/>'
        f'<text class="strong" x="{CENTRE_X:.0f}" y="{middle + 28:.1f}" text-anchor="middle">{escape(account)}</text>'
        "</svg></div>"
    )


def summary(graph: GraphView) -> str:
    """The picture in words."""
    found = parties(graph)
    came = sum((_usd(party.came) for party in found), Decimal(0))
    left = sum((_usd(party.left) for party in found), Decimal(0))
    listed = sum(1 for party in found if party.node.is_listed)
    mixers = sum(1 for party in found if party.node.is_mixer)
    unpriced = sum(edge.unpriced for edge in graph.edges)
    known = "" if not unpriced else f" {formats.count(unpriced, 'transfer')} without a price are not in these sums."
    more = "" if not graph.more_counterparties else f" {_more(graph)}"
    return (
        f"{formats.count(len(found), 'counterparty', 'counterparties')} within 7 days: {formats.usd(came)} came in, "
        f"{formats.usd(left)} went out; {listed} on a list, {mixers} as a mixer.{known}{more}"
    )


def keys_html() -> str:
    """What the lines and shapes mean."""
    return markup.note(
        "Blue lines with arrows to the middle: value that came in. Orange lines with arrows outwards: value that went "
        "out. Thicker is more. Square: on a list; diamond: a mixer; broken outline: nobody can tell. A ring marks the "
        "counterparty of this transaction."
    )


def transfers_table(graph: GraphView) -> str:
    """The same as a table."""
    columns = (
        Column("Counterparty"),
        Column("Marks"),
        Column("Came in", True),
        Column("Went out", True),
        Column("Keyed hash"),
    )
    rows = [
        (
            Cell(escape(_whole(party)), "of this transaction" if party.node.is_of_transaction else ""),
            Cell(_marks(party.node)),
            _amount(party.came),
            _amount(party.left),
            Cell(f'<code class="clip">{escape(_hash(party.node))}</code>'),
        )
        for party in parties(graph)
    ]
    more = markup.note(_more(graph)) if graph.more_counterparties else ""
    return markup.table("Transfers of the 7 days until the transaction, by counterparty", columns, rows) + more


def _side(found: Sequence[Party], sign: int, height: float, most: Decimal) -> str:
    middle = height / 2
    first = middle - ROW * (len(found) - 1) / 2
    bend = max(height, LEAST_HEIGHT) * 0.75
    shapes = []
    for place, party in enumerate(found):
        y = first + ROW * place
        x = CENTRE_X + sign * REACH * math.sqrt(1 - ((y - middle) / bend) ** 2)
        both = party.came is not None and party.left is not None
        edges = _line(party, party.came, (x, y), (CENTRE_X, middle), most, -4.0 if both else 0.0, "in")
        edges += _line(party, party.left, (CENTRE_X, middle), (x, y), most, -4.0 if both else 0.0, "out")
        shapes.append(edges + _node(party, x, y, sign))
    return "".join(shapes)


def _line(
    party: Party,
    edge: EdgeView | None,
    start: tuple[float, float],
    end: tuple[float, float],
    most: Decimal,
    aside: float,
    way: str,
) -> str:
    """A line with its arrow; two lines of a pair stand a little aside of each other."""
    if edge is None:
        return ""
    length = math.hypot(end[0] - start[0], end[1] - start[1])
    ux, uy = (end[0] - start[0]) / length, (end[1] - start[1]) / length
    dx, dy = -uy * aside, ux * aside
    x1, y1, x2, y2 = start[0] + dx, start[1] + dy, end[0] + dx, end[1] + dy
    share = float(_usd(edge) / most) if most > 0 else 0.0
    width = THINNEST + (THICKEST - THINNEST) * math.sqrt(share)
    size = ARROW + width / 2
    ax, ay = x1 + (x2 - x1) * 0.55, y1 + (y2 - y1) * 0.55
    points = (
        (ax + ux * size, ay + uy * size),
        (ax - ux * size / 2 - uy * size * 0.7, ay - uy * size / 2 + ux * size * 0.7),
        (ax - ux * size / 2 + uy * size * 0.7, ay - uy * size / 2 - ux * size * 0.7),
    )
    # A sum that is not known is no thin line.
    dashes = ' stroke-dasharray="2 5"' if edge.amount_usd is None else ""
    arrow = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    said = f"{'From' if way == 'in' else 'To'} {party.name}: {_amount_words(edge)}"
    return (
        f'<g class="edge-{way}"><title>{escape(said)}</title>'
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke-width="{width:.1f}"{dashes}/>'
        f'<polygon points="{arrow}"/></g>'
    )


def _node(party: Party, x: float, y: float, sign: int) -> str:
    node = party.node
    kinds = ["node"]
    if node.is_listed:
        kinds.append("listed")
    elif node.is_mixer:
        kinds.append("mixer")
    elif node.is_listed is None:
        kinds.append("not-known")
    kind = " ".join(kinds)
    if node.is_listed:
        shape = f'<rect class="{kind}" x="{x - NODE:.1f}" y="{y - NODE:.1f}" width="{2 * NODE}" height="{2 * NODE}"/>'
    elif node.is_mixer:
        corners = f"{x:.1f},{y - 9:.1f} {x + 9:.1f},{y:.1f} {x:.1f},{y + 9:.1f} {x - 9:.1f},{y:.1f}"
        shape = f'<polygon class="{kind}" points="{corners}"/>'
    else:
        shape = f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="{NODE}"/>'
    ring = f'<circle class="ring" cx="{x:.1f}" cy="{y:.1f}" r="13"/>' if node.is_of_transaction else ""
    anchor = "end" if sign < 0 else "start"
    strong = ' class="strong"' if node.is_of_transaction else ""
    marks = "".join(f", {word}" for word, is_so in (("listed", node.is_listed), ("mixer", node.is_mixer)) if is_so)
    edge = party.came if party.is_sender else party.left
    amount = formats.usd(edge.amount_usd) if edge is not None and edge.amount_usd is not None else "amount unknown"
    return (
        f'{shape}{ring}<text x="{x + sign * 18:.1f}" y="{y + 4:.1f}" text-anchor="{anchor}"{strong}>'
        f'{escape(party.name)}{marks} <tspan class="soft">{escape(amount)}</tspan></text>'
    )


def _marks(node: NodeView) -> str:
    marks = ""
    if node.is_listed:
        marks += markup.tag("liquidation", "on a list")
    if node.is_mixer:
        marks += markup.tag("degraded", "mixer")
    if node.is_listed is None:
        marks += markup.tag("stale", "lists not known")
    elif node.is_mixer is None:
        marks += markup.tag("stale", "mixers not known", "No active list names mixers, or no policy says what one is.")
    if node.lists:
        marks += f'<span class="small muted">{escape(", ".join(node.lists))}</span>'
    return f'<span class="tags">{marks or "not on an active list"}</span>'


def _amount(edge: EdgeView | None) -> Cell:
    if edge is None:
        return text("nothing")
    known = formats.usd(edge.amount_usd) if edge.amount_usd is not None else "amount unknown"
    return text(known, _counts(edge))


def _amount_words(edge: EdgeView) -> str:
    known = formats.usd(edge.amount_usd) if edge.amount_usd is not None else "amount unknown"
    return f"{known}, {_counts(edge)}"


def _counts(edge: EdgeView) -> str:
    said = [formats.count(edge.transfers, "transfer")]
    if edge.stopped:
        said.append(f"{edge.stopped:,} of them stopped")
    if edge.unpriced:
        said.append(f"{edge.unpriced:,} without a price")
    return ", ".join(said)


def _more(graph: GraphView) -> str:
    count = formats.count(graph.more_counterparties, "smaller counterparty is", "smaller counterparties are")
    worth = "" if graph.more_amount_usd is None else f", worth {formats.usd(graph.more_amount_usd)} together"
    return f"{count} not shown{worth}."


def _whole(party: Party) -> str:
    address = party.node.address
    return party.name if address is None or address.address is None else address.address


def _hash(node: NodeView) -> str:
    if node.address is None:
        return "none"
    return node.address.keyed_hash[:16] if node.address.keyed_hash else "no key"


def _usd(edge: EdgeView | None) -> Decimal:
    return Decimal(0) if edge is None or edge.amount_usd is None else edge.amount_usd
