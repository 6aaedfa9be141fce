"""A deposit from a listed wallet: the gate blocks it, two people release it, and only then does the position change."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from importlib import import_module

from rich.table import Table
from sqlalchemy import Engine, text

from assets.risk import queries
from compliance import cases
from compliance.aml.admission import direction_of
from compliance.api.services import Services, build_services
from compliance.chain import verify
from compliance.model import Actor, AmlResult, Decision, Role, Transaction
from infra.embedded.compliance_ground import SANCTIONED_WALLET
from infra.embedded.demo.stage import Demo
from infra.embedded.demo.tables import price
from infra.embedded.errors import EmbeddedError
from infra.embedded.market import current_prices
from infra.runtime.ids import stable_id
from infra.runtime.postgres import postgres_engine
from ingest.messages import Kind, SettlementEvent, Side
from ingest.simulation.market import STABLE

ANALYST, OFFICER = Actor("analyst", Role.ANALYST), Actor("officer", Role.OFFICER)
ASSET, CHAIN, QUANTITY = "ETH", "ethereum", Decimal("2.5")
POSITION_TIMEOUT_S = 30.0
PROPOSED = "The wallet belongs to the customer: a signed message proves it, and the list names another owner since May."
APPROVED = "Proof seen in the file of the case; released, the account stays under watch."

# Decisions and steps of the case in one list, as they were recorded.
_TRAIL = text(
    """
    select at, actor, 'decision: ' || outcome as what, reason as because, hash, 0 as part, sequence
    from compliance.decisions
    where subject_kind = 'transaction' and subject_id = :transaction_id
    union all
    select
        at,
        actor,
        'case: ' || kind as what,
        coalesce(body ->> 'reason', body #>> '{changes,proposal,new,reason}', body ->> 'title', '') as because,
        hash,
        1 as part,
        sequence
    from compliance.case_events
    where case_id = :case_id
    order by at, part desc, sequence
    """
)


@dataclass(frozen=True, slots=True)
class TrailStep:
    """One entry of the record: who did what, when and why, and the hash that chains it to the one before."""

    at: datetime
    actor: str
    what: str
    because: str
    hash: str


def load_libraries() -> None:
    """Load what matches names, which takes seconds, while the demo waits for something else."""
    import_module("compliance.screening.service")


def show_gate(demo: Demo) -> None:
    """Send the deposit, decide on it as two people would, and print the record; ends when the position has changed."""
    engine = postgres_engine(demo.settings, "demo")
    services = build_services(demo.settings, engine, demo.clock)
    try:
        account = queries.account_ids(demo.warehouse, 1)[0]
        prices = current_prices(demo.settings)
        asset = ASSET if ASSET in prices else min(prices.keys() - set(STABLE))
        amount_usd = (prices[asset] * QUANTITY).quantize(Decimal("1e-9"))
        before = position(demo, account, asset)
        event = deposit(account, asset, demo.clock.now())
        demo.console.print(
            f"\n[bold]{account} deposits {QUANTITY} {asset}[/] from a wallet on the sanctions list (fictional)",
            highlight=False,
        )
        with demo.step("the gate blocks the deposit, an analyst proposes its release, an officer approves"):
            blocked = check(services, event, amount_usd)
            release(services, engine, blocked)
        with demo.step("the released deposit reaches the book"):
            after = _wait_for_position(demo, account, asset, before)
        demo.console.print(
            f"     {account} holds {price(after)} {asset} of collateral, {price(before)} before: nothing of it counted "
            "until it was released",
            highlight=False,
        )
        demo.console.print(trail_table(read_trail(engine, blocked), blocked.transaction_id))
        with engine.connect() as connection:
            report = verify(connection)
        rows = sum(state.rows for state in report.chains.values())
        demo.console.print(f"     ledger verified: {rows} entries, each follows from the one before", highlight=False)
    finally:
        services.close()
        engine.dispose()


def deposit(account: str, asset: str, at: datetime) -> SettlementEvent:
    """The settlement event of the deposit."""
    event_id = stable_id("ev", "demo", account, at.isoformat())
    return SettlementEvent(
        event_id=event_id,
        account_id=account,
        asset=asset,
        side=Side.COLLATERAL,
        kind=Kind.DEPOSIT,
        quantity=QUANTITY,
        occurred_at=at,
        chain=CHAIN,
        tx_hash=stable_id("tx", event_id),
        counterparty_address=SANCTIONED_WALLET,
        counterparty_country="CH",
    )


def check(services: Services, event: SettlementEvent, amount_usd: Decimal) -> AmlResult:
    """The gate's decision; raises `EmbeddedError` where it lets a listed wallet pass."""
    transaction = Transaction(
        transaction_id=event.event_id,
        account_id=event.account_id,
        direction=direction_of(event),
        kind=event.kind.value,
        side=event.side.value,
        asset=event.asset,
        quantity=event.quantity,
        amount_usd=amount_usd,
        chain=event.chain,
        occurred_at=event.occurred_at,
        counterparty_address=event.counterparty_address,
        counterparty_country=event.counterparty_country,
        has_travel_rule_data=True,
        is_self_hosted=False,
    )
    result = services.gate.check(transaction, event.model_dump(mode="json"))
    if result.decision is not Decision.BLOCKED or result.case_id is None:
        raise EmbeddedError(f"A deposit from a listed wallet was {result.decision} instead of blocked: {result.reason}")
    return result


def release(services: Services, engine: Engine, blocked: AmlResult) -> AmlResult:
    """Close the case by four eyes and release its transaction."""
    assert blocked.case_id is not None
    clock = services.clock
    with engine.begin() as connection:
        case = cases.read_case(connection, blocked.case_id)
        case = cases.assign(
            connection, case.case_id, version=case.version, assignee=ANALYST.name, actor=ANALYST, at=clock.now()
        )
        case = cases.propose(
            connection,
            case.case_id,
            version=case.version,
            outcome=Decision.RELEASED.value,
            reason=PROPOSED,
            actor=ANALYST,
            at=clock.now(),
        )
    with engine.begin() as connection:
        cases.approve(connection, case.case_id, version=case.version, reason=APPROVED, actor=OFFICER, at=clock.now())
    return services.gate.resolve(blocked.transaction_id, Decision.RELEASED, OFFICER, APPROVED)


def position(demo: Demo, account: str, asset: str) -> Decimal:
    """The account's collateral in the asset now."""
    held = queries.account_exposures(demo.warehouse, account)
    return sum((each.quantity for each in held if (each.asset, each.side) == (asset, "collateral")), Decimal(0))


def read_trail(engine: Engine, result: AmlResult) -> list[TrailStep]:
    """What the record holds of a transaction and its case, oldest first."""
    values = {"transaction_id": result.transaction_id, "case_id": result.case_id}
    with engine.connect() as connection:
        rows = connection.execute(_TRAIL, values).all()
    return [TrailStep(row.at, row.actor, row.what, row.because, row.hash) for row in rows]


def trail_table(steps: Sequence[TrailStep], transaction_id: str) -> Table:
    """The record as a table."""
    table = Table(title=f"Decided: {transaction_id}", title_justify="left", title_style="bold", pad_edge=False)
    for name in ("at (UTC)", "who", "what", "because", "hash"):
        table.add_column(name, no_wrap=name != "because")
    for step in steps:
        table.add_row(f"{step.at:%H:%M:%S.%f}"[:12], step.actor, step.what, step.because, step.hash[:10])
    return table


def _wait_for_position(demo: Demo, account: str, asset: str, before: Decimal) -> Decimal:
    deadline = time.monotonic() + POSITION_TIMEOUT_S
    while (after := position(demo, account, asset)) == before:
        if time.monotonic() > deadline:
            raise EmbeddedError(
                f"The released deposit did not arrive in {POSITION_TIMEOUT_S:.0f} s: "
                f"see `compliance-worker` and `consumer` in {demo.stack.state.logs}."
            )
        time.sleep(0.2)
    return after
