"""A warm process that runs jobs at once: `python -m orchestration.runner [--first JOB ...] [--every SECONDS JOB]`.

A run that Dagster launches spends about ten seconds on imports; here they are paid once. Runs are ordinary runs of
the instance: the Dagster UI shows them. Without `--every`, job names are read from standard input, one a line, and
each ends in one line of JSON on standard output.
"""

import argparse
import importlib
import json
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg

from infra.runtime.heartbeats import beating, heartbeat
from infra.runtime.logs import configure_logs, get_logger
from infra.runtime.settings import load_settings
from infra.runtime.signals import stop_on_signals
from orchestration.definitions import build_definitions

_log = get_logger(__name__)


def run_job(definitions: dg.Definitions, instance: dg.DagsterInstance, job: str) -> dict[str, Any]:
    """Run one job in this process; says whether it succeeded, in how many seconds, and what failed."""
    started = time.monotonic()
    result = definitions.resolve_job_def(job).execute_in_process(instance=instance, raise_on_error=False)
    failures = [
        f"{event.step_key}: {event.step_failure_data.error_display_string.strip()[:2000]}"
        for event in result.all_events
        if event.is_step_failure
    ]
    failed_checks = [
        f"{evaluation.asset_key.to_user_string()}: {evaluation.check_name}"
        for evaluation in result.get_asset_check_evaluations()
        if not evaluation.passed
    ]
    return {
        "job": job,
        "run_id": result.run_id,
        "success": result.success,
        "seconds": round(time.monotonic() - started, 1),
        "materialized": len(result.get_asset_materialization_events()),
        "checks": len(result.get_asset_check_evaluations()),
        "failed_checks": failed_checks,
        "failures": failures,
    }


@dataclass
class _Doing:
    what: str = "waiting"
    problem: str | None = None


def _requests(first: Sequence[str], every: float | None, job: str | None, stop: threading.Event) -> Iterator[str]:
    yield from first
    if every is None or job is None:
        for line in sys.stdin:
            if line.strip():
                yield line.strip()
        return
    while not stop.is_set():
        yield job
        stop.wait(every)


def main() -> None:
    """Serve job requests until standard input ends, or a job every some seconds until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=float, help="seconds between the end of one run and the start of the next")
    parser.add_argument("--first", metavar="JOB", action="append", default=[], help="a job to run once at the start")
    parser.add_argument("job", nargs="?", help="the job to repeat")
    arguments = parser.parse_args()
    settings = load_settings()
    configure_logs("runner", settings.log_level)
    stop = threading.Event()
    if arguments.every is not None:
        stop_on_signals(stop)
    definitions = build_definitions(settings)
    doing = _Doing()
    with (
        dg.DagsterInstance.get() as instance,
        heartbeat(settings, "runner") as shown,
        # From a thread, for a build takes longer than a heartbeat may be silent.
        beating(shown, lambda: True, lambda: doing.what, lambda: doing.problem),
    ):
        print(json.dumps({"ready": True}), flush=True)
        # The expectations' library takes eight seconds to import: it loads while the first steps wait for servers.
        threading.Thread(target=importlib.import_module, args=("great_expectations",), daemon=True).start()
        for job in _requests(arguments.first, arguments.every, arguments.job, stop):
            doing.what = f"running {job}"
            outcome = run_job(definitions, instance, job)
            doing.what = f"waiting; {job} {'succeeded' if outcome['success'] else 'failed'}"
            doing.problem = None if outcome["success"] else "job_failed"
            _log.info("job_ended", **{k: v for k, v in outcome.items() if k != "job"}, job=job)
            print(json.dumps(outcome), flush=True)


if __name__ == "__main__":
    main()
