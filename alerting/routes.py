"""All routers of alerting that the API mounts behind its authentication, and the page that carries its own proof.

The clients come from `app.state`: `postgres_engine`, `clock`, `settings`, `sealer` and `reader`, the warehouse.
"""

from __future__ import annotations

from alerting.notification_routes import router
from alerting.preferences.dependencies import get_engine
from alerting.preferences.page_routes import PagePolicy
from alerting.preferences.page_routes import router as verification_router
from alerting.preferences.routes import accounts_router as preferences_router
from alerting.preferences.routes import teams_router
from alerting.preferences.silence_routes import router as silences_router
from alerting.threshold_routes import accounts_router, get_warehouse

__all__ = [
    "PagePolicy",
    "accounts_router",
    "get_engine",
    "get_warehouse",
    "preferences_router",
    "router",
    "silences_router",
    "teams_router",
    "verification_router",
]
