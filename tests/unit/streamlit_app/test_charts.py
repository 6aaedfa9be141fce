"""The small charts: what they draw, what they say, and that no data becomes markup."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from streamlit.testing.v1 import AppTest

from streamlit_app.components import charts

HOSTILE = '<img src=x"y onerror=alert(1)>'
numbers = st.floats(allow_nan=True, allow_infinity=True, width=32)


@given(st.lists(numbers, max_size=40))
def test_sparkline__lies_within_its_box(values: list[float]) -> None:
    svg = charts.sparkline(values, "s")
    for x, y in re.findall(r"(-?[\d.]+),(-?[\d.]+)", svg):
        assert 0 <= float(x) <= charts.SPARK_WIDTH
        assert 0 <= float(y) <= charts.SPARK_HEIGHT
    assert "nan" not in svg
    assert "inf" not in svg


@pytest.mark.parametrize("values", [[], [1.0], [float("nan"), 1.0]])
def test_sparkline__of_fewer_than_two_values_is_nothing(values: list[float]) -> None:
    assert charts.sparkline(values, "s") == ""


def test_sparkline__rises_where_the_values_do() -> None:
    points = re.findall(r"([\d.]+),([\d.]+)", charts.sparkline([1, 2, 4], "s"))
    heights = [float(y) for _, y in points]
    assert heights == sorted(heights, reverse=True)


@pytest.mark.parametrize(
    "svg",
    [
        charts.sparkline([1, 2], HOSTILE),
        charts.bars([(HOSTILE, 1.0, HOSTILE), ("b", -2.0, "w")], HOSTILE, colours={HOSTILE: HOSTILE}),
        charts.histogram([1, 0, 3], [HOSTILE, "m", "r"], HOSTILE, marked=2),
    ],
)
def test_charts__are_well_formed_and_speak_their_summary(svg: str) -> None:
    root = ElementTree.fromstring(svg)
    assert root.attrib["role"] == "img"
    assert root.attrib["aria-label"] == HOSTILE


def test_bars__below_zero_end_where_others_begin() -> None:
    root = ElementTree.fromstring(charts.bars([("up", 3.0, "3"), ("down", -1.0, "-1")], "s"))
    up, down = root.findall("rect")
    zero = float(up.attrib["x"])
    assert float(down.attrib["x"]) + float(down.attrib["width"]) == pytest.approx(zero, abs=0.2)
    assert float(up.attrib["width"]) == pytest.approx(3 * float(down.attrib["width"]), abs=0.5)


def test_bars_and_histogram__of_nothing_are_nothing() -> None:
    assert charts.bars([], "s") == ""
    assert charts.histogram([], [], "s") == ""
    assert charts.histogram([0, 0], [], "s") == ""


def test_histogram__marks_one_column() -> None:
    root = ElementTree.fromstring(charts.histogram([1, 4, 2], ["a", "b", "c"], "s", marked=1))
    rects = root.findall("rect")
    assert [rect.attrib.get("class") for rect in rects] == [None, "marked", None]
    heights = [float(rect.attrib["height"]) for rect in rects]
    assert heights[1] == max(heights)


def test_echarts__comes_with_title_summary_and_words_for_a_screen_reader() -> None:
    script = (
        "from streamlit_app.components import charts\n"
        "option = {'xAxis': {'type': 'category'}, 'yAxis': {}, 'series': [{'type': 'bar', 'data': [1]}]}\n"
        "charts.echarts('loss', option, title='Losses', height=300, summary='One <b>bar</b>.')\n"
    )
    test = AppTest.from_string(script).run()
    assert not test.exception
    assert test.subheader[0].value == "Losses"
    assert "One &lt;b&gt;bar&lt;/b&gt;." in test.get("html")[0].proto.body
    chart = test.get("echarts_chart")[0].proto
    assert "Losses. One <b>bar</b>." in str(chart)
