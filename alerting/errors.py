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


class PreferencesInvalidError(AlertingError):
    """Contacts or preferences cannot be used as they were given; nothing was stored (HTTP 422)."""

    code = "preferences_invalid"


class TeamUnknownError(AlertingError):
    """The desk has no team of that name (HTTP 404)."""

    code = "team_unknown"


class ContactNotFoundError(AlertingError):
    """The owner has no contact of that id (HTTP 404)."""

    code = "contact_not_found"


class ContactConflictError(AlertingError):
    """The contact is not one that this can be done with (HTTP 409)."""

    code = "contact_conflict"


class VerificationCodeError(AlertingError):
    """The code is not the one that was sent (HTTP 422)."""

    code = "verification_code_wrong"


class VerificationEndedError(AlertingError):
    """No verification is under way: it ran out, was used, or failed too often (HTTP 410)."""

    code = "verification_ended"


class VerificationLimitError(AlertingError):
    """An address got as many verifications within the hour as it may (HTTP 429)."""

    code = "verification_limit"


class TrialLimitError(AlertingError):
    """The owner was sent a test alert within the last minute (HTTP 429)."""

    code = "test_alert_limit"


class SilenceInvalidError(AlertingError):
    """A silence is too long, over, or silences what may not be silenced (HTTP 422)."""

    code = "silence_invalid"


class SilenceNotFoundError(AlertingError):
    """The owner has no silence of that id (HTTP 404)."""

    code = "silence_not_found"


class TemplateError(AlertingError):
    """A notification cannot be put into words: a figure is missing or no number, or there is no text for it."""

    code = "template_failed"


class CallbackRefusedError(AlertingError):
    """A callback does not carry the provider's signature over what arrived, or not a recent one (HTTP 403)."""

    code = "callback_refused"


class CallbackInvalidError(AlertingError):
    """A signed callback has not the shape that its provider documents (HTTP 400)."""

    code = "callback_invalid"


class CallbackNotConfiguredError(AlertingError):
    """The key that proves a provider's callbacks is not set or cannot be used (HTTP 503)."""

    code = "callback_not_configured"


class AddressRefusedError(AlertingError):
    """A webhook address leads, or may lead, where customers' webhooks must not go (HTTP 422)."""

    code = "webhook_address_refused"
