"""Sensors: what Dagster's daemon looks at between runs."""
