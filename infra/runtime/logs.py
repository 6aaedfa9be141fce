"""Structured logs, one JSON object a line, in which secrets cannot appear."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any

import structlog

REDACTED = "[redacted]"
_SECRET_KEY = re.compile(r"(password|passwd|secret|token|authorization|api_?key|signature|cookie)", re.IGNORECASE)
_SECRET_VALUE = re.compile(
    r"(whsec_[A-Za-z0-9+/=]+|wbhsec_[\w-]+|persona_(?:sandbox|production)_[\w-]+|\b(?:sbx|prd):[\w.-]{12,}"
    r"|SG\.[\w-]{16,}\.[\w-]{16,}|(?<=Bearer )\S+|(?<=Basic )\S+|(?<=://)[^/\s:@]*:[^/\s@]+(?=@)"
    r"|(?<=password=)[^\s&;,'\"]+|(?<=token=)[^\s&;,'\"]+|(?<=secret=)[^\s&;,'\"]+|(?<=api_key=)[^\s&;,'\"]+)",
    re.IGNORECASE,
)


def redact(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace values under secret-looking keys, and secret-looking parts of any text, by `[redacted]`, at any depth."""
    for key, value in list(event.items()):
        # Keys with an underscore in front are structlog's own (`_record`), which are not written.
        if not key.startswith("_"):
            event[key] = _redacted(key, value)
    return event


def _redacted(key: str, value: Any) -> Any:
    if _SECRET_KEY.search(key):
        return REDACTED
    match value:
        case None | bool() | int() | float():
            return value
        case Mapping():
            return {str(name): _redacted(str(name), item) for name, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_redacted("", item) for item in value]
        case _:
            return _SECRET_VALUE.sub(REDACTED, str(value))


def configure_logs(service: str, level: str = "INFO") -> None:
    """Send our own and the standard library's logs to stderr as JSON lines that name the service."""
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        structlog.processors.format_exc_info,
        redact,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                redact,
                structlog.processors.JSONRenderer(default=str),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    structlog.contextvars.bind_contextvars(service=service)


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """A logger that takes an event name and key-value pairs."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger
