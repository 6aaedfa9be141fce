"""Envelopes and the ring of keys in a file: what opens where, what rotation keeps, what a kill leaves."""

from __future__ import annotations

import base64
import json
import stat
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from infra.runtime.envelope import Envelope, KmsKeyRing, LocalKeyRing, key_ring
from infra.runtime.errors import SettingsError
from infra.runtime.sealing import UnsealError
from infra.runtime.settings import Settings, load_settings

PLACE = "compliance.users.usr_1.pii_sealed"
HASH_KEY = base64.b64encode(bytes(range(32))).decode()
KMS_KEY = "projects/p/locations/eu/keyRings/r/cryptoKeys/pii"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


@pytest.fixture
def envelope(path: Path) -> Envelope:
    return Envelope(LocalKeyRing.create(path))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(st.characters(exclude_categories=("Cs",)), max_size=200))
def test_envelope__opens_what_it_sealed_and_never_seals_alike(envelope: Envelope, text: str) -> None:
    one, other = envelope.seal(text, PLACE), envelope.seal(text, PLACE)
    assert envelope.open(one, PLACE) == envelope.open(other, PLACE) == text
    assert one.sealed != other.sealed
    assert one.wrapped_key != other.wrapped_key


def test_envelope__does_not_open_elsewhere_or_with_the_key_of_another_row(envelope: Envelope) -> None:
    one, other = envelope.seal("Secret", PLACE), envelope.seal("Other", PLACE)
    with pytest.raises(UnsealError, match="changed or moved"):
        envelope.open(one, PLACE.replace("usr_1", "usr_2"))
    with pytest.raises(UnsealError, match="changed or moved"):
        envelope.open(replace(one, wrapped_key=other.wrapped_key), PLACE)


@pytest.mark.parametrize("part", ["sealed", "wrapped_key"])
def test_envelope__any_changed_byte_shows(envelope: Envelope, part: str) -> None:
    sealed = envelope.seal("Secret", PLACE)
    content: bytes = getattr(sealed, part)
    for place in range(len(content)):
        changed = content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
        with pytest.raises(UnsealError) as caught:
            envelope.open(replace(sealed, **{part: changed}), PLACE)
        assert "Secret" not in caught.value.message


@pytest.mark.parametrize("content", [b"", b"\x01", b"\x01" + bytes(5), b"\x02" + bytes(40), b"\x01" + bytes(12)])
def test_envelope__refuses_what_is_no_sealed_text(envelope: Envelope, content: bytes) -> None:
    with pytest.raises(UnsealError, match="usr_1"):
        envelope.open(replace(envelope.seal("x", PLACE), sealed=content), PLACE)


def test_envelope__shows_no_key_and_no_text(envelope: Envelope, path: Path) -> None:
    keys = json.loads(path.read_text())
    shown = f"{envelope.seal('Secret', PLACE)!r} {vars(envelope.ring)}"
    assert "Secret" not in shown
    for secret in (*keys["keys"].values(), keys["hash_key"]):
        assert secret not in shown
        assert repr(base64.b64decode(secret)) not in shown


def test_rewrap__keeps_the_sealed_text_and_uses_the_new_key(envelope: Envelope, path: Path) -> None:
    sealed = envelope.seal("Secret", PLACE)
    hashed = envelope.blind_hash("name", "ann")
    after = Envelope(LocalKeyRing.rotate(path))
    again = after.rewrap(sealed)
    assert again.sealed == sealed.sealed
    assert (again.key_id == sealed.key_id, again.key_id) == (False, after.ring.active_key_id)
    assert after.open(again, PLACE) == after.open(sealed, PLACE) == "Secret"
    assert after.blind_hash("name", "ann") == hashed


def test_rewrap__moves_a_text_to_another_ring(envelope: Envelope, tmp_path: Path) -> None:
    other = Envelope(LocalKeyRing.create(tmp_path / "other.json"))
    sealed = envelope.seal("Secret", PLACE)
    with pytest.raises(UnsealError, match="lacks key"):
        other.rewrap(sealed)
    assert other.open(other.rewrap(sealed, envelope.ring), PLACE) == "Secret"


def test_blind_hash__depends_on_kind_and_key(envelope: Envelope, tmp_path: Path) -> None:
    other = Envelope(LocalKeyRing.create(tmp_path / "other.json"))
    found = envelope.blind_hash("name", "ann")
    assert found == envelope.blind_hash("name", "ann")
    assert len({found, envelope.blind_hash("email", "ann"), other.blind_hash("name", "ann")}) == 3
    assert envelope.blind_hash("a", "b\x1fc") != envelope.blind_hash("b", "c")
    assert len(found) == 64


def test_local_ring__a_process_with_the_old_file_opens_what_a_new_key_sealed(envelope: Envelope, path: Path) -> None:
    before = envelope.ring.active_key_id
    sealed = Envelope(LocalKeyRing.rotate(path)).seal("Secret", PLACE)
    assert sealed.key_id != before
    assert envelope.open(sealed, PLACE) == "Secret"
    assert envelope.ring.active_key_id == sealed.key_id


def test_local_ring__create_makes_a_private_file_and_never_writes_over_one(path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        ids = {ring.active_key_id for ring in pool.map(lambda _: LocalKeyRing.create(path), range(8))}
    assert len(ids) == 1
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_local_ring__rotations_at_once_lose_no_key(path: Path) -> None:
    LocalKeyRing.create(path)
    with ThreadPoolExecutor(4) as pool:
        wrapped = list(pool.map(lambda _: LocalKeyRing.rotate(path).wrap(bytes(32)), range(8)))
    ring = LocalKeyRing(path)
    assert [ring.unwrap(*each) for each in wrapped] == [bytes(32)] * 8
    assert len(json.loads(path.read_text())["keys"]) == 9
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        ({"version": 2}, "another version"),
        ({"active_key_id": "k_gone"}, "lacks its active key"),
        ({"hash_key": "c2hvcnQ="}, "the hash key holds no key"),
        ({"hash_key": "not base64 at all"}, "the hash key holds no key"),
        ({"keys": 5}, "no ring of keys"),
        ({"more": 1}, "no ring of keys"),
    ],
)
def test_local_ring__names_what_is_wrong_with_the_file_and_no_key(
    path: Path, change: dict[str, object], finding: str
) -> None:
    LocalKeyRing.create(path)
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | change))
    with pytest.raises(SettingsError, match=finding) as caught:
        LocalKeyRing(path)
    assert not any(key in caught.value.message for key in content["keys"].values())


def test_local_ring__refuses_a_file_that_is_absent_empty_or_open_to_others(path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        LocalKeyRing(path)
    path.touch(0o600)
    with pytest.raises(SettingsError, match="no ring of keys"):
        LocalKeyRing(path)
    path.unlink()
    LocalKeyRing.create(path)
    path.chmod(0o640)
    with pytest.raises(SettingsError, match="mode 640"):
        LocalKeyRing(path)


def settings_of(folder: Path, **changes: object) -> Settings:
    return load_settings(folder).model_copy(update={"pii_key_file": None, "pii_kms_key": None, **changes})


def test_key_ring__is_what_the_settings_name(tmp_path: Path, path: Path) -> None:
    LocalKeyRing.create(path)
    assert isinstance(key_ring(settings_of(tmp_path, pii_key_file=path)), LocalKeyRing)
    ring = key_ring(settings_of(tmp_path, pii_kms_key=KMS_KEY, pii_hash_key=SecretStr(HASH_KEY)))
    assert isinstance(ring, KmsKeyRing)
    assert ring.hash_key() == bytes(range(32))


@pytest.mark.parametrize(
    ("changes", "finding"),
    [
        ({}, "cannot be sealed"),
        ({"pii_kms_key": KMS_KEY}, "needs BALLAST_PII_HASH_KEY"),
        ({"pii_kms_key": KMS_KEY, "pii_hash_key": SecretStr("Secret")}, "BALLAST_PII_HASH_KEY holds no key"),
        ({"pii_kms_key": KMS_KEY + "/cryptoKeyVersions/1", "pii_hash_key": SecretStr(HASH_KEY)}, "names no key"),
        ({"pii_kms_key": KMS_KEY, "pii_key_file": Path("keys.json")}, "both set"),
    ],
)
def test_key_ring__says_what_the_settings_lack(tmp_path: Path, changes: dict[str, object], finding: str) -> None:
    with pytest.raises(SettingsError, match=finding) as caught:
        key_ring(settings_of(tmp_path, **changes))
    assert "Secret" not in caught.value.message


def test_settings__an_empty_key_file_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BALLAST_PII_KEY_FILE", "")
    assert load_settings(tmp_path).pii_key_file is None
