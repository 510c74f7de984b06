"""Filter templates: checked when the settings are read, filled in without a way out of a value."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ldap3.operation.search import parse_filter

from emolytics_ldap.escaping import FilterValue
from emolytics_ldap.filters import Template, Verdict

GOOD = [
    "(uid={username})",
    "(&(objectClass=inetOrgPerson)(|(uid={username})(mail={username}))(!(employeeType=disabled)))",
    "(mail={username}@example.com)",
    "(member:1.2.840.113556.1.4.1941:={username})",
    "(:dn:caseExactMatch:={username})",
    "(&(uid={username})(cn=a\\2ab*c))",
    "(&(uid={username})(uidNumber>=1000)(cn~=x))",
    "  (uid={username})  ",
]

BAD = {
    "no parentheses": "uid={username}",
    "one not closed": "(uid={username}",
    "one too many": "(uid={username}))",
    "two filters": "(uid={username})(objectClass=*)",
    "empty": "",
    "nothing in it": "()",
    "operator without filters": "(&)",
    "two under not": "(!(a=b)(c={username}))",
    "placeholder as attribute": "({username}=x)",
    "unknown placeholder": "(uid={user})",
    "stray brace": "(uid={username)",
    "stray backslash": "(uid={username})(cn=\\zz)",
    "wildcard beside the placeholder": "(uid={username}*)",
    "approximate match": "(uid~={username})",
    "ordering match": "(uid>={username})",
    "no operator": "(uid)",
    "too deep": "(!" * 40 + "(uid={username})" + ")" * 40,
}


@pytest.mark.parametrize("text", GOOD)
def test_a_good_filter_is_read_and_ldap3_reads_what_it_becomes(text: str) -> None:
    template = Template.parse(text, ["username"])

    filled = template.fill({"username": FilterValue("a*(b)\\c")})

    assert "a\\2a\\28b\\29\\5cc" in filled
    parse_filter(filled, None, False, False, None, False)  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("text", BAD.values(), ids=BAD)
def test_a_bad_filter_is_refused_with_a_reason(text: str) -> None:
    with pytest.raises(ValueError, match=r"^(has|needs|must|is) "):
        Template.parse(text, ["username"])


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_no_value_changes_the_shape_of_a_filter(value: str) -> None:
    template = Template.parse("(&(objectClass=person)(|(uid={username})(mail={username})))", ["username"])

    root = parse_filter(template.fill({"username": FilterValue(value)}), None, False, False, None, False)  # type: ignore[no-untyped-call]

    both, either = root.elements[0], root.elements[0].elements[1]
    assert [len(both.elements), len(either.elements)] == [2, 2]


def test_a_question_about_a_value_that_nobody_has_is_answered_here() -> None:
    template = Template.parse("(|(member={dn})(gidNumber={gid}))", ["dn", "gid"])

    filled = template.fill({"dn": FilterValue("cn=a"), "gid": Verdict.NEVER})

    assert filled == "(|(member=cn=a)(!(objectClass=*)))"


def test_restrictions_remain_when_the_name_does_not_matter() -> None:
    template = Template.parse("(&(uid={username})(!(employeeType=disabled)))", ["username"])

    assert template.fill({"username": Verdict.ALWAYS}) == "(&(objectClass=*)(!(employeeType=disabled)))"


def test_anybody_with_a_value_can_be_asked_for() -> None:
    template = Template.parse("(&(a=b)(|(uid={username})(:dn:rule:={username})))", ["username"])

    assert template.fill({"username": Verdict.PRESENT}) == "(&(a=b)(|(uid=*)(objectClass=*)))"
