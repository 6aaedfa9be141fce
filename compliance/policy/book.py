"""The book of policies: every version that the desk has had, and which one counts at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import Engine, text

from compliance.errors import ComplianceNotReadyError, PolicyInvalidError
from compliance.policy.documents import Document, policy_of, read_document
from compliance.policy.model import Policy
from infra.runtime.clock import Clock
from infra.runtime.settings import PROJECT_ROOT

POLICIES = PROJECT_ROOT / "compliance" / "policies"
CASES_SUFFIX = ".test.yaml"

_RECORD = text(
    """
    insert into compliance.policies (policy_version, name, content_hash, content, effective_from, recorded_at)
    select policy_version, name, content_hash, content, effective_from, cast(:now as timestamptz)
    from unnest(
        cast(:policy_version as text[]), cast(:name as text[]), cast(:content_hash as text[]), cast(:content as text[]),
        cast(:effective_from as timestamptz[])
    ) as given (policy_version, name, content_hash, content, effective_from)
    order by policy_version
    on conflict do nothing
    """
)
_RECORDED = text(
    """
    select policy_version, content_hash
    from compliance.policies
    where policy_version = any(cast(:policy_version as text[]))
    """
)


@dataclass(frozen=True, slots=True)
class Entry:
    """A policy and the document that states it."""

    policy: Policy
    document: Document


class PolicyBook:
    """The policies of a folder, by the time from which they count."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        """Raises `PolicyInvalidError` where two policies share a version or a time."""
        self._entries = tuple(sorted(entries, key=lambda entry: entry.policy.effective_from))
        self._by_version: dict[str, Entry] = {}
        for entry in self._entries:
            other = self._by_version.setdefault(entry.policy.version, entry)
            if other is not entry:
                raise PolicyInvalidError(
                    f"{entry.document.name} and {other.document.name} both are version {entry.policy.version}; "
                    "give the newer one its own version"
                )
        for before, after in zip(self._entries, self._entries[1:], strict=False):
            if before.policy.effective_from == after.policy.effective_from:
                raise PolicyInvalidError(
                    f"{before.document.name} and {after.document.name} both count from "
                    f"{after.policy.effective_from.isoformat()}; one must begin later"
                )

    @classmethod
    def load(cls, folder: Path = POLICIES) -> PolicyBook:
        """Read every `*.yaml` of the folder that is not a file of test cases; raises `PolicyInvalidError`."""
        documents = [read_document(path) for path in policy_files(folder)]
        return cls([Entry(policy_of(document), document) for document in documents])

    @property
    def policies(self) -> Sequence[Policy]:
        """All versions, the oldest first."""
        return [entry.policy for entry in self._entries]

    def current(self, at: datetime) -> Policy:
        """The policy that counts at a time; raises `ComplianceNotReadyError` if none does."""
        begun = [entry.policy for entry in self._entries if entry.policy.effective_from <= at]
        if not begun:
            raise ComplianceNotReadyError(
                f"no policy counts at {at.isoformat()}; put one with an earlier effective_from into compliance/policies"
            )
        return begun[-1]

    def version(self, version: str) -> Policy:
        """The policy of that version; raises `PolicyInvalidError` if the book does not hold it."""
        return self._entry(version).policy

    def content(self, version: str) -> str:
        """The YAML text of that version."""
        return self._entry(version).document.text

    def content_hashes(self) -> Mapping[str, str]:
        """The hash of each version's content."""
        return {version: entry.document.content_hash for version, entry in self._by_version.items()}

    def _entry(self, version: str) -> Entry:
        if version not in self._by_version:
            raise PolicyInvalidError(f"there is no policy {version}; there are {', '.join(self._by_version) or 'none'}")
        return self._by_version[version]

    def record(self, engine: Engine, clock: Clock) -> int:
        """Record every version once, for ever; returns how many are new.

        Raises `PolicyInvalidError` if a version was recorded with other content: decisions name it, so its meaning
        must stay. Safe to repeat, and for several processes at once.
        """
        entries = list(self._by_version.values())
        values = {
            "now": clock.now(),
            "policy_version": [entry.policy.version for entry in entries],
            "name": [entry.policy.name for entry in entries],
            "content_hash": [entry.document.content_hash for entry in entries],
            "content": [entry.document.text for entry in entries],
            "effective_from": [entry.policy.effective_from for entry in entries],
        }
        with engine.begin() as connection:
            added = connection.execute(_RECORD, values).rowcount
            rows = connection.execute(_RECORDED, {"policy_version": values["policy_version"]}).all()
            recorded = {row.policy_version: row.content_hash for row in rows}
            for version, content_hash in self.content_hashes().items():
                if recorded.get(version) != content_hash:
                    raise PolicyInvalidError(
                        f"policy {version} was recorded with other content; undo the change of "
                        f"{self._by_version[version].document.name} and write a new version instead"
                    )
        return added


def policy_files(folder: Path) -> list[Path]:
    """The files of a folder that state policies, by name."""
    return sorted(path for path in folder.glob("*.yaml") if not path.name.endswith(CASES_SUFFIX))
