"""Ends a test's servers when the test process itself was killed.

Reads "pid create_time" lines from standard input; when the input ends without a final "done", whoever wrote is
dead, and each listed process that is still the same one is killed.
"""

from __future__ import annotations

import sys

import psutil

DONE = "done"
# Process start times are rounded to the kernel's clock tick.
_SAME_TIME_S = 0.05


def is_same_process(pid: int, create_time: float) -> bool:
    """Whether the pid still belongs to the process that started at `create_time` (seconds since 1970)."""
    try:
        process = psutil.Process(pid)
        return abs(process.create_time() - create_time) < _SAME_TIME_S and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def main() -> int:
    """Wait for the end of the input, then kill what is left."""
    listed: list[tuple[int, float]] = []
    for line in sys.stdin:
        if line.strip() == DONE:
            return 0
        pid, create_time = line.split()
        listed.append((int(pid), float(create_time)))
    for pid, create_time in listed:
        if is_same_process(pid, create_time):
            psutil.Process(pid).kill()
    return 0


if __name__ == "__main__":
    sys.exit(main())
