"""Addresses in the form in which they are compared."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compliance.errors import ComplianceInputError
from compliance.screening.addresses import checked_address, normalise_address

FEW = settings(max_examples=30, deadline=None)
BECH32 = "bc1qsmv6lkrw65l30yazdqpdjjtwzpvk9f8gfh0cy7"


@pytest.mark.parametrize(
    ("address", "chain", "normal"),
    [
        (" 0x67d40EE1A85bf4a4Bb7Ffae16De985e8427B6b45\n", "ethereum", "0x67d40ee1a85bf4a4bb7ffae16de985e8427b6b45"),
        ("0X67D40EE1A85BF4A4BB7FFAE16DE985E8427B6B45", None, "0x67d40ee1a85bf4a4bb7ffae16de985e8427b6b45"),
        ("67d40EE1A85bf4a4Bb7Ffae16De985e8427B6b45", "polygon", "0x67d40ee1a85bf4a4bb7ffae16de985e8427b6b45"),
        (BECH32.upper(), "bitcoin", BECH32),
        (BECH32, "bitcoin", BECH32),
        ("12VrYZgS1nmf9KHHped24xBb1aLLRpV2cT", "bitcoin", "12VrYZgS1nmf9KHHped24xBb1aLLRpV2cT"),
        ("TJRyWwFs9wTFGZg3JbrVriFbNfCug5tDeC", "tron", "TJRyWwFs9wTFGZg3JbrVriFbNfCug5tDeC"),
        ("41A614F803B6FD780986A42C78EC9C7F77E6DED13C", "tron", "TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t"),
        ("bitcoincash:qpm2qsznhks23z7629mms6s4cwef74vcwvy22gdx6a", None, "qpm2qsznhks23z7629mms6s4cwef74vcwvy22gdx6a"),
        (
            "4Nd1mBQtrMJVYVfKf2PJy9NZUZdTAsp7D4xWLs4gDB4T",
            "solana",
            "4Nd1mBQtrMJVYVfKf2PJy9NZUZdTAsp7D4xWLs4gDB4T",
        ),
    ],
)
def test_normalise_address__by_its_chain(address: str, chain: str | None, normal: str) -> None:
    assert normalise_address(address, chain) == normal


def test_normalise_address__base58_that_differs_in_case_is_another_wallet() -> None:
    assert normalise_address("12VrYZgS1nmf9KHHped24xBb1aLLRpV2cT") != normalise_address(
        "12vrYZgS1nmf9KHHped24xBb1aLLRpV2cT"
    )


@FEW
@given(st.text(max_size=60), st.sampled_from([None, "ethereum", "tron", "bitcoin"]))
def test_normalise_address__of_a_normal_form_is_itself(text: str, chain: str | None) -> None:
    normal = normalise_address(text, chain)
    assert normalise_address(normal, chain) == normal


@pytest.mark.parametrize("text", ["", "   ", "vitalik.eth", "0x12", "two words that are no address at all"])
def test_checked_address__refuses_what_is_none_without_repeating_it(text: str) -> None:
    with pytest.raises(ComplianceInputError) as caught:
        checked_address(text, "ethereum")
    assert not text.strip() or text not in caught.value.message
