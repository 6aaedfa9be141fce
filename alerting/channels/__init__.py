"""Ways to reach people; each channel turns an outbound message into one provider request."""

from alerting.channels.base import Accepted, Channel, DeliveryResult, OutboundMessage, Rejected, Retryable

__all__ = ["Accepted", "Channel", "DeliveryResult", "OutboundMessage", "Rejected", "Retryable"]
