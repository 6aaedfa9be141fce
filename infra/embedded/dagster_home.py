"""Dagster's own folder in the state folder: instance and workspace, written at each start."""

from __future__ import annotations

from infra.embedded.ports import HOST, Ports
from infra.embedded.state import StateFolder, write_atomically

_INSTANCE = """\
# Written by `ballast up`. Runs, events and schedules are kept in SQLite beside this file.
telemetry:
  enabled: false
nux:
  enabled: false
concurrency:
  runs:
    max_concurrent_runs: 2
run_monitoring:
  enabled: true
  start_timeout_seconds: 180
"""


def write_dagster_home(state: StateFolder, ports: Ports) -> None:
    """Write `dagster.yaml` and `workspace.yaml`."""
    write_atomically(state.dagster_home / "dagster.yaml", _INSTANCE)
    workspace = (
        "# Written by `ballast up`.\n"
        "load_from:\n"
        "  - grpc_server:\n"
        f"      host: {HOST}\n"
        f"      port: {ports.dagster_code}\n"
        "      location_name: ballast\n"
    )
    write_atomically(state.dagster_home / "workspace.yaml", workspace)
