"""The nightly screening: what changed in the lists against all customers, and new customers against the lists.

A customer whom a new or changed entry could match is screened anew in full, so that the record, the memory of what was
cleared and the one case are those of every screening. All others are covered by the run itself, which is appended to
the record of decisions with the versions that it went to. A run that was cut off starts again, leaves out whom it has
screened, and tells nobody anything twice.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from followthemoney import EntityProxy
from sqlalchemy import Engine

from compliance.model import SYSTEM
from compliance.policy.model import Policy
from compliance.screening import customers
from compliance.screening.blocking import NameIndex, Words, words_of
from compliance.screening.lists import store
from compliance.screening.matching import Listed, reaches
from compliance.screening.model import ScreeningOutcome
from compliance.screening.proxies import analysed, query_proxy
from compliance.screening.service import MATCHING_ERRORS, Screener, Snapshot, subject_of
from compliance.users import User, read_users
from infra.runtime.clock import Clock
from infra.runtime.envelope import Envelope
from infra.runtime.ids import stable_id
from infra.runtime.logs import get_logger

TRIGGER = "rescreening"
CHUNK = 5_000
_SHOWN_ERRORS = 100
_log = get_logger(__name__)
Delta = Sequence[tuple[Listed, Sequence[Words]]]


class Policies(Protocol):
    """Where the policy of the run comes from."""

    def current(self, at: datetime) -> Policy:
        """The policy that counts at a time; raises `ComplianceNotReadyError` if none does."""
        ...


@dataclass(frozen=True, slots=True)
class Rescreening:
    """What a run did: `errors` are customers who could not be screened, and are tried again by the next run."""

    run_id: str
    list_versions: Mapping[str, str]
    customers: int
    delta_entries: int
    compared_pairs: int
    screened: int
    new_hits: int
    errors: int


@dataclass(slots=True)
class _Tally:
    customers: int = 0
    compared: int = 0
    screened: int = 0
    new_hits: int = 0
    errors: list[str] = field(default_factory=list)


def rescreen(
    engine: Engine,
    screener: Screener,
    clock: Clock,
    policies: Policies,
    envelope: Envelope,
    *,
    chunk: int = CHUNK,
) -> Rescreening:
    """Screen whom the change of the lists, or the lack of a screening, calls for; cases are opened for new hits only.

    Names are decrypted for one chunk of customers at a time and kept no longer. Raises `ComplianceNotReadyError`
    without a list or policy, `UnsealError` for personal data that does not open; what was screened until then stays.
    """
    started_at = clock.now()
    run = _Run(engine, screener, policies.current(started_at), screener.snapshot(), started_at)
    for users in _chunks(engine, envelope, chunk):
        run.screen(users)
    return run.record(clock)


def _chunks(engine: Engine, envelope: Envelope, size: int) -> Iterator[list[User]]:
    after = ""
    while True:
        with engine.connect() as connection:
            users = read_users(connection, envelope, after, size)
        if not users:
            return
        yield users
        after = users[-1].user_id


class _Run:
    """One run over all customers by one set of list versions."""

    def __init__(
        self, engine: Engine, screener: Screener, policy: Policy, snapshot: Snapshot, started_at: datetime
    ) -> None:
        self._engine, self._screener, self._policy, self._snapshot = engine, screener, policy, snapshot
        self._started_at = started_at
        self._threshold = float(policy.screening.threshold)
        with engine.connect() as connection:
            self._last = customers.last_run(connection)
        self._deltas: dict[str, Delta] = {}
        self._tally = _Tally()

    def screen(self, users: Sequence[User]) -> None:
        """Screen those of the customers who need it, each in a transaction of its own."""
        self._tally.customers += len(users)
        with self._engine.connect() as connection:
            ids = [user.user_id for user in users]
            latest = customers.latest_screenings(connection, ids, self._started_at)
        due: set[str] = set()
        by_delta: dict[str, list[User]] = defaultdict(list)
        for user in users:
            known = latest.get(user.user_id)
            if known is None or known.is_due:
                due.add(user.user_id)
                continue
            versions = customers.known_versions(
                known, self._last, self._snapshot.versions, self._policy.version, self._policy.screening.threshold
            )
            by_delta[json.dumps(dict(versions), sort_keys=True)].append(user)
        for versions_text, group in by_delta.items():
            due |= self._matched(group, self._delta(versions_text))
        for user in users:
            if user.user_id in due:
                self._screen_in_full(user)

    def _screen_in_full(self, user: User) -> None:
        with self._engine.begin() as connection:
            record = self._screener.screen_user(connection, user, self._policy, TRIGGER)
        self._tally.screened += 1
        self._tally.new_hits += record.new_hits
        if record.outcome is ScreeningOutcome.ERROR:
            self._tally.errors.append(user.user_id)

    def _delta(self, versions_text: str) -> Delta:
        """The searchable entries that are not as they were in the versions."""
        found = self._deltas.get(versions_text)
        if found is not None:
            return found
        versions: Mapping[str, str] = json.loads(versions_text)
        before: dict[str, Mapping[str, str]] = {}
        with self._engine.connect() as connection:
            for list_name, version_id in versions.items():
                if self._snapshot.versions.get(list_name) not in (None, version_id):
                    before[list_name] = store.entry_hashes(connection, version_id)
        changed = [
            listed
            for listed in self._snapshot.matcher.entries()
            if versions.get(listed.list_name) != listed.list_version_id
            and before.get(listed.list_name, {}).get(listed.entry.entry_id) != listed.entry_hash
        ]
        delta = [(each, [words_of(name) for name in analysed(each.proxy, is_query=False)]) for each in changed]
        self._deltas[versions_text] = delta
        return delta

    def _matched(self, users: Sequence[User], delta: Delta) -> set[str]:
        """Customers whose name reaches the threshold with an entry, or whose name cannot be compared."""
        if not delta:
            return set()
        found: set[str] = set()
        queries: dict[int, EntityProxy] = {}
        names: list[tuple[int, Words]] = []
        for place, user in enumerate(users):
            query, of_user = _query(user)
            if query is None or not of_user:
                # The full screening records what is wrong with it.
                found.add(user.user_id)
                continue
            queries[place] = query
            names += ((place, words) for words in of_user)
        index = NameIndex(names)
        for listed, listed_names in delta:
            places = {at for words in listed_names for at in index.could_be_matched_by(words, self._threshold)}
            for place in sorted(places):
                if users[place].user_id in found:
                    continue
                self._tally.compared += 1
                if _reaches(queries[place], listed, self._threshold):
                    found.add(users[place].user_id)
        return found

    def record(self, clock: Clock) -> Rescreening:
        """Append the run to the record: the proof for every customer whom it did not have to screen in full."""
        from compliance.chain import append_decision

        tally, versions = self._tally, self._snapshot.versions
        delta_entries = len({id(listed) for delta in self._deltas.values() for listed, _ in delta})
        text_versions = json.dumps(dict(versions), sort_keys=True)
        run_id = stable_id("run", TRIGGER, text_versions, self._policy.version, self._started_at.isoformat())
        done = Rescreening(
            run_id,
            versions,
            tally.customers,
            delta_entries,
            tally.compared,
            tally.screened,
            tally.new_hits,
            len(tally.errors),
        )
        with self._engine.begin() as connection:
            append_decision(
                connection,
                subject_kind=customers.SUBJECT_KIND,
                subject_id=run_id,
                outcome=customers.COMPLETED,
                reason=(
                    f"{done.customers} customers, {done.delta_entries} new or changed entries, {done.screened} "
                    f"screened in full, {done.new_hits} new hits, {done.errors} not screened."
                ),
                actor=SYSTEM,
                policy_version=self._policy.version,
                list_versions=versions,
                evidence={
                    "threshold": self._policy.screening.threshold,
                    "started_at": self._started_at.isoformat(),
                    "since": dict(self._last.list_versions) if self._last is not None else {},
                    "compared_pairs": done.compared_pairs,
                    "not_screened": tally.errors[:_SHOWN_ERRORS],
                },
                at=clock.now(),
            )
        _log.info("customers_rescreened", run_id=run_id, screened=done.screened, new_hits=done.new_hits)
        return done


def _query(user: User) -> tuple[EntityProxy | None, list[Words]]:
    try:
        query = query_proxy(subject_of(user))
        return query, [words for name in analysed(query, is_query=True) if (words := words_of(name)).words]
    except MATCHING_ERRORS:
        return None, []


def _reaches(query: EntityProxy, listed: Listed, threshold: float) -> bool:
    """Whether it is a hit; where the matcher fails, the full screening records that."""
    try:
        return reaches(query, listed, threshold)
    except MATCHING_ERRORS:
        return True
