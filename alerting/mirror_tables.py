"""The warehouse's copies of the append-only tables of schema `alerting`; no addresses, numbers or secrets."""

from __future__ import annotations

from infra.runtime.bigquery import TableSpec, nullable, required

RAW_DATASET = "raw"

NOTIFICATION_EVENTS = TableSpec(
    RAW_DATASET,
    "notification_events",
    (
        required("state_id", "INTEGER", "Id of the step in the ledger; one step may be mirrored more than once"),
        required("txid", "INTEGER", "Transaction of the ledger that wrote the step: with state_id the order of steps"),
        required("notification_id", "STRING", "Follows from event, channel and recipient"),
        nullable("event_id", "STRING", "What happened: the margin_event_id where the kind is margin"),
        nullable("topic", "STRING", "Topic that brought the event"),
        nullable("kind", "STRING", "margin, compliance, delivery_rate, digest, test, verification or escalation"),
        nullable("rule", "STRING", "Rule that the event follows from"),
        nullable("account_id", "STRING", "Account; NULL where the event is of none"),
        nullable("severity", "STRING", "Severity of the event"),
        nullable("episode_id", "STRING", "Episode that the event belongs to"),
        nullable("channel", "STRING", "email, sms, webhook, pagerduty, or none where nobody was told"),
        nullable("recipient", "STRING", "Key of the recipient, such as a contact id; never an address"),
        nullable("digest_id", "STRING", "The notification that sums this one up"),
        required("state", "STRING", "planned, claimed, sent, accepted, delivered, failed or suppressed"),
        required("at", "TIMESTAMP", "When the step was taken, UTC"),
        required("seconds_since_detected", "NUMERIC", "Seconds from the detection of the event to the step"),
        nullable("detail", "STRING", "What is to be said of the step: a reason, the number of the attempt"),
        nullable("provider_message_id", "STRING", "The provider's id of the message"),
        nullable("detected_at", "TIMESTAMP", "When the event was detected, UTC"),
        nullable("terminal_state", "STRING", "How the notification had ended when the row was mirrored; NULL: not yet"),
        required("mirrored_at", "TIMESTAMP", "When the row was read from the ledger, UTC"),
    ),
    "Steps of notifications. Append-only, at least once. Grain: one row a step and copy; dedupe by notification_id and "
    "state_id.",
    partition_field="at",
    cluster_fields=("notification_id",),
)

ALERT_PREFERENCE_CHANGES = TableSpec(
    RAW_DATASET,
    "alert_preference_changes",
    (
        required("change_id", "INTEGER", "Id of the change; one change may be mirrored more than once"),
        required("owner", "STRING", "Account, or team of the desk such as team:risk"),
        required("at", "TIMESTAMP", "When it was made, UTC"),
        required("action", "STRING", "What was done, such as preferences_set or contact_verified"),
        required("changed_by", "STRING", "Who did it"),
        required("reason", "STRING", "Why"),
        nullable("before", "STRING", "JSON of what held before, addresses masked; NULL where nothing did"),
        nullable("after", "STRING", "JSON of what holds after, addresses masked; NULL where nothing does"),
        required("mirrored_at", "TIMESTAMP", "When the row was read, UTC"),
    ),
    "Changes of alert preferences. Append-only, at least once. Grain: one row a change and copy; dedupe by change_id.",
    partition_field="at",
    cluster_fields=("owner",),
)

TABLES = (NOTIFICATION_EVENTS, ALERT_PREFERENCE_CHANGES)
