"""What a server's answer to a person's bind means: right, wrong, or right but not let in.

Two dialects say more than "invalid credentials": Active Directory puts a sub-code into its diagnostic
message, OpenLDAP and 389 Directory Server answer with the password-policy control. Some of these answers
come only after the password was checked and found right, and only those are marked as proof of it.
"""

import re
from collections.abc import Mapping

from emolytics.errors import BackendMisbehaved, BackendUnavailable
from emolytics.identity import Denied, Reason
from emolytics_ldap.answers import PASSWORD_POLICY, Result
from emolytics_ldap.flavors import Flavor

SUCCESS = 0
_REFERRAL = 10
_CONSTRAINT_VIOLATION = 19
_UNWILLING = 53
# noSuchObject, invalidDNSyntax: the entry went away, or the name never was one
_NOBODY = frozenset({32, 34})
# inappropriateAuthentication (no password set), invalidCredentials
WRONG = frozenset({48, 49})
# noSuchObject, insufficientAccessRights: not there, or not for us to see
NOT_SHOWN = frozenset({32, 50})
_NEEDS_TLS = frozenset({8, 13})

_MESSAGES = {
    Reason.DISABLED: "Your account in the directory is disabled. Ask your administrators.",
    Reason.LOCKED: "Your account in the directory is locked. Wait a while, or ask your administrators.",
    Reason.PASSWORD_EXPIRED: "Your password has expired. Change it where you usually do, then sign in here.",
    Reason.MUST_CHANGE: "You must change your password first. Do it where you usually do, then sign in here.",
    Reason.NOT_ALLOWED: "Your account may not sign in now or from here. Ask your administrators.",
}

# MS-ADTS and WinError.h; the number stands in hexadecimal after "data"
_SUB_CODE = re.compile(r"\bAcceptSecurityContext error, data ([0-9a-fA-F]+)\b|\bdata ([0-9a-fA-F]+),")
_ACTIVE_DIRECTORY = {
    0x525: (Reason.UNKNOWN_SUBJECT, False),
    0x52E: (Reason.BAD_CREDENTIAL, False),
    0x530: (Reason.NOT_ALLOWED, True),
    0x531: (Reason.NOT_ALLOWED, True),
    0x532: (Reason.PASSWORD_EXPIRED, True),
    0x533: (Reason.DISABLED, True),
    0x701: (Reason.DISABLED, True),
    0x773: (Reason.MUST_CHANGE, True),
    # answered to a wrong password too
    0x775: (Reason.LOCKED, False),
}

# draft-behera-ldap-password-policy-11 section 6.2, `error`
_POLICY: Mapping[int | None, tuple[Reason, bool]] = {
    0: (Reason.PASSWORD_EXPIRED, True),
    # answered before the password is looked at
    1: (Reason.LOCKED, False),
    2: (Reason.MUST_CHANGE, True),
}


def denial(reason: Reason, detail: str, *, proven: bool, subject: str = "") -> Denied:
    """A denial; once the password was right, with the sentence for the person that belongs to its reason."""
    return Denied(reason, detail, _MESSAGES.get(reason, "") if proven else "", proven, subject)


def judge(result: Result, flavor: Flavor, subject: str = "") -> Denied | None:
    """The denial in the server's answer to a bind, or None if it let the person in.

    Raises `BackendUnavailable` where the answer says nothing about the person.
    """
    detail = describe(result)
    if flavor is Flavor.ACTIVE_DIRECTORY:
        told = _ACTIVE_DIRECTORY.get(sub_code(result)) if result.code in WRONG else None
    else:
        told = _POLICY.get(policy_error(result))
    if told:
        return denial(told[0], detail, proven=told[1], subject=subject)
    if result.code == SUCCESS:
        return None
    if result.code in WRONG:
        return denial(Reason.BAD_CREDENTIAL, detail, proven=False, subject=subject)
    if result.code in _NOBODY:
        return denial(Reason.UNKNOWN_SUBJECT, detail, proven=False)
    if flavor in (Flavor.DS389, Flavor.FREEIPA):
        # 389 Directory Server looks at the state of the account before the password
        if result.code == _UNWILLING:
            return denial(Reason.DISABLED, detail, proven=False, subject=subject)
        if result.code == _CONSTRAINT_VIOLATION:
            return denial(Reason.LOCKED, detail, proven=False, subject=subject)
    raise outage(result, "a bind")


def outage(result: Result, request: str) -> BackendUnavailable:
    """The error for an answer that says nothing about the person, with what mends it where that is known."""
    text = f"the directory answered {request} with {describe(result)}"
    if result.code in _NEEDS_TLS:
        return BackendUnavailable(f"{text}: it wants TLS; write ldaps://, or start_tls = true")
    if result.code == _REFERRAL:
        return BackendMisbehaved(f"{text}: a referral to another server, which is not followed")
    return BackendUnavailable(text)


def describe(result: Result) -> str:
    """The server's own code and words, for the log and for `emolytics explain`."""
    words = f"result {result.code}"
    if result.message.strip("\0 "):
        words += f" ({result.message.strip(chr(0) + ' ')[:200]})"
    error = policy_error(result)
    return words if error is None else f"{words}, password policy error {error}"


def sub_code(result: Result) -> int:
    """Active Directory's own code in the diagnostic message; 0 for none."""
    found = _SUB_CODE.search(result.message)
    return int(found[1] or found[2], 16) if found else 0


def policy_error(result: Result) -> int | None:
    """`error` of the password-policy response control.

    SEQUENCE { warning [0] CHOICE { ... } OPTIONAL, error [1] ENUMERATED OPTIONAL }
    """
    control = result.controls.get(PASSWORD_POLICY)
    value: bytes = (control or {}).get("value") or b""
    place = 2
    while place + 2 <= len(value):
        tag, length = value[place], value[place + 1]
        if tag == 0x81 and length == 1 and place + 3 <= len(value):
            return value[place + 2]
        place += 2 + length
    return None
