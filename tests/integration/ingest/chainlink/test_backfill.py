"""Past rounds of recorded prices, read back from a chain that replayed them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from infra.embedded.chain.addresses import MULTICALL
from infra.embedded.chain.models import FailureMode, RawRound
from infra.embedded.chain.replay import RecordedRound, load_rounds, replay
from infra.runtime.settings import PROJECT_ROOT
from ingest.errors import FeedTableError
from ingest.prices.chainlink.rounds import RoundId

RECORDED = PROJECT_ROOT.parent / "shared" / "data" / "chainlink" / "ETH_USD_rounds.csv"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def recorded(served_chain) -> list[RecordedRound]:
    """The first sixty recorded rounds, the answer 0 among them, written to the chain in a phase of their own."""
    if not RECORDED.is_file():
        pytest.skip(f"{RECORDED.name} is not in ../shared/data: the recorded rounds are not part of the project")
    rounds = load_rounds(RECORDED)[:60]
    served_chain.control.change_phase("ETH")
    assert replay(served_chain.control, "ETH", rounds) == 60
    return rounds


def _since(rounds, index):
    return datetime.fromtimestamp(rounds[index].updated_at, UTC)


@pytest.mark.parametrize("multicall", [MULTICALL, None])
def test_backfill__gives_recorded_rounds_exactly_and_in_order(served_chain, recorded, plain_source, multicall):
    found = plain_source(multicall=multicall).backfill("ETH", _since(recorded, 20), _since(recorded, 50))

    assert [tick.price_usd for tick in found.ticks] == [Decimal(each.answer) / 10**8 for each in recorded[20:51]]
    assert [int(tick.observed_at.timestamp()) for tick in found.ticks] == [each.updated_at for each in recorded[20:51]]
    ids = [RoundId.from_int(int(tick.reference)) for tick in found.ticks]
    assert [each.aggregator_round for each in ids] == list(range(21, 52))
    assert (found.rejections, found.stopped_because) == ((), None)


def test_backfill__reports_the_answer_0_and_reads_on_before_the_phase(served_chain, recorded, plain_source):
    assert (recorded[0].answer, recorded[0].updated_at) == (0, 0)
    start = datetime.fromtimestamp(recorded[1].updated_at, UTC) - timedelta(days=1)
    found = plain_source().backfill("ETH", start)

    assert len(found.ticks) == 59
    assert [(each.code, RoundId.from_int(int(each.reference)).aggregator_round) for each in found.rejections] == [
        ("incomplete_round", 1)
    ]
    # The phase before has no rounds: the walk ends at the first phase.
    assert found.stopped_because == "the feed has no older rounds: its first phase is read to the end"


def test_backfill__crosses_phases_and_half_failing_requests(served_chain, plain_source):
    control = served_chain.control
    control.change_phase("BTC")
    first = int(control.state().assets["BTC"].phase)
    control.write_rounds([RawRound(asset="BTC", answer=100 + n, updated_at=1_700_000_000 + n) for n in range(3)])
    control.change_phase("BTC")
    control.write_rounds([RawRound(asset="BTC", answer=200, updated_at=1_700_000_100)])
    control.fail(FailureMode.HTTP_500, share=0.5, seed=3, lane="main")
    try:
        found = plain_source(["main", "second"]).backfill("BTC", datetime.fromtimestamp(1_700_000_001, UTC))
    finally:
        control.heal()

    assert [int(tick.price_usd * 10**8) for tick in found.ticks] == [101, 102, 200]
    phases = [RoundId.from_int(int(tick.reference)).phase for tick in found.ticks]
    assert phases == [first, first, first + 1]
    assert found.stopped_because is None


def test_backfill__of_an_asset_without_feed_says_so(plain_source):
    with pytest.raises(FeedTableError, match="no Chainlink feed for XRP"):
        plain_source().backfill("XRP", EPOCH)


def test_load_rounds__names_the_line_that_is_wrong(tmp_path: Path):
    file = tmp_path / "rounds.csv"
    file.write_text("round_id,answer,started_at,updated_at,answered_in_round\n2,5,1,1,2\n1,x,1,1,1\n")
    with pytest.raises(Exception, match=r"rounds.csv, line 3: no recorded round"):
        load_rounds(file)


def test_replay__waits_as_recorded_divided_by_the_speed(served_chain):
    waits: list[float] = []
    rounds = [RecordedRound(1, 0, 0), RecordedRound(2, 100, 1_700_000_000), RecordedRound(3, 101, 1_700_003_600)]
    replay(served_chain.control, "USDC", rounds, speed=60, offset_s=5, sleep=waits.append)

    assert waits == [0, 0, 60]
    assert served_chain.control.state().assets["USDC"].updated_at == 1_700_003_605
