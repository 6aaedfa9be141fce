"""`python -m streamlit_app`: serve the app at BALLAST_APP_HOST and BALLAST_APP_PORT."""

from __future__ import annotations

import errno
import logging
import os
import socket
from collections.abc import Callable

import uvicorn

from infra.runtime.clock import SystemClock
from infra.runtime.errors import BallastError
from infra.runtime.logs import configure_logs
from infra.runtime.settings import PROJECT_ROOT, load_settings

GRACE_S = 5
BACKLOG = 512
MAX_FRAME_BYTES = 12_000_000


class PortBusyError(BallastError):
    """Somebody else listens where the app should."""

    code = "port_busy"


class AppServer(uvicorn.Server):
    """A server that ends streams first when it stops, for they would not end by themselves."""

    def __init__(self, config: uvicorn.Config, before_stop: Callable[[], None]) -> None:
        super().__init__(config)
        self._before_stop = before_stop

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop: no new connections, open answers get `GRACE_S` seconds."""
        self._before_stop()
        await super().shutdown(sockets=sockets)


def listening_socket(host: str, port: int) -> socket.socket:
    """A bound socket; raises `PortBusyError` where the port is taken, or the address is not this machine's."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    found = socket.socket(family, socket.SOCK_STREAM)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((host, port))
        # Until it listens, a second process could bind it too.
        found.listen(BACKLOG)
    except OSError as error:
        found.close()
        if error.errno == errno.EADDRINUSE:
            text = f"Port {port} of {host} is taken, perhaps by an app that runs already. Stop it, or set another"
            raise PortBusyError(f"{text} BALLAST_APP_PORT.") from None
        raise PortBusyError(f"The app cannot listen on {host}, port {port}: {error.strerror}.") from None
    found.setblocking(False)
    return found


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    try:
        settings = load_settings()
        configure_logs("app", settings.log_level)
        # At DEBUG the server writes the headers of handshakes, in which sessions stand.
        logging.getLogger("uvicorn.error").setLevel(max(logging.INFO, logging.getLogger().level))
        # Streamlit reads its settings from the folder it is started in.
        os.chdir(PROJECT_ROOT)
        found = listening_socket(settings.app_host, settings.app_port)
        from streamlit_app.server.session import process_sessions

        sessions = process_sessions()
        from streamlit_app.server.application import create_app

        application = create_app(settings, sessions, SystemClock())
    except BallastError as error:
        raise SystemExit(f"{error.code}: {error.message}") from None
    options = uvicorn.Config(
        application.asgi,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=GRACE_S,
        ws="websockets-sansio",
        ws_max_size=MAX_FRAME_BYTES,
        ws_ping_interval=20,
        ws_ping_timeout=20,
    )
    AppServer(options, application.close_streams).run(sockets=[found])


if __name__ == "__main__":
    main()
