"""The embedded BigQuery: bqemulator with all repairs, served on this machine only."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bqemulator.server as emulator
import grpc
from bqemulator.api import app as application
from bqemulator.config import LogLevel, PersistenceMode, Settings
from bqemulator.grpc_api.interceptors import DomainErrorTranslationInterceptor, MetricsInterceptor
from bqemulator.grpc_api.read_servicer import BigQueryReadHandler
from bqemulator.grpc_api.write_servicer import BigQueryWriteHandler
from fastapi import FastAPI
from grpc_health.v1 import health, health_pb2, health_pb2_grpc  # type: ignore[import-untyped]

from infra.embedded.bigquery import (
    appends,
    arithmetic,
    catalog,
    connections,
    decimals,
    errors,
    loads,
    materialized,
    options,
    parameters,
    results,
    rows,
    snapshots,
    statements,
    syntax,
    tables,
    translations,
    workers,
)
from infra.embedded.bigquery.auth import BearerToken, RequireBearer, RequireBearerMetadata
from infra.embedded.bigquery.handlers import Handlers
from infra.embedded.bigquery.locks import StatementLocks
from infra.embedded.bigquery.patching import replace

HOST = "127.0.0.1"
_MESSAGE_BYTES = 256 * 1024**2


@dataclass(frozen=True)
class ServerConfig:
    """Where and how to serve.

    `memory_limit` and `threads` bound DuckDB. Results and read sessions are each kept up to `kept_results` and
    `kept_bytes`; jobs up to `kept_jobs`.
    """

    data_dir: Path
    gcs_root: Path
    rest_port: int
    grpc_port: int
    project: str
    memory_limit: str = "4GB"
    threads: int = 2
    kept_results: int = 500
    kept_bytes: int = 1024**3
    kept_jobs: int = 5_000


def repair(config: ServerConfig, locks: StatementLocks) -> None:
    """Apply the repairs of bqemulator's modules; once in a process, before its server is built."""
    connections.give_each_thread_its_cursor()
    connections.share_one_write_lock()
    connections.bound_the_engine(config.memory_limit, config.threads)
    connections.close_all_cursors_at_the_end()
    connections.skip_the_spatial_extension()
    catalog.serialise_catalog_writes()
    catalog.keep_jobs_in_memory(config.kept_jobs)
    results.bound_results(config.kept_results, config.kept_bytes)
    results.bound_read_sessions(config.kept_results, config.kept_bytes)
    snapshots.copy_nothing_on_write()
    snapshots.refuse_time_travel()
    decimals.store_decimals_exactly()
    decimals.compute_decimals_exactly()
    arithmetic.calculate_decimals_exactly()
    rows.refuse_unclear_values()
    appends.append_streams_beside_statements(locks)
    loads.accept_any_upload_type()
    loads.map_columns_as_bigquery_does()
    loads.load_all_or_nothing(locks)
    materialized.accept_materialized_views()
    materialized.show_materialized_views()
    options.accept_table_options()
    translations.leave_views_to_the_engine()
    translations.create_tables_with_columns_and_rows()
    translations.remember_translations()
    translations.remember_table_names()
    parameters.look_in_lists_early()
    syntax.parse_texts_once()
    syntax.copy_trees_faster()
    statements.order_statements(locks)
    statements.report_failures_as_invalid_queries()


def build_app(context: Any, token: BearerToken, locks: StatementLocks, pool: workers.Workers) -> FastAPI:
    """bqemulator's application with the repairs of its routes; each request needs the token."""
    handlers = Handlers(application)
    appends.append_whole_requests(handlers, locks)
    tables.count_rows_when_asked(handlers)
    tables.drop_views_as_views(handlers, locks)
    connections.release_after_each_request(handlers)
    workers.run_handlers_in_workers(handlers, pool)
    errors.answer_failed_queries_with_their_status(handlers)
    errors.run_repeated_requests_once(handlers)
    handlers.install()
    app = application.create_app(context)
    app.add_middleware(RequireBearer, token=token)
    return app


def build_grpc(context: Any, token: BearerToken) -> tuple[grpc.aio.Server, int]:
    """The Storage Read and Write services; each call needs the token, except health checks."""
    server = grpc.aio.server(
        interceptors=(
            RequireBearerMetadata(token),
            MetricsInterceptor(context.metrics),
            DomainErrorTranslationInterceptor(),
        ),
        options=[
            ("grpc.max_send_message_length", _MESSAGE_BYTES),
            ("grpc.max_receive_message_length", _MESSAGE_BYTES),
            ("grpc.so_reuseport", 0),  # a port that another server holds is an error, not shared
        ],
    )
    servicer = health.HealthServicer()
    servicer.set("", health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    server.add_generic_rpc_handlers([BigQueryReadHandler(context), BigQueryWriteHandler(context)])
    return server, server.add_insecure_port(f"{context.settings.grpc_host}:{context.settings.grpc_port}")


def build_server(config: ServerConfig, token: BearerToken) -> emulator.EmulatorServer:
    """The repaired server, not yet started. Only one can be built in a process."""
    locks, pool = StatementLocks(), workers.Workers()
    repair(config, locks)
    replace(emulator, "create_app", lambda context: build_app(context, token, locks, pool))
    replace(emulator, "build_grpc_server", lambda context: build_grpc(context, token))
    replace(emulator, "configure_logging", lambda **_options: None)
    staging = config.data_dir / "uploads"
    for folder in (config.data_dir, config.gcs_root, staging):
        folder.mkdir(parents=True, exist_ok=True)
    return emulator.EmulatorServer(
        Settings(
            rest_host=HOST,
            rest_port=config.rest_port,
            grpc_host=HOST,
            grpc_port=config.grpc_port,
            persistence_mode=PersistenceMode.PERSISTENT,
            data_dir=config.data_dir,
            default_project_id=config.project,
            gcs_local_root=config.gcs_root,
            upload_staging_dir=staging,
            enable_format_extensions=False,
            admin_enabled=False,
            log_level=LogLevel.WARNING,
        )
    )
