"""Text messages from rendered templates: one segment where possible, never more than two."""

from __future__ import annotations

from alerting.channels.base import SmsContent
from alerting.errors import TemplateError
from alerting.gsm7 import PART_SEPTETS, SINGLE_SEPTETS, segments, septets, to_gsm7

MAX_SEGMENTS = 2
_OPTIONAL = "? "
_CUT = "..."


def compose(rendered: str, note: str | None = None) -> SmsContent:
    """The message of a rendered template, whose lines stand by falling importance, and a note behind them.

    A line that begins with `? ` is left out where it would need another segment than the first. What is still too
    long for two segments loses its last lines, then its end.
    """
    needed: list[str] = []
    optional: list[str] = []
    # The space before a percent sign is good style, and dear.
    for line in to_gsm7(rendered.replace("\xa0%", "%")).splitlines():
        if line.startswith(_OPTIONAL):
            optional.append(line[len(_OPTIONAL) :].strip())
        elif line.strip():
            needed.append(line.strip())
    if not needed:
        raise TemplateError("The text message is empty.")
    if note:
        needed.insert(1, f"{to_gsm7(note)}.")
    text = _fitted(needed)
    for line in optional:
        longer = f"{text} {line}"
        if line and septets(longer) <= SINGLE_SEPTETS:
            text = longer
    return SmsContent(text)


def shortened(text: str, length: int) -> str:
    """`text`, cut to `length` characters, the last three dots where something is missing."""
    return text if len(text) <= length else text[: length - len(_CUT)].rstrip() + _CUT


def _fitted(lines: list[str]) -> str:
    text = " ".join(lines)
    while len(lines) > 1 and not _fits(text):
        lines = lines[:-1]
        text = " ".join(lines)
    while not _fits(text):
        text = shortened(text, min(len(text) - 1, MAX_SEGMENTS * PART_SEPTETS))
    return text


def _fits(text: str) -> bool:
    return septets(text) <= SINGLE_SEPTETS or segments(text) <= MAX_SEGMENTS
