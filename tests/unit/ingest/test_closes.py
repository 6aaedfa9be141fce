"""A folder of closes is taken whole or not at all, and every fault is named with its file and line."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from infra.runtime.clock import FixedClock
from infra.runtime.settings import Settings
from ingest import closes as closes_module
from ingest.closes import Close, load_price_set, price_set, read_closes
from ingest.errors import PriceFileError
from ingest.market import collect_book, collect_closes
from ingest.messages import SIMULATED
from ingest.simulation.market import STABLE, write_closes

DAY = date(2026, 1, 30)
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes `<name>` with the lines under the header (or the bytes as they are) and returns the folder."""

    def make(name: str = "BTC.csv", *lines: str, header: str = "date,close_usd", raw: bytes | None = None) -> Path:
        content = raw if raw is not None else "\n".join([header, *lines]).encode()
        (tmp_path / name).write_bytes(content)
        return tmp_path

    return make


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (["2026-01-30"], "BTC.csv:2: 1 columns where 2"),
        (["2026-01-30,1,2"], "BTC.csv:2: 3 columns where 2"),
        (["30.01.2026,1"], "BTC.csv:2: date '30.01.2026' is not a day"),
        (["2026-02-30,1"], "BTC.csv:2: date '2026-02-30' is not a day"),
        (["2026-01-30,1", "2026-01-31,one"], "BTC.csv:3: close_usd 'one' is not a number"),
        (["2026-01-30,"], "BTC.csv:2: close_usd '' is not a number"),
        (["2026-01-30,NaN"], "BTC.csv:2: close_usd 'NaN' is not a positive price"),
        (["2026-01-30,sNaN"], "BTC.csv:2: close_usd 'sNaN' is not a positive price"),
        (["2026-01-30,Infinity"], "BTC.csv:2: close_usd 'Infinity' is not a positive price"),
        (["2026-01-30,-1"], "BTC.csv:2: close_usd '-1' is not a positive price"),
        (["2026-01-30,0"], "BTC.csv:2: close_usd '0' is not a positive price"),
        (["2026-01-30,1e15"], "BTC.csv:2: close_usd '1e15' is not a positive price"),
        (["2026-01-30,1e999999"], "BTC.csv:2: close_usd '1e999999' is not a positive price"),
        (["2026-01-30,1e-10"], "BTC.csv:2: close_usd '1e-10' is below 0.000000001"),
        (["2026-01-30,1e-999999"], "BTC.csv:2: close_usd '1e-999999' is below"),
        (["2026-01-30,1", "2026-01-30,1"], "BTC.csv:3: 2026-01-30 stands twice"),
        ([], "BTC.csv: holds no closes"),
    ],
)
def test_read__names_file_line_and_fault(write: Write, lines: list[str], told: str) -> None:
    write("ETH.csv", "2026-01-30,2400")
    with pytest.raises(PriceFileError) as refused:
        read_closes(write("BTC.csv", *lines))
    assert told in refused.value.message
    assert refused.value.message.startswith("Nothing was loaded")


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (b"", "BTC.csv:1: the header must be date,close_usd"),
        (b"date;close_usd\n2026-01-30;1\n", "BTC.csv:1: the header must be"),
        (b"2026-01-30,1\n", "BTC.csv:1: the header must be"),
        (b"date,close_usd\n2026-01-30,\xff\n", "BTC.csv: cannot be read as CSV"),
        (b'date,close_usd\n2026-01-30,"' + b"1" * 140_000 + b'"\n', "BTC.csv: cannot be read as CSV"),
    ],
)
def test_read__refuses_what_is_no_such_csv(write: Write, raw: bytes, told: str) -> None:
    with pytest.raises(PriceFileError) as refused:
        read_closes(write("BTC.csv", raw=raw))
    assert told in refused.value.message


@pytest.mark.parametrize("name", ["btc.csv", "BTC-USD.csv", "B.csv", "1INCH.csv", "ABCDEFGHIJKLM.csv"])
def test_read__refuses_a_name_that_is_no_symbol(write: Write, name: str) -> None:
    with pytest.raises(PriceFileError, match="symbol in capitals"):
        read_closes(write(name, "2026-01-30,1"))


def test_read__refuses_a_missing_and_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(PriceFileError, match="is not a folder"):
        read_closes(tmp_path / "none")
    with pytest.raises(PriceFileError, match=r"holds no \.csv file"):
        read_closes(tmp_path)


def test_read__tells_the_first_twenty_faults_and_how_many_more(write: Write) -> None:
    with pytest.raises(PriceFileError) as refused:
        read_closes(write("BTC.csv", *["x,1"] * 25))
    assert refused.value.message.count("BTC.csv:") == 20
    assert refused.value.message.endswith("and 5 more")


def test_read__takes_a_byte_order_mark_blank_lines_blanks_and_windows_lines(write: Write) -> None:
    raw = b"\xef\xbb\xbfdate, close_usd\r\n\r\n2026-01-29, 1.5\r\n2026-01-30,2\r\n"
    assert read_closes(write("BTC.csv", raw=raw)) == [
        Close("BTC", date(2026, 1, 29), Decimal("1.500000000"), "csv"),
        Close("BTC", DAY, Decimal("2.000000000"), "csv"),
    ]


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("0.0000000005", None),
        ("0.0000000015", "0.000000002"),
        ("999999999999999.999999999", "999999999999999.999999999"),
    ],
)
def test_read__rounds_half_to_even_at_nine_decimals(write: Write, text: str, kept: str | None) -> None:
    folder = write("BTC.csv", f"2026-01-30,{text}")
    if kept is None:
        with pytest.raises(PriceFileError, match="below"):
            read_closes(folder)
    else:
        assert format(read_closes(folder)[0].close_usd, "f") == kept


def test_write__is_read_back_unchanged(tmp_path: Path) -> None:
    closes = [Close("BTC", DAY, Decimal("65000.123456789"), "csv"), Close("ETH", DAY, Decimal("2E+3"), "csv")]
    write_closes(closes, tmp_path)
    assert read_closes(tmp_path) == closes


def close(asset: str = "BTC", day: date = DAY, usd: str = "1", source: str = "csv") -> Close:
    return Close(asset, day, Decimal(usd), source)


def test_price_set__id_depends_on_every_close_and_not_on_their_order() -> None:
    base = [close(), close("ETH")]
    same = price_set(base).price_set_id
    assert price_set(base[::-1]).price_set_id == same
    others = [
        [close()],
        [close(usd="2"), close("ETH")],
        [close(day=date(2026, 1, 29)), close("ETH")],
        [close(source=SIMULATED), close("ETH")],
        [close("SOL"), close("ETH")],
    ]
    ids = {price_set(other).price_set_id for other in others}
    assert len(ids | {same}) == 6
    assert all(text.startswith("px-") and len(text) == 19 for text in ids)


def test_price_set__refuses_none_and_a_day_twice() -> None:
    with pytest.raises(PriceFileError, match="no closes"):
        price_set([])
    with pytest.raises(PriceFileError, match="BTC has two closes for 2026-01-30"):
        price_set([close(usd="1"), close(usd="2")])


def test_price_set__last_date_is_the_last_that_all_assets_have() -> None:
    found = price_set([close(day=date(2026, 1, 29)), close("ETH", date(2026, 1, 29), "3"), close("ETH", DAY, "4")])
    assert found.last_date == date(2026, 1, 29)
    assert found.last_closes()["ETH"].close_usd == 3
    assert found.assets == ("BTC", "ETH")


class Tables:
    """Keeps appended rows and answers the two questions of the loader."""

    def __init__(self) -> None:
        self.closes: list[Mapping[str, Any]] = []
        self.sets: list[Mapping[str, Any]] = []
        self.fails_after: int | None = None

    def append(self, table_id: str, rows: Sequence[Mapping[str, Any]]) -> None:
        if table_id == "raw.daily_closes":
            if self.fails_after is not None and len(self.closes) >= self.fails_after:
                raise ConnectionError("killed")
            self.closes += rows
        else:
            self.sets += rows

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        if parameters:
            wanted = parameters["price_set_id"]
            return [{"activations": sum(row["price_set_id"] == wanted for row in self.sets)}]
        latest = sorted(self.sets, key=lambda row: row["activated_at"])
        return [dict(latest[-1])] if latest else []


@pytest.fixture
def clock(now: datetime) -> FixedClock:
    return FixedClock(now)


def test_load__writes_closes_then_the_activation_and_only_once(clock: FixedClock) -> None:
    warehouse: Any = Tables()
    found = price_set([close(), close("USDC", source=SIMULATED)])
    assert load_price_set(warehouse, found, clock) is True
    assert load_price_set(warehouse, found, clock) is False
    assert len(warehouse.closes) == 2
    assert [row["price_set_id"] for row in warehouse.sets] == [found.price_set_id]
    assert json.loads(warehouse.sets[0]["simulated_assets"]) == ["USDC"]


def test_load__that_was_killed_is_not_active_and_is_repeated(
    clock: FixedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(closes_module, "LOAD_CHUNK_ROWS", 1)
    warehouse: Any = Tables()
    warehouse.fails_after = 1
    found = price_set([close(), close("ETH")])
    with pytest.raises(ConnectionError):
        load_price_set(warehouse, found, clock)
    assert warehouse.sets == []
    warehouse.fails_after = None
    seen: list[tuple[int, int]] = []
    assert load_price_set(warehouse, found, clock, lambda done, total: seen.append((done, total)))
    assert seen == [(1, 2), (2, 2)]
    assert {row["asset"] for row in warehouse.closes} == {"BTC", "ETH"}


def test_load__of_an_earlier_set_activates_it_again_without_its_closes(clock: FixedClock) -> None:
    warehouse: Any = Tables()
    first, second = price_set([close(usd="1")]), price_set([close(usd="2")])
    for found in (first, second, first):
        assert load_price_set(warehouse, found, clock)
        clock.advance(timedelta(seconds=1))
    assert len(warehouse.closes) == 2
    assert closes_module.active_price_set_id(warehouse) == first.price_set_id


def test_collect__simulates_stablecoins_that_have_no_file_and_says_so(
    write: Write, tmp_path_factory: pytest.TempPathFactory, clock: FixedClock
) -> None:
    state = tmp_path_factory.mktemp("state")
    folder = write("BTC.csv", "2026-01-29,60000", "2026-01-30,61000")
    write("USDC.csv", "2026-01-29,1", "2026-01-30,0.9999")
    settings = Settings(state_dir=state, prices_dir=folder, book_accounts=5)
    found = collect_closes(settings, clock)
    assert set(found.assets) == {"BTC", *STABLE}
    assert found.simulated_assets == ("USDT",)
    assert found.last_closes()["BTC"].source == "csv"
    assert {file.name for file in (state / "simulated").iterdir()} == {"USDT.csv"}
    events = collect_book(settings, found)
    assert {event.asset for event in events} <= {"BTC", *STABLE}
    assert max(event.occurred_at for event in events).date() <= found.last_date


def test_collect__without_a_folder_simulates_up_to_yesterday(tmp_path: Path, clock: FixedClock) -> None:
    found = collect_closes(Settings(state_dir=tmp_path, prices_dir=None), clock)
    assert found.last_date == DAY
    assert found.simulated_assets == found.assets
    written = read_closes(tmp_path / "simulated", SIMULATED)
    assert price_set(written).price_set_id == found.price_set_id
