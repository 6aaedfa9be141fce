"""The states of a verification as a small picture that says where it stands."""

from __future__ import annotations

from html import escape

from compliance.kyc.model import KycState
from streamlit_app.components import formats
from streamlit_app.components.cases_words import KYC_STATE_WORDS

WIDTH, HEIGHT = 132.0, 30.0
_PLACES = {
    "created": (4.0, 72.0),
    "pending": (164.0, 72.0),
    "submitted": (324.0, 72.0),
    "in_review": (324.0, 140.0),
    "approved": (560.0, 4.0),
    "declined": (560.0, 50.0),
    "expired": (560.0, 96.0),
    "failed": (560.0, 142.0),
}
# The usual way; every state before the end may be skipped, as answers come in any order.
_WAYS = (
    "M136,87 H164",
    "M296,87 H324",
    "M390,102 V140",
    "M456,87 C510,87 510,19 560,19",
    "M456,87 C510,87 510,65 560,65",
    "M456,87 C510,87 510,111 560,111",
    "M456,87 C510,87 510,157 560,157",
    "M456,155 C500,155 520,65 560,65",
    "M456,155 C500,155 520,19 560,19",
)


def machine_svg(state: KycState) -> str:
    """The picture; the state in which the verification stands has a thick border and the word `now`."""
    boxes = "".join(_box(code, at, code == state.value) for code, at in _PLACES.items())
    ways = "".join(f'<path d="{way}"/>' for way in _WAYS)
    label = f"States of a verification. Now: {formats.words(state.value, KYC_STATE_WORDS)}."
    svg = f'<svg class="machine" viewBox="0 0 696 176" role="img" aria-label="{escape(label)}">{ways}{boxes}</svg>'
    return f'<div class="machine-box" role="region" aria-label="Picture of the states" tabindex="0">{svg}</div>'


def _box(code: str, at: tuple[float, float], is_here: bool) -> str:
    x, y = at
    words = {"pending": "With the customer"}.get(code, formats.words(code, KYC_STATE_WORDS))
    shown = f"{words} \u2014 now" if is_here else words
    return (
        f'<g class="{"here" if is_here else ""}">'
        f'<rect x="{x:g}" y="{y:g}" width="{WIDTH:g}" height="{HEIGHT:g}" rx="6"/>'
        f'<text x="{x + WIDTH / 2:g}" y="{y + 19:g}">{escape(shown)}</text></g>'
    )
