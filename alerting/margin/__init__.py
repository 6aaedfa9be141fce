"""The margin decision: pure rules, no input or output."""

from alerting.margin.decision import AccountHealth, AccountStatus, OpenState, decide

__all__ = ["AccountHealth", "AccountStatus", "OpenState", "decide"]
