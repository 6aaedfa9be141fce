"""Keeps addresses of wallets out of the warehouse: keyed hashes stand where they stood."""

from __future__ import annotations

import re
from collections.abc import Callable

from compliance.screening.addresses import normalise_address
from infra.runtime.envelope import Envelope

HashAddress = Callable[[str], str]

# What `Envelope.blind_hash` calls the hashes of addresses of wallets.
ADDRESS_KIND = "wallet"

# Texts and lists of texts by the name that they have in JSON as PostgreSQL writes it.
_NAMED = re.compile(
    r'("\w*(?:address(?:es)?|wallets?|counterpart(?:y|ies)|senders?|recipients?)": )("[^"]*"|\[[^\[\]{}]*\])'
)
_OPAQUE = re.compile(r'"([A-Za-z0-9]{20,})"')
# Ethereum, Bitcoin's bech32, and base58 of 26 to 44 characters, which mixes cases and digits as no word or hash does.
_ADDRESS = re.compile(
    r"\b0[xX][0-9a-fA-F]{40}\b|\b(?:bc|tb)1[02-9ac-hj-np-z]{11,71}\b"
    r"|\b(?=[a-zA-Z]*\d)(?=[a-z\d]*[A-Z])(?=[A-Z\d]*[a-z])[1-9A-HJ-NP-Za-km-z]{26,44}\b"
)


def address_hasher(envelope: Envelope) -> HashAddress:
    """Keyed hashes of wallet addresses, equal for equal addresses; without the key nobody can guess one."""
    return lambda address: envelope.blind_hash(ADDRESS_KIND, normalise_address(address))


def without_addresses(words: str, hash_address: HashAddress) -> str:
    """Text, or JSON as PostgreSQL writes it, with `address:<keyed hash>` for each wallet address.

    Addresses are what looks like one, and every long text of letters and digits under a name that ends in address,
    wallet, counterparty, sender or recipient; figures and words under such a name stay.
    """

    def hidden(found: re.Match[str]) -> str:
        return f"address:{hash_address(found.group())}"

    def named(found: re.Match[str]) -> str:
        values = _OPAQUE.sub(lambda each: f'"address:{hash_address(each.group(1))}"', found.group(2))
        return found.group(1) + values

    # First by name: what is replaced then looks like no address any more.
    return _ADDRESS.sub(hidden, _NAMED.sub(named, words))
