"""Secrets do not reach a log line, wherever they stand."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from infra.runtime.logs import REDACTED, configure_logs, get_logger, redact

SECRET = "hunter2hunter2"


@pytest.fixture
def configured() -> Iterator[None]:
    """Logs as a process has them, undone at the end."""
    root = logging.getLogger()
    handlers, level, before = root.handlers[:], root.level, structlog.get_config()
    configure_logs("test")
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.configure(**before)
    structlog.contextvars.clear_contextvars()


@pytest.mark.parametrize(
    "key",
    ["password", "db_passwd", "client_secret", "BIGQUERY_TOKEN", "Authorization", "api_key", "apikey", "signature"],
)
def test_redact__hides_what_stands_under_a_secret_key(key: str) -> None:
    assert redact(None, "info", {key: SECRET, "other": 1}) == {key: REDACTED, "other": 1}


@pytest.mark.parametrize(
    "text",
    [
        f"Authorization: Bearer {SECRET}",
        f"authorization: bearer {SECRET}",
        f"Basic {SECRET}",
        f"postgresql+psycopg://ballast:{SECRET}@127.0.0.1:5432/ballast",
        f"redis://:{SECRET}@127.0.0.1",
        f"connection failed: host=x password={SECRET} user=y",
        f"GET /hook?access_token={SECRET}&x=1",
        f"whsec_{SECRET}",
        f"SG.{SECRET}aaaa.{SECRET}bbbb",
        f"two secrets wbhsec_{SECRET}-a,wbhsec_{SECRET}_b are known",
        f"persona_sandbox_{SECRET}",
        f"X-App-Token: sbx:{SECRET}.{SECRET}",
        f"prd:{SECRET}-{SECRET}",
    ],
)
def test_redact__hides_secrets_within_text(text: str) -> None:
    told = str(redact(None, "info", {"reason": text})["reason"])
    assert SECRET not in told
    assert REDACTED in told


@pytest.mark.parametrize(
    "value",
    [
        {"headers": {"Authorization": SECRET}},
        {"headers": [("x", f"Bearer {SECRET}")]},
        [{"deep": [{"token": SECRET}]}],
        ValueError(f"Bearer {SECRET}"),
        {f"Bearer {SECRET}"},
    ],
    ids=["mapping", "pairs", "deep", "exception", "set"],
)
def test_redact__looks_into_values(value: object) -> None:
    assert SECRET not in json.dumps(redact(None, "info", {"value": value}))


def test_redact__leaves_the_rest_as_it_is() -> None:
    event = {
        "event": "done",
        "rows": 3,
        "ratio": 0.5,
        "ok": True,
        "none": None,
        "url": "http://127.0.0.1:8600/x",
        "to": "prd:8443",
    }
    assert redact(None, "info", dict(event)) == event


def _lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    out, err = capsys.readouterr()
    assert out == ""
    return [json.loads(line) for line in err.splitlines()]


@pytest.mark.usefixtures("configured")
def test_log__is_one_json_line_that_names_service_level_and_time(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("consumer")
    get_logger("a.b").info("appended", rows=3)
    get_logger("a.b").debug("hidden")
    [line] = _lines(capsys)
    assert (
        line.items()
        >= {"event": "appended", "rows": 3, "service": "consumer", "level": "info", "logger": "a.b"}.items()
    )
    assert str(line["at"]).endswith("Z")


@pytest.mark.usefixtures("configured")
@pytest.mark.parametrize("library", [False, True], ids=["ours", "library"])
def test_log__of_an_exception_has_its_trace_without_secrets(capsys: pytest.CaptureFixture[str], library: bool) -> None:
    configure_logs("test")
    try:
        raise ValueError(f"cannot reach postgresql://u:{SECRET}@h/db")
    except ValueError:
        (logging.getLogger("lib") if library else get_logger("ours")).exception("failed")
    [line] = _lines(capsys)
    assert SECRET not in json.dumps(line)
    assert "Traceback" in str(line["exception"])


@pytest.mark.usefixtures("configured")
def test_log__of_a_library_is_redacted_after_formatting(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("test")
    logging.getLogger("urllib3").warning("sent %s", f"Bearer {SECRET}")
    [line] = _lines(capsys)
    assert line["event"] == f"sent Bearer {REDACTED}"
