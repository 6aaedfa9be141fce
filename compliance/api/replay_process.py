"""A replay in a process of its own: it takes a processor for minutes, and transactions wait for nobody's question.

`python -m compliance.api.replay_process` reads an order from its standard input, and tells on its standard output, line
by line as JSON, how many transactions there are, how many more are judged, and in the end the report or the problem.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from typing import Any

from pydantic import BaseModel
from sqlalchemy import URL

from compliance.aml.features import Features
from compliance.aml.rules import RULES
from compliance.api.replays import ReplayFailedError, ReplaySource, Task, Tell, problem_of, replay_here
from compliance.policy.documents import parse_document, policy_of
from compliance.policy.judging import Judge
from infra.runtime.logs import configure_logs
from infra.runtime.postgres import postgres_engine
from infra.runtime.settings import PROJECT_ROOT, load_settings

URL_VARIABLE = "BALLAST_POSTGRES_URL"
NICENESS = 10
END_WAIT_S = 5.0


class _Order(BaseModel):
    name: str
    text: str
    since: datetime
    until: datetime


class ReplayProcess:
    """Runs replays over the database at `url`, each in a child that ends with its replay, or when it is cancelled."""

    def __init__(self, url: URL) -> None:
        self._url = url

    def __call__(self, task: Task, tell: Tell) -> dict[str, Any]:
        """The report; raises `ReplayFailedError` with the child's words, and what `tell` raises."""
        order = _Order(name=task.name, text=task.text, since=task.since, until=task.until)
        with subprocess.Popen(
            [sys.executable, "-m", "compliance.api.replay_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=PROJECT_ROOT,
            env={**os.environ, URL_VARIABLE: self._url.render_as_string(hide_password=False)},
            text=True,
            encoding="utf-8",
        ) as child:
            try:
                return self._followed(child, order, tell)
            finally:
                child.kill()

    def _followed(self, child: subprocess.Popen[str], order: _Order, tell: Tell) -> dict[str, Any]:
        assert child.stdin is not None
        assert child.stdout is not None
        tell.stoppable(child.kill)
        try:
            child.stdin.write(order.model_dump_json() + "\n")
            child.stdin.close()
        except BrokenPipeError:
            # It ended before it read; what it says, or that it says nothing, follows.
            pass
        for line in child.stdout:
            match json.loads(line):
                case {"total": int(total)}:
                    tell.total(total)
                case {"more": int(more)}:
                    tell.more(more)
                case {"report": dict(report)}:
                    return report
                case {"problem": str(problem)}:
                    raise ReplayFailedError(problem)
        tell.more(0)
        raise ReplayFailedError(f"The replay's process ended with {child.wait(END_WAIT_S)} and without a report.")


class _Teller(Tell):
    """Tells the parent; where that is gone, writing fails and this process ends."""

    def total(self, transactions: int) -> None:
        _say({"total": transactions})

    def more(self, transactions: int) -> None:
        _say({"more": transactions})

    def stoppable(self, stop: Callable[[], None]) -> None:
        """The parent ends this process."""


def main() -> None:
    """Run the replay that standard input orders."""
    os.nice(NICENESS)
    settings = load_settings()
    configure_logs("policy-replay", settings.log_level)
    order = _Order.model_validate_json(sys.stdin.readline())
    engine = postgres_engine(settings, "policy-replay", pool_size=2)
    try:
        judge = Judge(policy_of(parse_document(order.name, order.text)), RULES, Features)
        task = Task(judge, order.name, order.text, order.since, order.until)
        _say({"report": replay_here(ReplaySource(engine))(task, _Teller())})
    except BrokenPipeError:
        raise SystemExit(1) from None
    except Exception as error:
        _say({"problem": problem_of(error)})
    finally:
        engine.dispose()


def _say(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
