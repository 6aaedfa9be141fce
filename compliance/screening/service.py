"""Screening of names, customers and wallets against the active lists."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from followthemoney.exc import FollowTheMoneyException
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import SQLAlchemyError

from compliance.errors import ComplianceInputError, ComplianceNotReadyError
from compliance.policy.model import Policy
from compliance.screening import records
from compliance.screening.addresses import checked_address
from compliance.screening.lists import store
from compliance.screening.matching import Matcher, UnsearchableNameError
from compliance.screening.model import (
    NameScreening,
    ScreeningOutcome,
    ScreeningRecord,
    WalletEntry,
    WalletScreening,
)
from compliance.screening.proxies import KINDS, Subject, load_name_data
from compliance.users import User
from infra.runtime.clock import Clock
from infra.runtime.logs import get_logger

# What a library may raise on a name that it was not made for; the name is then not screened, and never clear.
MATCHING_ERRORS = (FollowTheMoneyException, ValueError, TypeError, LookupError, ArithmeticError, RuntimeError)
MOST_HITS = 500
"""Hits of a customer that are looked at, so that those which were cleared do not crowd out new ones."""
NO_LIST = "No sanctions list is active, so that nothing can be screened; load one with `ballast compliance load-list`."
_WALLETS = text(
    """
    select versions.list_name, versions.list_version_id, wallets.entry_id, wallets.asset_label, entries.topics
    from compliance.list_versions as versions
    left join compliance.list_wallets as wallets
        on wallets.list_version_id = versions.list_version_id and wallets.address = :address
    left join compliance.list_entries as entries
        on entries.list_version_id = wallets.list_version_id and entries.entry_id = wallets.entry_id
    where versions.state = 'active'
    order by versions.list_name, wallets.entry_id
    """
)
_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The active lists as they were loaded: what is searched, and by which versions."""

    versions: Mapping[str, str]
    matcher: Matcher


class Screener:
    """Names are searched in memory, in the versions that are active at the time of the search; safe for threads.

    Each search asks PostgreSQL which versions are active (one short statement) and loads them anew when others are, so
    that a list counts from the moment it was loaded.
    """

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._single = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._clock = clock
        # Of versions that were active; what a version holds does not change.
        self._is_sanctions: dict[str, bool] = {}
        self._lock = threading.Lock()
        self._snapshot: Snapshot | None = None

    @property
    def clock(self) -> Clock:
        """Where times of screenings come from."""
        return self._clock

    def list_versions(self) -> Mapping[str, str]:
        """List to its active version; raises `ComplianceNotReadyError` when no sanctions list is active."""
        with self._single.connect() as connection:
            return self._usable(connection, store.active_versions(connection))

    def _usable(self, connection: Connection, versions: Mapping[str, str]) -> Mapping[str, str]:
        """These active versions; raises `ComplianceNotReadyError` where none of them is of sanctions."""
        for version_id in versions.values():
            if version_id not in self._is_sanctions:
                self._is_sanctions[version_id] = store.is_sanctions(connection, version_id)
        if not any(self._is_sanctions[version_id] for version_id in versions.values()):
            raise ComplianceNotReadyError(NO_LIST)
        return versions

    def reload(self) -> None:
        """Load names and the active lists now, which takes seconds, so that no request waits for it.

        Without a list the screener stays as it is, and says so when it is asked.
        """
        try:
            self.refresh()
        except ComplianceNotReadyError:
            _log.warning("no_sanctions_list_active")

    def refresh(self) -> bool:
        """Load what is not loaded yet; whether that were lists.

        Raises `ComplianceNotReadyError` where no sanctions list is active.
        """
        load_name_data()
        before = self._snapshot
        return self.snapshot() is not before

    def snapshot(self) -> Snapshot:
        """The active lists, loaded if they are not; raises `ComplianceNotReadyError` when no sanctions list is."""
        versions = self.list_versions()
        current = self._snapshot
        if current is not None and current.versions == versions:
            return current
        with self._lock:
            current = self._snapshot
            if current is None or current.versions != versions:
                current = self._snapshot = self._load(versions)
            return current

    def _load(self, versions: Mapping[str, str]) -> Snapshot:
        with self._engine.connect() as connection:
            rows = [
                (list_name, version_id, entry, entry_hash)
                for list_name, version_id in versions.items()
                for entry, entry_hash in store.read_entries(connection, version_id)
            ]
        matcher = Matcher(rows)
        _log.info("lists_loaded", lists=dict(versions), searchable_entries=len(matcher))
        return Snapshot(versions, matcher)

    def screen_name(
        self,
        name: str,
        *,
        kind: str,
        birth_date: date | None = None,
        countries: Sequence[str] = (),
        policy: Policy,
    ) -> NameScreening:
        """What the active lists say of a name; nothing is stored.

        A name that could not be compared is `error` with a reason. Raises `ComplianceNotReadyError` without a list,
        `ComplianceInputError` for an unknown kind.
        """
        if kind not in KINDS:
            raise ComplianceInputError(f"A name is screened as one of {', '.join(sorted(KINDS))}.")
        return self.screen_subject(Subject((name,), kind, birth_date, tuple(countries)), policy)

    def screen_subject(self, subject: Subject, policy: Policy, limit: int | None = None) -> NameScreening:
        """What the active lists say of a subject with all its names; `limit` hits instead of the policy's."""
        snapshot = self.snapshot()
        versions = snapshot.versions
        try:
            most = limit or policy.screening.limit
            found = snapshot.matcher.match(subject, float(policy.screening.threshold), most)
        except UnsearchableNameError as error:
            return NameScreening(ScreeningOutcome.ERROR, (), versions, str(error))
        except MATCHING_ERRORS as error:
            # The error's own text may hold the name.
            _log.error("matching_failed", reason=type(error).__name__)
            failed = f"The matcher failed on this name ({type(error).__name__})."
            return NameScreening(ScreeningOutcome.ERROR, (), versions, failed)
        outcome = ScreeningOutcome.HIT if found.hits else ScreeningOutcome.CLEAR
        more = found.found - len(found.hits)
        reason = f"{found.found} hits, of which the likeliest {len(found.hits)} are shown." if more else None
        return NameScreening(outcome, found.hits, versions, reason)

    def screen_user(self, connection: Connection, user: User, policy: Policy, trigger: str) -> ScreeningRecord:
        """Screen a customer and store it in the caller's transaction: hits, one case for what is new, or a decision.

        `clear`: nothing was found, or only what officers cleared and which has not changed. What could not be screened
        is stored as `error`. Raises `ComplianceNotReadyError` without a list.
        """
        screening = self.screen_subject(subject_of(user), policy, MOST_HITS)
        return records.record_user(connection, user, screening, policy, trigger, self._clock.now())

    def screen_wallet(self, address: str, chain: str) -> WalletScreening:
        """Whether an address stands on an active list; exact, whatever asset the list names it for.

        What is no address, and what PostgreSQL could not answer, is `error` with a reason, without the address. Raises
        `ComplianceNotReadyError` without a list.
        """
        try:
            normal = checked_address(address, chain)
        except ComplianceInputError as error:
            return WalletScreening(ScreeningOutcome.ERROR, (), self.list_versions(), error.message)
        try:
            with self._single.connect() as connection:
                rows = connection.execute(_WALLETS, {"address": normal}).all()
                versions = self._usable(connection, {row.list_name: row.list_version_id for row in rows})
        except SQLAlchemyError as error:
            _log.error("wallet_screening_failed", reason=type(error).__name__)
            reason = f"PostgreSQL did not answer ({type(error).__name__})."
            return WalletScreening(ScreeningOutcome.ERROR, (), {}, reason)
        entries = tuple(
            WalletEntry(row.list_name, row.list_version_id, row.entry_id, row.asset_label or "?", tuple(row.topics))
            for row in rows
            if row.entry_id is not None
        )
        return WalletScreening(ScreeningOutcome.HIT if entries else ScreeningOutcome.CLEAR, entries, versions)


def subject_of(user: User) -> Subject:
    """Whom to look for, from what is known of a customer.

    First and last name are searched as one name beside the whole names: in which field a word stands must not hide it.
    """
    personal = user.personal
    parts = " ".join(filter(None, (personal.first_name, personal.last_name)))
    names = dict.fromkeys(filter(None, (*personal.all_names, parts)))
    countries = dict.fromkeys(filter(None, (personal.nationality, user.country)))
    return Subject(tuple(names), user.kind, personal.birth_date, tuple(countries))
