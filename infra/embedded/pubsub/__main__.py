"""`python -m infra.embedded.pubsub --data-dir DIR --port N`: serve until SIGTERM or SIGINT."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
from pathlib import Path

from infra.embedded.pubsub.server import HOST, serving
from infra.runtime.clock import SystemClock
from infra.runtime.errors import BallastError
from infra.runtime.logs import configure_logs


def _is_no_departure(record: logging.LogRecord) -> bool:
    """gRPC reports an answer to a client that has gone as an error; its messages simply come again."""
    return not record.getMessage().startswith("ExecuteBatchError raised in core by servicer method")


async def _serve(data_dir: Path, port: int) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with serving(data_dir, port, SystemClock()) as bound:
        print(f"pubsub ready on {HOST}:{bound}", flush=True)
        await stop.wait()


def main() -> int:
    """Run the server; 0 after a clean stop, 1 with a message on stderr if it cannot start."""
    parser = argparse.ArgumentParser(prog="python -m infra.embedded.pubsub", description="The embedded Pub/Sub.")
    parser.add_argument("--data-dir", type=Path, required=True, help="folder of the durable state; created if missing")
    parser.add_argument("--port", type=int, default=8612, help="port on 127.0.0.1; 0 chooses a free one")
    parser.add_argument("--log-level", choices=("DEBUG", "INFO", "WARNING", "ERROR"), default="INFO")
    arguments = parser.parse_args()
    configure_logs("pubsub", arguments.log_level)
    # httpx reports each request with its address, which may carry a credential in its query.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    logging.getLogger("grpc._cython.cygrpc").addFilter(_is_no_departure)
    try:
        asyncio.run(_serve(arguments.data_dir, arguments.port))
    except BallastError as error:
        print(error.message, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
