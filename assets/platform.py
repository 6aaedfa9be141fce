"""The platform's clients as one Dagster resource."""

from __future__ import annotations

import threading
from typing import ClassVar

import dagster as dg
from sqlalchemy import Engine

from infra.runtime.bigquery import Warehouse
from infra.runtime.heartbeats import Heartbeat
from infra.runtime.postgres import postgres_engine
from infra.runtime.pubsub import Publisher
from infra.runtime.settings import Settings, load_settings


class ProcessClients:
    """Clients made once and reused for as long as the settings stay; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._settings: Settings | None = None
        self._warehouse: Warehouse | None = None
        self._publisher: Publisher | None = None
        self._engine: Engine | None = None
        self._heartbeats: dict[str, Heartbeat] = {}

    def warehouse(self, settings: Settings) -> Warehouse:
        """The client of BigQuery."""
        with self._lock:
            self._keep(settings)
            self._warehouse = self._warehouse or Warehouse(settings)
            return self._warehouse

    def publisher(self, settings: Settings) -> Publisher:
        """The client of Pub/Sub."""
        with self._lock:
            self._keep(settings)
            self._publisher = self._publisher or Publisher(settings)
            return self._publisher

    def heartbeat(self, settings: Settings, name: str) -> Heartbeat:
        """The heartbeat of that name."""
        with self._lock:
            self._keep(settings)
            self._engine = self._engine or postgres_engine(settings, f"heartbeat-{name}", pool_size=1)
            return self._heartbeats.setdefault(name, Heartbeat(self._engine, name))

    def discard(self) -> None:
        """Close the clients of BigQuery and Pub/Sub; the next call makes them anew. Heartbeats go on."""
        with self._lock:
            self._discard()

    def _keep(self, settings: Settings) -> None:
        if settings == self._settings:
            return
        self._discard()
        for each in self._heartbeats.values():
            each.close()
        self._heartbeats = {}
        if self._engine is not None:
            self._engine.dispose()
        self._engine, self._settings = None, settings

    def _discard(self) -> None:
        publisher, self._publisher = self._publisher, None
        warehouse, self._warehouse = self._warehouse, None
        if publisher is not None:
            publisher.close()
        if warehouse is not None:
            warehouse.client.close()  # type: ignore[no-untyped-call]


class Platform(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Clients for the settings of the process that runs the step or tick; opens nothing before it is asked."""

    # Dagster makes the resource anew for every tick; the clients outlast it.
    clients: ClassVar[ProcessClients] = ProcessClients()

    def settings(self) -> Settings:
        """Endpoints and credentials."""
        return load_settings()

    def warehouse(self) -> Warehouse:
        """A client of BigQuery."""
        return self.clients.warehouse(self.settings())

    def publisher(self) -> Publisher:
        """A client of Pub/Sub."""
        return self.clients.publisher(self.settings())

    def heartbeat(self, name: str) -> Heartbeat:
        """The heartbeat of that name."""
        return self.clients.heartbeat(self.settings(), name)

    def discard_clients(self) -> None:
        """Close the clients after a failure, so that the next tick begins with new connections."""
        self.clients.discard()
