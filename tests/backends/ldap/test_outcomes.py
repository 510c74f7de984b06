"""What a server's answer to a bind means, and when it proves that the password was right."""

import pytest

from emolytics.errors import BackendMisbehaved, BackendUnavailable
from emolytics.identity import Reason
from emolytics_ldap.answers import PASSWORD_POLICY, Result
from emolytics_ldap.flavors import Flavor
from emolytics_ldap.outcomes import describe, judge, policy_error

AD = "80090308: LdapErr: DSID-0C09042A, comment: AcceptSecurityContext error, data {}, v3839"


def policy(value: bytes, code: int = 49) -> Result:
    return Result(code, controls={PASSWORD_POLICY: {"value": value}})


@pytest.mark.parametrize(
    ("data", "reason", "proven"),
    [
        ("525", Reason.UNKNOWN_SUBJECT, False),
        ("52e", Reason.BAD_CREDENTIAL, False),
        ("530", Reason.NOT_ALLOWED, True),
        ("531", Reason.NOT_ALLOWED, True),
        ("532", Reason.PASSWORD_EXPIRED, True),
        ("533", Reason.DISABLED, True),
        ("701", Reason.DISABLED, True),
        ("773", Reason.MUST_CHANGE, True),
        ("775", Reason.LOCKED, False),
        ("57", Reason.BAD_CREDENTIAL, False),
    ],
)
def test_active_directory_s_sub_codes(data: str, reason: Reason, proven: bool) -> None:
    denied = judge(Result(49, AD.format(data)), Flavor.ACTIVE_DIRECTORY, "subject")

    assert denied is not None
    assert (denied.reason, denied.credential_proven) == (reason, proven)
    assert bool(denied.message) == proven
    assert f"data {data}" in denied.detail


def test_a_sub_code_means_nothing_in_another_directory_s_mouth() -> None:
    denied = judge(Result(49, AD.format("533")), Flavor.OPENLDAP)

    assert denied is not None
    assert denied.reason is Reason.BAD_CREDENTIAL


@pytest.mark.parametrize(
    ("result", "reason", "proven"),
    [
        (policy(b"0\x03\x81\x01\x00"), Reason.PASSWORD_EXPIRED, True),
        (policy(b"0\x03\x81\x01\x01"), Reason.LOCKED, False),
        (policy(b"0\x03\x81\x01\x02", code=0), Reason.MUST_CHANGE, True),
        (policy(b"0\x08\xa0\x03\x81\x01\x00\x81\x01\x00"), Reason.PASSWORD_EXPIRED, True),
        (policy(b"0\x00"), Reason.BAD_CREDENTIAL, False),
    ],
)
def test_the_password_policy_control(result: Result, reason: Reason, proven: bool) -> None:
    denied = judge(result, Flavor.OPENLDAP)

    assert denied is not None
    assert (denied.reason, denied.credential_proven) == (reason, proven)


@pytest.mark.parametrize("value", [b"0\x00", b"0\x05\xa0\x03\x81\x01\x02", b"0\x07\xa0\x05\x80\x03\x0d+\xa7"])
def test_a_warning_does_not_keep_anybody_out(value: bytes) -> None:
    assert judge(policy(value, code=0), Flavor.OPENLDAP) is None


@pytest.mark.parametrize(
    "value", [b"", b"0", b"0\x03", b"0\x03\x81", b"\xff" * 9, b"0\x03\x81\x02\x00\x01", b"0\x02\xa0\xff"]
)
def test_a_control_that_makes_no_sense_is_passed_over(value: bytes) -> None:
    assert policy_error(policy(value)) is None


@pytest.mark.parametrize("flavor", [Flavor.DS389, Flavor.FREEIPA])
@pytest.mark.parametrize(("code", "reason"), [(53, Reason.DISABLED), (19, Reason.LOCKED)])
def test_389_directory_server_tells_the_state_of_an_account_by_result_codes(
    flavor: Flavor, code: int, reason: Reason
) -> None:
    denied = judge(Result(code, "Account inactivated."), flavor)

    assert denied is not None
    assert (denied.reason, denied.credential_proven, denied.message) == (reason, False, "")


@pytest.mark.parametrize("code", [1, 2, 3, 7, 8, 11, 13, 19, 50, 51, 52, 53, 80, 123])
def test_every_other_code_says_nothing_about_the_person(code: int) -> None:
    with pytest.raises(BackendUnavailable, match=f"result {code}"):
        judge(Result(code), Flavor.OPENLDAP)


def test_a_referral_is_not_followed() -> None:
    with pytest.raises(BackendMisbehaved, match="referral"):
        judge(Result(10), Flavor.OPENLDAP)


@pytest.mark.parametrize("code", [8, 13])
def test_a_server_that_wants_tls_says_what_to_set(code: int) -> None:
    with pytest.raises(BackendUnavailable, match="start_tls"):
        judge(Result(code), Flavor.ACTIVE_DIRECTORY)


def test_a_long_message_of_the_server_is_cut() -> None:
    assert len(describe(Result(49, "x" * 10_000))) < 300
