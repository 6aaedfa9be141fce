"""Schedules, in UTC."""

import dagster as dg

from orchestration.jobs import risk_daily_job, risk_intraday_job

risk_daily_schedule = dg.ScheduleDefinition(
    name="risk_daily_schedule",
    job=risk_daily_job,
    cron_schedule="20 0 * * *",
    execution_timezone="UTC",
    description="Shortly after the UTC day, and with it the close, has ended.",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)

# Off by default: the warm runner (`orchestration.runner --every`) does the same without the ten seconds that a run
# needs to start. Switch it on where no runner is deployed.
risk_intraday_schedule = dg.ScheduleDefinition(
    name="risk_intraday_schedule",
    job=risk_intraday_job,
    cron_schedule="*/5 * * * *",
    execution_timezone="UTC",
    description="Compaction and snapshots, where no warm runner is deployed.",
    default_status=dg.DefaultScheduleStatus.STOPPED,
)
