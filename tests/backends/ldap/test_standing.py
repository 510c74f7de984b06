"""The state of an account as its entry shows it: who may stay signed in."""

from datetime import UTC, datetime, timedelta

import pytest

from emolytics.identity import Reason
from emolytics_ldap.answers import Entry
from emolytics_ldap.flavors import Flavor
from emolytics_ldap.standing import standing

NOW = datetime.now(UTC)


def generalized(hours: float) -> str:
    return (NOW + timedelta(hours=hours)).strftime("%Y%m%d%H%M%SZ")


def filetime(hours: float) -> str:
    since = NOW + timedelta(hours=hours) - datetime(1601, 1, 1, tzinfo=UTC)
    return str(int(since.total_seconds()) * 10**7)


def entry(**attributes: str | list[str]) -> Entry:
    values = {name: [value] if isinstance(value, str) else value for name, value in attributes.items()}
    return Entry("uid=a", {name.lower(): tuple(v.encode() for v in value) for name, value in values.items()})


def reason(flavor: Flavor, policy: Entry | None = None, /, **attributes: str | list[str]) -> Reason | None:
    found = standing(flavor, entry(**attributes), lambda dn: policy)
    return found[0] if found else None


@pytest.mark.parametrize("flavor", Flavor)
def test_an_entry_that_shows_nothing_may_stay(flavor: Flavor) -> None:
    assert reason(flavor) is None


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"userAccountControl": "512"}, None),
        ({"userAccountControl": "66048"}, None),
        ({"userAccountControl": "514"}, Reason.DISABLED),
        ({"accountExpires": "0"}, None),
        ({"accountExpires": "9223372036854775807"}, None),
        ({"accountExpires": "9223372036854775806"}, None),
        ({"accountExpires": filetime(1)}, None),
        ({"accountExpires": filetime(-1)}, Reason.DISABLED),
        ({"msDS-User-Account-Control-Computed": "16"}, Reason.LOCKED),
        ({"msDS-User-Account-Control-Computed": "8388608"}, Reason.PASSWORD_EXPIRED),
        ({"pwdLastSet": "0", "msDS-User-Account-Control-Computed": "8388608"}, Reason.MUST_CHANGE),
        ({"pwdLastSet": "0", "userAccountControl": str(0x200 | 0x10000)}, None),
        ({"pwdLastSet": "0", "userAccountControl": str(0x200 | 0x40000)}, None),
        ({"pwdLastSet": filetime(-1)}, None),
        ({"userAccountControl": "not a number"}, None),
    ],
)
def test_active_directory(attributes: dict[str, str], expected: Reason | None) -> None:
    assert reason(Flavor.ACTIVE_DIRECTORY, **attributes) is expected


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"pwdAccountLockedTime": "000001010000Z"}, Reason.LOCKED),
        ({"pwdAccountLockedTime": generalized(-100)}, Reason.LOCKED),
        ({"pwdEndTime": generalized(-1)}, Reason.DISABLED),
        ({"pwdEndTime": generalized(1)}, None),
        ({"pwdStartTime": generalized(1)}, Reason.DISABLED),
        ({"pwdStartTime": generalized(-1)}, None),
        ({"pwdReset": "TRUE"}, Reason.MUST_CHANGE),
        ({"pwdReset": "FALSE"}, None),
        ({"shadowExpire": "1"}, Reason.DISABLED),
        ({"shadowExpire": "-1"}, None),
        ({"shadowExpire": "999999999999"}, None),
        ({"pwdChangedTime": generalized(-10_000)}, None),
    ],
)
def test_openldap(attributes: dict[str, str], expected: Reason | None) -> None:
    assert reason(Flavor.OPENLDAP, **attributes) is expected


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"pwdAccountLockedTime": "000001010000Z"}, Reason.LOCKED),
        ({"pwdAccountLockedTime": generalized(-0.5)}, Reason.LOCKED),
        ({"pwdAccountLockedTime": generalized(-2)}, None),
        ({"pwdChangedTime": generalized(-23)}, None),
        ({"pwdChangedTime": generalized(-25)}, None),
        ({"pwdChangedTime": generalized(-25), "pwdGraceUseTime": ["a", "b"]}, Reason.PASSWORD_EXPIRED),
    ],
)
def test_openldap_by_the_policy_of_the_account(
    attributes: dict[str, str | list[str]], expected: Reason | None
) -> None:
    policy = entry(pwdLockoutDuration="3600", pwdMaxAge="86400", pwdGraceAuthNLimit="2")

    assert reason(Flavor.OPENLDAP, policy, pwdPolicySubentry="cn=policy", **attributes) is expected


@pytest.mark.parametrize(
    ("named", "read"), [("", "cn=default"), ("cn=own", "cn=own")], ids=["by default", "of its own"]
)
def test_openldap_s_default_policy_is_for_entries_that_name_none(named: str, read: str) -> None:
    asked: list[str] = []

    def read_policy(dn: str) -> Entry:
        asked.append(dn)
        return entry(pwdMaxAge="3600")

    old = entry(pwdChangedTime=generalized(-2), **({"pwdPolicySubentry": named} if named else {}))
    found = standing(Flavor.OPENLDAP, old, read_policy, "cn=default")

    assert found
    assert (found[0], asked) == (Reason.PASSWORD_EXPIRED, [read])


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"nsAccountLock": "TRUE"}, Reason.DISABLED),
        ({"nsAccountLock": "false"}, None),
        ({"accountUnlockTime": "19700101000000Z"}, Reason.LOCKED),
        ({"accountUnlockTime": generalized(1)}, Reason.LOCKED),
        ({"accountUnlockTime": generalized(-1)}, None),
        ({"passwordExpirationTime": "19700101000000Z"}, Reason.MUST_CHANGE),
        ({"passwordExpirationTime": generalized(-1)}, Reason.PASSWORD_EXPIRED),
        ({"passwordExpirationTime": generalized(1)}, None),
        ({"krbPrincipalExpiration": generalized(-1)}, Reason.DISABLED),
        ({"krbPasswordExpiration": generalized(-1)}, Reason.PASSWORD_EXPIRED),
    ],
)
def test_389_directory_server_and_freeipa(attributes: dict[str, str], expected: Reason | None) -> None:
    assert reason(Flavor.FREEIPA, **attributes) is expected
