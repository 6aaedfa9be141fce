"""Reports what the consumers appended, so that raw tables have a history in Dagster without a run."""

import dagster as dg
from pydantic import BaseModel, ConfigDict, ValidationError

from assets.arrivals import LAST_ARRIVALS_SQL
from assets.platform import Platform
from infra.runtime.errors import BallastError


class ArrivalCursor(BaseModel):
    """The last arrival reported for each raw table (ISO time, UTC)."""

    model_config = ConfigDict(frozen=True)

    version: int = 1
    last_ingested_at: dict[str, str] = {}


def read_cursor(text: str | None) -> ArrivalCursor:
    """The cursor, or a fresh one where there is none or it cannot be read here: arrivals are then reported again."""
    if not text:
        return ArrivalCursor()
    try:
        cursor = ArrivalCursor.model_validate_json(text)
    except ValidationError:
        return ArrivalCursor()
    return cursor if cursor.version == 1 else ArrivalCursor()


@dg.sensor(
    name="raw_arrivals_sensor",
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Reports prices and settlement events that the consumers appended as materializations.",
)
def raw_arrivals_sensor(context: dg.SensorEvaluationContext, platform: Platform) -> dg.SensorResult:
    """One materialization a table in which something arrived since the last report."""
    cursor = read_cursor(context.cursor)
    try:
        rows = platform.warehouse().query(LAST_ARRIVALS_SQL)
    except BallastError as error:
        return dg.SensorResult(skip_reason=f"raw cannot be read: {error.message}", cursor=context.cursor)
    seen = {str(row["table_name"]): row["last_ingested_at"].isoformat() for row in rows if row["last_ingested_at"]}
    new = {table: at for table, at in seen.items() if cursor.last_ingested_at.get(table) != at}
    events = [
        dg.AssetMaterialization(["raw", table], metadata={"last_ingested_at": at}) for table, at in sorted(new.items())
    ]
    updated = ArrivalCursor(last_ingested_at={**cursor.last_ingested_at, **new})
    return dg.SensorResult(
        asset_events=events, cursor=updated.model_dump_json(), skip_reason=None if events else "nothing arrived"
    )
