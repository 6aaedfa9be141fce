"""Headers that ask for patience, and the trouble that all providers share."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from alerting.channels.answers import trouble
from alerting.channels.base import Retryable
from alerting.channels.http import HttpAnswer, HttpFailure, rate_limit_reset, retry_after, tls_context
from infra.runtime.errors import SettingsError

AT = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("3", timedelta(seconds=3)),
        (" 0 ", timedelta(0)),
        ("Sat, 31 Jan 2026 12:00:10 GMT", timedelta(seconds=10)),
        ("Sat, 31 Jan 2026 11:00:00 GMT", timedelta(0)),
        ("99999999999999999999", timedelta(seconds=10**9)),
        ("-1", None),
        ("soon", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after__reads_seconds_and_dates(value: str | None, wanted: timedelta | None) -> None:
    assert retry_after(value, AT) == wanted


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (str(int(AT.timestamp()) + 7), timedelta(seconds=7)),
        (str(int(AT.timestamp()) - 7), timedelta(0)),
        ("7", timedelta(seconds=7)),
        ("9" * 30, None),
        ("-7", None),
        ("x", None),
        (None, None),
    ],
)
def test_rate_limit_reset__reads_a_time_or_seconds(value: str | None, wanted: timedelta | None) -> None:
    assert rate_limit_reset(value, AT) == wanted


def answer(status: int, **headers: str) -> HttpAnswer:
    return HttpAnswer(status, {name.replace("_", "-"): value for name, value in headers.items()}, b"")


@pytest.mark.parametrize(
    ("outcome", "is_unknown", "pauses", "is_fault", "counts", "wait_s"),
    [
        (HttpFailure("x", is_unknown=False), False, False, True, True, None),
        (HttpFailure("x", is_unknown=True), True, False, True, True, 5),
        (answer(429, retry_after="7"), False, True, False, False, 7),
        (answer(429, x_ratelimit_reset="9"), False, True, False, False, 9),
        (answer(429), False, True, False, False, 1),
        (answer(401), False, True, True, True, 30),
        (answer(403), False, True, True, True, 30),
        (answer(404), False, True, True, True, 30),
        (answer(302), False, True, True, True, 30),
        (answer(408), False, False, True, True, None),
        (answer(500), False, False, True, True, None),
        (answer(503, retry_after="4"), False, False, True, True, 4),
        (answer(502), True, False, True, True, 5),
        (answer(504, retry_after="60"), True, False, True, True, 60),
    ],
)
def test_trouble__says_whose_it_is(
    outcome: HttpAnswer | HttpFailure,
    is_unknown: bool,
    pauses: bool,
    is_fault: bool,
    counts: bool,
    wait_s: float | None,
) -> None:
    result = trouble("Provider", outcome, AT)
    assert isinstance(result, Retryable)
    wait = timedelta(seconds=wait_s) if wait_s is not None else None
    assert (result.is_unknown, result.pauses_channel, result.is_fault, result.counts, result.retry_after) == (
        is_unknown,
        pauses,
        is_fault,
        counts,
        wait,
    )


@pytest.mark.parametrize("status", [200, 202, 400, 413, 422])
def test_trouble__leaves_answers_about_the_message(status: int) -> None:
    assert trouble("Provider", answer(status), AT) is None


@pytest.mark.parametrize("content", [None, b"no certificate"])
def test_tls__a_file_without_certificates_is_a_wrong_setting(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(SettingsError, match="BALLAST_WEBHOOK_CA_FILE"):
        tls_context(file)
