"""What receivers of webhooks are told: the event's wire form, and what would cure a margin call."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from alerting.channels.base import WebhookContent
from alerting.errors import TemplateError
from alerting.notices import Kind, Notice
from alerting.rendering import fields
from alerting.rendering.language import SEVERITIES
from alerting.rendering.margin import MarginFacts
from alerting.rendering.variables import code_of

_MARGIN_EXPENDABLE = ("price_ids", "liquidation_prices", "unpriced_assets")
_DIGEST_EXPENDABLE = ("alerts",)


def margin_webhook(notice: Notice, facts: MarginFacts) -> WebhookContent:
    """A margin event; `cure` is null where no amount can be named, as for an account without prices."""
    data = dict(notice.payload) | {"cure": cure_of(facts)}
    return WebhookContent(f"margin.{facts.severity}", notice.detected_at, data, _MARGIN_EXPENDABLE)


def other_webhook(notice: Notice) -> WebhookContent:
    """An event that is no margin event; `TemplateError` where its kind goes to no webhook."""
    data = dict(notice.payload)
    if notice.kind == Kind.COMPLIANCE:
        if notice.severity not in SEVERITIES[Kind.COMPLIANCE]:
            raise TemplateError(f"There is no webhook for compliance {notice.severity[:40]!r}.")
        return WebhookContent(f"compliance.{fields.text(data, 'kind')}", notice.detected_at, data)
    if notice.kind == Kind.VERIFICATION:
        data["code"] = code_of(notice)
    elif notice.kind == Kind.DIGEST:
        data |= {"count": len(notice.members), "alerts": [dict(each) for each in notice.members]}
        return WebhookContent("alert.digest", notice.detected_at, data, _DIGEST_EXPENDABLE)
    elif notice.kind == Kind.DELIVERY_RATE:
        data["severity"] = notice.severity
    elif notice.kind != Kind.TEST:
        raise TemplateError(f"There is no webhook for {notice.kind}.")
    return WebhookContent(f"alert.{notice.kind}", notice.detected_at, data)


def cure_of(facts: MarginFacts) -> Mapping[str, Any] | None:
    """The cure as strings, exact; `repay_usd` is null where no repayment suffices."""
    if facts.cure is None:
        return None
    return {
        "target_pct": _fixed(facts.cure.target_pct),
        "deposit_usd": _fixed(facts.cure.deposit_usd),
        "repay_usd": None if facts.cure.repay_usd is None else _fixed(facts.cure.repay_usd),
    }


def _fixed(value: Decimal) -> str:
    return format(value, "f")
