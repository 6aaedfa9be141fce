"""Errors of alerting."""

from __future__ import annotations

from infra.runtime.errors import BallastError


class AlertingError(BallastError):
    """An alert could not be decided, stored or sent."""

    code = "alerting_failed"


class EventInvalidError(AlertingError):
    """A message is not a margin event; it can never be handled."""

    code = "margin_event_invalid"


class EventVersionError(EventInvalidError):
    """A margin event has a `schema_version` that this release does not read."""

    code = "margin_event_version_unknown"


class MarginInputError(AlertingError):
    """Health or thresholds contradict themselves, so no margin decision is possible."""

    code = "margin_input_invalid"


class ThresholdsInvalidError(AlertingError):
    """Thresholds contradict each other or the default ones (HTTP 422)."""

    code = "thresholds_invalid"


class AccountUnknownError(AlertingError):
    """No position was ever settled for the account (HTTP 404)."""

    code = "account_unknown"


class NotificationNotFoundError(AlertingError):
    """The ledger has no notification of that id (HTTP 404)."""

    code = "notification_not_found"
