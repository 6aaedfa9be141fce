"""The embedded BigQuery as a process of its own, and the real client of it.

`pytest --stock-bigquery tests/integration/embedded/bigquery` runs the same tests against bqemulator as published
(only without its download of the spatial extension), to show which of them it fails.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import grpc
import httpx
import pytest
from google.api_core.client_options import ClientOptions
from google.cloud import bigquery
from google.oauth2.credentials import Credentials

TOKEN = "a-token-of-these-tests"
ROOT = Path(__file__).resolve().parents[4]
_STOCK = """
import sys
from bqemulator.storage.engine import DuckDBEngine
from bqemulator.config import LogLevel, Settings
from bqemulator.server import EmulatorServer
DuckDBEngine._load_spatial = lambda engine: None
data, gcs, rest, grpc = sys.argv[1:5]
EmulatorServer(Settings(persistence_mode="persistent", data_dir=data, default_project_id="ballast", rest_port=int(rest),
    grpc_port=int(grpc), gcs_local_root=gcs, enable_format_extensions=False, log_level=LogLevel.ERROR)).run_forever()
"""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--stock-bigquery", action="store_true", help="run against bqemulator without the repairs")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class _WithToken(
    grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor, grpc.StreamStreamClientInterceptor
):
    def _pass(self, continuation, details, request):
        metadata = [*(details.metadata or ()), ("authorization", f"Bearer {TOKEN}")]
        return continuation(details._replace(metadata=metadata), request)

    intercept_unary_unary = intercept_unary_stream = intercept_stream_stream = _pass


@dataclass
class Server:
    """A server process over one data folder; it may be killed and started again on the same ports."""

    folder: Path
    stock: bool = False
    options: tuple[str, ...] = ()
    rest_port: int = field(default_factory=free_port)
    grpc_port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.rest_port}"

    @property
    def log(self) -> Path:
        return self.folder / "server.log"

    def start(self) -> Server:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "gcs").mkdir(exist_ok=True)
        self.process = self.spawn()
        for _ in range(600):
            if self.process.poll() is not None:
                raise AssertionError(f"the server ended with {self.process.returncode}: {self.log.read_text()[-2000:]}")
            try:
                if httpx.get(f"{self.url}/healthz", timeout=2.0).status_code == 200:
                    return self
            except httpx.HTTPError:
                time.sleep(0.1)
        raise AssertionError(f"the server is not ready: {self.log.read_text()[-2000:]}")

    def spawn(self, environment: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        """Start the process without waiting for it; its output goes to the log."""
        data, gcs = str(self.folder / "data"), str(self.folder / "gcs")
        ports = (str(self.rest_port), str(self.grpc_port))
        if self.stock:
            command = [sys.executable, "-W", "ignore", "-c", _STOCK, data, gcs, *ports]
        else:
            command = [sys.executable, "-m", "infra.embedded.bigquery", "--data-dir", data, "--gcs-root", gcs]
            command += ["--rest-port", ports[0], "--grpc-port", ports[1], *self.options]
        clean = {name: value for name, value in os.environ.items() if not name.startswith("BALLAST_")}
        own = {"BALLAST_STATE_DIR": str(self.folder / "state"), "BALLAST_BIGQUERY_TOKEN": TOKEN}
        own["PYTHONFAULTHANDLER"] = "1"  # SIGABRT then writes the stacks of a server that hangs
        with self.log.open("ab") as log:
            return subprocess.Popen(
                command, cwd=ROOT, env={**clean, **own, **(environment or {})}, stdout=log, stderr=subprocess.STDOUT
            )

    def signal(self, number: int) -> int:
        """Send a signal and wait for the end; the exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(timeout=60)

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                self.process.send_signal(signal.SIGABRT)  # its stacks go to the log
                self.process.wait()
                if not self.stock:
                    pytest.fail(f"the server did not stop on SIGTERM: {self.log.read_text()[-4000:]}")

    def client(self, token: str = TOKEN) -> bigquery.Client:
        return bigquery.Client(
            project="ballast",
            credentials=Credentials(token=token),
            client_options=ClientOptions(api_endpoint=self.url),
        )

    def channel(self, *, with_token: bool = True) -> grpc.Channel:
        options = [("grpc.max_receive_message_length", -1)]
        channel = grpc.insecure_channel(f"127.0.0.1:{self.grpc_port}", options=options)
        return grpc.intercept_channel(channel, _WithToken()) if with_token else channel


@dataclass
class Warehouse:
    """A client with a dataset of its own; no call is retried and each ends within `timeout` seconds."""

    server: Server
    dataset: str
    timeout: float = 60.0
    client: bigquery.Client = field(init=False)

    def __post_init__(self) -> None:
        self.client = self.server.client()
        self.client.create_dataset(self.dataset, retry=None, timeout=self.timeout)

    def run(self, sql: str, **parameters: object) -> list[tuple]:
        """Run a statement, with `{d}` for the dataset, and return its rows."""
        config = bigquery.QueryJobConfig(
            query_parameters=[bigquery.ScalarQueryParameter(n, *v) for n, v in parameters.items()]
        )
        rows = self.client.query_and_wait(
            sql.replace("{d}", self.dataset),
            job_config=config,
            retry=None,
            job_retry=None,
            api_timeout=self.timeout,
            wait_timeout=self.timeout,
        )
        return [tuple(row.values()) for row in rows]

    def value(self, sql: str, **parameters: object) -> object:
        return self.run(sql, **parameters)[0][0]

    def insert(self, table: str, rows: list[dict], ids: list[str] | None = None) -> list[dict]:
        ids = ids or bigquery.AutoRowIDs.DISABLED
        name = f"ballast.{self.dataset}.{table}"
        return list(self.client.insert_rows_json(name, rows, row_ids=ids, retry=None, timeout=self.timeout))

    def read(self, table: str) -> list[tuple]:
        name = f"ballast.{self.dataset}.{table}"
        found = self.client.get_table(name, retry=None, timeout=self.timeout)
        return [tuple(r.values()) for r in self.client.list_rows(found, retry=None, timeout=self.timeout)]


@pytest.fixture(scope="session")
def stock(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--stock-bigquery", default=False))


@pytest.fixture
def new_server(tmp_path: Path, stock: bool) -> Iterator[Callable[..., Server]]:
    """Makes servers of this test alone; the caller starts them."""
    servers: list[Server] = []

    def make(*options: str) -> Server:
        servers.append(Server(tmp_path / f"server{len(servers)}", stock=stock, options=options))
        return servers[-1]

    yield make
    for server in servers:
        server.stop()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, stock: bool) -> Iterator[Server]:
    """One server for the tests of a module."""
    running = Server(tmp_path_factory.mktemp("bigquery"), stock=stock).start()
    yield running
    running.stop()


@pytest.fixture
def warehouse(server: Server) -> Warehouse:
    """A dataset of this test's own on the module's server."""
    return Warehouse(server, f"d{uuid4().hex[:8]}")


@pytest.fixture
def new_warehouse() -> Callable[[Server], Warehouse]:
    """Makes a dataset on a server that the test started."""
    return lambda server: Warehouse(server, f"d{uuid4().hex[:8]}")


@pytest.fixture
def at_once() -> Iterator[Callable[..., list]]:
    """Runs functions at the same time and returns their results; the first error is raised."""
    pool = ThreadPoolExecutor(16)

    def run(*functions: Callable[[], object]) -> list:
        futures = [pool.submit(function) for function in functions]
        return [future.result(timeout=240) for future in futures]

    yield run
    pool.shutdown(wait=False, cancel_futures=True)


@pytest.fixture
def signals() -> type[signal.Signals]:
    """The signals that tests send."""
    return signal.Signals


@pytest.fixture
def token() -> str:
    """The token that the servers accept."""
    return TOKEN
