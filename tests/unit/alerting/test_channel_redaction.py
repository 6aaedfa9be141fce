"""Words of providers without what the ledger must not hold."""

from __future__ import annotations

import pytest

from alerting.channels.redaction import EXCERPT_CHARS, excerpt, redacted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Invalid 'To' Phone Number: +14155550100", "Invalid 'To' Phone Number: [number]"),
        ("call (415) 555-0100 now", "call [number] now"),
        ("0049 170 1234567 is no number", "[number] is no number"),
        ("<ann.b+c@example.com> bounced", "<[mail address]> bounced"),
        ("ann%40example.com", "[mail address]"),
        ("jörg@exämple.com", "[mail address]"),
        ("POST https://hooks.example/a?token=1 failed", "POST [url] failed"),
        ("Bearer abc123def456 is wrong", "[credential] is wrong"),
        ("token=abcd1234ef", "[credential]"),
        ("key SG.aaa.bbb", "key [credential]"),
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "[credential]"),
        ("account AC" + "0a" * 16, "account [token]"),
        ("eyJhbGciOi.eyJzdWIi.c2ln", "[credential]"),
        (
            "HTTP 400, code 21211: personalizations.12.to.0.email",
            "HTTP 400, code 21211: personalizations.12.to.0.email",
        ),
        ("The api key provided is wrong", "The api key provided is wrong"),
        ("one\r\ntwo\x00", "one  two"),
    ],
)
def test_redacted__removes_persons_and_credentials_and_keeps_the_rest(text: str, wanted: str) -> None:
    assert redacted(text) == wanted


def test_redacted__removes_the_recipient_whatever_it_looks_like() -> None:
    assert redacted("USER Q at desk is unknown", "user q", "") == "[recipient] at desk is unknown"


@pytest.mark.parametrize("lead", range(960, 1010, 5))
def test_redacted__a_cut_leaves_no_half_address(lead: int) -> None:
    assert "ann" not in redacted("x " * (lead // 2) + "ann.longname@example.com and more " * 50)


@pytest.mark.parametrize("text", ["a" * 10**6, "a@" * 10**5, "1 " * 10**5, "https://" * 10**5])
def test_redacted__keeps_little_of_a_hostile_text(text: str) -> None:
    assert len(redacted(text)) <= 2000


def test_excerpt__is_short_and_bears_any_bytes() -> None:
    assert excerpt(b"\xff\xfe no" + b" word" * 1000).endswith("word")
    assert len(excerpt(b"word " * 1000)) <= EXCERPT_CHARS
    assert excerpt(b"") == ""
