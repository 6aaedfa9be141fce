"""Loaders of lists: what they read, and what they refuse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compliance.errors import ListRefusedError
from compliance.screening.lists import ftm, ofac, un
from compliance.screening.lists.entries import EntryKind, ListedName, ListedWallet, ListEntry, Strength
from compliance.screening.lists.files import content_hash, parse_files, read_files
from infra.runtime.settings import PROJECT_ROOT

FEW = settings(max_examples=30, deadline=None)
OFAC = Path(PROJECT_ROOT).parent / "shared" / "data" / "ofac"
EMPTY = ",-0- " * 6
SDN = (
    f'10,"VOSS, Mira Elena","individual","CYBER2] [SDGT"{EMPTY},-0- ,"DOB 05 Apr 1979; alt. DOB circa 1980; nationality'
    " Russia; Gender Female; Digital Currency Address - XBT 12VrYZgS1nmf9KHHped24xBb1aLLRpV2cT; a.k.a. 'MIRIX'; Digi"
    f'"\n20,"GREY HARBOUR CO., LTD.",-0- ,"CUBA"{EMPTY},-0- ,-0- \n'
    f'30,"GREY STAR","vessel","CUBA"{EMPTY},-0- ,"Vessel Year of Build 1979"\n\x1a'
)
ALT = '10,1,"fka","PETROVA, Mira",-0- \n20,2,"aka","GREY HARBOUR",-0- \n'
ADD = '20,3,"1 Quay","Havana","Cuba",-0- \n'
COMMENTS = '10,"tal Currency Address - ETH 0xAbCdEf0123456789aBcDeF0123456789abcdef01."\n'


def files(**changes: str) -> dict[str, bytes]:
    given = {"sdn": SDN, "alt": ALT, "add": ADD, "sdn_comments": COMMENTS} | changes
    return {f"{name}.csv": text.encode("latin-1") for name, text in given.items()}


def by_id(entries: tuple[ListEntry, ...]) -> dict[str, ListEntry]:
    return {entry.entry_id: entry for entry in entries}


def test_ofac__reads_a_person_whole() -> None:
    entry = by_id(ofac.parse(files()).entries)["10"]
    assert entry.kind is EntryKind.PERSON
    assert entry.names == (
        ListedName("Mira Elena VOSS", Strength.PRIMARY),
        ListedName("Mira PETROVA", Strength.FORMER),
        ListedName("MIRIX", Strength.WEAK),
    )
    assert entry.birth_dates == ("1979-04-05", "1980")
    assert (entry.countries, entry.gender, entry.last_name) == (("RU",), "female", "VOSS")
    assert entry.programs == ("CYBER2", "SDGT")


def test_ofac__a_remark_goes_on_in_comments_where_it_was_cut() -> None:
    assert by_id(ofac.parse(files()).entries)["10"].wallets == (
        ListedWallet("12VrYZgS1nmf9KHHped24xBb1aLLRpV2cT", "XBT"),
        ListedWallet("0xabcdef0123456789abcdef0123456789abcdef01", "ETH"),
    )


def test_ofac__names_of_companies_and_vessels_keep_their_commas() -> None:
    entries = by_id(ofac.parse(files()).entries)
    assert (entries["20"].kind, entries["20"].names[0].name) == (EntryKind.ENTITY, "GREY HARBOUR CO., LTD.")
    assert entries["20"].countries == ("CU",)
    assert entries["30"].kind is EntryKind.VESSEL


def test_ofac__a_row_without_its_entry_still_names_a_wallet_and_a_name() -> None:
    parsed = ofac.parse(
        files(
            alt=ALT + "".join(f'20,{n},"aka","NAME {n}",-0- \n' for n in range(50)) + '99,9,"aka","STRAY NAME",-0- \n',
            sdn_comments='98,"ddress - XMR 5be5543ff73456ab9f2d207887e2af87322c651ea1a873c5b25b7ffae456c320"',
        )
    )
    entries = by_id(parsed.entries)
    assert (entries["99"].kind, entries["99"].names[0].name) == (EntryKind.UNKNOWN, "STRAY NAME")
    assert entries["98"].wallets[0].asset_label == "XMR"
    assert "98, 99" in parsed.notes[0]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"sdn": SDN[:-60]}, "sdn.csv, line"),
        ({"sdn": SDN.split("\n")[0]}, "belong to no entry"),
        ({"alt": '10,1,"fka"'}, "3 columns instead of 5"),
        ({"sdn": SDN.replace("\x1a", "") + SDN.split("\n")[0]}, "twice"),
        ({"add": "no number,3,a,b,c,d"}, "no number of an entry"),
    ],
)
def test_ofac__refuses_files_that_are_not_whole(changes: dict[str, str], reason: str) -> None:
    with pytest.raises(ListRefusedError, match=reason):
        ofac.parse(files(**changes))


def test_ofac__refuses_to_do_without_the_comments() -> None:
    without = {name: text for name, text in files().items() if name != "sdn_comments.csv"}
    with pytest.raises(ListRefusedError, match=r"sdn_comments\.csv is missing"):
        ofac.parse(without)


@pytest.mark.skipif(not OFAC.is_dir(), reason="OFAC's list of 2019 is not on this machine")
def test_ofac__reads_every_row_of_the_published_list() -> None:
    parsed = parse_files(read_files([OFAC / f"{name}.csv" for name in ("sdn", "alt", "add", "sdn_comments")]))
    # 7,379 rows of sdn.csv, and eight entries that the other files, of a later day, name.
    assert len(parsed.entries) == 7_387
    wallets = {wallet.address for entry in parsed.entries for wallet in entry.wallets}
    assert len(wallets) == 206
    assert {"149w62rY42aZBox8fGcmqNsXUzSStKeq8C", "0x4736dcf1b7a3d580672cce6e7c65cd5cc9cfba9d"} <= wallets


UN = """<?xml version="1.0"?><CONSOLIDATED_LIST dateGenerated="2026-01-30T00:00:00Z"><INDIVIDUALS><INDIVIDUAL>
<DATAID>7</DATAID><FIRST_NAME>MIRA</FIRST_NAME><SECOND_NAME>VOSS</SECOND_NAME><UN_LIST_TYPE>Fiction</UN_LIST_TYPE>
<NAME_ORIGINAL_SCRIPT>Юлия Жук</NAME_ORIGINAL_SCRIPT><NATIONALITY><VALUE>Russian Federation</VALUE></NATIONALITY>
<INDIVIDUAL_ALIAS><QUALITY>Low</QUALITY><ALIAS_NAME>Mirix</ALIAS_NAME></INDIVIDUAL_ALIAS>
<INDIVIDUAL_ALIAS><QUALITY>New one</QUALITY><ALIAS_NAME>Mira Petrova</ALIAS_NAME></INDIVIDUAL_ALIAS>
<INDIVIDUAL_DATE_OF_BIRTH><TYPE_OF_DATE>BETWEEN</TYPE_OF_DATE><FROM_YEAR>1970</FROM_YEAR><TO_YEAR>1972</TO_YEAR>
</INDIVIDUAL_DATE_OF_BIRTH></INDIVIDUAL></INDIVIDUALS><ENTITIES>
<ENTITY><DATAID>8</DATAID><FIRST_NAME>GREY LTD</FIRST_NAME>
</ENTITY></ENTITIES></CONSOLIDATED_LIST>"""


def test_un__reads_individuals_and_entities() -> None:
    parsed = un.parse(UN.encode())
    entries = by_id(parsed.entries)
    assert str(parsed.published_on) == "2026-01-30"
    assert entries["7"].names == (
        ListedName("MIRA VOSS", Strength.PRIMARY),
        ListedName("Юлия Жук", Strength.ALIAS),
        ListedName("Mirix", Strength.WEAK),
        ListedName("Mira Petrova", Strength.ALIAS),
    )
    assert (entries["7"].birth_dates, entries["7"].countries) == (("1970", "1971", "1972"), ("RU",))
    assert entries["8"].kind is EntryKind.ENTITY


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (UN[:-40], "cut or damaged"),
        (UN.replace("<CONSOLIDATED_LIST", '<!DOCTYPE a [<!ENTITY b "c">]><CONSOLIDATED_LIST', 1), "document type"),
        ("<OTHER/>", "no consolidated list"),
        (UN.replace("<DATAID>8</DATAID>", "<DATAID>7</DATAID>"), "twice"),
    ],
)
def test_un__refuses_what_is_damaged_or_declares_entities(text: str, reason: str) -> None:
    with pytest.raises(ListRefusedError, match=reason):
        un.parse(text.encode())


def line(entity_id: str, schema: str, **properties: list[Any]) -> str:
    return json.dumps({"id": entity_id, "schema": schema, "properties": properties})


def test_ftm__keeps_targets_and_gives_wallets_to_their_holders() -> None:
    text = "\n".join(
        [
            line("p1", "Person", name=["Mira Voss"], weakAlias=["Mirix"], topics=["role.pep"], nationality=["ru"]),
            line("p2", "Person", name=["A Relative"]),
            line("s1", "Sanction", program=["x"]),
            line("w1", "CryptoWallet", publicKey=["0xABCDEF0123456789abcdef0123456789abcdef01"], holder=["p1"]),
            line("w2", "CryptoWallet", publicKey=["TJRyWwFs9wTFGZg3JbrVriFbNfCug5tDeC"], topics=["crime.theft"]),
        ]
    )
    parsed = ftm.parse(text.encode())
    entries = by_id(parsed.entries)
    assert set(entries) == {"p1", "w2"}
    assert entries["p1"].wallets == (ListedWallet("0xabcdef0123456789abcdef0123456789abcdef01", "?"),)
    assert (entries["p1"].topics, entries["p1"].countries) == (("role.pep",), ("RU",))
    assert (entries["w2"].kind, entries["w2"].topics) == (EntryKind.WALLET, ("crime.theft",))
    assert parsed.notes == ("left out as no targets: 1 Person, 1 Sanction",)


@pytest.mark.parametrize("cut", ['{"id": "p', '{"schema": "Person"}', "[]", "nonsense"])
def test_ftm__refuses_the_file_at_a_line_that_is_cut(cut: str) -> None:
    whole = line("p1", "Person", name=["Mira Voss"], topics=["sanction"])
    with pytest.raises(ListRefusedError, match="Line 2"):
        ftm.parse(f"{whole}\n{cut}".encode())


def test_ftm__refuses_a_target_that_no_search_could_find() -> None:
    with pytest.raises(ListRefusedError, match="without a name"):
        ftm.parse(line("p1", "Person", topics=["sanction"]).encode())


@pytest.mark.parametrize(
    ("names", "reason"),
    [(["a.txt"], "no list that can be read"), (["a.xml", "b.xml"], "no list"), (["a.xml", "b.json"], "no list")],
)
def test_files__of_no_known_kind_are_refused(names: list[str], reason: str) -> None:
    with pytest.raises(ListRefusedError, match=reason):
        parse_files(dict.fromkeys(names, b"x"))


@pytest.mark.parametrize("content", [b"", b" \n"])
def test_files__that_are_empty_are_refused(content: bytes) -> None:
    with pytest.raises(ListRefusedError, match="empty"):
        parse_files({"list.xml": content})


def test_files__that_are_missing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ListRefusedError, match="cannot be read"):
        read_files([tmp_path / "sdn.csv"])


@FEW
@given(st.dictionaries(st.text(min_size=1, max_size=5), st.binary(max_size=20), min_size=1, max_size=4))
def test_content_hash__follows_from_names_and_contents_alone(contents: dict[str, bytes]) -> None:
    turned = dict(reversed(contents.items()))
    assert content_hash(contents) == content_hash(turned)
    name = next(iter(contents))
    assert content_hash(contents) != content_hash(contents | {name: contents[name] + b"x"})


@FEW
@given(
    st.permutations(
        [ListedName("A B", Strength.PRIMARY), ListedName("C", Strength.WEAK), ListedName("D", Strength.ALIAS)]
    )
)
def test_entry_hash__ignores_order_and_sees_every_change(names: list[ListedName]) -> None:
    def entry(**changes: Any) -> ListEntry:
        given = {"entry_id": "1", "kind": EntryKind.PERSON, "topics": ("sanction",), "names": tuple(names)} | changes
        return ListEntry(**given)

    ordered = entry(names=tuple(sorted(names)))
    assert entry().entry_hash == ordered.entry_hash
    for change in ({"names": tuple(names[1:])}, {"topics": ()}, {"birth_dates": ("1970",)}, {"kind": EntryKind.VESSEL}):
        assert entry(**change).entry_hash != ordered.entry_hash
