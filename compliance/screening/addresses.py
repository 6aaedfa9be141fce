"""The normal form of a wallet's address, in which addresses are compared exactly, whatever label a list gives them."""

from __future__ import annotations

import hashlib
import re

from compliance.errors import ComplianceInputError

_HEX = re.compile(r"0x[0-9a-f]+", re.IGNORECASE)
_BARE_EVM = re.compile(r"[0-9a-f]{40}", re.IGNORECASE)
_TRON_HEX = re.compile(r"(?:0x)?41[0-9a-f]{40}", re.IGNORECASE)
# Bech32 is all lower or all upper case (BIP 173); the data part knows no 1, b, i, o.
_BECH32 = re.compile(r"[a-z]{1,20}1[02-9ac-hj-np-z]{6,}")
_CASH = re.compile(r"(?:bitcoincash:)?[qp][02-9ac-hj-np-z]{41}", re.IGNORECASE)
_ANY = re.compile(r"[A-Za-z0-9:_.+/=-]{20,150}")
_EVM_CHAINS = frozenset(
    {"ethereum", "eth", "polygon", "matic", "arbitrum", "optimism", "base", "bsc", "bnb", "avalanche", "gnosis", "evm"}
)
_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def normalise_address(address: str, chain: str | None = None) -> str:
    """The form to compare: hexadecimal and bech32 in lower case, Tron's hexadecimal as base58, base58 as it is.

    `chain` tells apart what the form alone does not: an address of Ethereum without `0x`. Empty for an empty text.
    """
    text = address.strip()
    on = (chain or "").lower()
    if on in ("tron", "trx") and _TRON_HEX.fullmatch(text):
        return _tron(bytes.fromhex(text[-42:]))
    if _HEX.fullmatch(text):
        return text.lower()
    if on in _EVM_CHAINS and _BARE_EVM.fullmatch(text):
        return f"0x{text.lower()}"
    if _BECH32.fullmatch(text.lower()) and text in (text.lower(), text.upper()):
        return text.lower()
    if _CASH.fullmatch(text):
        return text.lower().removeprefix("bitcoincash:")
    return text


def checked_address(address: str, chain: str | None = None) -> str:
    """The normal form; raises `ComplianceInputError`, without the text, for what no chain has as an address."""
    normal = normalise_address(address, chain)
    if not _ANY.fullmatch(normal):
        raise ComplianceInputError("The text is no address of a wallet: an address has 20 to 150 letters and digits.")
    return normal


def _tron(payload: bytes) -> str:
    """Base58 with four bytes of a doubled SHA-256, as Bitcoin and Tron write addresses."""
    full = payload + hashlib.sha256(hashlib.sha256(payload).digest()).digest()[:4]
    number, letters = int.from_bytes(full), ""
    while number:
        number, rest = divmod(number, 58)
        letters = _BASE58[rest] + letters
    return "1" * (len(full) - len(full.lstrip(b"\x00"))) + letters
