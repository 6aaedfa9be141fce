"""One transaction with all that is recorded about it, put together for people."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, RowMapping, text

from compliance.aml import gate_store
from compliance.aml.errors import TransactionUnknownError
from compliance.aml.features import basis_of, transaction_of
from compliance.aml.record import results_of
from compliance.api.aml_schemas import AddressView, EdgeView, GraphView, NodeView, TransactionCase, TransactionFile
from compliance.api.masking import Masker
from compliance.api.transaction_schemas import RuleView
from compliance.api.transfers_store import Marks, Transfers, read_marks, read_transfers
from compliance.model import Direction
from compliance.policy.model import Policy

ACCOUNT_NODE = "account"
_OWN = (
    *("transaction_id", "account_id", "direction", "kind", "side", "asset", "quantity", "amount_usd", "chain"),
    *("occurred_at", "received_at", "published_at", "counterparty_country", "is_settled_unasked", "decision"),
    *("decision_reason", "decided_at", "policy_version"),
)
_CASE = text("select case_id, state, priority, outcome, assignee from compliance.cases where case_id = :case_id")


def transaction_file(
    connection: Connection, transaction_id: str, masker: Masker, policy: Policy | None
) -> TransactionFile:
    """The transaction as readers see it; `policy` says which topics are mixers, None: nobody can tell.

    Raises `TransactionUnknownError`.
    """
    row = gate_store.read(connection, transaction_id)
    if row is None:
        raise TransactionUnknownError(f"There is no transaction {transaction_id}.")
    judgement = gate_store.read_judgement(connection, transaction_id)
    case = None
    if row["case_id"] is not None:
        case = connection.execute(_CASE, {"case_id": row["case_id"]}).mappings().one_or_none()
    address = row["counterparty_address"]
    transfers = read_transfers(connection, row["account_id"], address, row["occurred_at"])
    results = [] if judgement is None else results_of(judgement["evidence"])
    return TransactionFile(
        **{name: row[name] for name in _OWN},
        **transaction_of(row).stated,
        counterparty=_shown(masker, address),
        list_versions=dict(row["list_versions"] or {}),
        results=[RuleView.model_validate(result) for result in results],
        case=None if case is None else TransactionCase.model_validate(dict(case)),
        graph=_graph(connection, row, transfers, masker, policy),
    )


def _graph(
    connection: Connection, row: RowMapping, transfers: Transfers, masker: Masker, policy: Policy | None
) -> GraphView:
    places: dict[int, str | None] = {edge["place"]: edge["counterparty_address"] for edge in transfers.edges}
    addresses = [address for address in places.values() if address is not None]
    topics = None if policy is None else basis_of(policy).mixer_topics
    marks = read_marks(connection, addresses, topics)
    account = NodeView(
        node_id=ACCOUNT_NODE,
        kind="account",
        account_id=row["account_id"],
        address=None,
        is_of_transaction=False,
        is_listed=None,
        is_mixer=None,
        lists=[],
    )
    own = row["counterparty_address"]
    return GraphView(
        since=transfers.since,
        until=transfers.until,
        nodes=[account, *(_node(place, address, own, marks, masker) for place, address in places.items())],
        edges=[_edge(edge) for edge in transfers.edges],
        more_counterparties=transfers.more_counterparties,
        more_amount_usd=transfers.more_amount_usd,
    )


def _node(place: int, address: str | None, own: str | None, marks: Mapping[str, Marks], masker: Masker) -> NodeView:
    found = Marks() if address is None else marks[address]
    return NodeView(
        node_id=_node_id(place),
        kind="unknown_counterparty" if address is None else "counterparty",
        account_id=None,
        address=_shown(masker, address),
        is_of_transaction=address == own,
        is_listed=found.is_listed,
        is_mixer=found.is_mixer,
        lists=list(found.lists),
    )


def _edge(row: RowMapping) -> EdgeView:
    ends = (_node_id(row["place"]), ACCOUNT_NODE)
    source, target = ends if row["direction"] == Direction.IN else ends[::-1]
    return EdgeView(
        source=source,
        target=target,
        transfers=row["transfers"],
        stopped=row["stopped"],
        unpriced=row["unpriced"],
        amount_usd=row["amount_usd"],
    )


def _node_id(place: int) -> str:
    return f"counterparty-{place}"


def _shown(masker: Masker, address: str | None) -> AddressView | None:
    return None if address is None else AddressView.model_validate(masker.show(address))
