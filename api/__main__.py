"""`python -m api`: serve the API on 127.0.0.1, at the port of `BALLAST_API_URL`."""

from __future__ import annotations

import logging
from urllib.parse import urlsplit

import uvicorn

from api.app import create_app
from api.stream.policy import MAX_FRAME_BYTES
from infra.runtime.errors import BallastError, SettingsError
from infra.runtime.logs import configure_logs
from infra.runtime.settings import load_settings

HOST = "127.0.0.1"
DEFAULT_PORT = 8600


def port_of(url: str) -> int:
    """The port that `url` names, or 8600; `SettingsError` for a port that is none."""
    try:
        return urlsplit(url).port or DEFAULT_PORT
    except ValueError:
        raise SettingsError("BALLAST_API_URL has an unusable port; give http://127.0.0.1:8600.") from None


def main() -> None:
    """Serve until SIGTERM or SIGINT; requests under way get 5 seconds to end."""
    try:
        settings = load_settings()
        configure_logs("api", settings.log_level)
        # At DEBUG the server writes the headers of a WebSocket's handshake, in which a token may stand.
        logging.getLogger("uvicorn.error").setLevel(max(logging.INFO, logging.getLogger().level))
        app, port = create_app(settings), port_of(settings.api_url)
    except BallastError as error:
        raise SystemExit(f"{error.code}: {error.message}") from None
    uvicorn.run(
        app,
        host=HOST,
        port=port,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=5,
        ws_max_size=MAX_FRAME_BYTES,
        ws_ping_interval=20,
        ws_ping_timeout=20,
    )


if __name__ == "__main__":
    main()
