"""Silences of accounts, and what onboarding knows of them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from alerting.preferences.service import RegisteredContact, register_contacts

WHO = {"reason": "maintenance", "created_by": "ann"}
ADDRESS = "/v1/accounts/acc-1/silences"


def error(response: Any) -> tuple[int, str]:
    return response.status_code, response.json()["error"]["code"]


def at(api: Any, **by: float) -> str:
    return str((api.clock.now() + timedelta(**by)).isoformat())


def silence(api: Any, **changes: Any) -> Any:
    body = {"severities": ["early_warning", "margin_call"], "ends_at": at(api, hours=2), **WHO, **changes}
    return api.client.post(ADDRESS, json={key: value for key, value in body.items() if value is not None})


def listed(api: Any, query: str = "") -> list[str]:
    return [each["silence_id"] for each in api.client.get(f"{ADDRESS}{query}").json()["silences"]]


def test_silence__holds_from_now_until_it_ends(api: Any) -> None:
    made = silence(api)
    assert made.status_code == 201
    found = made.json()
    assert (found["starts_at"], found["ends_at"]) == ("2026-01-31T12:00:00Z", "2026-01-31T14:00:00Z")
    assert found["severities"] == ["early_warning", "margin_call"]
    assert [each["silence_id"] for each in api.get()["silences"]] == [found["silence_id"]]
    assert api.changes()[0]["action"] == "silence_created"
    api.clock.advance(timedelta(hours=2))
    assert api.get()["silences"] == []
    assert listed(api) == []
    assert listed(api, "?include_ended=true") == [found["silence_id"]]


def test_silence__that_begins_later_is_listed_but_does_not_hold_yet(api: Any) -> None:
    silence_id = silence(api, starts_at=at(api, hours=1)).json()["silence_id"]
    assert listed(api) == [silence_id]
    assert api.get()["silences"] == []
    api.clock.advance(timedelta(hours=1))
    assert [each["silence_id"] for each in api.get()["silences"]] == [silence_id]


def test_silence__that_began_in_the_past_begins_now(api: Any) -> None:
    assert silence(api, starts_at=at(api, days=-3)).json()["starts_at"] == "2026-01-31T12:00:00Z"


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "liquidation": ({"severities": ["early_warning", "liquidation"]}, "silence_invalid"),
    "of a team": ({"severities": ["critical"]}, "silence_invalid"),
    "unknown": ({"severities": ["doom"]}, "silence_invalid"),
    "nothing": ({"severities": []}, "request_invalid"),
    "over": ({"ends_at": "2026-01-31T12:00:00Z"}, "silence_invalid"),
    "before it begins": ({"starts_at": "2026-02-02T12:00:00Z", "ends_at": "2026-02-01T12:00:00Z"}, "silence_invalid"),
    "too long": ({"ends_at": "2026-03-02T12:00:01Z"}, "silence_invalid"),
    "too late": ({"starts_at": "2027-01-01T12:00:00Z", "ends_at": "2027-01-02T12:00:00Z"}, "silence_invalid"),
    "no zone": ({"ends_at": "2026-01-31T13:00:00"}, "request_invalid"),
    "no end": ({"ends_at": None}, "request_invalid"),
    "no reason": ({"reason": ""}, "request_invalid"),
    "nobody": ({"created_by": None}, "request_invalid"),
    "more": ({"account_id": "acc-2"}, "request_invalid"),
}


def test_silence__that_may_not_be_is_refused(api: Any) -> None:
    for case, (changes, code) in BAD.items():
        assert error(silence(api, **changes)) == (422, code), case
    assert listed(api, "?include_ended=true") == []
    assert api.changes() == []
    assert silence(api, ends_at="2026-03-02T12:00:00Z").status_code == 201


@pytest.mark.parametrize("begins", [None, 1.0])
def test_silence__that_is_deleted_ends_now_and_stays_on_record(api: Any, begins: float | None) -> None:
    starts_at = None if begins is None else at(api, hours=begins)
    made = silence(api, starts_at=starts_at).json()
    silence_id = made["silence_id"]
    ended = api.client.delete(f"{ADDRESS}/{silence_id}", params={"ended_by": "bob", "reason": "done"}).json()
    assert ended["ends_at"] == "2026-01-31T12:00:00Z"
    assert listed(api) == []
    assert listed(api, "?include_ended=true") == [silence_id]
    latest = api.changes()[0]
    assert (latest["action"], latest["changed_by"], latest["reason"]) == ("silence_ended", "bob", "done")
    assert latest["before"]["ends_at"] == "2026-01-31T14:00:00+00:00"
    api.clock.advance(timedelta(hours=1))
    assert api.client.delete(f"{ADDRESS}/{silence_id}").json() == ended
    assert len(api.changes()) == 2


def test_silence__of_another_account_is_unknown(api: Any) -> None:
    silence_id = silence(api).json()["silence_id"]
    assert error(api.client.delete(f"/v1/accounts/acc-2/silences/{silence_id}")) == (404, "silence_not_found")
    assert error(api.client.delete(f"{ADDRESS}/sil_none")) == (404, "silence_not_found")
    assert listed(api) == [silence_id]


def test_registered_contact__is_told_while_none_of_ones_own_is_verified(api: Any) -> None:
    body = {"email": "holder@client.example", "phone": "+34600123456", "locale": "es", "time_zone": "Europe/Madrid"}
    more = {"set_by": "kyc", "reason": "onboarded"}
    address = "/v1/accounts/acc-1/registered-contact"
    found = api.client.put(address, json=body | more).json()
    assert found["contacts"] == []
    shown = [(each["channel"], each["hint"], each["status"]) for each in found["registered_contacts"]]
    assert shown == [("email", "h***@c***.example", "verified"), ("sms", "+34*******56", "verified")]
    assert (found["locale"], found["time_zone"]) == ("es", "Europe/Madrid")
    assert api.client.put(address, json=body | more).json() == found
    assert [each["action"] for each in api.changes()] == ["contact_registered"]
    assert "holder" not in str(api.changes())
    trial = api.client.post("/v1/accounts/acc-1/alert-preferences/test").json()
    assert len(trial["notification_ids"]) == 2
    changed = api.client.put(address, json={"email": "new@client.example"} | more).json()
    assert [each["hint"] for each in changed["registered_contacts"]] == ["n***@c***.example"]
    assert changed["locale"] == "es"
    contact_id = changed["registered_contacts"][0]["contact_id"]
    assert error(api.post(contact_id, "send-verification")) == (404, "contact_not_found")
    for bad in ({}, {"email": "holder"}, {"phone": "1"}, {"email": "a@b.example", "locale": "fr"}):
        assert api.client.put(address, json=bad | more).status_code == 422
    assert api.get()["registered_contacts"] == changed["registered_contacts"]


def test_register_contacts__is_repeatable_and_refuses_single_owners(api: Any) -> None:
    def known(number: int, email: str | None = None) -> RegisteredContact:
        return RegisteredContact(f"acc-{number}", email or f"holder{number}@client.example", None, "en", "UTC")

    given = [known(number) for number in range(4500)]
    bad = RegisteredContact("acc-bad", "nobody", None, "en", "UTC")
    assert "client.example" not in repr(given[0])
    first = register_contacts(api.engine, api.sealer, api.clock, [*given, bad])
    assert (first.changed, first.unchanged, list(first.refused)) == (4500, 0, ["acc-bad"])
    assert "nobody" not in str(first.refused)
    again = register_contacts(api.engine, api.sealer, api.clock, [*given[:-1], known(4499, "other@client.example")])
    assert (again.changed, again.unchanged, again.refused) == (1, 4499, {})
    counts = api.rows("select status, count(*) from alerting.contacts group by status order by status")
    assert [tuple(row) for row in counts] == [("removed", 1), ("verified", 4500)]
    back = register_contacts(api.engine, api.sealer, api.clock, [known(4499)])
    assert back.changed == 1
    hints = api.rows("select address_hint from alerting.contacts where owner = 'acc-4499' and status = 'verified'")
    assert [row[0] for row in hints] == ["h***@c***.example"]
    assert api.rows("select count(*) from alerting.preference_changes")[0][0] == 4502
    assert api.rows("select count(*) from alerting.preferences")[0][0] == 4500
