"""The platform's clients as one Dagster resource."""

import dagster as dg

from infra.runtime.bigquery import Warehouse
from infra.runtime.pubsub import Publisher
from infra.runtime.settings import Settings, load_settings


class Platform(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Clients made from the settings of the process that runs the step; opens nothing before it is asked."""

    def settings(self) -> Settings:
        """Endpoints and credentials."""
        return load_settings()

    def warehouse(self) -> Warehouse:
        """A client of BigQuery."""
        return Warehouse(self.settings())

    def publisher(self) -> Publisher:
        """A client of Pub/Sub."""
        return Publisher(self.settings())
