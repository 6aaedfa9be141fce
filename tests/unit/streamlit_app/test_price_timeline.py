"""Spans of price quality from periods and silence, and their picture."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets.market_data.price_quality_queries import Period
from streamlit_app.components.oracle_timeline import Quality, shares_html, spans, timeline_html

SINCE = datetime(2026, 3, 1, tzinfo=UTC)
NOW = SINCE + timedelta(hours=10)
SILENCE = timedelta(minutes=5)


def _period(quality: str, began: float, last: float, reason: str | None = None) -> Period:
    return Period("BTC", quality, SINCE + timedelta(minutes=began), SINCE + timedelta(minutes=last), 3, reason)


@pytest.mark.parametrize(
    ("periods", "expected"),
    [
        ([], [("silent", 0, 600)]),
        ([("ok", 1, 599)], [("ok", 0, 600)]),
        ([("ok", 60, 599)], [("silent", 0, 60), ("ok", 60, 600)]),
        (
            [("ok", 1, 100), ("degraded", 102, 200), ("ok", 201, 599)],
            [("ok", 0, 102), ("degraded", 102, 201), ("ok", 201, 600)],
        ),
        ([("ok", 1, 100), ("ok", 130, 599)], [("ok", 0, 100), ("silent", 100, 130), ("ok", 130, 600)]),
        ([("ok", 1, 100), ("missing", 103, 103)], [("ok", 0, 103), ("missing", 103, 103), ("silent", 103, 600)]),
        ([("ok", 1, 595)], [("ok", 0, 600)]),
        ([("ok", 1, 594)], [("ok", 0, 594), ("silent", 594, 600)]),
    ],
)
def test_spans__a_price_holds_until_the_next_or_into_silence(
    periods: list[tuple[str, float, float]], expected: list[tuple[str, float, float]]
) -> None:
    found = spans([_period(*each) for each in reversed(periods)], ["BTC"], SINCE, NOW, SILENCE)["BTC"]
    minute = timedelta(minutes=1)
    assert [
        (each.quality, (each.began_at - SINCE) / minute, (each.ended_at - SINCE) / minute) for each in found
    ] == expected
    assert [each.is_open for each in found] == [False] * (len(found) - 1) + [True]


@given(
    st.lists(
        st.tuples(st.sampled_from(["ok", "degraded", "missing"]), st.integers(0, 40), st.integers(0, 40)), max_size=12
    )
)
def test_spans__cover_all_the_time_once(steps: list[tuple[str, int, int]]) -> None:
    at, periods = 0, []
    for quality, gap, length in steps:
        if at + gap + length <= 600:
            periods.append(_period(quality, at + gap, at + gap + length))
            at += gap + length
    found = spans(periods, ["BTC"], SINCE, NOW, SILENCE)["BTC"]
    assert found[0].began_at == SINCE
    assert found[-1].ended_at == NOW
    assert all(one.ended_at == following.began_at for one, following in pairwise(found))


def test_timeline__draws_what_cannot_be_seen_apart_once() -> None:
    flapping = [
        _period("degraded" if number % 2 else "ok", number * 0.01, number * 0.01 + 0.005) for number in range(400)
    ]
    html = timeline_html(spans(flapping, [], SINCE, NOW, SILENCE), SINCE, NOW)
    assert html.count('<i title="') < 20
    assert "Degraded for" in html


def test_timeline__says_quality_time_and_reason_at_the_pointer() -> None:
    found = spans([_period("ok", 0, 100), _period("degraded", 101, 160, '<b "x">')], [], SINCE, NOW, SILENCE)
    html = timeline_html(found, SINCE, NOW)
    assert 'title="BTC: Degraded for 59 min from 2026-03-01 01:41:00 UTC; &lt;b &quot;x&quot;&gt;"' in html
    assert "left:16.83%;width:9.83%" in html
    assert "<b" not in html


def test_shares__sum_to_the_whole() -> None:
    found = spans([_period("ok", 0, 300), _period("degraded", 301, 599)], [], SINCE, NOW, SILENCE)
    html = shares_html(found)
    for part in ("50.2%", "49.8%", "0.0%", "4 h 59 min so far"):
        assert part in html
    assert {each.quality for each in found["BTC"]} == {Quality.OK, Quality.DEGRADED}
