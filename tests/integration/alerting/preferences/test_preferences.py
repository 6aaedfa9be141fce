"""Alert preferences over the real application: what is stored, what is sent, what is refused."""

from __future__ import annotations

import base64
from datetime import timedelta
from typing import Any

import pytest

EMAIL = {"channel": "email", "address": "ann@desk.example"}
SMS = {"channel": "sms", "address": "+1 202 555 0143"}
HOOK = {"channel": "webhook", "address": "https://hooks.client.example/ballast?k=1"}
SECRETS = ("ann@desk.example", "ann@", "2025550143", "202 555", "k=1", "whsec_")
COUNT_SENT = (
    "select count(*) from alerting.notifications n join alerting.events e using (event_id) where kind = 'verification'"
)


def error(response: Any) -> tuple[int, str]:
    return response.status_code, response.json()["error"]["code"]


def test_preferences__that_were_never_set_are_the_defaults(api: Any) -> None:
    assert api.get() == {
        "account_id": "acc-1",
        "team": None,
        "locale": "en",
        "time_zone": "UTC",
        "quiet_hours": None,
        "digest_minutes": None,
        "updated_at": None,
        "contacts": [],
        "registered_contacts": [],
        "silences": [],
        "thresholds_url": "/v1/accounts/acc-1/thresholds",
    }
    assert api.changes() == []


def test_preferences__are_stored_masked_and_each_new_address_is_sent_a_verification(api: Any) -> None:
    more = {
        "locale": "de-at",
        "time_zone": "Europe/Vienna",
        "quiet_hours": {"start": "22:00", "end": "07:00"},
        "digest_minutes": 60,
    }
    fallback = SMS | {"role": "fallback", "severities": ["margin_call", "liquidation", "margin_call"]}
    response = api.put([EMAIL, fallback, HOOK], **more)
    found = response.json()
    assert (found["locale"], found["time_zone"], found["quiet_hours"], found["digest_minutes"]) == (
        "de-AT",
        "Europe/Vienna",
        more["quiet_hours"],
        60,
    )
    shown = [
        (each["channel"], each["hint"], each["role"], each["severities"], each["status"]) for each in found["contacts"]
    ]
    assert shown == [
        ("email", "a***@d***.example", "primary", None, "pending"),
        ("sms", "+1*******43", "fallback", ["liquidation", "margin_call"], "pending"),
        ("webhook", "https://hooks.client.example/...", "primary", None, "pending"),
    ]
    sent = api.rows(
        "select n.recipient, n.channel, n.fingerprint, e.owner, e.account_id, e.severity, p.due_at"
        " from alerting.notifications n join alerting.events e using (event_id)"
        " join alerting.pending p using (notification_id) where e.kind = 'verification'"
    )
    assert {row.recipient for row in sent} == {each["contact_id"] for each in found["contacts"]}
    assert {(row.owner, row.account_id, row.severity, row.due_at) for row in sent} == {
        ("acc-1", "acc-1", "info", api.clock.now())
    }
    stored = api.rows("select * from alerting.contacts order by position")
    opened = [api.sealer.open(bytes(row.address_sealed), f"contact:{row.contact_id}") for row in stored]
    assert opened == ["ann@desk.example", "+12025550143", HOOK["address"]]
    assert stored[0].fingerprint == api.sealer.fingerprint("email:ann@desk.example")
    assert [row.fingerprint for row in stored] == [
        row.fingerprint for row in sorted(sent, key=lambda r: opened_at(stored, r))
    ]


def opened_at(stored: list[Any], row: Any) -> int:
    return [each.contact_id for each in stored].index(row.recipient)


def test_personal_data__stands_nowhere_in_the_clear(api: Any) -> None:
    response = api.put([EMAIL, SMS, HOOK])
    [secret] = [each["secret"] for each in response.json()["contacts"] if each["secret"]]
    assert not any(text in response.text.replace(secret, "") for text in SECRETS)
    hook = response.json()["contacts"][2]["contact_id"]
    api.post(hook, "rotate-secret", {"set_by": "ann", "reason": "yearly"})
    tables = ("contacts", "preferences", "preference_changes", "verifications", "events", "notifications")
    texts = [str([tuple(row) for row in api.rows(f"select * from alerting.{table}")]) for table in tables]
    codes = [code for each in response.json()["contacts"] for code in api.codes(each["contact_id"])]
    assert len(codes) == 3
    assert not any(text in each for text in (*SECRETS, *codes) for each in texts)


def test_preferences__repeated_change_nothing_and_send_nothing(api: Any) -> None:
    first = api.put([EMAIL, SMS, HOOK], locale="es").json()
    again = api.put(
        [EMAIL | {"address": " Ann@DESK.example "}, SMS | {"address": "+1 (202) 555-0143"}, HOOK], locale="ES"
    )
    api.clock.advance(timedelta(hours=2))
    later = api.put([EMAIL, SMS, HOOK], locale="es", reason="another")
    for contact in first["contacts"]:
        contact["secret"] = None
    assert again.json() == later.json() == first
    assert api.rows(COUNT_SENT)[0][0] == 3
    assert [each["action"] for each in api.changes()] == ["preferences_set"]


def test_preferences__that_change_keep_contacts_and_their_verification(api: Any) -> None:
    email, sms = api.put([EMAIL, SMS]).json()["contacts"]
    api.verified(email["contact_id"])
    api.clock.advance(timedelta(minutes=1))
    changed = api.put([SMS, {"contact_id": email["contact_id"], "role": "fallback"}]).json()["contacts"]
    assert [(each["contact_id"], each["role"], each["status"]) for each in changed] == [
        (sms["contact_id"], "primary", "pending"),
        (email["contact_id"], "fallback", "verified"),
    ]
    assert api.rows(COUNT_SENT)[0][0] == 2
    latest = api.changes()[0]
    assert (latest["action"], latest["changed_by"], latest["reason"]) == (
        "preferences_set",
        "ann",
        "asked by the client",
    )
    assert [each["hint"] for each in latest["before"]["contacts"]] == ["a***@d***.example", "+1*******43"]
    assert [each["hint"] for each in latest["after"]["contacts"]] == ["+1*******43", "a***@d***.example"]


def test_contact__that_is_left_out_is_removed_and_has_to_prove_itself_again(api: Any) -> None:
    [email] = api.put([EMAIL]).json()["contacts"]
    api.verified(email["contact_id"])
    assert api.put([]).json()["contacts"] == []
    assert api.rows("select status from alerting.contacts") == [("removed",)]
    [again] = api.put([EMAIL]).json()["contacts"]
    assert again["contact_id"] != email["contact_id"]
    assert again["status"] == "pending"
    assert error(api.put([{"contact_id": email["contact_id"]}])) == (422, "preferences_invalid")


def test_owners__do_not_see_each_other(api: Any) -> None:
    [mine] = api.put([EMAIL]).json()["contacts"]
    [other] = api.put([EMAIL], owner="accounts/acc-2").json()["contacts"]
    assert mine["contact_id"] != other["contact_id"]
    assert error(api.put([{"contact_id": other["contact_id"]}])) == (422, "preferences_invalid")
    for action, body in (
        ("verify", {"code": "1"}),
        ("send-verification", None),
        ("rotate-secret", {"set_by": "a", "reason": "b"}),
    ):
        assert error(api.post(other["contact_id"], action, body)) == (404, "contact_not_found")


@pytest.mark.parametrize(
    ("channel", "address"),
    [("email", "ann.desk.example"), ("sms", "0151 12345678"), ("webhook", "https://192.168.1.1/hook")],
)
def test_address__that_cannot_be_used_is_refused_without_repeating_it(api: Any, channel: str, address: str) -> None:
    response = api.put([EMAIL, {"channel": channel, "address": address}])
    assert error(response) == (422, "preferences_invalid")
    assert response.json()["error"]["message"].startswith("contacts[1].address: ")
    assert address not in response.text
    assert api.rows("select count(*) from alerting.contacts")[0][0] == 0
    assert api.rows(COUNT_SENT)[0][0] == 0
    assert api.get()["updated_at"] is None


def test_webhook__may_stand_in_a_private_network_that_is_allowed(api: Any) -> None:
    contacts = [{"channel": "webhook", "address": each} for each in ("https://127.0.0.1:9000/a", "https://10.1.2.3/b")]
    hints = [each["hint"] for each in api.put(contacts).json()["contacts"]]
    assert hints == ["https://127.0.0.1:9000/...", "https://10.1.2.3/..."]


BAD_BODIES: dict[str, tuple[dict[str, Any], str]] = {
    "no contacts": ({"contacts": None}, "request_invalid"),
    "no channel": ({"contacts": [{"address": "ann@desk.example"}]}, "request_invalid"),
    "no address": ({"contacts": [{"channel": "email"}]}, "request_invalid"),
    "unknown channel": ({"contacts": [{"channel": "fax", "address": "+12025550143"}]}, "request_invalid"),
    "pager of the desk": ({"contacts": [{"channel": "pagerduty", "address": "x"}]}, "request_invalid"),
    "id and address": ({"contacts": [EMAIL | {"contact_id": "con_1"}]}, "request_invalid"),
    "unknown id": ({"contacts": [{"contact_id": "con_1"}]}, "preferences_invalid"),
    "unknown role": ({"contacts": [EMAIL | {"role": "boss"}]}, "request_invalid"),
    "unknown field": ({"contacts": [EMAIL | {"verified": True}]}, "request_invalid"),
    "unknown severity": ({"contacts": [EMAIL, SMS | {"severities": ["doom"]}]}, "preferences_invalid"),
    "severity of a team": ({"contacts": [EMAIL, SMS | {"severities": ["critical"]}]}, "preferences_invalid"),
    "no severity": ({"contacts": [EMAIL, SMS | {"severities": []}]}, "request_invalid"),
    "twice": ({"contacts": [EMAIL, EMAIL | {"address": "ANN@desk.example"}]}, "preferences_invalid"),
    "too many": (
        {"contacts": [{"channel": "email", "address": f"a{i}@desk.example"} for i in range(21)]},
        "request_invalid",
    ),
    "liquidation for nobody": ({"contacts": [EMAIL | {"severities": ["margin_call"]}]}, "preferences_invalid"),
    "liquidation for fallbacks only": (
        {"contacts": [EMAIL | {"role": "fallback"}, SMS | {"severities": ["margin_call"]}]},
        "preferences_invalid",
    ),
    "language without texts": ({"locale": "fr"}, "preferences_invalid"),
    "region that is none": ({"locale": "de-XX"}, "preferences_invalid"),
    "no tag": ({"locale": "de_AT"}, "preferences_invalid"),
    "empty tag": ({"locale": ""}, "preferences_invalid"),
    "time zone that is none": ({"time_zone": "Europe/Wien"}, "preferences_invalid"),
    "folder of time zones": ({"time_zone": "Europe"}, "preferences_invalid"),
    "path": ({"time_zone": "../../etc/passwd"}, "preferences_invalid"),
    "empty zone": ({"time_zone": ""}, "preferences_invalid"),
    "no length": ({"quiet_hours": {"start": "22:00", "end": "22:00"}}, "preferences_invalid"),
    "half of quiet hours": ({"quiet_hours": {"start": "22:00"}}, "request_invalid"),
    "no time": ({"quiet_hours": {"start": "24:00", "end": "07:00"}}, "request_invalid"),
    "short time": ({"quiet_hours": {"start": "7:00", "end": "08:00"}}, "request_invalid"),
    "no digest": ({"digest_minutes": 0}, "request_invalid"),
    "long digest": ({"digest_minutes": 1441}, "request_invalid"),
    "nobody": ({"set_by": ""}, "request_invalid"),
    "no reason": ({"reason": ""}, "request_invalid"),
    "nul": ({"reason": "a\x00b"}, "request_invalid"),
}


def test_preferences__that_cannot_be_used_are_refused_whole(api: Any) -> None:
    for case, (changes, code) in BAD_BODIES.items():
        body = {"contacts": [EMAIL], "set_by": "ann", "reason": "r"} | changes
        response = api.client.put("/v1/accounts/acc-1/alert-preferences", json=body)
        assert error(response) == (422, code), case
        assert "ann@" not in response.text, case
    assert api.rows("select count(*) from alerting.contacts")[0][0] == 0
    assert api.changes() == []


def test_webhook__gets_a_secret_that_is_shown_once(api: Any) -> None:
    [made] = api.put([HOOK]).json()["contacts"]
    assert made["secret"].startswith("whsec_")
    assert len(base64.b64decode(made["secret"].removeprefix("whsec_"))) == 32
    assert api.get()["contacts"][0]["secret"] is None
    assert api.put([HOOK]).json()["contacts"][0]["secret"] is None
    [row] = api.rows("select secret_sealed from alerting.contacts")
    assert api.sealer.open(bytes(row[0]), f"contact-secret:{made['contact_id']}") == made["secret"]


def test_rotation__gives_a_new_secret_and_keeps_the_old_one_for_a_day(api: Any) -> None:
    hook, email = api.put([HOOK, EMAIL]).json()["contacts"]
    body = {"set_by": "bob", "reason": "leaked"}
    rotated = api.post(hook["contact_id"], "rotate-secret", body).json()
    assert rotated["secret"] not in (None, hook["secret"])
    [row] = api.rows("select * from alerting.contacts where channel = 'webhook'")
    place = f"contact-secret:{hook['contact_id']}"
    assert api.sealer.open(bytes(row.secret_sealed), place) == rotated["secret"]
    assert api.sealer.open(bytes(row.previous_secret_sealed), place) == hook["secret"]
    assert row.previous_secret_until - api.clock.now() == timedelta(hours=24)
    latest = api.changes()[0]
    assert (latest["action"], latest["changed_by"]) == ("secret_rotated", "bob")
    assert error(api.post(email["contact_id"], "rotate-secret", body)) == (409, "contact_conflict")
    assert error(api.post("con_none", "rotate-secret", body)) == (404, "contact_not_found")
    assert error(api.post(hook["contact_id"], "rotate-secret", {})) == (422, "request_invalid")


def test_teams__have_preferences_of_their_own(api: Any) -> None:
    risk = api.put([EMAIL], owner="teams/risk").json()
    assert (risk["account_id"], risk["team"], risk["thresholds_url"]) == (None, "risk", None)
    [row] = api.rows("select owner, account_id from alerting.events")
    assert tuple(row) == ("team:risk", None)
    only_warnings = [EMAIL | {"severities": ["warning"]}]
    assert error(api.put(only_warnings, owner="teams/compliance")) == (422, "preferences_invalid")
    critical = [EMAIL | {"severities": ["critical", "warning"]}]
    assert api.put(critical, owner="teams/compliance").status_code == 200
    assert error(api.put(critical, owner="teams/risk")) == (422, "preferences_invalid")
    assert [each["action"] for each in api.changes("teams/compliance")] == ["preferences_set"]
    assert error(api.client.get("/v1/teams/legal/alert-preferences")) == (404, "team_unknown")
    assert error(api.client.get("/v1/accounts/team:risk/alert-preferences")) == (422, "request_invalid")


def test_changes__come_in_pages_that_miss_nothing(api: Any) -> None:
    # All at one instant: the order needs more than the time.
    for number in range(5):
        api.put([], digest_minutes=number + 1)
    address = "/v1/accounts/acc-1/alert-preferences/changes"
    seen: list[int] = []
    cursor: str | None = None
    for _ in range(3):
        page = api.client.get(address, params={"limit": 2} | ({"cursor": cursor} if cursor else {})).json()
        seen += [each["after"]["digest_minutes"] for each in page["changes"]]
        cursor = page["next_cursor"]
    assert seen == [5, 4, 3, 2, 1]
    assert cursor is None
    assert error(api.client.get(address, params={"cursor": "nonsense"})) == (422, "cursor_invalid")


def test_history__refuses_to_be_changed(api: Any) -> None:
    api.put([EMAIL])
    with pytest.raises(Exception, match="append-only"):
        api.rows("update alerting.preference_changes set reason = 'x' returning 1")


def test_test_alert__goes_to_verified_contacts_once_a_minute(api: Any) -> None:
    email, sms = api.put([EMAIL, SMS]).json()["contacts"]
    address = "/v1/accounts/acc-1/alert-preferences/test"
    nothing = api.client.post(address).json()
    assert nothing == {
        "event_id": None,
        "notification_ids": [],
        "unverified_contact_ids": [email["contact_id"], sms["contact_id"]],
    }
    api.verified(email["contact_id"])
    sent = api.client.post(address, json={"set_by": "ann", "reason": "new phone"})
    assert sent.status_code == 202
    assert sent.json()["unverified_contact_ids"] == [sms["contact_id"]]
    [row] = api.rows(
        "select n.notification_id, n.recipient, e.payload from alerting.notifications n"
        " join alerting.events e using (event_id) join alerting.pending p using (notification_id) where e.kind = 'test'"
    )
    assert [row.notification_id] == sent.json()["notification_ids"]
    assert (row.recipient, row.payload["requested_by"]) == (email["contact_id"], "ann")
    refused = api.client.post(address)
    assert error(refused) == (429, "test_alert_limit")
    assert refused.headers["Retry-After"] == "60"
    api.clock.advance(timedelta(minutes=1))
    assert api.client.post(address).json()["notification_ids"] != sent.json()["notification_ids"]


def test_preferences__without_a_sealing_key_are_not_ready(api: Any) -> None:
    api.app.state.sealer = None
    assert error(api.client.get("/v1/accounts/acc-1/alert-preferences")) == (503, "not_ready")
    assert error(api.put([EMAIL])) == (503, "not_ready")
    assert api.client.get("/v1/notifications").status_code == 200
