"""Copies of the tables of compliance, each with a check that it equals PostgreSQL; and the nightly screening."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dagster as dg

from assets.compliance.mirroring import mirrored_streams
from assets.compliance.rescreening import rescreen_customers
from assets.platform import Platform
from compliance.mirror import MirrorBusyError
from compliance.mirror_stream import Stream
from compliance.mirror_tables import SCREENINGS, STREAMS
from infra.runtime.clock import SystemClock

OWNERS = ("team:compliance",)
RESCREENING_KEY = dg.AssetKey(["compliance", "rescreening"])
CHECK = "equals_postgresql"
EVERYBODY_CHECK = "everybody_was_screened"


def copy_key(stream: Stream) -> dg.AssetKey:
    """The asset of a stream's copy."""
    return dg.AssetKey([stream.target.dataset, stream.target.name])


@dg.multi_asset(
    name="compliance_copies",
    specs=[
        dg.AssetSpec(
            copy_key(stream),
            group_name="raw",
            kinds={"bigquery", "postgres"},
            owners=list(OWNERS),
            description=stream.target.description,
            deps=[RESCREENING_KEY] if stream is SCREENINGS else [],
        )
        for stream in STREAMS
    ],
    check_specs=[
        dg.AssetCheckSpec(
            CHECK,
            asset=copy_key(stream),
            blocking=True,
            description="Rows and totals in PostgreSQL, up to where the mirror is, are those of the copy.",
        )
        for stream in STREAMS
    ],
)
def compliance_copies(platform: Platform) -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
    """Append what changed in PostgreSQL since the last time, and compare both sides."""
    try:
        for stream, copied, reconciled in mirrored_streams(platform.settings(), platform.warehouse(), SystemClock()):
            key = copy_key(stream)
            yield dg.MaterializeResult(asset_key=key, metadata={"rows_copied": copied.rows, "cursor": copied.position})
            yield dg.AssetCheckResult(
                asset_key=key,
                check_name=CHECK,
                passed=reconciled.is_equal,
                description=reconciled.told,
                metadata={"rows": reconciled.ledger.rows, "rows_that_wait": reconciled.waiting or 0},
            )
    except MirrorBusyError as error:
        raise dg.RetryRequested(max_retries=3, seconds_to_wait=20) from error


@dg.asset(
    key=RESCREENING_KEY,
    group_name="compliance",
    kinds={"postgres"},
    owners=list(OWNERS),
    check_specs=[
        dg.AssetCheckSpec(
            EVERYBODY_CHECK,
            asset=RESCREENING_KEY,
            description="No customer is left whose screening ended in an error.",
        )
    ],
)
def rescreening(platform: Platform) -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
    """Screen all customers against what changed in the lists, and new customers against the lists."""
    done = rescreen_customers(platform.settings(), SystemClock())
    yield dg.MaterializeResult(
        metadata={
            "run_id": done.run_id,
            "customers": done.customers,
            "entries_that_changed": done.delta_entries,
            "screened_in_full": done.screened,
            "new_hits": done.new_hits,
            "list_versions": dict(done.list_versions),
        }
    )
    yield dg.AssetCheckResult(
        check_name=EVERYBODY_CHECK,
        passed=done.errors == 0,
        description=f"{done.errors} of {done.customers} customers could not be screened",
    )
