"""The channels that the settings configure."""

from __future__ import annotations

from pydantic import SecretStr

from alerting.channels.base import Channel, ChannelLimits
from alerting.channels.email import EmailChannel
from alerting.channels.guard import AddressGuard, parse_networks, parsed_url
from alerting.channels.http import tls_context
from alerting.channels.pagerduty import PagerDutyChannel
from alerting.channels.sms import SmsChannel
from alerting.channels.webhook import MIN_SECRET_BYTES, WebhookChannel, signers_of
from alerting.errors import AddressRefusedError
from infra.runtime.clock import Clock
from infra.runtime.errors import SettingsError
from infra.runtime.settings import Settings

TWILIO_CALLBACK_PATH = "/v1/callbacks/twilio"
EMAIL_CONCURRENCY = 4
EMAIL_BATCH = 1000
SMS_CONCURRENCY = 128


def build_channels(settings: Settings, clock: Clock) -> list[Channel]:
    """Every channel that has its credentials; webhooks always, because their addresses are contacts.

    Raises `SettingsError` where a channel is configured by halves or unusably; no value is repeated.
    """
    found = (_email(settings, clock), _sms(settings, clock), _pagerduty(settings, clock))
    return [webhook_channel(settings, clock), *(channel for channel in found if channel is not None)]


def webhook_guard(settings: Settings) -> AddressGuard:
    """What judges customers' webhook addresses, when they are set and when they are used."""
    return AddressGuard(parse_networks(settings.webhook_allowed_networks))


def webhook_channel(settings: Settings, clock: Clock) -> WebhookChannel:
    """The webhook channel; the operator's own address and secret are checked here, before an alert needs them."""
    if settings.webhook_url:
        if _is_empty(settings.webhook_secret):
            raise SettingsError(
                "BALLAST_WEBHOOK_URL is set without BALLAST_WEBHOOK_SECRET; webhooks are always signed."
            )
        try:
            parsed_url(settings.webhook_url)
        except AddressRefusedError:
            raise SettingsError("BALLAST_WEBHOOK_URL is no http(s) address.") from None
        if settings.webhook_secret is None or not signers_of([settings.webhook_secret.get_secret_value()]):
            raise SettingsError(
                f"BALLAST_WEBHOOK_SECRET is no Standard Webhooks secret: whsec_ and {MIN_SECRET_BYTES} bytes in base64."
            )
    return WebhookChannel(clock, guard=webhook_guard(settings), tls=tls_context(settings.webhook_ca_file))


def _email(settings: Settings, clock: Clock) -> EmailChannel | None:
    key = settings.sendgrid_api_key
    if key is None or _is_empty(key):
        return None
    _require_root("BALLAST_SENDGRID_URL", settings.sendgrid_url)
    if not settings.sendgrid_from:
        raise SettingsError("BALLAST_SENDGRID_API_KEY is set without BALLAST_SENDGRID_FROM: mail needs a sender.")
    limits = ChannelLimits(EMAIL_CONCURRENCY, max_batch=EMAIL_BATCH, per_second=settings.email_per_second)
    return EmailChannel(settings.sendgrid_url, key, settings.sendgrid_from, clock, limits=limits)


def _sms(settings: Settings, clock: Clock) -> SmsChannel | None:
    sid, token, sender = settings.twilio_account_sid, settings.twilio_auth_token, settings.twilio_from
    missing = [
        name
        for name, is_missing in (
            ("BALLAST_TWILIO_ACCOUNT_SID", _is_empty(sid)),
            ("BALLAST_TWILIO_AUTH_TOKEN", _is_empty(token)),
            ("BALLAST_TWILIO_FROM", not sender),
        )
        if is_missing
    ]
    if len(missing) == 3:
        return None
    if missing or sid is None or token is None or not sender:
        raise SettingsError(
            f"Text messages are configured by halves: {', '.join(missing)} is missing; set all or none."
        )
    _require_root("BALLAST_TWILIO_URL", settings.twilio_url)
    limits = ChannelLimits(SMS_CONCURRENCY, per_second=settings.sms_per_second)
    callback_url = settings.reachable_url + TWILIO_CALLBACK_PATH
    return SmsChannel(settings.twilio_url, sid, token, sender, callback_url, clock, limits=limits)


def _pagerduty(settings: Settings, clock: Clock) -> PagerDutyChannel | None:
    key = settings.pagerduty_routing_key
    if key is None or _is_empty(key):
        return None
    _require_root("BALLAST_PAGERDUTY_URL", settings.pagerduty_url)
    return PagerDutyChannel(settings.pagerduty_url, key, clock)


def _require_root(name: str, url: str) -> None:
    try:
        parsed_url(url)
    except AddressRefusedError:
        raise SettingsError(f"{name} is no http(s) address.") from None


def _is_empty(value: SecretStr | None) -> bool:
    return value is None or not value.get_secret_value()
