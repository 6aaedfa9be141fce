"""What the stack consists of: one declaration for each process, in the order in which they start."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from infra.embedded.credentials import FEEDS_FILE, read_env_file
from infra.embedded.ports import HOST, Ports
from infra.embedded.probes import GrpcProbe, HeartbeatProbe, HttpProbe, PostgresProbe, Probe, TcpProbe
from infra.embedded.state import StateFolder
from infra.runtime.settings import ENV_FILE_NAME, PROJECT_ROOT

STATE_VARIABLE = "BALLAST_STATE_DIR"
SERVICE_VARIABLE = "BALLAST_SERVICE"
# These follow the state folder, never the shell from which `ballast` was called.
_MARKET_VARIABLES = ("BALLAST_PRICES_DIR", "BALLAST_SIMULATION_SEED", "BALLAST_BOOK_ACCOUNTS")
_MISLEADING_VARIABLES = ("PUBSUB_EMULATOR_HOST", "BIGQUERY_EMULATOR_HOST", "DAGSTER_HOME")


class Group(StrEnum):
    """Ground starts first, then provision, then workers and faces together; they stop in the reverse order."""

    GROUND = "ground"
    PROVISION = "provision"
    WORKERS = "workers"
    FACES = "faces"


@dataclass(frozen=True)
class Service:
    """One process of the stack.

    `ports` are those it binds; `depends` names services that must be ready first, besides the earlier groups.
    `once` is a step that runs to its end (exit code 0) before later groups start. Times are in seconds.
    """

    name: str
    group: Group
    argv: tuple[str, ...]
    ports: tuple[int, ...] = ()
    probes: tuple[Probe, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    depends: tuple[str, ...] = ()
    address: str | None = None
    stop_signal: str = "TERM"
    stop_wait_s: int = 10
    ready_timeout_s: float = 180.0
    once: bool = False

    @property
    def start_seconds(self) -> int:
        """How long it must run for its start to count; longer where nothing else shows that it works."""
        return 3 if self.probes else 10


def all_services(state: StateFolder, ports: Ports) -> tuple[Service, ...]:
    """The whole platform."""
    return (*ground_services(state, ports), provision_service(), *worker_services(ports), *face_services(state, ports))


def ground_services(state: StateFolder, ports: Ports) -> tuple[Service, ...]:
    """The servers that stand for BigQuery, Pub/Sub, PostgreSQL, the price sources, the receivers of alerts and KYC."""
    folder = state.path
    return (
        Service(
            name="bigquery",
            group=Group.GROUND,
            argv=_module(
                "infra.embedded.bigquery",
                *("--data-dir", str(folder / "bigquery"), "--gcs-root", str(folder / "gcs")),
                *("--rest-port", str(ports.bigquery_rest), "--grpc-port", str(ports.bigquery_grpc)),
            ),
            ports=(ports.bigquery_rest, ports.bigquery_grpc),
            probes=(HttpProbe(ports.bigquery_rest, "/healthz"), TcpProbe(ports.bigquery_grpc)),
            address=f"http://{HOST}:{ports.bigquery_rest}",
            stop_wait_s=20,
        ),
        Service(
            name="pubsub",
            group=Group.GROUND,
            argv=_module("infra.embedded.pubsub", "--data-dir", str(folder / "pubsub"), "--port", str(ports.pubsub)),
            ports=(ports.pubsub,),
            probes=(GrpcProbe(ports.pubsub),),
            address=f"{HOST}:{ports.pubsub}",
        ),
        Service(
            name="postgres",
            group=Group.GROUND,
            argv=_module(
                "infra.embedded.postgres", "--data-dir", str(folder / "postgres"), "--port", str(ports.postgres)
            ),
            ports=(ports.postgres,),
            probes=(PostgresProbe(),),
            address=f"{HOST}:{ports.postgres}",
            stop_signal="INT",
            stop_wait_s=30,
        ),
        _price_source("ethereum", "infra.embedded.chain", ports.ethereum, folder),
        _price_source("hermes", "infra.embedded.hermes", ports.hermes, folder),
        Service(
            name="inbox",
            group=Group.GROUND,
            argv=_module("infra.embedded.inbox", "--data-dir", str(folder / "inbox"), "--port", str(ports.inbox)),
            ports=(ports.inbox,),
            probes=(HttpProbe(ports.inbox, "/healthz"),),
            address=f"http://{HOST}:{ports.inbox}",
        ),
        Service(
            name="kyc-providers",
            group=Group.GROUND,
            argv=_module(
                "infra.embedded.kyc",
                *("--data-dir", str(folder / "kyc")),
                *("--persona-port", str(ports.persona), "--sumsub-port", str(ports.sumsub)),
            ),
            ports=(ports.persona, ports.sumsub),
            probes=(HttpProbe(ports.persona, "/healthz"), HttpProbe(ports.sumsub, "/healthz")),
            address=f"http://{HOST}:{ports.persona}",
        ),
    )


def provision_service() -> Service:
    """The step that creates datasets, topics, tables and the book; it may run any number of times."""
    return Service(
        name="provision",
        group=Group.PROVISION,
        argv=_module("infra.embedded.provision"),
        once=True,
        ready_timeout_s=600.0,
    )


def worker_services(ports: Ports) -> tuple[Service, ...]:
    """The processes that move events, decide and deliver."""
    return (
        Service(
            name="consumer",
            group=Group.WORKERS,
            argv=_module("ingest.consumer"),
            probes=(HeartbeatProbe("consumer", 10),),
            stop_wait_s=20,
        ),
        Service("market", Group.WORKERS, _module("infra.embedded.market")),
        Service(
            name="oracle",
            group=Group.WORKERS,
            argv=_module("ingest.prices"),
            ports=(ports.oracle,),
            probes=(HttpProbe(ports.oracle, "/healthz"),),
            address=f"http://{HOST}:{ports.oracle}",
        ),
        Service(
            name="alert-worker",
            group=Group.WORKERS,
            argv=_module("alerting.worker"),
            ports=(ports.alert_worker,),
            probes=(HttpProbe(ports.alert_worker, "/healthz"), HeartbeatProbe("alert-worker", 10)),
            address=f"http://{HOST}:{ports.alert_worker}",
            stop_wait_s=20,
        ),
        Service(
            name="alert-upkeep",
            group=Group.WORKERS,
            argv=_module("alerting.upkeep"),
            ports=(ports.alert_upkeep,),
            probes=(HttpProbe(ports.alert_upkeep, "/healthz"), HeartbeatProbe("alert-upkeep", 30)),
            address=f"http://{HOST}:{ports.alert_upkeep}",
            stop_wait_s=20,
        ),
        Service(
            name="compliance-worker",
            group=Group.WORKERS,
            argv=_module("compliance.worker"),
            ports=(ports.compliance_worker,),
            probes=(HttpProbe(ports.compliance_worker, "/healthz"), HeartbeatProbe("compliance-worker", 30)),
            address=f"http://{HOST}:{ports.compliance_worker}",
            stop_wait_s=20,
        ),
        Service(
            "runner",
            Group.WORKERS,
            _module(
                "orchestration.runner",
                *("--first", "risk_daily_job", "--first", "compliance_job"),
                *("--every", "120", "risk_intraday_job"),
            ),
            probes=(HeartbeatProbe("runner", 30),),
            env=_dagster_environment(),
            stop_wait_s=15,
        ),
    )


def face_services(state: StateFolder, ports: Ports) -> tuple[Service, ...]:
    """What people and programs look at: API, app, Dagster."""
    workspace = str(state.dagster_home / "workspace.yaml")
    return (
        Service(
            name="api",
            group=Group.FACES,
            argv=_module("api"),
            ports=(ports.api,),
            probes=(HttpProbe(ports.api, "/healthz"),),
            address=f"http://{HOST}:{ports.api}",
        ),
        Service(
            name="app",
            group=Group.FACES,
            argv=_module("streamlit_app"),
            ports=(ports.app,),
            probes=(HttpProbe(ports.app, "/healthz"),),
            address=f"http://{HOST}:{ports.app}",
        ),
        Service(
            name="dagster-code",
            group=Group.FACES,
            argv=_script(
                "dagster",
                *("api", "grpc", "--module-name", "orchestration.definitions"),
                *("--host", HOST, "--port", str(ports.dagster_code), "--working-directory", str(PROJECT_ROOT)),
            ),
            ports=(ports.dagster_code,),
            probes=(GrpcProbe(ports.dagster_code),),
            env=_dagster_environment(),
        ),
        Service(
            name="dagster-daemon",
            group=Group.FACES,
            argv=_script("dagster-daemon", "run", "-w", workspace),
            # What the daemon is there for: the margin sensor, which looks several times a second.
            probes=(HeartbeatProbe("margin_sensor", 15),),
            env=_dagster_environment(),
            depends=("dagster-code",),
            stop_wait_s=20,
        ),
        Service(
            name="dagster-ui",
            group=Group.FACES,
            argv=_script("dagster-webserver", "-h", HOST, "-p", str(ports.dagster_ui), "-w", workspace),
            ports=(ports.dagster_ui,),
            probes=(HttpProbe(ports.dagster_ui, "/server_info"),),
            env=_dagster_environment(),
            depends=("dagster-code",),
            address=f"http://{HOST}:{ports.dagster_ui}",
        ),
    )


def child_environment(state: StateFolder, name: str, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a process of the stack: it names the state folder, and carries no secret of `ballast.env`.

    `BALLAST_SERVICE` marks the process and its children as the stack's, so that leftovers can be told from others.
    """
    written = set(read_env_file(state.path / ENV_FILE_NAME))
    hidden = written.union(_MARKET_VARIABLES, _MISLEADING_VARIABLES)
    inherited = {name: value for name, value in os.environ.items() if name not in hidden}
    search_path = os.pathsep.join(part for part in (str(PROJECT_ROOT), os.environ.get("PYTHONPATH", "")) if part)
    own = {
        STATE_VARIABLE: str(state.path),
        "PYTHONPATH": search_path,
        "PYTHONUNBUFFERED": "1",
        # Read by Dagster, which asks for its folder nowhere else.
        "DAGSTER_HOME": str(state.dagster_home),
        SERVICE_VARIABLE: name,
    }
    return inherited | own | dict(extra or {})


def _module(name: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", name, *arguments)


def _price_source(name: str, module: str, port: int, state_dir: Path) -> Service:
    """A local source of prices, which serves the feeds of the state folder's table."""
    files = ("--data-dir", str(state_dir / name), "--feeds", str(state_dir / FEEDS_FILE))
    return Service(
        name=name,
        group=Group.GROUND,
        argv=_module(module, *files, "--port", str(port)),
        ports=(port,),
        probes=(HttpProbe(port, "/healthz"),),
        address=f"http://{HOST}:{port}",
    )


def _script(name: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, str(Path(sys.executable).with_name(name)), *arguments)


def _dagster_environment() -> dict[str, str]:
    return {"DAGSTER_DISABLE_TELEMETRY": "yes"}
