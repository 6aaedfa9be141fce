"""Addresses for people: enough to know one again, and no more than their role may see."""

from __future__ import annotations

from pathlib import Path

import pytest

from compliance.api.masking import Masker, masked, masker_of
from compliance.api.services import build_services
from compliance.mirror_addresses import address_hasher
from infra.runtime.clock import SystemClock
from infra.runtime.envelope import Envelope
from infra.runtime.key_ring import LocalKeyRing
from infra.runtime.settings import Settings

EVM = "0x67d40ee1a85bf4a4bb7ffae16de985e8427b6b45"


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        (EVM, "0x67d4\u20266b45"),
        ("12VrYZgS1nmf9KHHped24xBb1aLLRpV2cT", "12VrYZ\u2026V2cT"),
        ("0x0123456789abcd", "0x0123\u2026abcd"),
        ("0x0123456789abc", "0x\u2026"),
        ("ab", "ab\u2026"),
    ],
)
def test_masked__keeps_the_ends_of_a_long_text_only(address: str, shown: str) -> None:
    assert masked(address) == shown


@pytest.mark.parametrize("is_whole", [False, True])
def test_masker__gives_the_hash_of_the_warehouse_and_the_address_only_where_it_is_asked_for(
    tmp_path: Path, is_whole: bool
) -> None:
    LocalKeyRing.create(tmp_path / "keys.json")
    ring = LocalKeyRing(tmp_path / "keys.json")
    services = build_services(Settings(pii_key_file=tmp_path / "keys.json"), None, SystemClock())  # type: ignore[arg-type]
    found = masker_of(services, is_whole=is_whole).show(EVM)
    assert found.keyed_hash == address_hasher(Envelope(ring))(EVM)
    assert found.address == (EVM if is_whole else None)


def test_masker__without_a_key_shows_the_ends_and_no_hash() -> None:
    services = build_services(Settings(), None, SystemClock())  # type: ignore[arg-type]
    found = masker_of(services, is_whole=False).show(EVM)
    assert found == Masker(None, is_whole=False).show(EVM)
    assert (found.masked, found.keyed_hash, found.address) == ("0x67d4\u20266b45", None, None)
