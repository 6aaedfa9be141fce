"""Acknowledgements through the API: whose counts, and what is said where the API refuses or does not answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from infra.embedded.ports import free_ports
from streamlit_app.acknowledgements import Acknowledged, Acknowledgement, acknowledge
from streamlit_app.api_client import Api, ApiAway, ApiProblem
from streamlit_app.views import margin_monitor
from tests.unit.streamlit_app.live_server import serving

AT = "2026-03-02T12:34:56Z"
NOW = datetime(2026, 3, 2, 12, 34, 56, tzinfo=UTC)


@dataclass
class Ledger:
    """What the API does: the first acknowledgement of a notification stays."""

    answer: Callable[[], Response] | None = None
    first: dict[str, str] = field(default_factory=dict)
    asked: list[tuple[str, Any, str]] = field(default_factory=list)

    async def acknowledge(self, request: Request) -> Response:
        """Record it and say who was first."""
        body, key = await request.json(), request.path_params["key"]
        self.asked.append((key, body, request.headers["authorization"]))
        if self.answer is not None:
            return self.answer()
        by = self.first.setdefault(key, body["acknowledged_by"])
        return JSONResponse({"event_id": f"event of {key}", "acknowledged_by": by, "acknowledged_at": AT})


@pytest.fixture(scope="module")
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture(scope="module")
def api(ledger: Ledger) -> Iterator[Api]:
    route = Route("/v1/notifications/{key}/acknowledge", ledger.acknowledge, methods=["POST"])
    with serving(Starlette(routes=[route])) as url, httpx.Client(trust_env=False) as client:
        yield Api(url, lambda: "statement", client)


def test_acknowledge__the_first_one_counts_and_the_second_person_is_told_whose(api: Api, ledger: Ledger) -> None:
    kind, words = margin_monitor.said_of(api, "ntf 1", "ann")
    assert (kind, words) == (
        "success",
        "You acknowledged the alert at 2026-03-02 12:34:56 UTC. Nobody else is called for it.",
    )
    kind, words = margin_monitor.said_of(api, "ntf 1", "ben")
    assert kind == "info"
    assert words.startswith("ann had acknowledged this alert already at 2026-03-02 12:34:56 UTC")
    assert ledger.asked[0] == ("ntf 1", {"acknowledged_by": "ann"}, "Bearer statement")


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (
            lambda: JSONResponse({"error": {"code": "notification_not_found", "message": "no such one"}}, 404),
            ApiProblem,
            "The API refused the acknowledgement: no such one",
        ),
        (lambda: JSONResponse({"error": {"message": "later"}}, 503), ApiAway, "is not known. later"),
        (lambda: PlainTextResponse("<html>", 200), ApiAway, "is not known. The API does not answer in JSON"),
        (lambda: JSONResponse({"acknowledged_by": None}), ApiAway, "does not say who has acknowledged"),
    ],
)
def test_acknowledge__says_what_is_known_where_the_api_does_not_confirm(
    api: Api, ledger: Ledger, answer: Callable[[], Response], error: type[Exception], words: str
) -> None:
    ledger.answer = answer
    try:
        with pytest.raises(error):
            acknowledge(api, "ntf_9", "ann")
        kind, said = margin_monitor.said_of(api, "ntf_9", "ann")
    finally:
        ledger.answer = None
    assert kind == "error"
    assert words in said


def test_acknowledge__where_nobody_listens_is_unknown() -> None:
    with httpx.Client(trust_env=False) as client:
        away = Api(f"http://127.0.0.1:{free_ports(1)[0]}", lambda: "statement", client)
        kind, said = margin_monitor.said_of(away, "ntf_1", "ann")
    assert kind == "error"
    assert "is not known" in said


def test_acknowledged__keeps_the_earliest_and_a_bounded_number() -> None:
    known = Acknowledged(max_kept=2)
    known.keep(Acknowledgement("a", "ann", NOW))
    known.keep(Acknowledgement("a", "ben", NOW + timedelta(seconds=1)))
    assert known.of("a") == Acknowledgement("a", "ann", NOW)
    known.keep(Acknowledgement("a", "cyd", NOW - timedelta(seconds=1)))
    assert known.of("a") == Acknowledgement("a", "cyd", NOW - timedelta(seconds=1))
    known.keep(Acknowledgement("b", "ann", NOW))
    known.keep(Acknowledgement("c", "ann", NOW))
    assert known.of("a") is None
    assert known.of("c") is not None
