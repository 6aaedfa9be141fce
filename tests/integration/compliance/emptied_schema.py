"""Schema `compliance`, migrated once for a session and emptied for each test: rows cost less than tables."""

from __future__ import annotations

from sqlalchemy import Connection, Engine, text

from compliance.migrations import upgrade

_SHAPE = text(
    """
    select
        relation.relname,
        string_agg(concat(trigger.tgname, trigger.tgenabled), ',' order by trigger.tgname) as triggers
    from pg_class as relation
    left join pg_trigger as trigger on trigger.tgrelid = relation.oid and not trigger.tgisinternal
    where relation.relnamespace = to_regnamespace('compliance') and relation.relkind = 'r'
    group by relation.relname
    order by relation.relname
    """
)


class EmptiedSchema:
    """The schema of one database, whose user is a superuser: only such a one may pass by the triggers."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._shape: list[tuple[str, str | None]] = []
        self._empty = ""

    def empty(self) -> None:
        """Make the schema as a migration leaves it; anew where a test has changed its tables or triggers."""
        with self._engine.begin() as connection:
            is_whole = bool(self._shape) and _shape(connection) == self._shape
            if is_whole:
                connection.exec_driver_sql(self._empty)
        if not is_whole:
            self._migrate()

    def _migrate(self) -> None:
        with self._engine.begin() as connection:
            connection.execute(text("drop schema if exists compliance, compliance_seeds cascade"))
        upgrade(self._engine)
        with self._engine.begin() as connection:
            self._shape = _shape(connection)
            names = [name for name, _ in self._shape]
            # What a migration has put in stays in the emptied schema too.
            seeded = [name for name in names if connection.execute(text(f"table compliance.{name} limit 1")).first()]
            connection.execute(text("create schema compliance_seeds"))
            for name in seeded:
                connection.execute(text(f"create table compliance_seeds.{name} as table compliance.{name}"))
        statements = [
            "set local session_replication_role = replica",
            *(f"delete from compliance.{name}" for name in names),
            *(f"insert into compliance.{name} table compliance_seeds.{name}" for name in seeded),
        ]
        self._empty = ";\n".join(statements)


def _shape(connection: Connection) -> list[tuple[str, str | None]]:
    return [(row.relname, row.triggers) for row in connection.execute(_SHAPE)]
