"""Matching of names: candidates lose no hit, verdicts by names alone, ranks and plain reasons."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compliance.screening.lists.entries import EntryKind, ListedName, ListEntry, Strength
from compliance.screening.lists.files import parse_files, read_files
from compliance.screening.matching import Matcher, UnsearchableNameError
from compliance.screening.model import Hit
from compliance.screening.proxies import Subject, query_proxy
from compliance.screening.reasons import Agreement, birth_agreement, country_agreement
from infra.runtime.settings import PROJECT_ROOT

# The tables of the matcher take seconds to read: one process does.
pytestmark = pytest.mark.xdist_group("screener")

OFAC = Path(PROJECT_ROOT).parent / "shared" / "data" / "ofac"
needs_ofac = pytest.mark.skipif(not OFAC.is_dir(), reason="OFAC's list of 2019 is not on this machine")
THRESHOLD = 0.7
LETTERS = "abcdehiklmnorstuvyz"


def entry(entry_id: str, primary: str, *aliases: str, kind: EntryKind = EntryKind.PERSON, **more: object) -> ListEntry:
    names = (ListedName(primary, Strength.PRIMARY), *(ListedName(each, Strength.ALIAS) for each in aliases))
    return ListEntry(entry_id, kind, ("sanction",), names, **more)  # type: ignore[arg-type]


def matcher_of(entries: Sequence[ListEntry]) -> Matcher:
    return Matcher(("list", "v1", each, each.entry_hash) for each in entries)


VOSS = entry("1", "Miroslav Voronin", "Slava Voronin", birth_dates=("1979-04-05",), countries=("RU",))
MATCHER_ENTRIES = [
    VOSS,
    entry("2", "Abd al-Rahman Karimov"),
    entry("3", "GREY HARBOUR TRADING CO., LTD.", kind=EntryKind.ENTITY),
    entry("4", "Miroslav Voronin", birth_dates=("1950",)),
    ListEntry(
        "5",
        EntryKind.ENTITY,
        ("sanction",),
        (ListedName("Zentral AG", Strength.PRIMARY), ListedName("ZAG", Strength.WEAK)),
    ),
    entry("6", "ZAGREUS STAR", kind=EntryKind.VESSEL),
    entry("7", "Zhang Weiming", "张伟明"),
]


@pytest.fixture(scope="module")
def small() -> Matcher:
    return matcher_of(MATCHER_ENTRIES)


def ids(hits: Sequence[Hit]) -> list[str]:
    return [hit.entry_id for hit in hits]


def search(matcher: Matcher, name: str, kind: str = "person", **more: object) -> tuple[Hit, ...]:
    return matcher.match(Subject((name,), kind, **more), THRESHOLD, 10).hits  # type: ignore[arg-type]


def test_match__an_innocent_name_first_does_not_hide_a_listed_one(small: Matcher) -> None:
    assert search(small, "Gundula Obermeier") == ()
    assert ids(search(small, "Abd al-Rahman Karimov")) == ["2"]
    assert search(small, "Gundula Obermeier") == ()


def test_query_proxy__never_has_an_id_twice() -> None:
    subject = Subject(("A B",), "person")
    assert len({query_proxy(subject).id for _ in range(50)}) == 50


def test_entry__that_changed_is_compared_as_it_is_now(small: Matcher) -> None:
    assert search(small, "Quentin Dallimore") == ()
    assert ids(search(matcher_of([entry("2", "Quentin Dallimore")]), "Quentin Dallimore")) == ["2"]
    assert search(matcher_of([entry("2", "Abd al-Rahman Karimov")]), "Quentin Dallimore") == ()


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        ("Мирослав Воронин", "person", "1"),
        ("VORONIN Miroslav", "person", "1"),
        ("Abdalrahman Karimov", "person", "2"),
        ("Abd al Rahman Karimow", "person", "2"),
        ("Grey Harbour Trading Limited", "company", "3"),
        ("Abd al-Rahman Karimov", "company", "2"),
        ("ZAG", "company", "5"),
        ("张伟明", "person", "7"),
    ],
)
def test_match__finds_other_scripts_spellings_orders_and_kinds(
    small: Matcher, name: str, kind: str, expected: str
) -> None:
    assert expected in ids(search(small, name, kind))


def test_match__a_weak_alias_counts_only_as_it_stands(small: Matcher) -> None:
    hit = search(small, "Zag", "company")[0]
    assert (hit.score, "weak" in " ".join(hit.reasons)) == (0.8, True)
    assert search(small, "ZAGG", "company") == ()


@pytest.mark.parametrize("birth", [date(1979, 4, 5), date(1979, 5, 4), date(2001, 1, 1), None])
def test_match__a_date_of_birth_never_hides_a_hit(small: Matcher, birth: date | None) -> None:
    hits = search(small, "Miroslav Voronin", birth_date=birth, countries=("US",))
    assert {"1", "4"} == set(ids(hits))
    assert all(hit.score == 1.0 for hit in hits)


def test_match__says_that_a_wrong_date_was_not_let_decide(small: Matcher) -> None:
    hit = next(hit for hit in search(small, "Miroslav Voronin", birth_date=date(2001, 1, 1)) if hit.entry_id == "1")
    said = " ".join(hit.reasons)
    assert "Against it: the list has another date of birth (1979-04-05)" in said
    assert "by the names alone" in said
    assert "2001" not in said


def test_match__orders_equal_scores_by_what_else_agrees(small: Matcher) -> None:
    hits = search(small, "Miroslav Voronin", birth_date=date(1979, 4, 5))
    assert [(hit.entry_id, hit.rank) for hit in hits] == [("1", 1), ("4", 2)]
    hits = search(small, "Miroslav Voronin", birth_date=date(1950, 6, 1))
    assert [(hit.entry_id, hit.rank) for hit in hits] == [("4", 1), ("1", 2)]


def test_match__equals_share_a_rank_and_say_so() -> None:
    twins = matcher_of([entry("1", "Otto Quist"), entry("2", "Otto Quist"), entry("3", "Otto Quisst")])
    hits = search(twins, "Otto Quist")
    assert [(hit.entry_id, hit.rank) for hit in hits] == [("1", 1), ("2", 1), ("3", 3)]
    assert "Rank: shared with another hit" in hits[0].reasons[-1]


def test_match__tells_how_many_hits_there_are_beyond_the_limit() -> None:
    many = matcher_of([entry(str(number), "Otto Quist") for number in range(5)])
    found = many.match(Subject(("Otto Quist",), "person"), THRESHOLD, 2)
    assert (len(found.hits), found.found) == (2, 5)


@pytest.mark.parametrize("name", ["", "   ", "?!", "---", "\u200b"])
def test_match__a_name_without_words_is_not_clear(small: Matcher, name: str) -> None:
    with pytest.raises(UnsearchableNameError):
        search(small, name)


def test_reasons__quote_the_list_and_never_the_name_given(small: Matcher) -> None:
    hit = search(small, "Miroslav Woronnin")[0]
    said = " ".join(hit.reasons)
    assert "Miroslav Voronin" in said
    assert "woronnin" not in said.lower()
    assert "similar" in said


@pytest.mark.parametrize(
    ("listed", "agreement"),
    [
        ((), Agreement.UNKNOWN),
        (("1979-04-05",), Agreement.AGREES),
        (("1979-05-04",), Agreement.FLIPPED),
        (("1979",), Agreement.COMPATIBLE),
        (("1979-05",), Agreement.DIFFERS),
        (("1960", "1979-04"), Agreement.COMPATIBLE),
    ],
)
def test_birth_agreement__knows_beginnings_of_dates(listed: tuple[str, ...], agreement: Agreement) -> None:
    assert birth_agreement(date(1979, 4, 5), listed) is agreement


def test_agreements__of_what_is_not_known_are_unknown() -> None:
    assert birth_agreement(None, ("1979",)) is Agreement.UNKNOWN
    assert country_agreement((), ("RU",)) is Agreement.UNKNOWN
    assert country_agreement(("US",), ("RU",)) is Agreement.DIFFERS


@settings(max_examples=60, deadline=None)
@given(
    first=st.sampled_from(["Miroslav", "Abd al-Rahman", "Grey Harbour", "Zhang"]),
    last=st.sampled_from(["Voronin", "Karimov", "Trading", "Weiming", "Smith"]),
    at=st.integers(0, 30),
    letter=st.sampled_from(LETTERS),
    edit=st.sampled_from(["insert", "replace", "delete", "none"]),
    kind=st.sampled_from(["person", "company"]),
)
def test_candidates__never_lose_a_hit_that_scoring_everything_finds(
    first: str, last: str, at: int, letter: str, edit: str, kind: str
) -> None:
    matcher = _CACHED()
    name = edited(f"{first} {last}", at, letter, edit)
    subject = Subject((name,), kind)
    assert ids(matcher.match(subject, THRESHOLD, 10).hits) == ids(matcher.match_all(subject, THRESHOLD, 10).hits)


def edited(name: str, at: int, letter: str, edit: str) -> str:
    at %= len(name)
    if name[at] == " " or edit == "none":
        return name
    return name[:at] + (letter if edit != "delete" else "") + name[at + (edit != "insert") :]


def _cached(entries: Sequence[ListEntry]) -> Callable[[], Matcher]:
    made: list[Matcher] = []

    def get() -> Matcher:
        if not made:
            made.append(matcher_of(entries))
        return made[0]

    return get


_CACHED = _cached(MATCHER_ENTRIES)


@pytest.fixture(scope="module")
def published() -> list[ListEntry]:
    """A part of OFAC's list: 320 entries with aliases."""
    parsed = parse_files(read_files([OFAC / f"{name}.csv" for name in ("sdn", "alt", "add", "sdn_comments")]))
    with_aliases = [each for each in parsed.entries if len(each.names) > 1 and each.kind is not EntryKind.UNKNOWN]
    return random.Random(2019).sample(with_aliases, 320)


@pytest.fixture(scope="module")
def published_matcher(published: list[ListEntry]) -> Matcher:
    return matcher_of(published)


@needs_ofac
def test_match__every_published_alias_finds_its_own_entry_first_or_says_who_bears_it_more(
    published: list[ListEntry], published_matcher: Matcher
) -> None:
    aliases = [
        (each, name) for each in published for name in each.names if name.strength in (Strength.ALIAS, Strength.FORMER)
    ]
    for own, name in random.Random(7).sample(aliases, 120):
        hits = published_matcher.match(Subject((name.name,), own.kind.value), THRESHOLD, 50).hits
        found = next((hit for hit in hits if hit.entry_id == own.entry_id), None)
        assert found is not None, f"{name.name} does not find {own.entry_id}"
        if found.rank > 1:
            # Another entry bears the same name, and as a stronger one.
            assert hits[0].score == found.score == 1.0, f"{name.name} finds {own.entry_id} at rank {found.rank}"
            assert "Rank: below a hit of the same score, for which the strength of the listed name speaks more." in (
                found.reasons
            )
        if sum(hit.rank == 1 for hit in hits) > 1:
            assert any(reason.startswith("Rank: shared") for reason in found.reasons)


@needs_ofac
def test_candidates__of_misspelled_published_names_are_all_that_scoring_everything_finds(
    published: list[ListEntry], published_matcher: Matcher
) -> None:
    rng = random.Random(11)
    hits = 0
    for _ in range(20):
        own = rng.choice(published)
        name = rng.choice(own.names).name
        for _ in range(rng.choice((1, 2))):
            name = edited(name, rng.randrange(60), rng.choice(LETTERS), rng.choice(("insert", "replace", "delete")))
        subject = Subject((name,), own.kind.value)
        found = published_matcher.match(subject, THRESHOLD, 50)
        assert ids(found.hits) == ids(published_matcher.match_all(subject, THRESHOLD, 50).hits), name
        hits += found.found
    assert hits > 8
