"""Starting, watching and stopping the stack, by supervisord."""

from infra.embedded.supervisor.stack import Stack
from infra.embedded.supervisor.status import Progress, ServiceState, ServiceStatus, StackEvent, silent

__all__ = ["Progress", "ServiceState", "ServiceStatus", "Stack", "StackEvent", "silent"]
