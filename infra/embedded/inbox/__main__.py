"""`python -m infra.embedded.inbox --data-dir DIR --port N`: serve the inbox on 127.0.0.1."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import NoReturn

import uvicorn

from infra.embedded.inbox.app import create_app
from infra.embedded.inbox.database import Database
from infra.embedded.inbox.signing import load_signing_key
from infra.runtime.clock import SystemClock
from infra.runtime.logs import configure_logs
from infra.runtime.settings import load_settings


def _leave(_number: int, _frame: FrameType | None) -> NoReturn:
    sys.exit(0)


def main() -> int:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(prog="infra.embedded.inbox", description=__doc__)
    parser.add_argument("--data-dir", type=Path, required=True, help="folder of the SQLite file")
    parser.add_argument("--port", type=int, required=True, help="port on 127.0.0.1")
    arguments = parser.parse_args()
    settings = load_settings()
    configure_logs("inbox", settings.log_level)
    # uvicorn ends gracefully and then raises the signal again, for this handler.
    signal.signal(signal.SIGTERM, _leave)
    signing_key = load_signing_key(arguments.data_dir)
    app = create_app(settings, Database(arguments.data_dir), SystemClock(), signing_key)
    uvicorn.run(
        app, host="127.0.0.1", port=arguments.port, access_log=False, log_config=None, timeout_graceful_shutdown=5
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
