"""How the application is put together for each way of signing in, and what it says of a page that failed."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from streamlit import config
from streamlit.error_util import handle_user_script_exception

from infra.runtime.clock import FixedClock
from infra.runtime.errors import SettingsError
from infra.runtime.settings import Settings
from streamlit_app.server.application import create_app, on_script_error
from streamlit_app.server.session import COOKIE, Sessions

BASE: dict[str, Any] = {"app_session_key": "k" * 40}
OIDC = {"app_sign_in": "oidc", "app_oidc_issuer": "https://id.example", "app_oidc_client_id": "ballast"}
IAP = {"app_sign_in": "iap", "app_iap_audience": "/projects/1/global/backendServices/2"}


@pytest.mark.parametrize(
    ("changes", "paths"),
    [
        ({}, {"/sign-in", "/sign-out"}),
        (OIDC, {"/sign-in", "/sign-out", "/auth/start", "/auth/callback"}),
        (IAP, {"/sign-out"}),
    ],
    ids=["local", "oidc", "iap"],
)
def test_create_app__has_the_ways_of_its_mode_alone(
    ask, sessions: Sessions, clock: FixedClock, tmp_path: Path, changes: dict[str, Any], paths: set[str]
) -> None:
    settings = Settings.model_validate(BASE | changes | {"state_dir": tmp_path})
    found = {getattr(route, "path", "") for route in create_app(settings, sessions, clock).routes}
    assert {path for path in found if path.startswith(("/sign", "/auth"))} == paths
    assert found >= {"/healthz", "/", "/live/{topic:path}", "/app/", "/app/static/{name:path}"}
    assert not list(tmp_path.iterdir())


def test_create_app__behind_the_proxy_a_cookie_opens_nothing(
    ask, sessions: Sessions, clock: FixedClock, tmp_path: Path
) -> None:
    settings = Settings.model_validate(BASE | IAP | {"state_dir": tmp_path, "app_url": "https://desk.example"})
    app = create_app(settings, sessions, clock)
    answer = ask(app.asgi, "/", headers={"Cookie": f"{COOKIE}={sessions.open('ann')}", "Accept": "text/html"})
    assert answer.status_code == 401
    assert answer.headers["strict-transport-security"].startswith("max-age=")


@pytest.mark.parametrize("changes", [{"app_sign_in": "oidc"}, {"app_sign_in": "iap"}])
def test_create_app__needs_the_settings_of_its_mode(
    sessions: Sessions, clock: FixedClock, changes: dict[str, Any]
) -> None:
    with pytest.raises(SettingsError, match="BALLAST_APP_SIGN_IN"):
        create_app(Settings.model_validate(BASE | changes), sessions, clock)


def test_create_app__streamlit_must_stand_where_the_door_expects_it(
    sessions: Sessions, clock: FixedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config, "get_option", lambda name: "elsewhere" if name == "server.baseUrlPath" else None)
    with pytest.raises(SettingsError, match="at /elsewhere, not at /app"):
        create_app(Settings.model_validate(BASE), sessions, clock)


def test_page_failure__is_logged_without_the_words_of_the_error(
    sessions: Sessions, clock: FixedClock, tmp_path: Path, capfd, caplog: pytest.LogCaptureFixture
) -> None:
    create_app(Settings.model_validate(BASE | {"state_dir": tmp_path}), sessions, clock)
    with caplog.at_level(logging.DEBUG):
        handle_user_script_exception(ValueError("born on a day"), on_script_error)
    out, err = capfd.readouterr()
    assert "born on a day" not in out + err + caplog.text
    assert "page_failed" in out + err + caplog.text
