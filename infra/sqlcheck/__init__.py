"""Finds SQL that BigQuery refuses, or that the embedded emulator runs differently, before either sees it."""

from infra.sqlcheck.check import RULES, check_sql
from infra.sqlcheck.model import Finding, Materialization, Rule, Severity

__all__ = ["RULES", "Finding", "Materialization", "Rule", "Severity", "check_sql"]
