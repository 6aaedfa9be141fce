"""The app as a process: who gets what at every address, and how it stops, is killed and comes back."""

from __future__ import annotations

import json
import re
import signal
import socket
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from compliance.api.people import people_of
from infra.runtime.clock import FixedClock, SystemClock
from infra.runtime.settings import Settings
from streamlit_app.server.application import create_app
from streamlit_app.server.session import COOKIE, LIFETIME, Sessions
from tests.app_process import PEOPLE, SESSION_KEY, USERS, AppProcess, cookie_of, password_of

OPEN = {"/healthz", "/favicon.svg", "/favicon.ico", "/sign-in"}
STREAMLIT = [
    ("GET", "/app/_stcore/health"),
    ("GET", "/app/_stcore/host-config"),
    ("PUT", "/app/_stcore/upload_file/s/f"),
    ("DELETE", "/app/_stcore/upload_file/s/f"),
    ("GET", "/app/_stcore/bidi-components/x/y.js"),
    ("GET", "/app/_stcore/script-health-check"),
    ("GET", "/app/component/x/index.html"),
    ("GET", "/app/media/0123.png"),
    ("GET", "/app/static/css/none.css"),
    ("GET", "/app/some/deeper/page"),
    ("POST", "/app/"),
    ("GET", "/nothing"),
    ("GET", "/assets/x.js"),
    ("GET", "/export/anything"),
]


def _own_routes() -> list[tuple[str, str]]:
    """Every method and path of our own routes."""
    people = people_of(SecretStr(USERS))
    clock = SystemClock()
    sessions = Sessions(SecretStr(SESSION_KEY), lambda: people, clock)
    found = create_app(Settings(), sessions, clock).routes
    return sorted(
        (method, re.sub(r"{[^}]*}", "nothing", route.path))
        for route in found
        for method in getattr(route, "methods", ())
    )


@pytest.fixture(scope="module")
def closed() -> Iterator[str]:
    """The address of a warehouse where nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


@pytest.fixture(scope="module")
def variables(closed: str) -> dict[str, str]:
    return {"BALLAST_BIGQUERY_ENDPOINT": closed, "BALLAST_BIGQUERY_TOKEN": "bigquery-hunter2"}


@pytest.fixture(scope="module")
def app(variables: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppProcess]:
    running = AppProcess(tmp_path_factory.mktemp("app"), variables).start()
    yield running
    running.stop()


@pytest.fixture(scope="module")
def routes() -> list[tuple[str, str]]:
    return [*_own_routes(), *STREAMLIT]


def _wrong_cookies() -> dict[str, str]:
    good = cookie_of("officer")
    past = FixedClock(SystemClock().now() - LIFETIME - timedelta(minutes=1))
    return {
        "none": "",
        "made up": f"{COOKIE}=x.y",
        "tampered": good[:-3] + ("AAA" if not good.endswith("AAA") else "BBB"),
        "expired": cookie_of("officer", past),
        "of a removed person": cookie_of("somebody"),
        "of another key": cookie_of("officer", key="o" * 40),
        "under another name": good.replace(COOKIE, "session"),
    }


@pytest.mark.parametrize("case", list(_wrong_cookies()))
def test_routes__are_closed_to_who_is_not_signed_in(app: AppProcess, routes, case: str) -> None:
    headers = {"Cookie": _wrong_cookies()[case], "Origin": app.url}
    with httpx.Client(base_url=app.url, headers=headers, timeout=30) as client:
        for method, path in routes:
            answer = client.request(method, path)
            if path in OPEN:
                # The form's pause is the process's.
                assert answer.status_code in (200, 401, 429), (method, path)
                continue
            assert answer.status_code == 401, (method, path)
            if method != "HEAD":
                assert answer.json()["error"]["code"] == "not_signed_in"
            assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]


@pytest.mark.parametrize("name", PEOPLE)
def test_routes__are_there_for_each_role(app: AppProcess, routes, name: str) -> None:
    headers = {"Cookie": cookie_of(name), "Origin": app.url}
    statuses: dict[tuple[str, str], int] = {}
    with httpx.Client(base_url=app.url, headers=headers, timeout=30) as client:
        for method, path in routes:
            # Signing out is another test's.
            if (method, path) != ("POST", "/sign-out"):
                answer = client.request(method, path)
                statuses[method, path] = answer.status_code
                assert "not_signed_in" not in answer.text
                assert "frame-ancestors 'none'" in answer.headers["content-security-policy"], path
                assert answer.headers["x-content-type-options"] == "nosniff"
    assert statuses["GET", "/"] == 200
    assert statuses["GET", "/app/"] == 200
    assert statuses["GET", "/app/nothing"] == 200
    assert statuses["GET", "/app/_stcore/health"] == 200
    assert statuses["GET", "/app/_stcore/host-config"] == 200
    assert statuses["GET", "/nothing"] == 404
    assert 500 not in statuses.values()


def test_changes__of_pages_of_other_hosts_are_refused(app: AppProcess) -> None:
    with httpx.Client(base_url=app.url, headers={"Cookie": cookie_of("officer")}) as client:
        for headers in ({}, {"Origin": "http://evil.example"}, {"Origin": "null"}):
            for method, path in (("POST", "/sign-out"), ("POST", "/sign-in"), ("PUT", "/app/_stcore/upload_file/s/f")):
                assert client.request(method, path, headers=headers).status_code == 403
        assert client.get("/app/").status_code == 200


def test_pages__load_compressed_files_that_may_be_kept(app: AppProcess) -> None:
    with httpx.Client(base_url=app.url, headers={"Cookie": cookie_of("viewer")}) as client:
        page = client.get("/app/").text
        script = re.search(r"static/js/index\.[\w-]+\.js", page)
        assert script is not None
        sent = client.get(f"/app/{script[0]}")
        assert "immutable" in sent.headers["cache-control"]
        assert sent.headers["vary"] == "Accept-Encoding"
        assert len(sent.content) > 100_000


def _stream(app: AppProcess, cookie: str, **headers: str):
    url = app.url.replace("http", "ws") + "/app/_stcore/stream"
    return connect(url, additional_headers={"Cookie": cookie, **headers}, subprotocols=["streamlit"], proxy=None)


def _drain(socket_) -> None:
    while True:
        socket_.recv(10)


@pytest.mark.parametrize("case", list(_wrong_cookies()))
def test_socket__is_refused_without_a_session(app: AppProcess, case: str) -> None:
    with pytest.raises(InvalidStatus) as caught:
        _stream(app, _wrong_cookies()[case])
    assert caught.value.response.status_code == 401


def test_socket__is_refused_to_pages_of_other_hosts(app: AppProcess) -> None:
    with pytest.raises(InvalidStatus) as caught:
        _stream(app, cookie_of("officer"), Origin="http://evil.example")
    assert caught.value.response.status_code == 403


def test_socket__ends_with_the_session(app: AppProcess) -> None:
    cookie = cookie_of("officer")
    with _stream(app, cookie, Origin=app.url) as socket_, httpx.Client(base_url=app.url) as client:
        out = client.post("/sign-out", headers={"Cookie": cookie, "Origin": app.url})
        assert (out.status_code, out.headers["location"]) == (303, "/sign-in?out=1")
        socket_.send(b"")
        with pytest.raises(ConnectionClosed) as caught:
            _drain(socket_)
        assert caught.value.rcvd is not None
        assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (1008, "signed_out")
        assert client.get("/app/", headers={"Cookie": cookie}).status_code == 401


def test_process__is_killed_and_comes_back_and_stops(variables: dict[str, str], tmp_path: Path) -> None:
    app = AppProcess(tmp_path, variables).start()
    own = {"Origin": app.url}
    try:
        with httpx.Client(base_url=app.url, headers=own) as client:
            wrong = client.post("/sign-in", data={"name": "officer", "password": "hunter2-wrong"})
            assert wrong.status_code == 401
        kept, ended = cookie_of("officer"), cookie_of("officer")
        httpx.post(f"{app.url}/sign-out", headers=own | {"Cookie": ended})

        # A second one says that the port is taken, and leaves the first alone.
        second = AppProcess(tmp_path, variables, port=app.port)
        assert second.launch().wait(60) == 1
        assert f"port_busy: Port {app.port}" in app.log.read_text()
        assert httpx.get(f"{app.url}/healthz").status_code == 200

        assert app.process is not None
        app.process.kill()
        app.process.wait()
        app.start()
        # Whoever was signed in still is; whoever had signed out is not; the pause after wrong tries is over.
        assert httpx.get(f"{app.url}/app/", headers={"Cookie": kept}).status_code == 200
        assert httpx.get(f"{app.url}/app/", headers={"Cookie": ended}).status_code == 401
        form = {"name": "officer", "password": password_of("officer"), "to": "/app/"}
        entered = httpx.post(f"{app.url}/sign-in", data=form, headers=own)
        assert (entered.status_code, entered.headers["location"]) == (303, "/app/")

        lasting, listening = threading.Event(), []

        def listen() -> None:
            with httpx.stream("GET", f"{app.url}/live/book", headers={"Cookie": kept}, timeout=30) as answer:
                for chunk in answer.iter_bytes():
                    listening.append(chunk)
                    lasting.set()

        listener = threading.Thread(target=listen)
        listener.start()
        assert lasting.wait(30)
        with _stream(app, kept, Origin=app.url):
            assert app.stop() in (0, -signal.SIGTERM)
        listener.join(10)
        assert not listener.is_alive()
    finally:
        app.stop()
    log = app.log.read_text()
    assert "Cancel" not in log
    assert "Traceback" not in log
    for secret in ("hunter2", password_of("officer"), kept.partition("=")[2], SESSION_KEY):
        assert secret not in log
    lines = [json.loads(line) for line in log.splitlines() if not line.startswith("port_busy")]
    assert {line["service"] for line in lines} == {"app"}


def test_process__says_what_is_missing(tmp_path: Path) -> None:
    app = AppProcess(tmp_path, {"BALLAST_APP_SESSION_KEY": "short"})
    assert app.launch().wait(60) == 1
    assert "settings_invalid: BALLAST_APP_SESSION_KEY needs keys" in app.log.read_text()
    assert "Traceback" not in app.log.read_text()
