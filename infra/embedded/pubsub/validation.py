"""What Pub/Sub refuses: names, message and configuration limits, and parts of it that this server does not have.

Limits are those of the Pub/Sub documentation ("Quotas and limits", `PubsubMessage`, `Subscription`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

from infra.embedded.pubsub.filters import compile_filter
from infra.embedded.pubsub.model import SECOND, Proto, duration_micros, invalid, unsupported

MAX_PUBLISH_MESSAGES: Final = 1000
MAX_PUBLISH_BYTES: Final = 10_000_000
MAX_ATTRIBUTES: Final = 100
MAX_ATTRIBUTE_KEY_BYTES: Final = 256
MAX_ATTRIBUTE_VALUE_BYTES: Final = 1024
MAX_ORDERING_KEY_BYTES: Final = 1024
DEFAULT_ACK_DEADLINE_SECONDS: Final = 10
MAX_ACK_DEADLINE_SECONDS: Final = 600
DEFAULT_RETENTION_SECONDS: Final = 7 * 86_400
MIN_RETENTION_SECONDS: Final = 600
MAX_RETENTION_SECONDS: Final = 31 * 86_400
EXPIRATION_SECONDS: Final = 31 * 86_400
DEFAULT_BACKOFF_SECONDS: Final = (10, 600)
"""Minimum and maximum of a retry policy that leaves them open."""
MAX_BACKOFF_SECONDS: Final = 600
DEFAULT_DELIVERY_ATTEMPTS: Final = 5
DELIVERY_ATTEMPTS: Final = range(5, 101)

_NAME: Final = re.compile(
    r"projects/[a-z0-9][a-z0-9._:-]*/(topics|subscriptions)/(?!goog)[A-Za-z][A-Za-z0-9._~+%-]{2,254}"
)
_TOPIC_UNSUPPORTED: Final = ("schema_settings", "ingestion_data_source_settings", "message_transforms", "kms_key_name")
_SUBSCRIPTION_UNSUPPORTED: Final = (
    "bigquery_config",
    "cloud_storage_config",
    "bigtable_config",
    "message_transforms",
    "enable_exactly_once_delivery",
)
_PUSH_UNSUPPORTED: Final = ("oidc_token", "no_wrapper")


def check_name(name: str, kind: str) -> None:
    """INVALID_ARGUMENT unless `name` is a full resource name; `kind` is topics or subscriptions."""
    match = _NAME.fullmatch(name)
    if match is None or match.group(1) != kind:
        raise invalid(
            f"{name!r} is not a name of the form projects/PROJECT/{kind}/ID, where ID has 3 to 255 of A-Za-z0-9-_.~+%,"
            " begins with a letter and not with goog."
        )


def check_publish(messages: Iterable[Proto], request_bytes: int) -> None:
    """INVALID_ARGUMENT for a publish that breaks a limit; the message's index in the request is named."""
    count = 0
    for index, message in enumerate(messages):
        count += 1
        _check_message(index, message)
    if not 1 <= count <= MAX_PUBLISH_MESSAGES:
        raise invalid(f"A publish takes 1 to {MAX_PUBLISH_MESSAGES} messages and this one has {count}.")
    if request_bytes > MAX_PUBLISH_BYTES:
        raise invalid(f"A publish takes {MAX_PUBLISH_BYTES} bytes and this one has {request_bytes}. Split it.")


def _check_message(index: int, message: Proto) -> None:
    attributes = message.attributes
    if not message.data and not attributes:
        raise invalid(f"Message {index} has neither data nor attributes; it needs one of them.")
    if len(message.ordering_key.encode()) > MAX_ORDERING_KEY_BYTES:
        raise invalid(f"The ordering key of message {index} has more than {MAX_ORDERING_KEY_BYTES} bytes.")
    if len(attributes) > MAX_ATTRIBUTES:
        raise invalid(f"Message {index} has {len(attributes)} attributes; {MAX_ATTRIBUTES} are allowed.")
    for key, value in attributes.items():
        if not key or key.startswith("goog") or len(key.encode()) > MAX_ATTRIBUTE_KEY_BYTES:
            raise invalid(
                f"Message {index}: attribute key {key[:40]!r} is wrong; a key has 1 to {MAX_ATTRIBUTE_KEY_BYTES} bytes"
                " and does not begin with goog."
            )
        if len(value.encode()) > MAX_ATTRIBUTE_VALUE_BYTES:
            raise invalid(f"Message {index}: the value of {key!r} has more than {MAX_ATTRIBUTE_VALUE_BYTES} bytes.")


def check_ack_deadline(seconds: int) -> None:
    """INVALID_ARGUMENT unless a lease may be given or extended by this many seconds; 0 means refuse the message."""
    if not 0 <= seconds <= MAX_ACK_DEADLINE_SECONDS:
        raise invalid(f"An ack deadline lies between 0 and {MAX_ACK_DEADLINE_SECONDS} seconds, not at {seconds}.")


def check_stream_deadline(seconds: int) -> None:
    """INVALID_ARGUMENT unless a stream or subscription may have this ack deadline."""
    if not DEFAULT_ACK_DEADLINE_SECONDS <= seconds <= MAX_ACK_DEADLINE_SECONDS:
        raise invalid(
            f"ack_deadline_seconds lies between {DEFAULT_ACK_DEADLINE_SECONDS} and {MAX_ACK_DEADLINE_SECONDS},"
            f" not at {seconds}."
        )


def complete_topic(config: Proto) -> None:
    """Check a topic's configuration."""
    check_name(config.name, "topics")
    _refuse_unsupported(config, _TOPIC_UNSUPPORTED)
    if config.HasField("message_retention_duration"):
        _check_retention(config.message_retention_duration)
    config.state = config.State.Value("ACTIVE")


def complete_subscription(config: Proto) -> None:
    """Check a subscription's configuration and fill in Pub/Sub's defaults."""
    check_name(config.name, "subscriptions")
    _refuse_unsupported(config, _SUBSCRIPTION_UNSUPPORTED)
    config.ack_deadline_seconds = config.ack_deadline_seconds or DEFAULT_ACK_DEADLINE_SECONDS
    check_stream_deadline(config.ack_deadline_seconds)
    if not config.HasField("message_retention_duration"):
        config.message_retention_duration.seconds = DEFAULT_RETENTION_SECONDS
    _check_retention(config.message_retention_duration)
    if not config.HasField("expiration_policy"):
        config.expiration_policy.ttl.seconds = EXPIRATION_SECONDS
    if config.HasField("retry_policy"):
        _complete_retry_policy(config.retry_policy)
    if config.HasField("dead_letter_policy"):
        _complete_dead_letter_policy(config.dead_letter_policy)
    if config.HasField("push_config"):
        _check_push(config.push_config)
    compile_filter(config.filter)
    config.state = config.State.Value("ACTIVE")


def _refuse_unsupported(config: Proto, fields: Iterable[str]) -> None:
    known = {field.name for field, _value in config.ListFields()}
    for name in fields:
        if name in known:
            raise unsupported(name)


def _check_retention(duration: Proto) -> None:
    if not MIN_RETENTION_SECONDS * SECOND <= duration_micros(duration) <= MAX_RETENTION_SECONDS * SECOND:
        raise invalid(
            f"message_retention_duration lies between {MIN_RETENTION_SECONDS} and {MAX_RETENTION_SECONDS} seconds,"
            f" not at {duration.seconds}."
        )


def _complete_retry_policy(policy: Proto) -> None:
    for name, seconds in zip(("minimum_backoff", "maximum_backoff"), DEFAULT_BACKOFF_SECONDS, strict=True):
        if not policy.HasField(name):
            getattr(policy, name).seconds = seconds
        if not 0 <= duration_micros(getattr(policy, name)) <= MAX_BACKOFF_SECONDS * SECOND:
            raise invalid(f"retry_policy.{name} lies between 0 and {MAX_BACKOFF_SECONDS} seconds.")
    if duration_micros(policy.minimum_backoff) > duration_micros(policy.maximum_backoff):
        raise invalid("retry_policy.minimum_backoff is longer than its maximum_backoff.")


def _complete_dead_letter_policy(policy: Proto) -> None:
    check_name(policy.dead_letter_topic, "topics")
    policy.max_delivery_attempts = policy.max_delivery_attempts or DEFAULT_DELIVERY_ATTEMPTS
    if policy.max_delivery_attempts not in DELIVERY_ATTEMPTS:
        raise invalid(
            f"dead_letter_policy.max_delivery_attempts lies between {DELIVERY_ATTEMPTS[0]} and {DELIVERY_ATTEMPTS[-1]},"
            f" not at {policy.max_delivery_attempts}."
        )


def _check_push(push: Proto) -> None:
    _refuse_unsupported(push, _PUSH_UNSUPPORTED)
    if not push.push_endpoint:
        return
    try:
        address = urlsplit(push.push_endpoint)
        is_usable = address.scheme in ("http", "https") and bool(address.hostname) and address.port != 0
    except ValueError:
        is_usable = False
    if not is_usable:
        raise invalid("push_config.push_endpoint is not an http or https address with a host.")
