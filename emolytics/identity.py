"""What a backend says of a person: the vocabulary that the core and every backend share.

Nothing here knows Flask, a database or a protocol, so a backend can be written and tested alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Literal

_NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Identity:
    """What one issuer says of one subject.

    `(issuer, subject)` is who the person is, for ever (ASVS 6.8.1). Everything else may change between
    two sign-ins and never decides whose account is opened.
    """

    issuer: str
    subject: str
    username: str
    display_name: str = ""
    email: str = ""
    email_verified: bool = False
    groups: tuple[str, ...] = ()


class Reason(StrEnum):
    """Why somebody was denied: for the log and the audit trail, not for the visitor."""

    UNKNOWN_SUBJECT = "unknown_subject"
    BAD_CREDENTIAL = "bad_credential"
    AMBIGUOUS = "ambiguous"
    DISABLED = "disabled"
    LOCKED = "locked"
    PASSWORD_EXPIRED = "password_expired"  # noqa: S105 - a reason, not a password
    MUST_CHANGE = "must_change"
    NOT_ALLOWED = "not_allowed"
    BAD_CALLBACK = "bad_callback"
    SIGN_IN_AGAIN = "sign_in_again"


@dataclass(frozen=True, slots=True)
class Authenticated:
    """The backend vouches for this identity.

    `retained` is what the backend will need later (a refresh token, say). The core keeps it encrypted on
    the server and hands it back unread, in the same type, to `revalidate` and `logout_url`.
    `credential_epoch` names the state of the credential that was checked, where the backend can tell
    (`DatesCredentials`). `upstream_session` is the issuer's own name for its session (OpenID Connect's `sid`).
    `auth_time` is when the issuer says that the person last proved who they are, in seconds since 1970; 0 where it
    does not say. A password backend leaves it alone: the core knows when it asked.
    """

    identity: Identity
    retained: Mapping[str, str] = field(default_factory=lambda: _NOTHING, repr=False)
    upstream_session: str = ""
    credential_epoch: str = field(default="", repr=False, compare=False)
    auth_time: int = field(default=0, compare=False)

    def __bool__(self) -> Literal[True]:
        return True


@dataclass(frozen=True, slots=True)
class Denied:
    """The backend answered, and the answer is no. An outage is not a denial: raise `BackendUnavailable`.

    `detail` is for the log. `message` is one sentence that helps the person; the core shows it only when
    `credential_proven`, because said earlier it would tell a stranger that the account exists.
    `subject` is set where the backend learned whom the attempt was about, `step` where a sign-in has several and
    the operator may want to know at which one it ended.
    """

    reason: Reason
    detail: str = ""
    message: str = ""
    credential_proven: bool = False
    subject: str = ""
    step: str = ""

    def __bool__(self) -> Literal[False]:
        return False


Outcome = Authenticated | Denied


@dataclass(frozen=True, slots=True)
class Redirect:
    """Where to send the browser, and what to remember until it comes back.

    `pending` (state, nonce, verifier …) is stored by the core, used once, and bound to this backend and
    this browser.
    """

    url: str
    pending: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class LogoutNotice:
    """An issuer says that a person, or one session of hers, has ended there (OpenID Connect Back-Channel Logout).

    At least one of `subject` and `upstream_session` is set. `token_id` is to be remembered until the notice
    can no longer be accepted, so that none is obeyed twice; `issued_at` is in seconds since 1970.
    """

    issuer: str
    subject: str
    upstream_session: str
    token_id: str
    issued_at: int
