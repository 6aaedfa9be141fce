"""BigQuery: one client, one way to read, to run a statement and to append rows."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import requests
from google.api_core import exceptions as google_exceptions
from google.api_core.client_options import ClientOptions
from google.api_core.retry import Retry
from google.auth import exceptions as auth_exceptions
from google.cloud import bigquery
from google.oauth2.credentials import Credentials

from infra.runtime.errors import AppendError, NotReadyError, WarehouseError
from infra.runtime.settings import Settings

# insertAll accepts 50,000 rows and 10 MB a request; BigQuery recommends at most 500 rows.
APPEND_ROWS_PER_REQUEST = 500
APPEND_BYTES_PER_REQUEST = 4_000_000
REQUEST_TIMEOUT_S = 20.0
_RETRYABLE = (
    google_exceptions.TooManyRequests,
    google_exceptions.BadGateway,
    google_exceptions.ServiceUnavailable,
    google_exceptions.GatewayTimeout,
    ConnectionError,
    requests.exceptions.ConnectionError,
    requests.exceptions.Timeout,
    requests.exceptions.ChunkedEncodingError,
    auth_exceptions.TransportError,
)
# `TimeoutError` is a query that runs longer than it may: not sent again by itself.
_AWAY = (google_exceptions.RetryError, TimeoutError, *_RETRYABLE)
_REFUSED_CREDENTIALS = "BigQuery refused the credentials: check BALLAST_BIGQUERY_TOKEN, or the application's default."


def _is_retryable(error: BaseException) -> bool:
    return isinstance(error, _RETRYABLE)


def _retry(deadline_s: float) -> Retry:
    return Retry(predicate=_is_retryable, initial=0.1, maximum=3.0, multiplier=2.0, timeout=deadline_s)


@dataclass(frozen=True)
class TableSpec:
    """A table that Ballast writes itself (dbt owns all others).

    `partition_field` is a TIMESTAMP or DATE column, partitioned by day; `cluster_fields` at most four.
    """

    dataset: str
    name: str
    schema: tuple[bigquery.SchemaField, ...]
    description: str
    partition_field: str | None = None
    cluster_fields: tuple[str, ...] = ()

    @property
    def table_id(self) -> str:
        """`dataset.name`, as SQL writes it."""
        return f"{self.dataset}.{self.name}"


def required(name: str, kind: str, description: str) -> bigquery.SchemaField:
    """A column that is never NULL."""
    return bigquery.SchemaField(name, kind, mode="REQUIRED", description=description)


def nullable(name: str, kind: str, description: str) -> bigquery.SchemaField:
    """A column that may be NULL."""
    return bigquery.SchemaField(name, kind, mode="NULLABLE", description=description)


@dataclass(frozen=True)
class Appended:
    """What an append did: `rows` accepted in `requests` calls."""

    rows: int
    requests: int


def _static_credentials(token: str) -> Credentials:
    return Credentials(token=token)  # type: ignore[no-untyped-call]


def bigquery_client(settings: Settings) -> bigquery.Client:
    """A client for the endpoint and credentials of the settings; opens no connection by itself.

    Without an endpoint and a token it is Google's own: application-default credentials against BigQuery.
    """
    token = settings.bigquery_token
    return bigquery.Client(
        project=settings.gcp_project,
        location=settings.bigquery_location,
        credentials=_static_credentials(token.get_secret_value()) if token else None,
        client_options=ClientOptions(api_endpoint=settings.bigquery_endpoint) if settings.bigquery_endpoint else None,
        default_query_job_config=bigquery.QueryJobConfig(
            maximum_bytes_billed=settings.bigquery_maximum_bytes_billed, labels={"service": "ballast"}
        ),
    )


def _parameter(name: str, value: Any) -> bigquery.ScalarQueryParameter | bigquery.ArrayQueryParameter:
    if isinstance(value, list | tuple):
        kind = _parameter_type(value[0]) if value else "STRING"
        return bigquery.ArrayQueryParameter(name, kind, list(value))
    return bigquery.ScalarQueryParameter(name, _parameter_type(value), value)


def _parameter_type(value: Any) -> str:
    match value:
        case bool():
            return "BOOL"
        case int():
            return "INT64"
        case float():
            return "FLOAT64"
        case Decimal():
            return "NUMERIC" if _fits_numeric(value) else "BIGNUMERIC"
        case datetime():
            return "TIMESTAMP"
        case date():
            return "DATE"
        case _:
            return "STRING"


def _fits_numeric(value: Decimal) -> bool:
    """NUMERIC holds 29 digits before the point and nine after it."""
    return value == 0 or (value.adjusted() < 29 and int(value.normalize().as_tuple().exponent) >= -9)


def _json_cell(value: Any) -> Any:
    """A Python value as insertAll takes it: decimals and times as text, so that nothing passes through a float."""
    match value:
        case Decimal():
            return format(value, "f")
        case datetime() | date():
            return value.isoformat()
        case Mapping():
            return {key: _json_cell(item) for key, item in value.items()}
        case list() | tuple():
            return [_json_cell(item) for item in value]
        case _:
            return value


@dataclass
class Warehouse:
    """Reads and writes of one process against BigQuery, each with a timeout and a bounded retry.

    Safe to share between threads. Errors of a statement are `WarehouseError`; a server that is away longer
    than the retry lasts is `NotReadyError`.
    """

    settings: Settings
    deadline_s: float = 30.0
    client: bigquery.Client = field(init=False)

    def __post_init__(self) -> None:
        self.client = bigquery_client(self.settings)

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """Run `sql` with named parameters and return its rows as dicts (NUMERIC as Decimal, times aware UTC).

        Statements that change data go through here too; they return no rows.
        """
        config = bigquery.QueryJobConfig(
            query_parameters=[_parameter(name, value) for name, value in (parameters or {}).items()]
        )
        try:
            rows = self.client.query_and_wait(
                sql,
                job_config=config,
                retry=_retry(self.deadline_s),
                job_retry=_retry(self.deadline_s),
                api_timeout=REQUEST_TIMEOUT_S,
                wait_timeout=self.deadline_s * 10,
            )
            return [dict(row.items()) for row in rows]
        except _AWAY as error:
            raise NotReadyError(self._away(error)) from error
        except auth_exceptions.GoogleAuthError as error:
            raise WarehouseError(_REFUSED_CREDENTIALS) from error
        except google_exceptions.GoogleAPICallError as error:
            raise WarehouseError(
                f"BigQuery refused a statement: {error.message}. Statement: {sql.strip()[:300]}"
            ) from error

    def execute(self, sql: str, parameters: Mapping[str, Any] | None = None, timeout_s: float = 600.0) -> None:
        """Run a statement that changes data and may take minutes; it must bear being sent twice."""
        config = bigquery.QueryJobConfig(
            query_parameters=[_parameter(name, value) for name, value in (parameters or {}).items()]
        )
        try:
            job = self.client.query(sql, job_config=config, job_retry=None, timeout=timeout_s)
            job.result(timeout=timeout_s, job_retry=None)
        except _AWAY as error:
            raise NotReadyError(self._away(error)) from error
        except google_exceptions.GoogleAPICallError as error:
            raise WarehouseError(
                f"BigQuery refused a statement: {error.message}. Statement: {sql.strip()[:300]}"
            ) from error

    def append(
        self, table_id: str, rows: Iterable[Mapping[str, Any]], row_ids: Sequence[str] | None = None
    ) -> Appended:
        """Append `rows` to `dataset.table`; when it returns, each row is durable and visible.

        `row_ids` are the rows' deterministic ids: BigQuery drops a repeat of the last minutes, best effort,
        so readers still dedupe. Raises `AppendError` with the reason per row when BigQuery refuses rows
        (then none of that request was written; earlier requests of the call were).
        """
        pending = [{key: _json_cell(value) for key, value in row.items()} for row in rows]
        requests = 0
        for start, end in _request_bounds(pending):
            ids = row_ids[start:end] if row_ids is not None else None
            try:
                errors = self.client.insert_rows_json(
                    f"{self.settings.gcp_project}.{table_id}",
                    pending[start:end],
                    row_ids=ids if ids is not None else bigquery.AutoRowIDs.DISABLED,
                    retry=_retry(self.deadline_s),
                    timeout=REQUEST_TIMEOUT_S,
                )
            except _AWAY as error:
                raise NotReadyError(self._away(error)) from error
            except auth_exceptions.GoogleAuthError as error:
                raise WarehouseError(_REFUSED_CREDENTIALS) from error
            except google_exceptions.GoogleAPICallError as error:
                raise WarehouseError(f"BigQuery refused an append to {table_id}: {error.message}") from error
            if errors:
                raise _append_error(table_id, start, errors)
            requests += 1
        return Appended(rows=len(pending), requests=requests)

    def ensure_dataset(self, dataset: str, description: str) -> None:
        """Create the dataset unless it is there."""
        reference = bigquery.Dataset(f"{self.settings.gcp_project}.{dataset}")
        reference.location = self.settings.bigquery_location
        reference.description = description
        self.client.create_dataset(reference, exists_ok=True, retry=_retry(self.deadline_s), timeout=REQUEST_TIMEOUT_S)

    def ensure_table(self, spec: TableSpec) -> None:
        """Create the table unless it is there. A table whose columns differ is refused with `WarehouseError`."""
        table_id = f"{self.settings.gcp_project}.{spec.table_id}"
        table = bigquery.Table(table_id, schema=list(spec.schema))
        table.description = spec.description
        if spec.partition_field:
            table.time_partitioning = bigquery.TimePartitioning(field=spec.partition_field)
        if spec.cluster_fields:
            table.clustering_fields = list(spec.cluster_fields)
        retry = _retry(self.deadline_s)
        self.client.create_table(table, exists_ok=True, retry=retry, timeout=REQUEST_TIMEOUT_S)
        found = self.client.get_table(table_id, retry=retry, timeout=REQUEST_TIMEOUT_S)
        missing = {column.name for column in spec.schema} - {column.name for column in found.schema}
        if missing:
            raise WarehouseError(
                f"Table {spec.table_id} lacks the columns {', '.join(sorted(missing))}: it is from an older version. "
                "Migrate it, or start from an empty state folder."
            )

    def _away(self, error: BaseException) -> str:
        where = self.settings.bigquery_endpoint or "BigQuery"
        return f"{where} did not answer within {self.deadline_s:.0f} s ({type(error).__name__}); it will be tried again"


def _append_error(table_id: str, start: int, errors: Sequence[Mapping[str, Any]]) -> AppendError:
    """Rows marked `stopped` are well-formed: they were held back because another row of the request was refused."""
    reasons = {
        start + int(row["index"]): json.dumps(row["errors"])[:500]
        for row in errors
        if any(reason.get("reason") != "stopped" for reason in row["errors"])
    }
    named = next((f"; row {index}: {reason}" for index, reason in reasons.items()), "")
    return AppendError(f"BigQuery refused {len(reasons)} rows of {table_id}{named}", reasons)


def _request_bounds(rows: Sequence[Mapping[str, Any]]) -> Iterable[tuple[int, int]]:
    """Half-open row ranges, each within the row and byte limits of one insertAll request."""
    start, size = 0, 0
    for index, row in enumerate(rows):
        row_size = len(json.dumps(row, default=str))
        if index > start and (index - start >= APPEND_ROWS_PER_REQUEST or size + row_size > APPEND_BYTES_PER_REQUEST):
            yield start, index
            start, size = index, 0
        size += row_size
    if rows:
        yield start, len(rows)
