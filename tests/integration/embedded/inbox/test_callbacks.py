"""What the local providers report: their shape, their signatures, their order, and that none is lost."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import SecretStr

from infra.embedded.inbox.signing import ensure_signing_key, twilio_signature

PATIENCE_S = 60.0
SID = "AC" + "0" * 32
TOKEN = "twilio-token-of-the-tests"
HEADERS = {"authorization": "Bearer SG.key-of-the-tests"}
SENDGRID_PATH = "/v1/callbacks/sendgrid"


@dataclass
class Api:
    """Stands for the API: keeps what was posted, answers with `status`."""

    port: int
    status: int = 204
    received: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def events(self) -> list[dict[str, Any]]:
        return [event for path, _, body in self.received if path == SENDGRID_PATH for event in json.loads(body)]

    def forms(self) -> list[dict[str, str]]:
        return [dict(parse_qsl(body.decode())) for path, _, body in self.received if path != SENDGRID_PATH]


def serve(api: Api) -> tuple[ThreadingHTTPServer, threading.Thread]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            api.received.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
            self.send_response(api.status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            return None

    server = ThreadingHTTPServer(("127.0.0.1", api.port), Handler)
    api.port = server.server_port
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    return server, thread


def end(server: ThreadingHTTPServer, thread: threading.Thread) -> None:
    server.shutdown()
    thread.join(PATIENCE_S)
    server.server_close()


@pytest.fixture
def api() -> Iterator[Api]:
    found = Api(0)
    running = serve(found)
    yield found
    end(*running)


@pytest.fixture
def public_key(tmp_path: Path) -> str:
    """The key that the inbox of the test signs its events with."""
    return ensure_signing_key(tmp_path / "inbox")


@pytest.fixture
def reporting(public_key: str, api: Api, own_inbox: Any) -> Any:
    """An inbox that reports to `api`."""
    own_inbox.stop()
    own_inbox.credentials["BALLAST_API_URL"] = api.url
    own_inbox.start()
    return own_inbox


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def send_mail(inbox: Any, *people: str) -> str:
    mail = {
        "personalizations": [
            {"to": [{"email": person}], "custom_args": {"notification_id": f"ntf_{number}"}}
            for number, person in enumerate(people)
        ],
        "from": {"email": "alerts@example.com"},
        "subject": "Margin call",
        "content": [{"type": "text/plain", "value": "x"}],
        "custom_args": {"event_id": "mev_1"},
    }
    response = inbox.request("POST", "/v3/mail/send", json=mail, headers=HEADERS)
    assert response.status_code == 202, response.text
    return str(response.headers["x-message-id"])


def send_text(inbox: Any, callback: str, to: str = "+12025550100") -> str:
    response = inbox.request(
        "POST",
        f"/2010-04-01/Accounts/{SID}/Messages.json",
        data={"To": to, "From": "+15005550006", "Body": "Margin call", "StatusCallback": callback},
        auth=(SID, TOKEN),
    )
    assert response.status_code == 201, response.text
    return str(response.json()["sid"])


def verify(public_key: str, headers: dict[str, str], body: bytes) -> None:
    key = serialization.load_der_public_key(base64.b64decode(public_key))
    assert isinstance(key, ec.EllipticCurvePublicKey)
    signature = base64.b64decode(headers["x-twilio-email-event-webhook-signature"])
    timestamp = headers["x-twilio-email-event-webhook-timestamp"]
    key.verify(signature, timestamp.encode() + body, ec.ECDSA(hashes.SHA256()))


def test_sendgrid__reports_processed_and_then_the_outcome(reporting: Any, api: Api) -> None:
    message_id = send_mail(reporting, "a@example.com", "b@bounce.example", "c@dropped.example")
    until(lambda: len(api.events()) == 5)
    found: dict[str, list[str]] = {}
    for event in api.events():
        found.setdefault(event["email"], []).append(event["event"])
    assert found == {
        "a@example.com": ["processed", "delivered"],
        "b@bounce.example": ["processed", "bounce"],
        "c@dropped.example": ["dropped"],
    }
    last = next(event for event in api.events() if event["event"] == "bounce")
    assert (last["notification_id"], last["event_id"]) == ("ntf_1", "mev_1")
    assert (last["sg_message_id"], last["type"], last["status"]) == (f"{message_id}.1", "bounce", "5.1.1")
    assert len({event["sg_event_id"] for event in api.events()}) == 5
    until(lambda: reporting.read("/api/callbacks")["waiting"] == 0)


def test_sendgrid__signs_the_raw_body(reporting: Any, api: Api, public_key: str) -> None:
    send_mail(reporting, "a@example.com")
    until(lambda: len(api.received) == 2)
    for path, headers, body in api.received:
        assert path == SENDGRID_PATH
        assert body.endswith(b"]\r\n")
        verify(public_key, headers, body)
        with pytest.raises(InvalidSignature):
            verify(public_key, headers, body.strip())


def test_twilio__reports_sent_and_then_delivered_to_the_callback(reporting: Any, api: Api) -> None:
    callback = f"{api.url}/v1/callbacks/twilio?notification_id=ntf_9&kind=a%2Fb+c"
    sid = send_text(reporting, callback)
    until(lambda: len(api.received) == 2)
    assert [form["MessageStatus"] for form in api.forms()] == ["sent", "delivered"]
    for (path, headers, body), form in zip(api.received, api.forms(), strict=True):
        assert path == "/v1/callbacks/twilio?notification_id=ntf_9&kind=a%2Fb+c"
        assert (form["MessageSid"], form["AccountSid"], form["To"]) == (sid, SID, "+12025550100")
        assert "ErrorCode" not in form
        signed = twilio_signature(SecretStr(TOKEN), callback, parse_qsl(body.decode()))
        assert headers["x-twilio-signature"] == signed
    [message] = reporting.messages()
    assert message["notification_id"] == "ntf_9"


def test_twilio__a_number_ending_in_0003_is_undelivered(reporting: Any, api: Api) -> None:
    send_text(reporting, f"{api.url}/cb", "+12025550003")
    until(lambda: len(api.received) == 2)
    assert [(form["MessageStatus"], form.get("ErrorCode")) for form in api.forms()] == [
        ("sent", None),
        ("undelivered", "30003"),
    ]


def test_reports__wait_while_the_api_is_down_and_survive_a_kill(reporting: Any, api: Api) -> None:
    api.status = 503
    send_mail(reporting, "a@example.com")
    send_text(reporting, f"{api.url}/cb")
    until(lambda: len(api.received) >= 2)
    reporting.kill()
    assert {event["event"] for event in api.events()} == {"processed"}
    api.status = 204
    reporting.start()
    until(lambda: reporting.read("/api/callbacks")["waiting"] == 0)
    assert [event["event"] for event in api.events()][-2:] == ["processed", "delivered"]
    assert [form["MessageStatus"] for form in api.forms()][-2:] == ["sent", "delivered"]


def test_reports__wait_for_a_receiver_that_cannot_be_reached(reporting: Any) -> None:
    later = Api(0)
    running = serve(later)
    end(*running)
    send_text(reporting, f"{later.url}/cb")
    until(lambda: '"callbacks_wait"' in reporting.log())
    assert reporting.read("/api/callbacks") == {"waiting": 2}
    running = serve(later)
    try:
        until(lambda: len(later.received) == 2)
    finally:
        end(*running)
    assert [form["MessageStatus"] for form in later.forms()] == ["sent", "delivered"]


def test_reports__without_a_signing_key_mails_are_not_reported(own_inbox: Any) -> None:
    send_mail(own_inbox, "a@example.com")
    assert own_inbox.read("/api/callbacks") == {"waiting": 0}
