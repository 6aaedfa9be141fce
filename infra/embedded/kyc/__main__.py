"""`python -m infra.embedded.kyc --data-dir DIR --persona-port N --sumsub-port M`: serve both providers on 127.0.0.1."""

from __future__ import annotations

import argparse
import signal
import socket
import sys
from pathlib import Path
from types import FrameType
from typing import NoReturn

import uvicorn

from infra.embedded.kyc.app import create_app
from infra.embedded.kyc.database import Database
from infra.runtime.clock import SystemClock
from infra.runtime.logs import configure_logs
from infra.runtime.settings import load_settings

HOST = "127.0.0.1"


def _leave(_number: int, _frame: FrameType | None) -> NoReturn:
    sys.exit(0)


def main() -> int:
    """Serve until SIGTERM; both ports answer both contracts, whose paths differ."""
    parser = argparse.ArgumentParser(prog="infra.embedded.kyc", description=__doc__)
    parser.add_argument("--data-dir", type=Path, required=True, help="folder of the SQLite file")
    parser.add_argument("--persona-port", type=int, required=True, help="Persona's port on 127.0.0.1")
    parser.add_argument("--sumsub-port", type=int, required=True, help="Sumsub's port on 127.0.0.1")
    arguments = parser.parse_args()
    settings = load_settings()
    configure_logs("kyc-providers", settings.log_level)
    # uvicorn ends gracefully and then raises the signal again, for this handler.
    signal.signal(signal.SIGTERM, _leave)
    app = create_app(settings, Database(arguments.data_dir), SystemClock())
    config = uvicorn.Config(
        app, access_log=False, log_config=None, timeout_graceful_shutdown=5, date_header=False, server_header=False
    )
    sockets = [_bound(port) for port in (arguments.persona_port, arguments.sumsub_port)]
    uvicorn.Server(config).run(sockets=sockets)
    return 0


def _bound(port: int) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind((HOST, port))
    return made


if __name__ == "__main__":
    sys.exit(main())
