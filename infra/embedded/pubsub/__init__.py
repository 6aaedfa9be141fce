"""The embedded Pub/Sub: a durable, single-process server of `google.pubsub.v1` for the real client library.

Access: it keeps the emulator contract (`PUBSUB_EMULATOR_HOST`, insecure channel), which carries no credentials, so any
process of this machine may use it. It therefore binds 127.0.0.1 only and must never be forwarded.

Durability: state is one SQLite file in WAL mode with synchronous=NORMAL. A message whose publisher got an id has been
written to the operating system and survives kill -9 of this process. A power loss or kernel crash cannot corrupt the
file, but may lose what was accepted since the last checkpoint, which fsyncs (about every second under load).

Delivery is at least once. An acknowledgement that is lost (crash, full disk) leads to redelivery, never to loss.
Leases live in memory: after a restart un-acknowledged messages are delivered again at once.

Not served (UNIMPLEMENTED): snapshots, schemas, exactly-once delivery, BigQuery and Cloud Storage subscriptions,
ingestion sources, message transforms, authenticated or unwrapped push, IAM. `expiration_policy` is stored and not
acted upon.
"""
