"""Alerts in the order in which people read them, the newest first."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("create index ix_aml_alerts_raised on compliance.aml_alerts (raised_at desc, alert_id desc)")


def downgrade() -> None:
    op.execute("drop index compliance.ix_aml_alerts_raised")
