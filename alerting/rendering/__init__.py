"""Alerts in words: one template for each kind, severity, channel and locale.

What a notice's payload holds, by kind:

- `margin`: the wire form of `MarginEvent`. `compliance`: the wire form of `ComplianceEvent`.
- `escalation` (PagerDuty only): `event`, the wire form of the event that nobody accepted, its `event_kind` (`margin` or
  `compliance`), and `reason`.
- `delivery_rate`: `channel`, `window_minutes`, `rate_pct` and `target_pct` in percent (exact; the rate may be null),
  `ended` and `failed` notifications.
- `digest`: `window_start` and `window_end`; the events are the notice's `members`.
- `test`: `requested_by`. `verification`: `expires_at`; the code is the notice's `code`.
"""
