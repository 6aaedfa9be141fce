"""What a consumer says of itself while its batches fail."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

from infra.runtime.errors import NotReadyError
from infra.runtime.pubsub import BatchConsumer, Outcome, Received
from infra.runtime.settings import Settings


def test_consumer__names_its_problem_until_a_batch_is_handled(tmp_path: Path) -> None:
    seen: list[str | None] = []

    def handle(batch: Sequence[Received]) -> Sequence[Outcome]:
        seen.append(consumer.problem)
        if len(seen) == 1:
            raise NotReadyError("away")
        return []

    consumer = BatchConsumer(Settings(state_dir=tmp_path), "some.subscription", handle)
    assert consumer._outcomes([], threading.Event()) == []
    assert seen == [None, NotReadyError.code]
    assert consumer.problem is None


def test_consumer__that_cannot_handle_a_batch_says_so(tmp_path: Path) -> None:
    def handle(batch: Sequence[Received]) -> Sequence[Outcome]:
        raise ValueError("a fault")

    consumer = BatchConsumer(Settings(state_dir=tmp_path), "some.subscription", handle)
    assert consumer._outcomes([], threading.Event()) is None
    assert consumer.problem == "batch_failed"
