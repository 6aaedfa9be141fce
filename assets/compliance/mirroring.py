"""One run of the mirror over all tables, each compared with PostgreSQL while the mirror stands still."""

from __future__ import annotations

from collections.abc import Iterator

from assets.compliance.reconciliation import Reconciled, reconcile
from compliance.mirror import Copied, held_mirror
from compliance.mirror_addresses import address_hasher
from compliance.mirror_stream import Stream
from compliance.mirror_tables import STREAMS
from infra.runtime.bigquery import Warehouse
from infra.runtime.clock import Clock
from infra.runtime.envelope import Envelope, key_ring
from infra.runtime.postgres import postgres_engine
from infra.runtime.settings import Settings


def mirrored_streams(
    settings: Settings, warehouse: Warehouse, clock: Clock
) -> Iterator[tuple[Stream, Copied, Reconciled]]:
    """Copy and reconcile one table after the other.

    Raises `MirrorBusyError` while another mirror works, `SettingsError` without a ring of keys, SQLAlchemy's errors and
    the warehouse's: what was copied until then stays, and the next run goes on from there.
    """
    hash_address = address_hasher(Envelope(key_ring(settings)))
    engine = postgres_engine(settings, "compliance-mirror", pool_size=1)
    try:
        with held_mirror(engine, warehouse, clock, hash_address) as mirror:
            for stream in STREAMS:
                copied = mirror.copy(stream)
                yield stream, copied, reconcile(warehouse, stream, mirror.passed(stream))
    finally:
        engine.dispose()
