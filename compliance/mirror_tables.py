"""The warehouse's copies of the tables of schema `compliance`: no personal data, no payloads, no titles, no addresses.

A copy is appended whenever its row changed: `change_number` grows with each change, so the greatest one of a key
counts. What people wrote freely stays behind, except the chained record, which is written without personal data.
"""

from __future__ import annotations

from compliance.mirror_stream import LIST_VERSION_COLUMNS, READ_LIST_VERSIONS, Stream, copy_table
from infra.runtime.bigquery import nullable, required

CASES = Stream(
    "cases",
    "case_id",
    copy_table(
        "cases",
        (
            required("case_id", "STRING", "Id of the case"),
            required("kind", "STRING", "kyc, screening or aml"),
            required("subject_id", "STRING", "What it is about: a KYC case, a screening or a transaction"),
            nullable("account_id", "STRING", "Account; NULL where it is about none"),
            nullable("user_id", "STRING", "Customer; NULL where it is about none"),
            required("state", "STRING", "open, assigned, awaiting_approval, escalated or closed"),
            required("priority", "STRING", "low, normal, high or urgent"),
            nullable("assignee", "STRING", "Member of staff who works on it"),
            required("has_proposal", "BOOLEAN", "Whether a proposal waits or was decided on"),
            nullable("outcome", "STRING", "What it was closed with"),
            required("sla_due_at", "TIMESTAMP", "When it must be closed, UTC"),
            required("opened_at", "TIMESTAMP", "When it was opened, UTC"),
            nullable("closed_at", "TIMESTAMP", "When it was closed, UTC"),
            required("version", "INTEGER", "Counts its changes"),
        ),
        "Cases without titles and proposals.",
        "opened_at",
        ("case_id",),
    ),
    reads={"has_proposal": "source.proposal is not null"},
    sums=("version",),
)

CASE_EVENTS = Stream(
    "case_events",
    "event_id",
    copy_table(
        "case_events",
        (
            required("sequence", "INTEGER", "Place in the chain"),
            required("event_id", "STRING", "Id of the event"),
            required("case_id", "STRING", "Case"),
            required("event_at", "TIMESTAMP", "When it happened, UTC"),
            required("actor", "STRING", "Member of staff, or system"),
            required("role", "STRING", "Role that the actor acted in"),
            required("kind", "STRING", "What happened"),
            required("body", "STRING", "JSON: old and new values; addresses as keyed hashes"),
            required("previous_hash", "STRING", "Hash of the row before"),
            required("row_hash", "STRING", "Hash of this row and the one before"),
        ),
        "Events of cases, chained by hash.",
        "event_at",
        ("case_id",),
    ),
    reads={"event_at": "source.at", "body": "cast(source.body as text)", "row_hash": "source.hash"},
    sums=("sequence",),
    free_texts=("body",),
    is_chained=True,
)

DECISIONS = Stream(
    "decisions",
    "decision_id",
    copy_table(
        "decisions",
        (
            required("sequence", "INTEGER", "Place in the chain"),
            required("decision_id", "STRING", "Id of the decision"),
            required("subject_kind", "STRING", "What was decided on"),
            required("subject_id", "STRING", "Its id"),
            required("outcome", "STRING", "What was decided"),
            required("reason", "STRING", "Why"),
            required("actor", "STRING", "Member of staff, or system"),
            required("policy_version", "STRING", "Policy that it was decided by"),
            *LIST_VERSION_COLUMNS,
            required("evidence", "STRING", "JSON: figures that it rests on; addresses as keyed hashes"),
            required("decided_at", "TIMESTAMP", "When it was decided, UTC"),
            required("previous_hash", "STRING", "Hash of the row before"),
            required("row_hash", "STRING", "Hash of this row and the one before"),
        ),
        "Decisions, chained by hash.",
        "decided_at",
        ("subject_id",),
    ),
    reads={
        **READ_LIST_VERSIONS,
        "evidence": "cast(source.evidence as text)",
        "decided_at": "source.at",
        "row_hash": "source.hash",
    },
    sums=("sequence",),
    free_texts=("reason", "evidence"),
    is_chained=True,
)

AML_ALERTS = Stream(
    "aml_alerts",
    "alert_id",
    copy_table(
        "aml_alerts",
        (
            required("alert_id", "STRING", "Id of the alert"),
            required("transaction_id", "STRING", "Transaction"),
            required("account_id", "STRING", "Account"),
            required("rule_id", "STRING", "Rule"),
            required("outcome", "STRING", "hit, error or insufficient_history"),
            required("severity", "STRING", "low, medium, high or block"),
            required("evidence", "STRING", "JSON: figures that it rests on; addresses as keyed hashes"),
            required("policy_version", "STRING", "Policy that it was judged by"),
            required("is_shadow", "BOOLEAN", "Whether the rule only watches"),
            nullable("case_id", "STRING", "Case that it led to"),
            required("raised_at", "TIMESTAMP", "When it was raised, UTC"),
        ),
        "Answers of AML rules that are not clean.",
        "raised_at",
        ("transaction_id",),
    ),
    reads={"evidence": "cast(source.evidence as text)"},
    free_texts=("evidence",),
)

TRANSACTION_LOGS = Stream(
    "transaction_logs",
    "transaction_id",
    copy_table(
        "transaction_logs",
        (
            required("transaction_id", "STRING", "Id of the transaction"),
            required("account_id", "STRING", "Account"),
            required("direction", "STRING", "in or out"),
            required("kind", "STRING", "Kind of settlement"),
            required("side", "STRING", "collateral or borrow"),
            required("asset", "STRING", "Symbol"),
            required("quantity", "BIGNUMERIC", "Units moved"),
            nullable("amount_usd", "NUMERIC", "Value in USD; NULL: no usable price"),
            nullable("counterparty_hash", "STRING", "Keyed hash of the counterparty's address"),
            nullable("counterparty_country", "STRING", "Country of the counterparty, ISO 3166-1 alpha-2"),
            required("chain", "STRING", "Chain"),
            required("occurred_at", "TIMESTAMP", "When it occurred, UTC"),
            required("received_at", "TIMESTAMP", "When it came to be judged, UTC"),
            nullable("decision", "STRING", "accepted, review, blocked, released or rejected; NULL: not judged yet"),
            nullable("decision_reason", "STRING", "Why; addresses as keyed hashes"),
            nullable("decided_at", "TIMESTAMP", "When it was judged, UTC"),
            nullable("policy_version", "STRING", "Policy that it was judged by"),
            *LIST_VERSION_COLUMNS,
            nullable("features", "STRING", "JSON: figures that the rules saw; addresses as keyed hashes"),
            required("has_event", "BOOLEAN", "Whether a settlement event follows once it may go on"),
            nullable("published_at", "TIMESTAMP", "When that event went out, UTC"),
            required("is_settled_unasked", "BOOLEAN", "Whether it had settled before anybody asked the gate"),
            nullable("case_id", "STRING", "Case that it led to"),
        ),
        "Transactions that were monitored, counterparties as keyed hashes.",
        "received_at",
        ("transaction_id",),
    ),
    reads={
        **READ_LIST_VERSIONS,
        # Without the zeros of the column's scale: what arrives must not depend on how many digits a server keeps.
        "quantity": "trim_scale(source.quantity)",
        "counterparty_hash": "source.counterparty_address",
        "features": "cast(source.features as text)",
        "has_event": "source.event is not null",
    },
    sums=("quantity", "amount_usd"),
    addresses=("counterparty_hash",),
    free_texts=("decision_reason", "features"),
)

SCREENINGS = Stream(
    "screenings",
    "screening_id",
    copy_table(
        "screenings",
        (
            required("screening_id", "STRING", "Id of the screening"),
            required("subject_kind", "STRING", "user, name or wallet"),
            nullable("user_id", "STRING", "Customer; NULL where it is of none"),
            required("subject_hash", "STRING", "Keyed hash of the name; wallets are screened with transactions"),
            required("outcome", "STRING", "clear, hit or error"),
            nullable("reason", "STRING", "Why it could not be screened"),
            *LIST_VERSION_COLUMNS,
            required("policy_version", "STRING", "Policy that it was judged by"),
            required("trigger", "STRING", "What started it"),
            required("screened_at", "TIMESTAMP", "When, UTC"),
        ),
        "Screenings.",
        "screened_at",
        ("screening_id",),
    ),
    reads=READ_LIST_VERSIONS,
    free_texts=("reason",),
)

SCREENING_HITS = Stream(
    "screening_hits",
    "hit_id",
    copy_table(
        "screening_hits",
        (
            required("hit_id", "STRING", "Id of the hit"),
            required("screening_id", "STRING", "Screening"),
            nullable("user_id", "STRING", "Customer; NULL where it is of none"),
            required("list_name", "STRING", "List"),
            required("list_version_id", "STRING", "Version of the list"),
            required("entry_id", "STRING", "Entry of the list"),
            required("entry_hash", "STRING", "Hash of the entry as it was"),
            required("score", "NUMERIC", "Score of the match, 0 to 1"),
            required("rank", "INTEGER", "Place among the hits of the screening"),
            required("state", "STRING", "open, cleared, confirmed or remembered"),
            nullable("case_id", "STRING", "Case that it led to"),
            nullable("decided_at", "TIMESTAMP", "When it was decided on, UTC"),
            nullable("decided_by", "STRING", "Member of staff, or system"),
            nullable("cleared_until", "TIMESTAMP", "Until when a clearance is remembered, UTC"),
        ),
        "Hits of screenings without the names that matched.",
        "mirrored_at",
        ("hit_id",),
    ),
    sums=("score", "rank"),
)

KYC_CASES = Stream(
    "kyc_cases",
    "kyc_case_id",
    copy_table(
        "kyc_cases",
        (
            required("kyc_case_id", "STRING", "Id of the attempt to verify a customer"),
            required("user_id", "STRING", "Customer"),
            required(
                "state", "STRING", "created, pending, submitted, in_review, approved, declined, expired or failed"
            ),
            nullable("state_reason", "STRING", "Why it is in that state"),
            nullable("provider", "STRING", "Provider that verifies"),
            nullable("provider_reference", "STRING", "The provider's id of it"),
            nullable("submitted_at", "TIMESTAMP", "When the customer had submitted all, UTC"),
            nullable("decided_at", "TIMESTAMP", "When it was decided, UTC"),
            nullable("expires_at", "TIMESTAMP", "Until when it is valid, UTC"),
            required("polls", "INTEGER", "How often the provider was asked"),
            required("policy_version", "STRING", "Policy that it is judged by"),
            required("version", "INTEGER", "Counts its changes"),
            required("created_at", "TIMESTAMP", "When it was opened, UTC"),
            required("updated_at", "TIMESTAMP", "When it last changed, UTC"),
        ),
        "Verifications of identity.",
        "created_at",
        ("kyc_case_id",),
    ),
    sums=("polls", "version"),
)

KYC_CHECKS = Stream(
    "kyc_checks",
    "check_id",
    copy_table(
        "kyc_checks",
        (
            required("check_id", "STRING", "Id of the check"),
            required("kyc_case_id", "STRING", "Verification that it belongs to"),
            required("provider", "STRING", "Provider"),
            required("source", "STRING", "create, poll, webhook or manual"),
            nullable("external_id", "STRING", "The provider's id of the answer"),
            nullable("provider_status", "STRING", "The provider's own word"),
            required("verdict", "STRING", "approved, declined, pending, review, expired, failed or error"),
            nullable("occurred_at", "TIMESTAMP", "When it happened at the provider, UTC"),
            required("received_at", "TIMESTAMP", "When it was received, UTC"),
        ),
        "Answers of KYC providers without payload.",
        "received_at",
        ("kyc_case_id",),
    ),
)

LIST_VERSIONS = Stream(
    "list_versions",
    "list_version_id",
    copy_table(
        "list_versions",
        (
            required("list_version_id", "STRING", "Id of the version"),
            required("list_name", "STRING", "List"),
            required("content_hash", "STRING", "SHA-256 of its files"),
            required("state", "STRING", "loading, active, superseded or refused"),
            nullable("reason", "STRING", "Why it was refused"),
            required("entries", "INTEGER", "Entries"),
            required("names", "INTEGER", "Names and aliases"),
            required("wallets", "INTEGER", "Wallet addresses"),
            required("added", "INTEGER", "Entries that the version before had not"),
            required("changed", "INTEGER", "Entries that differ from the version before"),
            required("removed", "INTEGER", "Entries that only the version before had"),
            nullable("published_on", "DATE", "Day on which its publisher dated it"),
            required("loaded_at", "TIMESTAMP", "When it was loaded, UTC"),
        ),
        "Versions of sanctions lists.",
        "loaded_at",
        ("list_version_id",),
    ),
    sums=("entries", "names", "wallets", "added", "changed", "removed"),
)

POLICIES = Stream(
    "policies",
    "policy_version",
    copy_table(
        "policies",
        (
            required("policy_version", "STRING", "Version"),
            required("name", "STRING", "Name"),
            required("content_hash", "STRING", "SHA-256 of its file"),
            required("content", "STRING", "The file"),
            required("effective_from", "TIMESTAMP", "From when it is in force, UTC"),
            required("recorded_at", "TIMESTAMP", "When it was first recorded, UTC"),
        ),
        "Policies as they were in force.",
        "recorded_at",
        ("policy_version",),
    ),
)

# Evidence before what rests on it, so that a copy that was cut off seldom shows a decision without its evidence.
STREAMS = (
    POLICIES,
    LIST_VERSIONS,
    KYC_CASES,
    KYC_CHECKS,
    SCREENINGS,
    SCREENING_HITS,
    TRANSACTION_LOGS,
    AML_ALERTS,
    CASES,
    CASE_EVENTS,
    DECISIONS,
)
TABLES = tuple(stream.target for stream in STREAMS)
