"""What proves a provider's callback, and what is read of one."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pydantic import SecretStr

from alerting.callbacks import sendgrid, twilio
from alerting.errors import CallbackInvalidError, CallbackNotConfiguredError, CallbackRefusedError

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
BODY = b'[{"event": "processed"}]\r\n'
# Twilio's published example.
TOKEN = SecretStr("12345")
URL = "https://mycompany.com/myapp.php?foo=1&bar=2"
FORM = {
    "CallSid": ["CA1234567890ABCDE"],
    "Digits": ["1234"],
    "From": ["+14158675309"],
    "To": ["+18005551212"],
    "Caller": ["+14158675309"],
}
VECTOR = "RSOYDt4T1cUTdK1PDd93/VVr8B8="


def encoded(key: Any) -> str:
    return base64.b64encode(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()


def signed(key: ec.EllipticCurvePrivateKey, at: datetime, body: bytes) -> tuple[str, str]:
    timestamp = str(int(at.timestamp()))
    made = key.sign(timestamp.encode() + body, ec.ECDSA(SHA256()))
    return base64.b64encode(made).decode(), timestamp


@pytest.fixture(scope="module")
def key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@pytest.mark.parametrize("age_s", [-300, -1, 0, 300])
def test_sendgrid__takes_what_it_signed_within_the_window(key: ec.EllipticCurvePrivateKey, age_s: int) -> None:
    made, timestamp = signed(key, NOW - timedelta(seconds=age_s), BODY)
    sendgrid.verify(encoded(key.public_key()), made, timestamp, BODY, NOW)


@pytest.mark.parametrize("age_s", [-86400, -301, 301, 86400])
def test_sendgrid__refuses_what_is_not_recent(key: ec.EllipticCurvePrivateKey, age_s: int) -> None:
    made, timestamp = signed(key, NOW - timedelta(seconds=age_s), BODY)
    with pytest.raises(CallbackRefusedError, match="300 s"):
        sendgrid.verify(encoded(key.public_key()), made, timestamp, BODY, NOW)


@pytest.mark.parametrize(
    "body", [BODY[:-2], BODY + b"\n", BODY.replace(b" ", b""), BODY.replace(b"processed", b"delivered"), b""]
)
def test_sendgrid__refuses_a_body_that_differs_by_a_byte(key: ec.EllipticCurvePrivateKey, body: bytes) -> None:
    made, timestamp = signed(key, NOW, BODY)
    with pytest.raises(CallbackRefusedError):
        sendgrid.verify(encoded(key.public_key()), made, timestamp, body, NOW)


def test_sendgrid__refuses_another_timestamp_key_or_signature(key: ec.EllipticCurvePrivateKey) -> None:
    made, timestamp = signed(key, NOW, BODY)
    other, _ = signed(ec.generate_private_key(ec.SECP256R1()), NOW, BODY)
    given: list[tuple[str | None, str | None]] = [
        (made, str(int(timestamp) + 1)),
        (other, timestamp),
        (None, timestamp),
        (made, None),
        ("", timestamp),
        ("not base64", timestamp),
        ("ä", timestamp),
        (base64.b64encode(b"not DER").decode(), timestamp),
        (made, ""),
        (made, f" {timestamp}"),
        (made, f"-{timestamp}"),
        (made, f"{timestamp}.0"),
        (made, "9" * 30),
        (made, "١٢٣"),
    ]
    for signature, at in given:
        with pytest.raises(CallbackRefusedError):
            sendgrid.verify(encoded(key.public_key()), signature, at, BODY, NOW)


def test_sendgrid__without_a_usable_key_takes_nothing(key: ec.EllipticCurvePrivateKey) -> None:
    made, timestamp = signed(key, NOW, BODY)
    of_rsa = encoded(rsa.generate_private_key(65537, 2048).public_key())
    for text in (None, "", "  ", "not base64", base64.b64encode(b"not DER").decode(), of_rsa):
        with pytest.raises(CallbackNotConfiguredError, match="BALLAST_SENDGRID_WEBHOOK_KEY"):
            sendgrid.verify(text, made, timestamp, BODY, NOW)


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"null", b"[1]", b"[[]]", b'[{"event": "open"}, null]', b"[", b"\xff", b"[" * 100_000]
)
def test_sendgrid__a_body_that_is_no_array_of_objects_is_invalid(body: bytes) -> None:
    with pytest.raises(CallbackInvalidError):
        sendgrid.read(body)


def test_sendgrid__reads_what_it_documents() -> None:
    event = {
        "email": "jane.doe@example.com",
        "timestamp": 1769860800,
        "event": "bounce",
        "type": "blocked",
        "status": "5.7.1",
        "reason": "550 <jane.doe@example.com>: jane.doe is unknown, see https://mx.example/?u=jane.doe",
        "sg_event_id": "ZXZlbnQ",
        "sg_message_id": "XBg2anf2TqCy6WXKQFhieQ.filter0905p1mdw1-4434-59E0C6FF-3.0",
        "notification_id": "ntf_1",
        "notification_extra": {"kept": "out"},
    }
    [read] = sendgrid.read(json.dumps([event]).encode())
    assert (read.callback_id, read.kind, read.notification_id) == ("ZXZlbnQ", "bounce", "ntf_1")
    assert read.provider_message_id == "XBg2anf2TqCy6WXKQFhieQ"
    assert read.occurred_at == datetime.fromtimestamp(1769860800, UTC)
    assert read.detail is not None
    assert read.detail.startswith("SendGrid: bounce; blocked; 5.7.1; 550 ")
    assert "jane" not in read.detail
    assert "mx.example" not in read.detail
    assert "jane" not in repr(sendgrid.SendGridEvent.model_validate(event))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("LVPn3qHOTKStjgNk_1fVKA.recvd-69dd6499c6-szsd4-1-65367BDD-7.0", "LVPn3qHOTKStjgNk_1fVKA"),
        ("14c5d75ce93.dfd.64b469.filter0001.16648.5515E0B88.0", "14c5d75ce93.dfd.64b469"),
        ("LVPn3qHOTKStjgNk_1fVKA", "LVPn3qHOTKStjgNk_1fVKA"),
        ("", None),
        (None, None),
        ("a\x00b", None),
    ],
)
def test_sendgrid__finds_the_id_that_it_answered_with(given: str | None, expected: str | None) -> None:
    [read] = sendgrid.read(json.dumps([{"event": "processed", "sg_message_id": given}]).encode())
    assert read.provider_message_id == expected


@pytest.mark.parametrize(
    "odd",
    [
        {},
        {"event": None, "timestamp": "x", "sg_event_id": 7},
        {"event": ["delivered"], "timestamp": True, "notification_id": {"a": 1}},
        {"event": "delivered\x00", "sg_event_id": "a\x00b", "notification_id": "ntf\x00"},
        {"event": "x" * 65, "timestamp": 1e300, "sg_event_id": "y" * 5000, "notification_id": "z" * 5000},
        {"event": "\ud800", "timestamp": float("nan"), "sg_event_id": "\udfff", "notification_id": "\ud800"},
    ],
)
def test_sendgrid__what_is_odd_is_unknown_and_known_again(odd: dict[str, Any]) -> None:
    [first] = sendgrid.read(json.dumps([odd]).encode())
    [again] = sendgrid.read(json.dumps([odd]).encode())
    assert (first.kind, first.occurred_at, first.notification_id) == ("unknown", None, None)
    assert first.callback_id == again.callback_id
    assert first.callback_id.startswith("cbk_")


def test_twilio__agrees_with_the_published_example() -> None:
    assert twilio.signature(TOKEN.get_secret_value(), URL, FORM) == VECTOR
    twilio.verify(TOKEN, VECTOR, URL, FORM)


@pytest.mark.parametrize("signed_url", ["https://a.example/x?b=1", "https://a.example:443/x?b=1"])
@pytest.mark.parametrize("ours", ["https://a.example/x?b=1", "https://a.example:443/x?b=1"])
def test_twilio__may_sign_with_or_without_the_port(signed_url: str, ours: str) -> None:
    twilio.verify(TOKEN, twilio.signature("12345", signed_url, FORM), ours, FORM)


@pytest.mark.parametrize(
    "signed_url", ["http://a.example/x", "https://a.example/x?", "https://a.example:8443/x", "https://b.example/x"]
)
def test_twilio__refuses_the_signature_of_another_address(signed_url: str) -> None:
    with pytest.raises(CallbackRefusedError):
        twilio.verify(TOKEN, twilio.signature("12345", signed_url, FORM), "https://a.example/x", FORM)


def test_twilio__refuses_a_changed_form_token_or_signature() -> None:
    other = {**FORM, "Digits": ["1235"]}
    for token, given, form in (
        (SecretStr("12346"), VECTOR, FORM),
        (TOKEN, VECTOR, other),
        (TOKEN, VECTOR, {**FORM, "More": [""]}),
        (TOKEN, VECTOR.lower(), FORM),
        (TOKEN, "", FORM),
        (TOKEN, "ä", FORM),
        (TOKEN, None, FORM),
    ):
        with pytest.raises(CallbackRefusedError):
            twilio.verify(token, given, URL, form)


@pytest.mark.parametrize("token", [None, SecretStr(""), SecretStr(" ")])
def test_twilio__without_a_token_takes_nothing(token: SecretStr | None) -> None:
    with pytest.raises(CallbackNotConfiguredError, match="BALLAST_TWILIO_AUTH_TOKEN"):
        twilio.verify(token, twilio.signature("", URL, FORM), URL, FORM)


def test_twilio__a_value_that_repeats_counts_once_and_others_are_sorted() -> None:
    form = twilio.parse_form(b"MediaUrl=b&MediaUrl=a&MediaUrl=b&Empty=")
    assert form == {"MediaUrl": ["b", "a", "b"], "Empty": [""]}
    once = twilio.signature("12345", URL, {"Empty": [""], "MediaUrl": ["a", "b"]})
    assert twilio.signature("12345", URL, form) == once


def test_twilio__reads_status_and_code() -> None:
    form = {"MessageSid": ["SM1"], "MessageStatus": ["undelivered"], "ErrorCode": ["30003"], "To": ["+12025550100"]}
    read = twilio.read(form, "ntf_1")
    assert (read.callback_id, read.kind, read.notification_id) == ("SM1:undelivered", "undelivered", "ntf_1")
    assert (read.detail, read.provider_message_id) == ("Twilio: undelivered; ErrorCode 30003", "SM1")
    assert not read.is_opt_out
    assert twilio.read({**form, "ErrorCode": ["21610"]}, None).is_opt_out


@pytest.mark.parametrize("sid", [[], [""], ["SM1", "SM2"], ["S\x00M"], ["S" * 201]])
def test_twilio__a_form_that_names_no_message_is_invalid(sid: list[str]) -> None:
    with pytest.raises(CallbackInvalidError, match="MessageSid"):
        twilio.read({"MessageSid": sid, "MessageStatus": ["delivered"]}, "ntf_1")


@pytest.mark.parametrize("status", [[], [""], ["delivered", "failed"], ["deliv\x00ered"], ["zugestellt ✓"]])
def test_twilio__a_status_that_is_no_word_is_unknown(status: list[str]) -> None:
    form = {"MessageSid": ["SM1"], "MessageStatus": status, "ErrorCode": ["+12025550100"]}
    read = twilio.read(form, "ntf\x00")
    assert (read.kind, read.notification_id, read.detail) == ("unknown", None, "Twilio: unknown")


def test_twilio__a_form_of_too_many_fields_is_invalid() -> None:
    with pytest.raises(CallbackInvalidError, match="200"):
        twilio.parse_form(b"&".join(b"a=1" for _ in range(201)))
