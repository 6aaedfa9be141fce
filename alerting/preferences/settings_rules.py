"""Rules for how owners want to be told: language, time zone, quiet hours, and who must hear of what."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from babel import Locale, UnknownLocaleError

from alerting.errors import PreferencesInvalidError
from alerting.preferences.model import ContactRole, OwnerSettings, WantedContact, gravest_of, severities_of

LANGUAGES = ("de", "en", "es")
_TAG = re.compile(r"([A-Za-z]{2})(?:-([A-Za-z]{4}))?(?:-([A-Za-z]{2}|[0-9]{3}))?")
_ZONE = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(?:/[A-Za-z0-9_+-]+){0,2}")


def checked_settings(settings: OwnerSettings) -> OwnerSettings:
    """The settings with the language tag in its usual form; raises `PreferencesInvalidError`."""
    if settings.quiet_start is not None and settings.quiet_start == settings.quiet_end:
        raise PreferencesInvalidError("quiet_hours begin and end at the same time; leave them out, or give two times.")
    return OwnerSettings(
        checked_locale(settings.locale),
        checked_time_zone(settings.time_zone),
        settings.quiet_start,
        settings.quiet_end,
        settings.digest_minutes,
    )


def checked_locale(tag: str) -> str:
    """The tag as BCP 47 writes it, such as de-AT; raises `PreferencesInvalidError` for a language without texts."""
    parts = _TAG.fullmatch(tag)
    if parts is None or parts[1].lower() not in LANGUAGES:
        raise PreferencesInvalidError(
            f"locale is none that alerts are written in; give {', '.join(LANGUAGES)}, or one with a region (de-AT)."
        )
    usual = (parts[1].lower(), (parts[2] or "").title(), (parts[3] or "").upper())
    try:
        Locale.parse("_".join(part for part in usual if part))
    except (UnknownLocaleError, ValueError):
        raise PreferencesInvalidError("locale has a script or region that is not known for its language.") from None
    return "-".join(part for part in usual if part)


def checked_time_zone(name: str) -> str:
    """The name if the time zone database has it; raises `PreferencesInvalidError`."""
    try:
        if not _ZONE.fullmatch(name):
            raise ValueError("no name of a zone")
        ZoneInfo(name)
    # A folder of the database, such as Europe, is an OSError.
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise PreferencesInvalidError(
            "time_zone is none of the IANA database; give one such as Europe/Vienna."
        ) from None
    return name


def check_severities(owner: str, severities: Iterable[str], where: str) -> None:
    """Raises `PreferencesInvalidError` for a severity that the owner is never told of."""
    known = severities_of(owner)
    if not known.issuperset(severities):
        raise PreferencesInvalidError(f"{where} holds what is no severity; choose from {', '.join(sorted(known))}.")


def check_contacts(owner: str, wanted: Sequence[WantedContact]) -> None:
    """Raises `PreferencesInvalidError` where there are contacts and no primary one gets the gravest alerts."""
    for index, contact in enumerate(wanted):
        check_severities(owner, contact.severities or (), f"contacts[{index}].severities")
    gravest = gravest_of(owner)
    told = [each for each in wanted if each.severities is None or gravest in each.severities]
    if wanted and not any(each.role is ContactRole.PRIMARY for each in told):
        raise PreferencesInvalidError(f"No primary contact is told of {gravest}; at least one must be.")
