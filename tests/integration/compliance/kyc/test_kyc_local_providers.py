"""The local providers: what customers do on their page arrives as a signed webhook, again if it was not taken."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import httpx
import pytest

from compliance.kyc.model import KycState
from infra.embedded.kyc.courier import Courier


class Receiver:
    """Stands where the API does: hands webhooks to the service, or refuses them."""

    def __init__(self, desk: Any) -> None:
        self.refuses = False
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if not receiver.refuses:
                    desk.service.apply_webhook(self.path.rpartition("/")[2], dict(self.headers.items()), body)
                self.send_response(503 if receiver.refuses else 204)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})

    @property
    def root(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"


@pytest.fixture
def receiver(desk: Any) -> Iterator[Receiver]:
    made = Receiver(desk)
    made.thread.start()
    yield made
    made.server.shutdown()
    made.thread.join()
    made.server.server_close()


def deliver(desk: Any, root: str) -> int:
    async def once() -> int:
        async with httpx.AsyncClient(trust_env=False) as client:
            return await Courier(desk.local.settings, desk.local.database, desk.clock, root).deliver_due(client)

    return asyncio.run(once())


@pytest.fixture
def page(desk: Any) -> Iterator[httpx.Client]:
    root = desk.local.settings.sumsub_url
    with httpx.Client(base_url=root, trust_env=False) as client:
        yield client


@pytest.mark.parametrize(
    ("outcome", "state"),
    [("approved", KycState.APPROVED), ("declined", KycState.IN_REVIEW), ("review", KycState.IN_REVIEW)],
)
def test_page__what_is_chosen_is_what_the_case_becomes(
    desk: Any, page: httpx.Client, outcome: str, state: KycState
) -> None:
    case = desk.start()
    link = case.handoff.value.get_secret_value()
    assert outcome in page.get(link).text
    assert page.post(link, data={"outcome": outcome}).status_code == 200
    desk.poll(15)
    assert desk.service.read(case.kyc_case_id).state is state


def test_page__shows_nobodys_page_and_takes_no_other_outcome(desk: Any, page: httpx.Client) -> None:
    link = desk.start().handoff.value.get_secret_value()
    assert page.get("/verify/persona/inq_nobody").status_code == 404
    assert page.post(link, data={"outcome": "vip"}).status_code == 422


def test_courier__delivers_signed_and_once(desk: Any, receiver: Receiver) -> None:
    desk.start()
    desk.local.inquiry("approved")
    assert deliver(desk, receiver.root) == 2
    assert desk.user_state() == "approved"
    assert deliver(desk, receiver.root) == 0
    assert desk.local.database.due_webhooks(desk.clock.now().timestamp() + 10**6, 10) == []


def test_courier__what_was_refused_comes_again_later(desk: Any, receiver: Receiver) -> None:
    desk.start()
    desk.local.database.rows("delete from webhooks")
    desk.local.inquiry("approved")
    receiver.refuses = True
    for seconds in (3, 64, 729):
        assert deliver(desk, receiver.root) == 0
        desk.wait(seconds - 1)
        receiver.refuses = seconds != 729
        assert deliver(desk, receiver.root) == 0
        desk.wait(1)
    assert deliver(desk, receiver.root) == 1
    assert desk.user_state() == "approved"


def test_courier__loses_deliveries_on_command(desk: Any, receiver: Receiver) -> None:
    desk.start()
    desk.local.fail("persona", "webhook")
    assert deliver(desk, receiver.root) == 0
    desk.wait(3)
    assert deliver(desk, receiver.root) == 1


def test_control__needs_a_credential_and_commands_failures(desk: Any, page: httpx.Client) -> None:
    case = desk.start()
    failure = {"provider": "persona", "operation": "read", "status": 503}
    assert page.put("/control/failures", json=failure).status_code == 401
    assert page.get("/control/state").status_code == 401
    key = desk.local.settings.persona_api_key.get_secret_value()
    headers = {"authorization": f"Bearer {key}"}
    assert page.put("/control/failures", json=failure, headers=headers).status_code == 200
    desk.poll(15)
    assert desk.service.read(case.kyc_case_id).state is KycState.PENDING
    steps = f"/control/persona/{case.provider_reference}/steps"
    assert page.post(steps, json={"status": "approved"}, headers=headers).status_code == 200
    assert page.post(steps, json={"review": {}}, headers=headers).status_code == 422
    desk.poll(15)
    assert desk.user_state() == "approved"
    state = page.get("/control/state", headers=headers).json()
    assert state["requests"]["persona.read"] == 2
    assert state["subjects"]["persona"] == [{"id": case.provider_reference, "own_id": case.kyc_case_id}]
