"""The state of an account as its entry shows it, without a password: what revalidation goes by.

Each flavor keeps it in attributes of its own. An attribute that the service account may not read is as good
as absent, so `emolytics check` says what it saw.
"""

from collections.abc import Callable
from datetime import UTC, datetime

from emolytics.identity import Reason
from emolytics_ldap.answers import Entry
from emolytics_ldap.flavors import Flavor

_WINDOWS_EPOCH = datetime(1601, 1, 1, tzinfo=UTC)
_UNIX_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# 389 Directory Server: locked until an administrator unlocks
_FOREVER_389 = "19700101000000Z"

# MS-ADTS 2.2.16 and 3.1.1.4.5.17
_ACCOUNT_DISABLED, _LOCKED_OUT, _PASSWORD_EXPIRED = 0x2, 0x10, 0x800000
# "password never expires" and "smart card required": no change is ever asked for, whatever pwdLastSet says
_PASSWORD_STAYS = 0x10000 | 0x40000

ReadPolicy = Callable[[str], Entry | None]
Standing = tuple[Reason, str] | None


def standing(flavor: Flavor, entry: Entry, read_policy: ReadPolicy, default_policy: str = "") -> Standing:
    """Why this account may not be signed in, and which attribute says so; or None.

    `read_policy` fetches an OpenLDAP password policy by its DN; `default_policy` is the one for entries that
    name none, which the server does not tell.
    """
    now = datetime.now(UTC)
    if flavor is Flavor.ACTIVE_DIRECTORY:
        return _active_directory(entry, now)
    if flavor is Flavor.OPENLDAP:
        return _openldap(entry, now) or _openldap_password(entry, now, read_policy, default_policy)
    return _ds389(entry, now)


def _active_directory(entry: Entry, now: datetime) -> Standing:
    control = _number(entry, "userAccountControl") or 0
    computed = _number(entry, "msDS-User-Account-Control-Computed") or 0
    if control & _ACCOUNT_DISABLED:
        return Reason.DISABLED, "userAccountControl: disabled"
    # in steps of 100 ns; 0 and the largest number mean never
    if 0 < (_number(entry, "accountExpires") or 0) <= (now - _WINDOWS_EPOCH).total_seconds() * 1e7:
        return Reason.DISABLED, "accountExpires is past"
    if computed & _LOCKED_OUT:
        return Reason.LOCKED, "msDS-User-Account-Control-Computed: locked out"
    if _number(entry, "pwdLastSet") == 0 and not control & _PASSWORD_STAYS:
        return Reason.MUST_CHANGE, "pwdLastSet is 0"
    if computed & _PASSWORD_EXPIRED:
        return Reason.PASSWORD_EXPIRED, "msDS-User-Account-Control-Computed: password expired"
    return None


def _openldap(entry: Entry, now: datetime) -> Standing:
    ends, starts = _time(entry, "pwdEndTime"), _time(entry, "pwdStartTime")
    days = _number(entry, "shadowExpire")
    if ends and ends <= now:
        return Reason.DISABLED, "pwdEndTime is past"
    if starts and starts > now:
        return Reason.DISABLED, "pwdStartTime is to come"
    if days is not None and 0 <= days <= (now - _UNIX_EPOCH).days:
        return Reason.DISABLED, "shadowExpire is past"
    if entry.first("pwdReset").upper() == "TRUE":
        return Reason.MUST_CHANGE, "pwdReset is TRUE"
    return None


def _openldap_password(entry: Entry, now: datetime, read_policy: ReadPolicy, default_policy: str) -> Standing:
    locked, changed = entry.first("pwdAccountLockedTime"), _time(entry, "pwdChangedTime")
    name = entry.first("pwdPolicySubentry") or default_policy
    policy = read_policy(name) if name and (locked or changed) else None
    if locked and not _lock_is_over(entry, policy, now):
        return Reason.LOCKED, f"pwdAccountLockedTime is {locked}"
    longest = _number(policy, "pwdMaxAge") if policy else None
    if policy and longest and changed and (now - changed).total_seconds() >= longest:
        graces = _number(policy, "pwdGraceAuthNLimit") or 0
        if len(entry.raw("pwdGraceUseTime")) >= graces:
            return Reason.PASSWORD_EXPIRED, "pwdChangedTime is longer ago than pwdMaxAge"
    return None


def _lock_is_over(entry: Entry, policy: Entry | None, now: datetime) -> bool:
    since = _time(entry, "pwdAccountLockedTime")
    duration = _number(policy, "pwdLockoutDuration") if policy else None
    # the year 0 of a lock for good is no date, and neither is over
    return bool(since and duration and (now - since).total_seconds() >= duration)


def _ds389(entry: Entry, now: datetime) -> Standing:
    if entry.first("nsAccountLock").lower() == "true":
        return Reason.DISABLED, "nsAccountLock is true"
    unlocks = entry.first("accountUnlockTime")
    until = _time(entry, "accountUnlockTime")
    if unlocks == _FOREVER_389 or (until and until > now):
        return Reason.LOCKED, f"accountUnlockTime is {unlocks}"
    ends = _time(entry, "krbPrincipalExpiration")
    if ends and ends <= now:
        return Reason.DISABLED, "krbPrincipalExpiration is past"
    for name in ("passwordExpirationTime", "krbPasswordExpiration"):
        expires = _time(entry, name)
        # 389 Directory Server writes the epoch where the password must be changed
        if expires == _UNIX_EPOCH:
            return Reason.MUST_CHANGE, f"{name} is the epoch"
        if expires and expires <= now:
            return Reason.PASSWORD_EXPIRED, f"{name} is past"
    return None


def _number(entry: Entry | None, name: str) -> int | None:
    try:
        return int(entry.first(name)) if entry else None
    except ValueError:
        return None


def _time(entry: Entry, name: str) -> datetime | None:
    """A GeneralizedTime (RFC 4517 section 3.3.13) in UTC; None for what is absent or no such time."""
    digits = entry.first(name).partition("Z")[0].partition(".")[0]
    try:
        return datetime.strptime(digits, "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return None
