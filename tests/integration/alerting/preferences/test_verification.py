"""Proof of ownership: codes of texts and webhooks, the page behind the link of a mail."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
import structlog

EMAIL = {"channel": "email", "address": "ann@desk.example"}
SMS = {"channel": "sms", "address": "+12025550143"}
HOOK = {"channel": "webhook", "address": "https://hooks.client.example/ballast"}
OTHERS = {"email": "ver_0.x", "sms": "12345", "webhook": "ver_0.x"}


def error(response: Any) -> tuple[int, str]:
    return response.status_code, response.json()["error"]["code"]


def made(api: Any, contact: dict[str, Any], **more: Any) -> str:
    [found] = api.put([contact], **more).json()["contacts"]
    return str(found["contact_id"])


def wrong(code: str) -> str:
    return f"{(int(code) + 1) % 10**6:06d}" if code.isdecimal() else f"{code[:-2]}{'AA' if code[-2:] != 'AA' else 'BB'}"


def status(api: Any, contact_id: str) -> str:
    return str(api.rows("select status from alerting.contacts where contact_id = :id", id=contact_id)[0][0])


def visit(api: Any, token: str, method: str = "GET") -> Any:
    return api.stranger.request(method, f"/v1/alert-verifications/{token}")


@pytest.mark.parametrize("contact", [EMAIL, SMS, HOOK], ids=lambda each: each["channel"])
def test_code__verifies_its_contact(api: Any, contact: dict[str, Any]) -> None:
    contact_id = made(api, contact)
    [code] = api.codes(contact_id)
    assert error(api.post(contact_id, "verify", {"code": wrong(code)})) == (422, "verification_code_wrong")
    verified = api.post(contact_id, "verify", {"code": f" {code} "}).json()
    assert (verified["status"], verified["verified_at"]) == ("verified", "2026-01-31T12:00:00Z")
    assert api.post(contact_id, "verify", {"code": code}).json() == verified
    latest = api.changes()[0]
    assert (latest["action"], latest["before"]["status"], latest["after"]["status"]) == (
        "contact_verified",
        "pending",
        "verified",
    )
    assert len([each for each in api.changes() if each["action"] == "contact_verified"]) == 1


@pytest.mark.parametrize(
    ("contact", "life"),
    [(EMAIL, timedelta(hours=24)), (SMS, timedelta(minutes=15)), (HOOK, timedelta(hours=24))],
    ids=["email", "sms", "webhook"],
)
def test_code__runs_out(api: Any, contact: dict[str, Any], life: timedelta) -> None:
    contact_id = made(api, contact)
    [code] = api.codes(contact_id)
    [payload] = api.rows("select payload from alerting.events where kind = 'verification'")[0]
    assert payload["expires_at"] == (api.clock.now() + life).isoformat()
    api.clock.advance(life - timedelta(seconds=1))
    assert error(api.post(contact_id, "verify", {"code": wrong(code)})) == (422, "verification_code_wrong")
    api.clock.advance(timedelta(seconds=1))
    assert error(api.post(contact_id, "verify", {"code": code})) == (410, "verification_ended")
    assert status(api, contact_id) == "pending"


def test_code__ends_by_five_wrong_answers_and_a_new_one_helps(api: Any) -> None:
    contact_id = made(api, SMS)
    [code] = api.codes(contact_id)
    answers = [error(api.post(contact_id, "verify", {"code": wrong(code)})) for _ in range(5)]
    assert answers == [(422, "verification_code_wrong")] * 5
    assert error(api.post(contact_id, "verify", {"code": code})) == (410, "verification_ended")
    sent = api.post(contact_id, "send-verification")
    assert (sent.status_code, sent.json()["status"]) == (202, "pending")
    _, second = api.codes(contact_id)
    assert second != code
    assert api.post(contact_id, "verify", {"code": second}).json()["status"] == "verified"


def test_code__guessed_in_parallel_has_no_more_tries(api: Any) -> None:
    contact_id = made(api, SMS)
    [code] = api.codes(contact_id)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: error(api.post(contact_id, "verify", {"code": wrong(code)}))[0], range(12)))
    assert sorted(answers) == [410] * 7 + [422] * 5


def test_code__of_another_contact_is_none(api: Any) -> None:
    mine, other = made(api, HOOK), made(api, HOOK, owner="accounts/acc-2")
    [code] = api.codes(other)
    assert error(api.post(mine, "verify", {"code": code})) == (422, "verification_code_wrong")
    assert (status(api, mine), status(api, other)) == ("pending", "pending")


@pytest.mark.parametrize("body", [{}, {"code": ""}, {"code": "1" * 201}, {"code": 123456}, {"code": "1", "x": 1}, []])
def test_code__that_is_no_text_is_refused(api: Any, body: Any) -> None:
    contact_id = made(api, SMS)
    response = api.post(contact_id, "verify", body)
    assert error(response) == (422, "request_invalid")
    assert "123456" not in response.text


def test_earlier_code__still_counts_after_another_was_sent(api: Any) -> None:
    contact_id = made(api, SMS)
    api.post(contact_id, "send-verification")
    assert api.post(contact_id, "verify", {"code": api.codes(contact_id)[0]}).json()["status"] == "verified"


def test_verifications__are_five_an_hour_for_an_address_whoever_asks(api: Any) -> None:
    contact_id = made(api, SMS)
    for _ in range(3):
        assert api.post(contact_id, "send-verification").status_code == 202
    other = made(api, SMS, owner="accounts/acc-2")
    refused = api.post(contact_id, "send-verification")
    assert error(refused) == (429, "verification_limit")
    assert refused.headers["Retry-After"] == "3600"
    assert error(api.post(other, "send-verification", owner="accounts/acc-2")) == (429, "verification_limit")
    # Neither by another account, nor by leaving the address out and naming it again.
    assert error(api.put([SMS], owner="accounts/acc-3")) == (429, "verification_limit")
    assert api.get("accounts/acc-3")["contacts"] == []
    api.put([])
    assert error(api.put([SMS])) == (429, "verification_limit")
    assert len(api.rows("select 1 from alerting.notifications")) == 5
    api.clock.advance(timedelta(hours=1))
    assert api.put([SMS]).status_code == 200


def test_send_verification__is_for_contacts_that_need_one(api: Any) -> None:
    contact_id = made(api, SMS)
    api.verified(contact_id)
    assert error(api.post(contact_id, "send-verification")) == (409, "contact_conflict")
    with api.engine.begin() as connection:
        connection.exec_driver_sql("update alerting.contacts set status = 'disabled', status_reason = 'opted out'")
    assert api.get()["contacts"][0]["status_reason"] == "opted out"
    assert api.put([SMS]).json()["contacts"][0]["status"] == "disabled"
    sent = api.post(contact_id, "send-verification").json()
    assert (sent["status"], sent["status_reason"], sent["verified_at"]) == ("pending", None, None)
    assert api.changes()[0]["action"] == "contact_enabled"
    api.verified(contact_id)
    assert status(api, contact_id) == "verified"


def test_link__shows_a_page_that_changes_nothing_until_the_button_is_pressed(api: Any) -> None:
    contact_id = made(api, EMAIL, locale="de")
    [token] = api.codes(contact_id)
    for _ in range(3):
        page = visit(api, token)
        assert (page.status_code, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert '<html lang="de">' in page.text
    assert "a***@d***.example" in page.text
    assert "acc-1" in page.text
    assert token not in page.text
    assert status(api, contact_id) == "pending"
    done = visit(api, token, "POST")
    assert done.status_code == 200
    assert "Adresse bestätigt" in done.text
    assert "<form" not in done.text
    assert status(api, contact_id) == "verified"
    assert api.changes()[0]["reason"] == "its link was confirmed"
    for method in ("GET", "POST"):
        assert visit(api, token, method).status_code == 410
    assert len([each for each in api.changes() if each["action"] == "contact_verified"]) == 1


def test_link__has_a_strict_policy_and_no_other_page_has_a_looser_one(api: Any) -> None:
    [token] = api.codes(made(api, EMAIL))
    for response in (visit(api, token), visit(api, "ver_none.x")):
        policy = response.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "form-action 'self'" in policy
        assert "unsafe" not in policy
        assert response.headers["Referrer-Policy"] == "no-referrer"
        assert response.headers["Cache-Control"] == "no-store"
        assert "http" not in response.text.replace("http-equiv", "")
        assert "<script" not in response.text
    other = api.client.get("/v1/accounts/acc-1/alert-preferences").headers["Content-Security-Policy"]
    assert other == "default-src 'none'; frame-ancestors 'none'"


def test_link__that_ran_out_or_lost_its_contact_is_gone(api: Any) -> None:
    contact_id = made(api, EMAIL)
    [token] = api.codes(contact_id)
    api.put([])
    assert visit(api, token, "POST").status_code == 410
    assert status(api, contact_id) == "removed"
    again = made(api, EMAIL)
    [token] = api.codes(again)
    api.clock.advance(timedelta(hours=24))
    for method in ("GET", "POST"):
        page = visit(api, token, method)
        assert page.status_code == 410
        assert "Link expired" in page.text
    assert status(api, again) == "pending"


def test_link__ends_by_wrong_answers_too(api: Any) -> None:
    contact_id = made(api, EMAIL)
    [token] = api.codes(contact_id)
    for _ in range(5):
        api.post(contact_id, "verify", {"code": wrong(token)})
    assert visit(api, token, "POST").status_code == 410


def test_link__that_was_not_sent_is_unknown(api: Any) -> None:
    [token] = api.codes(made(api, EMAIL))
    sms = made(api, SMS, owner="accounts/acc-2")
    verification_id = api.rows("select event_id from alerting.notifications where recipient = :id", id=sms)[0][0]
    [code] = api.codes(sms)
    unknown = (wrong(token), token[:-1], f"{token}x", token.partition(".")[0], f"{verification_id}.{code}", code)
    for given in (*unknown, "x", "ver_none.x", "x" * 5000, "<script>"):
        for method in ("GET", "POST"):
            response = visit(api, given, method)
            # What is encoded in the address does not reach the page at all.
            assert response.status_code == (401 if given == "<script>" else 404), given
            assert "<script" not in response.text
    assert {row[0] for row in api.rows("select status from alerting.contacts")} == {"pending"}


def test_link__pressed_twice_at_once_verifies_once(api: Any) -> None:
    contact_id = made(api, EMAIL)
    [token] = api.codes(contact_id)
    with ThreadPoolExecutor(4) as pool:
        statuses = sorted(pool.map(lambda _: visit(api, token, "POST").status_code, range(4)))
    assert statuses == [200, 410, 410, 410]
    assert len([each for each in api.changes() if each["action"] == "contact_verified"]) == 1
    assert status(api, contact_id) == "verified"


def test_codes__stand_in_no_log(api: Any) -> None:
    with structlog.testing.capture_logs() as lines:
        email, sms = made(api, EMAIL), made(api, SMS, owner="accounts/acc-2")
        codes = api.codes(email) + api.codes(sms)
        visit(api, codes[0])
        visit(api, codes[0], "POST")
        api.post(sms, "verify", {"code": wrong(codes[1])}, owner="accounts/acc-2")
        api.post(sms, "verify", {"code": codes[1]}, owner="accounts/acc-2")
    assert len([line for line in lines if line["event"] == "request"]) == 6
    assert not any(secret in str(lines) for secret in (*codes, "ann@", "2025550143"))
