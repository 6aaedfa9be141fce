"""What the API calls stale is what the marts call stale."""

from __future__ import annotations

import yaml

from infra.runtime.settings import PROJECT_ROOT
from ingest.prices.presentation import MAX_SILENCE


def test_silence__is_that_of_the_marts() -> None:
    project = yaml.safe_load((PROJECT_ROOT / "dbt_project" / "dbt_project.yml").read_text(encoding="utf-8"))
    assert project["vars"]["price_max_silence_seconds"] == MAX_SILENCE.total_seconds()
