"""Distinguished names are compared as directories compare them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emolytics_ldap.dn import Dn

SPELLINGS = [
    ("cn=Baker\\, Bob,ou=people,dc=x", "CN=Baker\\2C Bob,OU=People,DC=X"),
    ("cn=Baker\\, Bob,ou=people,dc=x", 'cn="Baker, Bob" ; ou = people ; dc=x'),
    ("cn=a  b,dc=x", "2.5.4.3=a b,0.9.2342.19200300.100.1.25=x"),
    ("uid=al+cn=b,dc=x", "commonName=B+userid=AL, dc=x"),
    ("cn=Jörg,dc=x", "cn=j\\c3\\b6rg,dc=x"),
    ("cn=Jo\u0308rg,dc=x", "cn=J\u00f6rg,dc=x"),
    ("cn=\\ a,dc=x", "cn=a,dc=x"),
]


@pytest.mark.parametrize(("one", "other"), SPELLINGS)
def test_spellings_of_one_name_are_equal(one: str, other: str) -> None:
    assert Dn.parse(one) == Dn.parse(other)
    assert hash(Dn.parse(one)) == hash(Dn.parse(other))
    assert str(Dn.parse(one)) == str(Dn.parse(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("cn=a,dc=x", "cn=a,dc=y"),
        ("cn=a,ou=b,dc=x", "cn=a\\,ou=b,dc=x"),
        ("cn=a,dc=x", "ou=a,dc=x"),
        ("cn=a+uid=b,dc=x", "cn=a,uid=b,dc=x"),
        ("cn=a,dc=x", "cn=a\\00,dc=x"),
    ],
)
def test_different_names_are_not(one: str, other: str) -> None:
    assert Dn.parse(one) != Dn.parse(other)


@pytest.mark.parametrize(
    "text",
    ["x", "cn", "=a", "cn=a,", "cn=a,,dc=x", ",cn=a", "cn=a b=c\\", 'cn="a', "cn=a;;b=c", "1.=a", "cn=\\ff"],
)
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        Dn.parse(text)


def test_a_name_stands_within_its_base_and_not_within_one_that_only_looks_like_it() -> None:
    base = Dn.parse("OU=Groups,DC=example,DC=com")

    assert Dn.parse("cn=a,ou=groups,dc=example,dc=com").within(base)
    assert base.within(base)
    assert base.within(Dn.parse(""))
    assert not Dn.parse("cn=a\\,ou=groups,dc=example,dc=com").within(base)
    assert not Dn.parse("cn=a,ou=other groups,dc=example,dc=com").within(base)


def test_the_leaf_is_as_the_server_spells_it() -> None:
    dn = Dn.parse("CN=Group\\2C with (odd) * name \\5C,ou=groups,dc=x")

    assert dn.leaf_value("cn") == "Group, with (odd) * name \\"
    assert dn.leaf_value("sAMAccountName") is None


def test_the_domain_is_the_trailing_dc_part() -> None:
    assert Dn.parse("OU=People,DC=Ad,DC=example,DC=TEST").domain() == "dc=ad,dc=example,dc=test"
    assert Dn.parse("ou=people,o=acme").domain() == ""


@given(st.text(max_size=80))
def test_any_text_is_a_name_or_a_value_error(text: str) -> None:
    try:
        dn = Dn.parse(text)
    except ValueError:
        return
    assert Dn.parse(str(dn)) == dn
