"""The guard on the one version of bqemulator that the repairs fit."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from infra.runtime.errors import BallastError

REPAIRED_VERSION = "1.4.0"


class UnsupportedVersionError(BallastError):
    """The installed bqemulator is not the one that the repairs were written for."""

    code = "bigquery_version_unsupported"


def require_repaired_version(installed: str | None = None) -> None:
    """Refuse to go on unless bqemulator is exactly 1.4.0, since the repairs replace its internals.

    `installed` is the version found in the environment unless given.
    """
    if installed is None:
        try:
            installed = version("bqemulator")
        except PackageNotFoundError:
            installed = "none"
    if installed != REPAIRED_VERSION:
        raise UnsupportedVersionError(
            f"The embedded BigQuery needs bqemulator {REPAIRED_VERSION} exactly, found {installed}: its repairs "
            f"replace internals of that version. Install bqemulator=={REPAIRED_VERSION}."
        )
