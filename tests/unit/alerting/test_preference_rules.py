"""Addresses in one form and masked; languages, time zones and codes."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest
from pydantic import SecretStr

from alerting.channels.guard import parse_networks
from alerting.errors import PreferencesInvalidError
from alerting.preferences.addresses import check_address
from alerting.preferences.codes import is_code, verification_code
from alerting.preferences.model import ContactChannel, OwnerSettings
from alerting.preferences.settings_rules import checked_locale, checked_settings, checked_time_zone
from infra.runtime.sealing import Sealer, new_key


def new_secret_key() -> SecretStr:
    return SecretStr(new_key())


NETWORKS = parse_networks("127.0.0.0/8, 10.1.0.0/16,fd00::/8")
GOOD = [
    ("email", "Ann.B+x@Sub.Desk.Example", "Ann.B+x@sub.desk.example", "A***@s***.example"),
    ("email", "ann@ex\u00e4mple.example", "ann@xn--exmple-cua.example", "a***@x***.example"),
    ("sms", " +1 (202) 555-0143", "+12025550143", "+1*******43"),
    ("sms", "tel:+49 1511 2345678", "+4915112345678", "+49*******78"),
    ("sms", "+34600123456", "+34600123456", "+34*******56"),
    ("webhook", "HTTPS://Hooks.Example:443/a", "https://hooks.example/a", "https://hooks.example/..."),
    ("webhook", "https://H.example:8443/a?b=c", "https://h.example:8443/a?b=c", "https://h.example:8443/..."),
    ("webhook", "https://8.8.8.8/a", "https://8.8.8.8/a", "https://8.8.8.8/..."),
    ("webhook", "https://127.0.0.1:9000/hook", "https://127.0.0.1:9000/hook", "https://127.0.0.1:9000/..."),
    (
        "webhook",
        "https://ex\u00e4mple.example/a",
        "https://xn--exmple-cua.example/a",
        "https://xn--exmple-cua.example/...",
    ),
    ("webhook", "https://10.1.2.3/hook", "https://10.1.2.3/hook", "https://10.1.2.3/..."),
    ("webhook", "https://[fd00::1]:9000/hook", "https://[fd00::1]:9000/hook", "https://[fd00::1]:9000/..."),
]
BAD = {
    "email": [
        "ann",
        "ann@",
        "ann@localhost",
        "Ann <ann@desk.example>",
        "a b@desk.example",
        "ann@[10.0.0.1]",
        "ann@desk.example\r\nBcc: x@y.example",
        "\u00fcnn@desk.example",
        "ann@printer.local",
        "ann@desk.invalid",
        f"{'a' * 65}@desk.example",
        "ann@desk.example,bob@desk.example",
    ],
    "sms": [
        "0151 12345678",
        "+12",
        "+1 202 555 014",
        "+447700900123",
        "+12025550143;ext=5",
        "+1 900 555 0143",
        "call me",
        "+",
        "+1 202 555 0143, +1 202 555 0144",
    ],
    "webhook": [
        "http://hooks.example/a",
        "ftp://hooks.example/a",
        "hooks.example/a",
        "https://",
        "//hooks.example",
        "https://user:pw@hooks.example/",
        "https://hooks.example/#part",
        "https://hooks.example:0/",
        "https://hooks.example:99999/",
        "https://hooks.example/a b",
        "https://hooks.example\\@other.example/",
        "https://hooks.example/\r\nX: y",
        f"https://hooks.example/{'a' * 2048}",
        "https://10.0.0.1/",
        "http://10.2.0.1/",
        "https://192.168.1.1/",
        "https://169.254.169.254/latest",
        "https://100.64.0.1/",
        "https://0.0.0.0/",
        "https://224.0.0.1/",
        "https://[::1]/",
        "https://[::ffff:10.0.0.1]/",
        "https://[fe80::1%25eth0]/",
        "https://[ff02::1]/",
        "https://[64:ff9b::a00:1]/",
        "https://2130706433/",
        "https://0x7f.1/",
        "https://0x7f000001/",
        "https://127.1/",
        "https://0177.0.0.1/",
        "http://127.0.0.1:9000/",
    ],
}


@pytest.mark.parametrize(("channel", "given", "stored", "hint"), GOOD)
def test_address__has_one_form_and_a_mask(channel: str, given: str, stored: str, hint: str) -> None:
    found = check_address(ContactChannel(channel), given, NETWORKS)
    assert (found.text, found.hint) == (stored, hint)
    assert check_address(ContactChannel(channel), stored, NETWORKS) == found
    assert stored not in repr(found)


@pytest.mark.parametrize(("channel", "given"), [(channel, each) for channel, bad in BAD.items() for each in bad])
def test_address__that_cannot_be_used_is_refused_without_repeating_it(channel: str, given: str) -> None:
    with pytest.raises(PreferencesInvalidError) as refused:
        check_address(ContactChannel(channel), given, NETWORKS)
    assert len(given) < 10 or given not in refused.value.message


@pytest.mark.parametrize("given", ["https://127.0.0.1/", "https://10.1.2.3/"])
def test_webhook__in_a_private_network_needs_that_it_is_allowed(given: str) -> None:
    with pytest.raises(PreferencesInvalidError):
        check_address(ContactChannel.WEBHOOK, given)


def test_fingerprint__is_equal_for_mail_addresses_that_differ_in_case_only() -> None:
    sealer = Sealer(new_secret_key())
    one, other = (check_address(ContactChannel.EMAIL, each) for each in ("Ann@desk.example", "ann@DESK.example"))
    assert one.fingerprint(sealer) == other.fingerprint(sealer) == sealer.fingerprint("email:ann@desk.example")
    hook = check_address(ContactChannel.WEBHOOK, "https://hooks.example/A")
    assert hook.fingerprint(sealer) == sealer.fingerprint("webhook:https://hooks.example/A")


@pytest.mark.parametrize(
    ("given", "usual"),
    [("en", "en"), ("DE", "de"), ("es-419", "es-419"), ("es-mx", "es-MX"), ("de-latn-at", "de-Latn-AT")],
)
def test_locale__is_written_as_usual(given: str, usual: str) -> None:
    assert checked_locale(given) == usual


@pytest.mark.parametrize("given", ["", "fr", "de_AT", "de-XX", "deu", "de-AT-x", "en-", "de-AT\n", "../en"])
def test_locale__without_texts_is_refused(given: str) -> None:
    with pytest.raises(PreferencesInvalidError):
        checked_locale(given)


@pytest.mark.parametrize("given", ["UTC", "Europe/Vienna", "America/Argentina/Buenos_Aires", "Etc/GMT+5"])
def test_time_zone__of_the_database_is_taken(given: str) -> None:
    assert ZoneInfo(checked_time_zone(given)).key == given


@pytest.mark.parametrize("given", ["", "Europe", "Europe/Wien", "../UTC", "/etc/localtime", "UTC\x00", "tzdata.zi"])
def test_time_zone__that_is_none_is_refused(given: str) -> None:
    with pytest.raises(PreferencesInvalidError):
        checked_settings(OwnerSettings(time_zone=given))


def test_code__follows_from_key_verification_and_channel() -> None:
    sealer, other = Sealer(new_secret_key()), Sealer(new_secret_key())
    sms = verification_code(sealer, "ver_1", "sms")
    assert len(sms) == 6
    assert sms.isdecimal()
    token = verification_code(sealer, "ver_1", "email")
    assert token.startswith("ver_1.")
    assert len(token) == len("ver_1.") + 43
    codes = {
        token,
        verification_code(sealer, "ver_1", "webhook"),
        verification_code(sealer, "ver_2", "email"),
        verification_code(other, "ver_1", "email"),
    }
    assert len(codes) == 4
    assert is_code(sealer, "ver_1", "email", f" {token}\n")
    assert not any(is_code(sealer, "ver_1", "email", each) for each in (token[:-1], token + "A", "", "\u00e4", sms))


def test_sms_codes__are_spread_over_all_digits() -> None:
    sealer = Sealer(new_secret_key())
    codes = [verification_code(sealer, f"ver_{number}", "sms") for number in range(500)]
    assert len(set(codes)) > 490
    assert {code[0] for code in codes} == set("0123456789")
