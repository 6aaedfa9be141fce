"""Who is told of an event, when, and who is not and why: pure rules, no input or output.

- People (mail, text) are told by preference; programs (webhooks) get every event, because they order and compare.
- A repeat is the same account, rule, severity and episode for the same recipient within the repeat window; what is
  worse than the last thing that the recipient was told is an escalation and always passes.
- Early warnings, and the end of an episode that never was more, wait for the end of quiet hours or of a digest.
- An address that gets too many alerts gets the rest as a digest. A liquidation is never held, digested or silenced.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from alerting.ledger import AlertEvent, PlannedNotification
from alerting.notices import ChannelName, Kind
from alerting.policy_model import Digest, Known, Plan, Preferences, Recipient, Rules, Silence, Told
from infra.runtime.ids import stable_id

OPERATOR = "operator"
OPERATORS = "operators"
NOBODY = "nobody"
# The channel of a notification that records that nobody was told.
NO_CHANNEL = "none"
NO_PAGERDUTY = "PagerDuty is not configured"
PEOPLE_CHANNELS = frozenset({ChannelName.EMAIL, ChannelName.SMS})

# How bad a severity is; those without a level (unpriced) say nothing of it.
LEVELS: Mapping[str, int] = {
    "recovered": 0,
    "early_warning": 1,
    "margin_call": 2,
    "liquidation": 3,
    "info": 1,
    "warning": 2,
    "critical": 3,
}
NEVER_HELD = frozenset({"liquidation", "critical"})
ESCALATED = frozenset({"margin_call", "liquidation", "critical"})
PAGED = frozenset({"liquidation"})
INHIBITED_BY_LIQUIDATION = ("early_warning", "margin_call")


def plan_event(event: AlertEvent, known: Known, rules: Rules, now: datetime) -> Plan:
    """The notifications of one event. Buckets are used up in place; everything else is left as it is."""
    plan = Plan()
    if rules.has_operator_webhook:
        plan.notifications.append(PlannedNotification(event.event_id, ChannelName.WEBHOOK, OPERATOR))
    recipients = _recipients(event, known.preferences)
    silence = _silence(event, known.preferences.silences, now)
    for recipient in recipients:
        _tell(plan, event, recipient, silence, known, rules, now)
    if not recipients:
        plan.notifications.append(_nobody(event, known.preferences))
    _page(plan, event, known, rules)
    if event.severity in ESCALATED:
        plan.escalate_at = _escalate_at(plan, recipients, rules, now)
    return plan


def fallbacks(event: AlertEvent, preferences: Preferences) -> list[Recipient]:
    """Who is tried, in order, when nobody accepted the event in time."""
    first = {each.contact_id for each in _recipients(event, preferences)}
    chosen = sorted(preferences.chosen(), key=lambda each: each.position)
    return [each for each in chosen if each.wants(event.severity) and each.contact_id not in first]


def is_deferrable(event: AlertEvent) -> bool:
    """Whether the event may wait: an early warning, or the end of an episode that never was more."""
    if event.severity == "early_warning":
        return True
    return event.severity == "recovered" and event.payload.get("previous_severity") == "early_warning"


def quiet_until(preferences: Preferences, now: datetime) -> datetime | None:
    """The end of the quiet hours that `now` falls into, in UTC; None outside of them."""
    start, end = preferences.quiet_start, preferences.quiet_end
    if start is None or end is None or start == end:
        return None
    zone = ZoneInfo(preferences.time_zone)
    local = now.astimezone(zone)
    at = local.time()
    is_quiet = start <= at < end if start < end else at >= start or at < end
    if not is_quiet:
        return None
    day = local.date() if at < end else local.date() + timedelta(days=1)
    return datetime.combine(day, end, tzinfo=zone).astimezone(UTC)


def window_end(now: datetime, window: timedelta) -> datetime:
    """The end of the window of that length, counted from the Unix epoch, that `now` falls into."""
    epoch = datetime.fromtimestamp(0, UTC)
    return epoch + ((now - epoch) // window + 1) * window


def is_repeat(event: AlertEvent, channel: str, recipient: str, told: Sequence[Told], since: datetime) -> bool:
    """Whether the recipient was told the same since then, and nothing milder after it."""
    own = [
        each
        for each in told
        if each.recipient == recipient
        and each.channel == channel
        and each.rule == event.rule
        and each.episode_id == event.episode_id
        and each.at >= since
    ]
    if not any(each.severity == event.severity for each in own):
        return False
    levels = [(each.at, LEVELS[each.severity]) for each in own if each.severity in LEVELS]
    level = LEVELS.get(event.severity)
    return level is None or not levels or level <= max(levels, key=lambda each: each[0])[1]


def _recipients(event: AlertEvent, preferences: Preferences) -> list[Recipient]:
    chosen = [each for each in preferences.chosen() if each.wants(event.severity)]
    if event.kind is Kind.COMPLIANCE and event.severity == "info":
        chosen = [each for each in chosen if each.severities is not None]
    primary = [each for each in chosen if each.role == "primary"]
    if primary or not chosen:
        return primary
    return [min(chosen, key=lambda each: each.position)]


def _silence(event: AlertEvent, silences: Sequence[Silence], now: datetime) -> Silence | None:
    if event.severity in NEVER_HELD:
        return None
    active = (each for each in silences if each.starts_at <= now < each.ends_at and event.severity in each.severities)
    return max(active, key=lambda each: each.ends_at, default=None)


def _tell(
    plan: Plan,
    event: AlertEvent,
    recipient: Recipient,
    silence: Silence | None,
    known: Known,
    rules: Rules,
    now: datetime,
) -> None:
    def planned(reason: str | None = None) -> PlannedNotification:
        contact, fingerprint = recipient.contact_id, recipient.fingerprint
        return PlannedNotification(
            event.event_id, recipient.channel, contact, suppressed_reason=reason, fingerprint=fingerprint
        )

    if recipient.channel not in rules.channels:
        plan.notifications.append(planned(f"channel {recipient.channel} is not configured"))
        return
    if silence is not None:
        until = silence.ends_at.isoformat(timespec="seconds")
        plan.notifications.append(planned(f"silenced until {until} ({silence.silence_id})"))
        return
    if recipient.channel not in PEOPLE_CHANNELS:
        plan.notifications.append(planned())
        return
    if is_repeat(event, recipient.channel, recipient.contact_id, known.told, now - rules.repeat_window):
        within = rules.repeat_window // timedelta(seconds=1)
        plan.notifications.append(planned(f"repeat within {within} s"))
        return
    digest = _digest(event, recipient, known, rules, now)
    if digest is None:
        plan.notifications.append(planned())
    else:
        plan.digested.append((planned(), digest))


def _digest(event: AlertEvent, recipient: Recipient, known: Known, rules: Rules, now: datetime) -> Digest | None:
    """The digest that the notification goes into; None: it goes out by itself, and a token is used."""
    if is_deferrable(event):
        quiet = quiet_until(known.preferences, now)
        if quiet is not None:
            return Digest(recipient.channel, recipient, quiet, rules.digest_window)
        if known.preferences.digest_minutes is not None:
            window = timedelta(minutes=known.preferences.digest_minutes)
            return Digest(recipient.channel, recipient, window_end(now, window), window)
    bucket = known.buckets[recipient.channel, recipient.fingerprint]
    bucket.refill(rules, now)
    if bucket.take(anyway=event.severity in NEVER_HELD) or event.severity in NEVER_HELD:
        return None
    return Digest(recipient.channel, recipient, window_end(now, rules.digest_window), rules.digest_window)


def _nobody(event: AlertEvent, preferences: Preferences) -> PlannedNotification:
    reason = "no contact wants this severity" if preferences.recipients else f"{event.owner} has no contact"
    return PlannedNotification(event.event_id, NO_CHANNEL, NOBODY, suppressed_reason=reason)


def _page(plan: Plan, event: AlertEvent, known: Known, rules: Rules) -> None:
    """Operators are paged for a liquidation, and told when the episode is over."""
    is_resolve = event.severity == "recovered" and known.is_paged
    if event.severity not in PAGED and not is_resolve:
        return
    plan.notifications.append(page(event.event_id, event, rules))


def page(event_id: str, about: AlertEvent, rules: Rules) -> PlannedNotification:
    """A notification to the operators through PagerDuty, in order within the episode that `about` belongs to."""
    return PlannedNotification(
        event_id,
        ChannelName.PAGERDUTY,
        OPERATORS,
        suppressed_reason=None if rules.has_pagerduty else NO_PAGERDUTY,
        ordering_key=stable_id("pd", about.account_id or about.owner, about.episode_id),
    )


def _escalate_at(plan: Plan, recipients: Sequence[Recipient], rules: Rules, now: datetime) -> datetime | None:
    """When somebody must have accepted: at once where no one can be reached; None where all were told or silenced."""
    if not any(each.channel in rules.channels for each in recipients):
        return now
    people = [each for each in plan.notifications if each.recipient not in (OPERATOR, OPERATORS)]
    waits = [digest.due_at for _, digest in plan.digested]
    if not waits and all(each.suppressed_reason is not None for each in people):
        return None
    return max([now, *waits]) + rules.escalation_after
