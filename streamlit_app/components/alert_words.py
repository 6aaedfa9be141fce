"""Alerts in words: channels, states, reasons and kinds as every page writes them."""

from __future__ import annotations

from html import escape

from streamlit_app.components import formats, markup

CHANNEL_WORDS = {
    "email": "Mail",
    "sms": "Text",
    "webhook": "Webhook",
    "pagerduty": "PagerDuty",
    "none": "Nobody",
    "unknown": "Unknown channel",
}
STATE_WORDS = {
    "accepted": "Accepted",
    "delivered": "Delivered",
    "failed": "Failed",
    "suppressed": "Not sent",
    "pending": "Under way",
    "unknown": "Unknown",
}
STATE_HELP = {
    "accepted": "The provider took it; whether it arrived is not known.",
    "delivered": "The provider reported delivery.",
    "failed": "It failed for good.",
    "suppressed": "It was not sent, for a recorded reason.",
    "pending": "It has not ended.",
    "unknown": "A request went out, and nothing is known of it yet.",
}
KIND_WORDS = {
    "margin": "Margin",
    "compliance": "Compliance",
    "delivery_rate": "Delivery rate",
    "digest": "Digest",
    "test": "Test",
    "verification": "Verification",
    "escalation": "Escalation",
}
REASON_WORDS = {
    "silenced": "Silenced by the owner",
    "digested": "Told in a digest instead",
    "inhibited": "Left out for the liquidation of the same episode",
    "no_contact": "Whom it is about has no contact",
}
RATE_WORDS = {"ok": "On target", "below_target": "Below target", "no_target": "No target", "no_data": "No data"}
STEP_WORDS = {
    "planned": "Planned",
    "claimed": "Claimed by a worker",
    "sent": "Request sent",
    "accepted": "Accepted by the provider",
    "delivered": "Delivery reported",
    "failed": "Attempt failed",
    "suppressed": "Not sent",
}


def channel(name: str | None) -> str:
    """A channel in words."""
    return formats.words(name or "unknown", CHANNEL_WORDS)


def severity_tag(severity: str | None) -> str:
    """The label of a severity; nothing where the event has none."""
    return markup.tag(severity, formats.words(severity, formats.SEVERITY_WORDS)) if severity else ""


def state_tag(state: str, before: str = "", detail: str | None = None, more: str = "") -> str:
    """The label of a state, such as `Mail: Delivered`; `detail` shows when it is pointed at."""
    label = f"{before}{formats.words(state, STATE_WORDS)}{more}"
    kind = state if state in STATE_WORDS else "unknown"
    return markup.tag(kind, label, detail or STATE_HELP.get(state, ""))


def seen_html(by: str, at: str) -> str:
    """Who has acknowledged, and when."""
    return f'<span>{escape(by)}</span><span class="under">{escape(at)}</span>'
