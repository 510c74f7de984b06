"""What differs between the kinds of directory: the defaults that `flavor` fills in, and where each keeps
the state of an account."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Flavor(StrEnum):
    """The value of `flavor` in the settings."""

    OPENLDAP = "openldap"
    ACTIVE_DIRECTORY = "active-directory"
    DS389 = "389ds"
    FREEIPA = "freeipa"


@dataclass(frozen=True, slots=True)
class Defaults:
    """Filled in where the settings are silent. `state` names the attributes that `standing` reads."""

    user_filter: str
    attributes: Mapping[str, str]
    state: tuple[str, ...]


def _attributes(subject: str, **others: str) -> dict[str, str]:
    usual = {
        "username": "uid",
        "email": "mail",
        "display_name": "cn",
        "group": "cn",
        "member_of": "memberOf",
    }
    return {"subject": subject, **usual, **others}


_INETORGPERSON = "(&(objectClass=inetOrgPerson)(uid={username}))"
_STATE_389 = ("nsAccountLock", "accountUnlockTime", "passwordExpirationTime")

DEFAULTS: Mapping[Flavor, Defaults] = {
    Flavor.OPENLDAP: Defaults(
        _INETORGPERSON,
        _attributes("entryUUID"),
        (
            "pwdAccountLockedTime",
            "pwdStartTime",
            "pwdEndTime",
            "pwdReset",
            "pwdChangedTime",
            "pwdGraceUseTime",
            "pwdPolicySubentry",
            "shadowExpire",
        ),
    ),
    Flavor.ACTIVE_DIRECTORY: Defaults(
        "(&(objectCategory=person)(objectClass=user)"
        "(|(sAMAccountName={username})(userPrincipalName={username})))",
        _attributes(
            "objectGUID",
            username="sAMAccountName",
            display_name="displayName",
            # unlike cn, unique in the domain
            group="sAMAccountName",
        ),
        (
            "userAccountControl",
            "msDS-User-Account-Control-Computed",
            "accountExpires",
            "pwdLastSet",
        ),
    ),
    Flavor.DS389: Defaults(_INETORGPERSON, _attributes("nsUniqueId"), _STATE_389),
    Flavor.FREEIPA: Defaults(
        "(&(objectClass=posixAccount)(uid={username}))",
        _attributes("ipaUniqueID"),
        ("nsAccountLock", "krbPrincipalExpiration", "krbPasswordExpiration"),
    ),
}
