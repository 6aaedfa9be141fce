"""Credentials of compliance: six people, a private ring of keys, and what a person has set is left alone."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from compliance.api.people import people_of
from compliance.model import Role
from infra.embedded.credentials import ensure_env_file, read_env_file, stack_settings
from infra.embedded.ports import Ports
from infra.runtime.envelope import Envelope, key_ring
from infra.runtime.errors import SettingsError
from infra.runtime.settings import Settings


def _started(folder: Path, *lines: str) -> Settings:
    if lines:
        (folder / "ballast.env").write_text("".join(f"{line}\n" for line in lines))
    ensure_env_file(folder, Ports.from_base())
    return stack_settings(folder)


def test_people__every_role_is_there_and_two_officers_make_four_eyes(tmp_path: Path) -> None:
    roles = Counter(actor.role for actor in people_of(_started(tmp_path).compliance_users).actors)
    assert roles == {**dict.fromkeys(Role, 1), Role.OFFICER: 2}


def test_key_ring__is_private_and_opens_after_the_next_start_what_it_sealed_before(tmp_path: Path) -> None:
    settings = _started(tmp_path)
    assert settings.pii_key_file == tmp_path / "pii-keys.json"
    assert settings.pii_key_file.stat().st_mode & 0o777 == 0o600
    sealed = Envelope(key_ring(settings)).seal("Alder Ashbrook", "place")
    assert Envelope(key_ring(_started(tmp_path))).open(sealed, "place") == "Alder Ashbrook"


def test_key_ring__that_was_lost_is_not_replaced_by_another(tmp_path: Path) -> None:
    file = _started(tmp_path).pii_key_file
    assert file is not None
    file.unlink()
    with pytest.raises(SettingsError, match="cannot be read"):
        key_ring(_started(tmp_path))


def test_key_ring__follows_a_state_folder_that_was_moved(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    sealed = Envelope(key_ring(_started(tmp_path / "old"))).seal("Alder Ashbrook", "place")
    (tmp_path / "old").rename(tmp_path / "new")
    assert Envelope(key_ring(_started(tmp_path / "new"))).open(sealed, "place") == "Alder Ashbrook"


@pytest.mark.parametrize(
    "line",
    [
        "BALLAST_PII_KMS_KEY=projects/p/locations/l/keyRings/r/cryptoKeys/k",
        "BALLAST_PII_KEY_FILE=/etc/desk/keys.json",
    ],
)
def test_key_ring__of_the_desk_is_used_and_none_is_made(tmp_path: Path, line: str) -> None:
    _started(tmp_path, line)
    values = read_env_file(tmp_path / "ballast.env")
    assert [f"{name}={value}" for name, value in values.items() if name.startswith("BALLAST_PII")] == [line]
    assert not (tmp_path / "pii-keys.json").exists()


def test_people__that_a_person_has_named_stay(tmp_path: Path) -> None:
    users = "ann:officer:a-token-that-is-long-enough"
    settings = _started(tmp_path, f"BALLAST_COMPLIANCE_USERS={users}")
    assert settings.compliance_users is not None
    assert settings.compliance_users.get_secret_value() == users
