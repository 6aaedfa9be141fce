"""Errors of transaction monitoring."""

from __future__ import annotations

from compliance.errors import ComplianceError


class TransactionConflictError(ComplianceError):
    """The id was used before for another transaction, so that an answer would be about that one (HTTP 409)."""

    code = "transaction_conflict"


class TransactionUnknownError(ComplianceError):
    """The gate has not seen a transaction of that id (HTTP 404)."""

    code = "transaction_not_found"
