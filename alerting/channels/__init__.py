"""Ways to reach people; each channel turns outbound messages into provider requests."""

from alerting.channels.base import (
    Accepted,
    Address,
    Channel,
    ChannelLimits,
    DeliveryResult,
    EmailContent,
    OutboundMessage,
    PageContent,
    Rejected,
    Retryable,
    SmsContent,
    WebhookContent,
)

__all__ = [
    "Accepted",
    "Address",
    "Channel",
    "ChannelLimits",
    "DeliveryResult",
    "EmailContent",
    "OutboundMessage",
    "PageContent",
    "Rejected",
    "Retryable",
    "SmsContent",
    "WebhookContent",
]
