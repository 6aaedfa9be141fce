"""`python -m infra.embedded.bigquery`: serve the embedded BigQuery until SIGTERM or SIGINT."""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import os
import signal
import sys
import warnings
from pathlib import Path

from infra.embedded.bigquery.version import require_repaired_version
from infra.runtime.errors import BallastError, SettingsError
from infra.runtime.logs import configure_logs
from infra.runtime.settings import load_settings


def main(arguments: list[str] | None = None) -> int:
    """Serve; 0 after a clean stop, 2 when it cannot start (the reason is on standard error)."""
    options = _parse(arguments)
    try:
        require_repaired_version()
        settings = load_settings()
        if settings.bigquery_token is None or not settings.bigquery_token.get_secret_value():
            raise SettingsError(
                "The embedded BigQuery does not serve without a token: set BALLAST_BIGQUERY_TOKEN, or start it with "
                "`ballast up`, which writes one into ballast.env."
            )
        configure_logs("bigquery", settings.log_level)
        _quiet_the_emulator()
        return asyncio.run(_serve(options, settings.gcp_project, settings.bigquery_token.get_secret_value()))
    except (BallastError, OSError, RuntimeError) as error:  # gRPC reports a busy port as RuntimeError
        sys.stderr.write(f"{error}\n")
        return 2


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m infra.embedded.bigquery", description=__doc__)
    parser.add_argument("--data-dir", type=Path, required=True, help="folder of the database; created when missing")
    parser.add_argument("--gcs-root", type=Path, required=True, help="folder that gs:// addresses lead to")
    parser.add_argument("--rest-port", type=int, default=8610)
    parser.add_argument("--grpc-port", type=int, default=8611)
    parser.add_argument("--memory-limit", default="4GB", help="memory that DuckDB may use")
    parser.add_argument("--threads", type=int, default=2, help="threads that DuckDB may use")
    parser.add_argument("--kept-results", type=int, default=500, help="query results and read sessions kept in memory")
    parser.add_argument("--kept-jobs", type=int, default=5_000, help="jobs kept in memory")
    return parser.parse_args(arguments)


def _quiet_the_emulator() -> None:
    """Only warnings of bqemulator: its line for each request would bury ours."""
    logging.getLogger("bqemulator").setLevel(logging.WARNING)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    logging.getLogger("sqlglot").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="sqlglot")


def _collect_garbage_seldom() -> None:
    """Pass over what stays for ever, and look at the rest after 50,000 new objects instead of 700.

    Syntax trees are made of ten thousands of objects that refer to each other: the collector, which looks at all of
    them again and again while they grow, takes longer than the parser.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


async def _serve(options: argparse.Namespace, project: str, token: str) -> int:
    from infra.embedded.bigquery.auth import BearerToken
    from infra.embedded.bigquery.server import HOST, ServerConfig, build_server

    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    server = build_server(
        ServerConfig(
            data_dir=options.data_dir.expanduser().absolute(),
            gcs_root=options.gcs_root.expanduser().absolute(),
            rest_port=options.rest_port,
            grpc_port=options.grpc_port,
            project=project,
            memory_limit=options.memory_limit,
            threads=options.threads,
            kept_results=options.kept_results,
            kept_jobs=options.kept_jobs,
        ),
        BearerToken(token),
    )
    await server.start()
    _collect_garbage_seldom()
    address = f"http://{HOST}:{server.rest_port}"
    sys.stdout.write(f"BigQuery is ready: REST {address}, gRPC {HOST}:{server.grpc_port}\n")
    sys.stdout.flush()
    await stopped.wait()
    await server.stop()
    return 0


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # worker threads may still wait on a statement; everything acknowledged is in the log
