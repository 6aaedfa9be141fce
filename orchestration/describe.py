"""The asset graph as text, of which a copy is committed: a diff of it shows every change of key, group or policy.

`python -m orchestration.describe > tests/unit/orchestration/asset_graph.txt`
"""

import sys
from collections.abc import Iterator

import dagster as dg

from infra.runtime.settings import load_settings
from orchestration.definitions import build_definitions


def describe(definitions: dg.Definitions) -> str:
    """Assets with group, dependencies, checks and policies; then jobs, schedules and sensors; sorted."""
    return "\n".join([*_assets(definitions), *_jobs(definitions), *_starters(definitions)]) + "\n"


def _assets(definitions: dg.Definitions) -> Iterator[str]:
    checks: dict[dg.AssetKey, list[str]] = {}
    graph = definitions.resolve_asset_graph()
    for key in graph.asset_check_keys:
        word = "blocking" if graph.get(key).blocking else "not blocking"
        checks.setdefault(key.asset_key, []).append(f"{key.name} ({word})")
    for spec in sorted(definitions.resolve_all_asset_specs(), key=lambda spec: spec.key):
        yield f"asset {spec.key.to_user_string()}"
        yield f"  group: {spec.group_name}"
        yield f"  kinds: {', '.join(sorted(spec.kinds)) or 'none'}"
        yield f"  owners: {', '.join(spec.owners) or 'none'}"
        for dep in sorted(dep.asset_key.to_user_string() for dep in spec.deps):
            yield f"  after: {dep}"
        if spec.freshness_policy is not None:
            yield f"  freshness: {_freshness(spec.freshness_policy)}"
        if spec.automation_condition is not None:
            yield f"  automation: {spec.automation_condition.get_label()}"
        for check in sorted(checks.get(spec.key, [])):
            yield f"  check: {check}"


def _freshness(policy: dg.FreshnessPolicy) -> str:
    fail, warn = getattr(policy, "fail_window", None), getattr(policy, "warn_window", None)
    return f"fails after {fail and fail.to_timedelta()}, warns after {warn and warn.to_timedelta()}"


def _jobs(definitions: dg.Definitions) -> Iterator[str]:
    for job in sorted(definitions.jobs or [], key=lambda job: job.name):
        resolved = definitions.resolve_job_def(job.name)
        yield f"job {job.name}"
        for key in sorted(resolved.asset_layer.selected_asset_keys):
            yield f"  builds: {key.to_user_string()}"


def _starters(definitions: dg.Definitions) -> Iterator[str]:
    for schedule in sorted(definitions.schedules or [], key=lambda schedule: schedule.name):
        if isinstance(schedule, dg.ScheduleDefinition):
            yield f"schedule {schedule.name}"
            yield f"  starts: {schedule.job_name} at {schedule.cron_schedule} {schedule.execution_timezone}"
            yield f"  by default: {schedule.default_status.value}"
    for sensor in sorted(definitions.sensors or [], key=lambda sensor: sensor.name):
        yield f"sensor {sensor.name}"
        yield f"  every: {sensor.minimum_interval_seconds} s"
        yield f"  by default: {sensor.default_status.value}"


if __name__ == "__main__":
    sys.stdout.write(describe(build_definitions(load_settings())))
