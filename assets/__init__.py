"""The Dagster assets and checks, one folder a domain; beside them the typed reads of its marts."""
