"""The filter language, table by table."""

from __future__ import annotations

from collections.abc import Mapping

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.embedded.pubsub.filters import compile_filter
from infra.embedded.pubsub.model import PubsubError

NONE: Mapping[str, str] = {}


@pytest.mark.parametrize(
    ("text", "attributes", "expected"),
    [
        ("attributes:name", {"name": ""}, True),
        ("attributes:name", {"names": "x"}, False),
        ("attributes:name", NONE, False),
        ("NOT attributes:name", NONE, True),
        ("-attributes:name", {"name": "x"}, False),
        ("- attributes:name", NONE, True),
        ('attributes.name = "com"', {"name": "com"}, True),
        ('attributes.name="com"', {"name": "com"}, True),
        ('attributes.name = "com"', {"name": "COM"}, False),
        ('attributes.name = "com"', NONE, False),
        ('attributes.name = ""', {"name": ""}, True),
        ('attributes.name = ""', NONE, False),
        ('attributes.name != "com"', {"name": "org"}, True),
        ('attributes.name != "com"', {"name": "com"}, False),
        ('attributes.name != "com"', NONE, True),
        ('hasPrefix(attributes.name, "co")', {"name": "com"}, True),
        ('hasPrefix(attributes.name, "co")', {"name": "co"}, True),
        ('hasPrefix(attributes.name, "co")', {"name": "c"}, False),
        ('hasPrefix(attributes.name, "")', {"name": "c"}, True),
        ('hasPrefix(attributes.name, "")', NONE, False),
        ('NOT hasPrefix(attributes.name, "co")', NONE, True),
        ('attributes:"iana.org/language_tag"', {"iana.org/language_tag": "en"}, True),
        ('attributes."iana.org/language_tag" = "en"', {"iana.org/language_tag": "en"}, True),
        ("attributes:a-b_c", {"a-b_c": ""}, True),
        ("attributes:1", {"1": ""}, True),
        (r'attributes.a = "say \"hi\" \\ \t"', {"a": 'say "hi" \\ \t'}, True),
        (r'attributes.a = "\u307F\x41\101"', {"a": "みAA"}, True),
        ('attributes:"みんな"', {"みんな": ""}, True),
        ("attributes:a AND attributes:b", {"a": "", "b": ""}, True),
        ("attributes:a AND attributes:b", {"a": ""}, False),
        ("attributes:a AND attributes:b AND attributes:c", {"a": "", "b": ""}, False),
        ("attributes:a OR attributes:b", {"b": ""}, True),
        ("attributes:a OR attributes:b OR attributes:c", {"c": ""}, True),
        ("attributes:a OR attributes:b", NONE, False),
        ("attributes:a AND (attributes:b OR attributes:c)", {"a": "", "c": ""}, True),
        ("(attributes:a AND attributes:b) OR attributes:c", {"a": ""}, False),
        ("(attributes:a AND attributes:b) OR attributes:c", {"c": ""}, True),
        ("NOT attributes:a AND attributes:b", {"b": ""}, True),
        ("NOT (attributes:a AND attributes:b)", {"a": ""}, True),
        ("NOT NOT attributes:a", {"a": ""}, True),
        ("((attributes:a))", {"a": ""}, True),
        ('  attributes.a\n=\t"x"  ', {"a": "x"}, True),
        ('attributes."AND" = "x"', {"AND": "x"}, True),
        ("attributes:attributes", {"attributes": ""}, True),
    ],
)
def test_filter__matches(text: str, attributes: Mapping[str, str], expected: bool) -> None:
    predicate = compile_filter(text)
    assert predicate is not None
    assert predicate(attributes) is expected


@pytest.mark.parametrize(
    "text",
    [
        " ",
        "attributes",
        "attributes.",
        "attributes.name",
        "attributes.name =",
        "attributes.name = com",
        "attributes.name = 'com'",
        'attributes.name == "com"',
        'attributes.name > "com"',
        "attributes.name = attributes.other",
        '"com" = attributes.name',
        'name = "com"',
        'data = "x"',
        "attributes:",
        'attributes:name = "com"',
        "attributes:a attributes:b",
        "attributes:a and attributes:b",
        "attributes:a AND",
        "AND attributes:a",
        "NOT",
        "attributes:a AND attributes:b OR attributes:c",
        "attributes:a OR attributes:b AND attributes:c",
        "(attributes:a",
        "attributes:a)",
        "()",
        "hasPrefix(attributes.name)",
        'hasPrefix(attributes:name, "c")',
        'hasPrefix("c", attributes.name)',
        'hasSuffix(attributes.name, "c")',
        'attributes.name = "unterminated',
        r'attributes.name = "\q"',
        r'attributes.name = "\uD800"',
        r'attributes.name = "\UFFFFFFFF"',
        "attributes:a; attributes:b",
        'attributes.AND = "x"',
    ],
)
def test_filter__refuses_what_is_not_the_language(text: str) -> None:
    with pytest.raises(PubsubError, match="invalid at character") as error:
        compile_filter(text)
    assert error.value.status is grpc.StatusCode.INVALID_ARGUMENT


def test_filter__empty_matches_everything() -> None:
    assert compile_filter("") is None


def test_filter__has_at_most_256_bytes() -> None:
    fits = 'attributes.a = "' + "x" * 239 + '"'
    assert len(fits) == 256
    assert compile_filter(fits) is not None
    with pytest.raises(PubsubError, match="256 bytes"):
        compile_filter(fits.replace("x", "é", 1))


def test_filter__nests_as_deep_as_its_length_permits() -> None:
    predicate = compile_filter("(" * 120 + "attributes:a" + ")" * 120)
    assert predicate is not None
    assert predicate({"a": ""})


@given(st.text(alphabet='attributes:.=!"\\()- ANDORT_hasPrefix,x1é\n', max_size=60))
def test_filter__any_text_compiles_or_is_an_invalid_argument(text: str) -> None:
    try:
        predicate = compile_filter(text)
    except PubsubError as error:
        assert error.status is grpc.StatusCode.INVALID_ARGUMENT  # noqa: PT017 - either outcome is right
    else:
        assert predicate is None or predicate({"a": "x"}) in (True, False)
