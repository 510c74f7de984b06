"""Filter values and DN values: whatever somebody types or is called stays a value (ASVS 1.2.6)."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from ldap3.operation.search import compile_filter, parse_filter

from emolytics_ldap.dn import Dn
from emolytics_ldap.escaping import DnValue, FilterValue

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


def sent_value(filter_text: str) -> bytes:
    """The value of the one equality match that ldap3 sends for this filter."""
    parsed = parse_filter(filter_text, None, False, False, None, False)  # type: ignore[no-untyped-call]
    return bytes(compile_filter(parsed.elements[0])["equalityMatch"]["assertionValue"])  # type: ignore[no-untyped-call]


@given(TEXT.filter(bool))
@example("*)(uid=*))(|(uid=*")
@example("\\2a")
@example(" \u00a0edges\u3000 ")
@example("\0")
def test_a_filter_value_reaches_the_server_as_it_was(text: str) -> None:
    assert sent_value(f"(uid={FilterValue(text)})") == text.encode()


@given(st.binary(min_size=1, max_size=40))
def test_a_binary_filter_value_reaches_the_server_as_it_was(octets: bytes) -> None:
    assert sent_value(f"(objectGUID={FilterValue(octets)})") == octets


@given(TEXT)
def test_a_filter_value_has_no_character_of_the_filter_language(text: str) -> None:
    assert not set("()*\0").intersection(str(FilterValue(text)))


@given(TEXT.filter(bool))
@example(" leading, and trailing ")
@example("#hash")
@example('"+,;<>=\\')
@example("\0")
def test_a_dn_value_is_one_value_of_one_rdn(text: str) -> None:
    dn = Dn.parse(f"uid={DnValue(text)},ou=people,dc=x")

    assert dn.leaf == (("uid", text),)
    assert len(dn.rdns) == 3


@pytest.mark.parametrize("escaped", [FilterValue, DnValue])
def test_half_a_character_is_refused(escaped: type[FilterValue | DnValue]) -> None:
    with pytest.raises(UnicodeEncodeError):
        escaped("\ud800")
