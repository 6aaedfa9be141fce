"""Customers in PostgreSQL: once a reference, sealed at rest, found by account, wrapped anew by a rotation."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from compliance.errors import ComplianceInputError
from compliance.pii import PersonalData, name_key
from compliance.users import (
    KYC_STATES,
    NewUser,
    create_user,
    create_users,
    key_counts,
    read_user,
    read_users,
    rewrap_users,
    set_kyc_state,
    user_of_account,
)
from infra.runtime.clock import FixedClock
from infra.runtime.envelope import Envelope, LocalKeyRing, Sealed
from infra.runtime.sealing import UnsealError

ANN = PersonalData(
    names=("Ann Bergström",), birth_date=date(1980, 2, 29), email="ann@post.example", document_number="AB 123-456"
)


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    LocalKeyRing.create(tmp_path / "keys.json")
    return tmp_path / "keys.json"


@pytest.fixture
def envelope(key_file: Path) -> Envelope:
    return Envelope(LocalKeyRing(key_file))


def new(number: int) -> NewUser:
    personal = PersonalData(names=(f"Person {number}",), email=f"p{number}@post.example")
    return NewUser(f"ref_{number}", "person", personal, f"acc_{number}", "SE", Decimal("1000.50"))


def count(engine: Engine) -> int:
    with engine.connect() as connection:
        return int(connection.execute(text("select count(*) from compliance.users")).scalar_one())


def test_create_user__reads_back_and_is_there_once(engine: Engine, clock: FixedClock, envelope: Envelope) -> None:
    with engine.begin() as connection:
        user_id = create_user(
            connection, envelope, clock, "ref_1", "person", ANN, "acc_1", "SE", Decimal("0.000000001")
        )
        again = create_user(connection, envelope, clock, "ref_1", "person", ANN, "acc_1", "SE")
        user = read_user(connection, envelope, user_id)
        found = (user_of_account(connection, "acc_1"), user_of_account(connection, "acc_2"))
    assert again == user_id
    assert found == (user_id, None)
    assert user.personal == ANN
    assert (user.kind, user.country, user.account_id, user.kyc_state) == ("person", "SE", "acc_1", "none")
    assert user.declared_profile_usd == Decimal("0.000000001")
    assert (user.kyc_expires_at, user.created_at, user.updated_at) == (None, clock.now(), clock.now())
    assert "Ann" not in repr(user)


def test_create_user__nothing_of_the_person_stands_in_the_database(
    engine: Engine, clock: FixedClock, envelope: Envelope
) -> None:
    with engine.begin() as connection:
        create_user(connection, envelope, clock, "ref_1", "person", ANN)
        row = connection.execute(text("select * from compliance.users")).mappings().one()
    stored = " ".join(value.hex() if isinstance(value, bytes) else str(value) for value in row.values())
    for secret in ("Ann", "Bergstr", "1980", "post.example", "123-456", "AB123456"):
        assert secret not in stored
        assert secret.encode().hex() not in stored
    assert row["name_hash"] == envelope.blind_hash("name", name_key("bergstrom ANN"))


def test_create_user__at_once_is_there_once(engine: Engine, clock: FixedClock, envelope: Envelope) -> None:
    def work(_: int) -> str:
        with engine.begin() as connection:
            return create_user(connection, envelope, clock, "ref_1", "person", ANN)

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(work, range(8)))) == 1
    assert count(engine) == 1


@pytest.mark.parametrize(
    ("other", "column"),
    [
        (replace(new(1), personal=PersonalData(names=("Somebody Else",), email="p1@post.example")), "name_hash"),
        (replace(new(1), personal=PersonalData(names=("Person 1",))), "email_hash"),
        (replace(new(1), account_id="acc_2"), "account_id"),
        (replace(new(1), kind="company"), "kind"),
    ],
)
def test_create_users__refuse_another_customer_under_the_same_reference(
    engine: Engine, clock: FixedClock, envelope: Envelope, other: NewUser, column: str
) -> None:
    with engine.begin() as connection:
        create_users(connection, envelope, clock, [new(1)])
    with engine.connect() as connection, pytest.raises(ComplianceInputError, match=f"another {column}") as caught:
        create_users(connection, envelope, clock, [new(2), other])
    assert "Else" not in caught.value.message
    assert count(engine) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        replace(new(1), kind="dog"),
        replace(new(1), country="Sweden"),
        replace(new(1), country="se"),
        replace(new(1), reference=""),
        replace(new(1), declared_profile_usd=Decimal("-1")),
        replace(new(1), declared_profile_usd=Decimal("NaN")),
        replace(new(1), declared_profile_usd=Decimal(10) ** 29),
    ],
)
def test_create_users__refuse_what_is_unusable(
    engine: Engine, clock: FixedClock, envelope: Envelope, wrong: NewUser
) -> None:
    with engine.connect() as connection, pytest.raises(ComplianceInputError):
        create_users(connection, envelope, clock, [wrong])


def test_create_users__in_bulk_make_those_that_are_missing(
    engine: Engine, clock: FixedClock, envelope: Envelope
) -> None:
    with engine.begin() as connection:
        assert create_users(connection, envelope, clock, []) == 0
        assert create_users(connection, envelope, clock, [new(number) for number in range(20)]) == 20
        assert create_users(connection, envelope, clock, [new(number) for number in range(10, 30)]) == 10
        read = []
        while page := read_users(connection, envelope, read[-1].user_id if read else "", limit=7):
            read += page
    assert sorted(user.personal.name for user in read) == sorted(f"Person {number}" for number in range(30))


def test_read_user__says_that_there_is_none(engine: Engine, envelope: Envelope) -> None:
    with engine.connect() as connection, pytest.raises(ComplianceInputError, match="no customer 'usr_x'"):
        read_user(connection, envelope, "usr_x")


def test_read_user__does_not_open_a_document_that_was_moved(
    engine: Engine, clock: FixedClock, envelope: Envelope
) -> None:
    with engine.begin() as connection:
        create_users(connection, envelope, clock, [new(1), new(2)])
        columns = "pii_sealed = other.pii_sealed, pii_wrapped_key = other.pii_wrapped_key"
        move = f"update compliance.users set {columns} from compliance.users as other where users.user_id = :user_id"
        connection.execute(text(f"{move} and other.user_id != users.user_id"), {"user_id": new(1).user_id})
    with engine.connect() as connection, pytest.raises(UnsealError):
        read_user(connection, envelope, new(1).user_id)


def test_set_kyc_state__is_kept_with_its_end(engine: Engine, clock: FixedClock, envelope: Envelope) -> None:
    ends, later = clock.now() + timedelta(days=365), clock.now() + timedelta(minutes=1)
    with engine.begin() as connection:
        user_id = create_user(connection, envelope, clock, "ref_1", "person", ANN)
        for state in sorted(KYC_STATES):
            set_kyc_state(connection, user_id, state, ends, later)
            user = read_user(connection, envelope, user_id)
            assert (user.kyc_state, user.kyc_expires_at, user.updated_at) == (state, ends, later)


@pytest.mark.parametrize(("user", "state"), [("ref_1", "fine"), ("ref_1", ""), ("ref_2", "approved")])
def test_set_kyc_state__refuses_unknown_states_and_customers(
    engine: Engine, clock: FixedClock, envelope: Envelope, user: str, state: str
) -> None:
    with engine.connect() as connection:
        create_user(connection, envelope, clock, "ref_1", "person", ANN)
        with pytest.raises(ComplianceInputError):
            set_kyc_state(connection, NewUser(user, "person", ANN).user_id, state, None, clock.now())


class Dying:
    """A ring whose process is killed after so many keys."""

    def __init__(self, ring: LocalKeyRing, keys: int) -> None:
        self._ring, self._left = ring, keys

    @property
    def active_key_id(self) -> str:
        return self._ring.active_key_id

    def wrap(self, key: bytes) -> tuple[str, bytes]:
        self._left -= 1
        if self._left < 0:
            raise KeyboardInterrupt
        return self._ring.wrap(key)

    def unwrap(self, key_id: str, wrapped: bytes) -> bytes:
        return self._ring.unwrap(key_id, wrapped)

    def hash_key(self) -> bytes:
        return self._ring.hash_key()


def test_rewrap_users__goes_on_where_it_was_killed_and_reads_no_text(
    engine: Engine, clock: FixedClock, envelope: Envelope, key_file: Path
) -> None:
    with engine.begin() as connection:
        create_users(connection, envelope, clock, [new(number) for number in range(25)])
        select = text("select user_id, pii_sealed, name_hash from compliance.users order by user_id")
        before = connection.execute(select).all()
    old, ring = envelope.ring.active_key_id, LocalKeyRing.rotate(key_file)
    with pytest.raises(KeyboardInterrupt):
        rewrap_users(engine, Envelope(Dying(ring, 17)), chunk=5)
    with engine.connect() as connection:
        assert key_counts(connection) == {old: 10, ring.active_key_id: 15}
    assert rewrap_users(engine, Envelope(ring), chunk=5) == 10
    assert rewrap_users(engine, Envelope(ring), chunk=5) == 0
    with engine.connect() as connection:
        assert key_counts(connection) == {ring.active_key_id: 25}
        assert connection.execute(select).all() == before
        assert len(read_users(connection, Envelope(LocalKeyRing(key_file)))) == 25


def test_rewrap_users__leaves_a_row_that_changed_meanwhile(
    engine: Engine, clock: FixedClock, envelope: Envelope, key_file: Path
) -> None:
    with engine.begin() as connection:
        create_users(connection, envelope, clock, [new(1), new(2)])
    ring = LocalKeyRing.rotate(key_file)

    class Racing(Envelope):
        def rewrap(self, sealed: Sealed, source: object = None) -> Sealed:
            with engine.begin() as connection:
                connection.execute(
                    text("update compliance.users set pii_wrapped_key = 'other' where user_id = :user_id"),
                    {"user_id": new(1).user_id},
                )
            return super().rewrap(sealed)

    assert rewrap_users(engine, Racing(ring)) == 1
    with engine.connect() as connection:
        kept = text("select pii_wrapped_key from compliance.users where user_id = :user_id")
        assert connection.execute(kept, {"user_id": new(1).user_id}).scalar_one() == b"other"
