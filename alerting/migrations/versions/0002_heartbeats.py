"""Signs of life of the platform's processes, read by health checks."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # The schema is not alerting's own: it may be there although alerting's was dropped.
    op.execute("create schema if not exists platform")
    op.execute(
        """
        create table if not exists platform.heartbeats (
            name text primary key,
            beat_at timestamptz not null,
            detail text,
            problem text
        )
        """
    )


def downgrade() -> None:
    op.execute("drop table platform.heartbeats")
