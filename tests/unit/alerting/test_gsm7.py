"""The GSM 7-bit alphabet: what is kept, what is replaced, and how many segments a text takes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerting.gsm7 import is_gsm7, segments, septets, to_gsm7


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain 29.5% < 30%", "plain 29.5% < 30%"),
        ("äöüÄÖÜß ñÑ é è à ù ì ò Ç ¿¡ § £ ¥ @", "äöüÄÖÜß ñÑ é è à ù ì ò Ç ¿¡ § £ ¥ @"),
        ("á í ó ú ç Á Í Ó Ú ê", "a i o u c A I O U e"),
        ("garant\u0069\u0301a, e\u0301", "garantia, é"),
        (
            "\u201ctwo\u201d \u201eLow\u201c \u2018one\u2019 \u00abangle\u00bb `tick`",
            '"two" "Low" \'one\' "angle" \'tick\'',
        ),
        ("1\u20132 \u2014 \u22123 \u2026", "1-2 - -3 ..."),
        ("1\u00a0234\u202f567\t8", "1 234 567 8"),
        ("\u2264 \u2265 \u2192 \u00bd \ufb01 \u00d7", "<= >= -> 1/2 fi x"),
        ("\u0153uvre \u0141\u00f3d\u017a", "oeuvre Lodz"),
        ("a\u200bb\u202ec\x00d\x1be", "abcde"),
        ("€ [x] {y} ~ ^ | \\", "€ [x] {y} ~ ^ | \\"),
        ("\u6f22\u5b57 \u0416 \U0001f4a5", "?? ? ?"),
        ("line\u2028two\x85three", "line\ntwo\nthree"),
    ],
)
def test_to_gsm7__keeps_what_the_alphabet_has_and_replaces_the_rest(text: str, expected: str) -> None:
    assert to_gsm7(text) == expected
    assert is_gsm7(expected)


@given(st.text())
def test_to_gsm7__gives_gsm7_for_any_text_and_changes_nothing_twice(text: str) -> None:
    once = to_gsm7(text)
    assert is_gsm7(once)
    assert to_gsm7(once) == once


@pytest.mark.parametrize(
    ("text", "length", "count"),
    [
        ("", 0, 0),
        ("a" * 160, 160, 1),
        ("a" * 161, 161, 2),
        ("a" * 306, 306, 2),
        ("a" * 307, 307, 3),
        ("€" * 80, 160, 1),
        ("€" * 81, 162, 2),
        # 153 is odd: one septet of each segment stays empty rather than parting an escape from its character.
        ("€" * 152, 304, 2),
        ("€" * 153, 306, 3),
        ("a" * 152 + "€" + "a" * 152, 306, 3),
        ("a" * 151 + "€" + "a" * 153, 306, 2),
    ],
)
def test_segments__counts_septets_as_the_network_does(text: str, length: int, count: int) -> None:
    assert (septets(text), segments(text)) == (length, count)


def test_segments__refuses_a_text_that_would_go_out_in_ucs2() -> None:
    with pytest.raises(ValueError, match="not GSM-7"):
        segments("garantía")
