"""Who may read the inbox, and what the page shows."""

from __future__ import annotations

from typing import Any

import pytest

READS = ["/", "/api/messages", "/api/rejected"]
TOKEN = "inbox-token-of-the-tests"


@pytest.mark.parametrize("path", READS)
def test_reads__need_the_token(inbox: Any, path: str) -> None:
    assert inbox.request("GET", path).status_code == 401
    assert inbox.request("GET", path, headers={"authorization": "Bearer wrong"}).status_code == 401
    assert inbox.request("GET", path, headers={"authorization": "Basic !!"}).status_code == 401
    assert inbox.request("GET", path, auth=("ballast", "wrong")).status_code == 401
    assert inbox.request("GET", path, auth=("other", TOKEN)).status_code == 401
    assert inbox.request("GET", path, auth=("ballast", TOKEN)).status_code == 200
    assert inbox.request("GET", path, headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200


@pytest.mark.parametrize("path", READS)
def test_reads__without_a_configured_token_are_refused(open_inbox: Any, path: str) -> None:
    assert open_inbox.request("GET", path, auth=("ballast", "")).status_code == 401
    assert open_inbox.request("GET", path, headers={"authorization": "Bearer"}).status_code == 401


def test_failures__take_no_browser_sign_in(inbox: Any) -> None:
    wanted = {"channel": "webhook", "status": 500}
    assert inbox.request("POST", "/api/failures", json=wanted, auth=("ballast", TOKEN)).status_code == 401
    assert inbox.request("POST", "/api/failures", json=wanted).status_code == 401


@pytest.mark.parametrize(
    "wanted", [{"channel": "fax"}, {"channel": "sms", "status": 200}, {"channel": "sms", "count": -1}, {"status": 500}]
)
def test_failures__are_validated(inbox: Any, wanted: dict[str, Any]) -> None:
    headers = {"authorization": f"Bearer {TOKEN}"}
    assert inbox.request("POST", "/api/failures", json=wanted, headers=headers).status_code == 422


def test_health__is_open(open_inbox: Any) -> None:
    assert open_inbox.request("GET", "/healthz").json() == {"status": "ok"}


def test_page__lists_newest_first_and_escapes(inbox: Any, make_webhook_body: Any) -> None:
    inbox.post_webhook("ntf_1", make_webhook_body(account_id="acc-first"))
    inbox.post_webhook("ntf_2", make_webhook_body(account_id="<script>alert(1)</script>", severity="liquidation"))
    page = inbox.request("GET", "/", auth=("ballast", TOKEN))
    assert page.headers["content-type"].startswith("text/html")
    assert "<script>alert" not in page.text
    assert page.text.index("&lt;script&gt;alert(1)") < page.text.index("acc-first")
    for shown in ("margin call", "liquidation", "29.50 %", "webhook / margin", "<b>2</b> messages"):
        assert shown in page.text


def test_page__loads_nothing_from_elsewhere(inbox: Any) -> None:
    page = inbox.request("GET", "/", auth=("ballast", TOKEN))
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "http://" not in page.text
    assert "https://" not in page.text
    assert "No message has arrived yet." in page.text


def test_log__holds_no_secret(own_inbox: Any) -> None:
    own_inbox.post_webhook()
    own_inbox.request("GET", "/", auth=("ballast", TOKEN))
    own_inbox.stop()
    for secret in own_inbox.credentials.values():
        assert secret not in own_inbox.log()


def test_stop__is_an_orderly_end(own_inbox: Any) -> None:
    assert own_inbox.stop() == 0
