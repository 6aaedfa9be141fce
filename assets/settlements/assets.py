"""Settlement events as an asset."""

from typing import Any

import dagster as dg

from assets.arrivals import ARRIVALS_SQL, arrivals
from assets.platform import Platform


@dg.asset(key=["raw", "settlement_events"], group_name="raw", kinds={"bigquery"}, owners=["team:settlements"])
def settlement_events(platform: Platform) -> dg.MaterializeResult[Any]:
    """Settlement events; the consumer appends them as they arrive, this looks at what is there."""
    return arrivals(platform.warehouse(), ARRIVALS_SQL["settlement_events"])
