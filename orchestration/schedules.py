"""Schedules, in UTC."""

import dagster as dg

from orchestration.jobs import compliance_job, compliance_rescreening_job, risk_daily_job, risk_intraday_job

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

compliance_schedule = dg.ScheduleDefinition(
    name="compliance_schedule",
    job=compliance_job,
    cron_schedule="*/15 * * * *",
    execution_timezone="UTC",
    description="Copies compliance to the warehouse; officers work on PostgreSQL and need not wait for it.",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)

compliance_rescreening_schedule = dg.ScheduleDefinition(
    name="compliance_rescreening_schedule",
    job=compliance_rescreening_job,
    cron_schedule="40 1 * * *",
    execution_timezone="UTC",
    description="Each night, when nobody waits for a screening.",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
