"""ALTER TABLE ... SET OPTIONS(...), with which dbt ends the load of a seed."""

from __future__ import annotations

from typing import Any

from bqemulator.sql import translator
from sqlglot import exp

from infra.embedded.bigquery.patching import replace
from infra.embedded.bigquery.syntax import shared_tree

_WITHOUT_EFFECT = {"description", "friendly_name", "labels"}
_NOTHING = "SELECT 1"


def accept_table_options() -> None:
    """Options that only describe a table change nothing, whatever text they hold and whatever follows them.

    Stock knows the statement by scanning its text: a `)` in a description, or a comment behind the statement, and it
    fails as a syntax error.
    """

    def accept(bq_sql: str) -> str:
        return _NOTHING if _only_describes(bq_sql) else str(rewrite(bq_sql))

    rewrite: Any = replace(translator, "rewrite_alter_table_set_options", accept)


def _only_describes(bq_sql: str) -> bool:
    text = bq_sql.lower()
    if "alter" not in text or "options" not in text:
        return False
    statement = shared_tree(bq_sql)
    if not isinstance(statement, exp.Alter) or str(statement.args.get("kind")).upper() != "TABLE":
        return False
    actions = statement.args["actions"]
    return all(isinstance(action, exp.AlterSet) for action in actions) and _names(actions) <= _WITHOUT_EFFECT


def _names(actions: list[exp.AlterSet]) -> set[str]:
    return {prop.name.lower() for action in actions for prop in action.find_all(exp.Property)}
