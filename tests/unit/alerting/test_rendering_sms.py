"""How a text message is put together from lines that stand by importance."""

from __future__ import annotations

import pytest

from alerting.errors import TemplateError
from alerting.rendering.sms import compose


@pytest.mark.parametrize(
    ("rendered", "expected"),
    [
        ("one\n? two\nthree\n", "one three two"),
        ("a" * 150 + "\n? " + "b" * 10 + "\n? c\n", "a" * 150 + " c"),
        ("a" * 160 + "\n" + "b" * 100 + "\n? c", "a" * 160 + " " + "b" * 100),
        ("a" * 200 + "\n" + "b" * 100 + "\n" + "c" * 100, "a" * 200 + " " + "b" * 100),
        ("a" * 400, "a" * 303 + "..."),
        ("€" * 400, "€" * 151 + "..."),
    ],
)
def test_compose__drops_the_least_important_first(rendered: str, expected: str) -> None:
    assert compose(rendered).text == expected


def test_compose__refuses_an_empty_message() -> None:
    with pytest.raises(TemplateError, match="empty"):
        compose("\n? only this\n")


def test_compose__puts_the_note_behind_the_most_important_line() -> None:
    assert compose("first\nsecond\n? third", "Note").text == "first Note. second third"
