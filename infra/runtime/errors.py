"""The base error of Ballast and those of the runtime layer."""

from __future__ import annotations


class BallastError(Exception):
    """An error that a person can act on: a stable `code`, and a message that says what, where and what to do."""

    code = "ballast_error"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class SettingsError(BallastError):
    """The environment lacks a value, or holds one that cannot be used."""

    code = "settings_invalid"


class WarehouseError(BallastError):
    """BigQuery refused or did not answer a statement."""

    code = "warehouse_failed"


class AppendError(WarehouseError):
    """Rows were refused by BigQuery; `row_errors` maps the row's index to its reasons."""

    code = "warehouse_append_failed"

    def __init__(self, message: str, row_errors: dict[int, str]) -> None:
        super().__init__(message)
        self.row_errors = row_errors


class NotReadyError(BallastError):
    """A server that this call needs does not answer yet."""

    code = "not_ready"
