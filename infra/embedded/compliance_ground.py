"""What compliance finds on a fresh local stack: policies, a fictional list, customers of the simulated book."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Engine, text

from compliance.pii import PersonalData
from compliance.policy.book import PolicyBook
from compliance.users import NewUser, create_users
from infra.embedded.people import MAIL_DOMAIN
from infra.runtime.clock import Clock
from infra.runtime.envelope import Envelope, key_ring
from infra.runtime.logs import get_logger
from infra.runtime.settings import Settings
from ingest.simulation.book import COUNTRIES

SAMPLE = Path(__file__).parent / "compliance_sample"
SAMPLE_FILES = ("sdn.csv", "alt.csv", "add.csv", "sdn_comments.csv")
# An address of the sample list, for the demo.
SANCTIONED_WALLET = "0xf1c7100000000000000000000000000000000003"
# Not the name of a real list: what was decided by this one says so for ever.
LIST_NAME = "fictional_sample"
CHUNK = 1_000
Choice = TypeVar("Choice")
_log = get_logger(__name__)

_FIRST_NAMES = (
    *("Alder", "Briony", "Corwin", "Delphine", "Evander", "Fenella", "Gideon", "Hesper", "Ivo", "Junia", "Kester"),
    *("Linnea", "Merrick", "Nerys", "Orrin", "Petra", "Quill", "Rowena", "Soren", "Tamsin", "Ulric", "Verity"),
)
_LAST_PARTS = (
    ("Ash", "Birch", "Cloud", "Dawn", "Ember", "Fern", "Glen", "Heath", "Iron", "Juniper", "Lark", "Moss", "Reed"),
    ("brook", "croft", "dell", "fell", "garth", "holt", "ing", "keld", "ley", "mere", "thwaite", "wick", "worth"),
)
_PROFILES_USD = (Decimal(100_000), Decimal(250_000), Decimal(500_000), Decimal(1_000_000), Decimal(2_500_000))
_EARLIEST_BIRTH, _BIRTH_DAYS = date(1950, 1, 1), 18_000

_HAS_LIST = text("select exists (select from compliance.list_versions where state = 'active')")
_KNOWN = text("select reference from compliance.users where reference = any(cast(:references_wanted as text[]))")


def record_policies(engine: Engine, clock: Clock) -> int:
    """Record every policy of the folder; how many are new. Raises `PolicyInvalidError`."""
    return PolicyBook.load().record(engine, clock)


def load_sample_list(engine: Engine, clock: Clock) -> bool:
    """Load the fictional list where no list is active; its name in decisions tells it from a real one."""
    from compliance.screening.lists import load_list

    with engine.connect() as connection:
        has_list = bool(connection.execute(_HAS_LIST).scalar_one())
    if has_list:
        return False
    load_list(engine, clock, LIST_NAME, [SAMPLE / name for name in SAMPLE_FILES])
    _log.warning("fictional_list_loaded", list_name=LIST_NAME, hint="ballast compliance load-list")
    return True


def register_customers(settings: Settings, engine: Engine, clock: Clock, accounts: Iterable[str]) -> int:
    """A made-up customer for each account of the simulated book, unverified; how many are new.

    Only for a book that is simulated. Repeating it changes nothing.
    """
    wanted = {reference(account): account for account in sorted(set(accounts))}
    with engine.connect() as connection:
        # Who is there stays as they are, also where a later release would invent another name.
        known: set[str] = set(connection.execute(_KNOWN, {"references_wanted": list(wanted)}).scalars())
    missing = [account for each, account in wanted.items() if each not in known]
    if not missing:
        return 0
    envelope, created = Envelope(key_ring(settings)), 0
    for start in range(0, len(missing), CHUNK):
        users = [customer(account) for account in missing[start : start + CHUNK]]
        with engine.begin() as connection:
            created += create_users(connection, envelope, clock, users)
    return created


def reference(account: str) -> str:
    """What the customer of a simulated account is known by."""
    return f"book:{account}"


def customer(account: str) -> NewUser:
    """The same invented person each time: names of words, an address that leads nowhere."""
    first = _pick(account, "first name", _FIRST_NAMES)
    last = "".join(_pick(account, f"last name {part}", words) for part, words in enumerate(_LAST_PARTS))
    country = _pick(account, "country", COUNTRIES)
    return NewUser(
        reference=reference(account),
        kind="person",
        personal=PersonalData(
            first_name=first,
            last_name=last,
            birth_date=_EARLIEST_BIRTH + timedelta(days=_hash(account, "birth") % _BIRTH_DAYS),
            nationality=country,
            email=f"{account}@{MAIL_DOMAIN}",
        ),
        account_id=account,
        country=country,
        declared_profile_usd=_pick(account, "profile", _PROFILES_USD),
    )


def _pick(account: str, use: str, choices: tuple[Choice, ...]) -> Choice:
    return choices[_hash(account, use) % len(choices)]


def _hash(account: str, use: str) -> int:
    return zlib.crc32(f"{use}:{account}".encode())
