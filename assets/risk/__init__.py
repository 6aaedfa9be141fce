"""Exposures, margin health, Value at Risk."""
