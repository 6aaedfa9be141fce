"""One run of the demo: its console, its stack and the clients to it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from infra.embedded.supervisor import Stack
from infra.runtime.bigquery import Warehouse
from infra.runtime.clock import SystemClock
from infra.runtime.settings import Settings


@dataclass
class Demo:
    """One run: its console, its stack and the clients to it."""

    console: Console
    stack: Stack
    settings: Settings
    clock: SystemClock = field(default_factory=SystemClock)

    def __post_init__(self) -> None:
        self.warehouse = Warehouse(self.settings)

    @contextmanager
    def step(self, title: str, total: int | None = None) -> Iterator[Progress]:
        """Show a step with its elapsed time; with a bar where its length is known."""
        columns = [SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()]
        if total:
            columns[2:2] = [BarColumn(bar_width=24), TextColumn("{task.completed}/{task.total}")]
        started = time.monotonic()
        with Progress(*columns, console=self.console, transient=True, disable=not self.console.is_terminal) as progress:
            progress.add_task(title, total=total)
            yield progress
        self.console.print(f"[green]done[/] {title} [dim]{time.monotonic() - started:.1f} s[/]", highlight=False)
