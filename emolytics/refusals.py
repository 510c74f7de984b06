"""Why somebody does not get in, in the contract's words."""

from dataclasses import dataclass
from enum import StrEnum

from emolytics.identity import Reason


class Refusal(StrEnum):
    """The error codes of the contract that end a sign-in."""

    INVALID_CREDENTIALS = "invalid_credentials"
    ACCESS_DENIED = "access_denied"
    ACCOUNT_DISABLED = "account_disabled"
    PASSWORD_CHANGE_REQUIRED = "password_change_required"  # noqa: S105
    TOO_MANY_ATTEMPTS = "too_many_attempts"
    BACKEND_UNAVAILABLE = "backend_unavailable"
    INVALID_CALLBACK = "invalid_callback"


@dataclass(frozen=True, slots=True)
class Refused:
    """Why somebody does not get in; `message` is shown instead of ours. `subject`: who it is, proven, at `backend`."""

    code: Refusal
    message: str = ""
    retry_after: int | None = None
    backend: str = ""
    subject: str = ""


REFUSAL_FOR = {
    Reason.DISABLED: Refusal.ACCOUNT_DISABLED,
    Reason.LOCKED: Refusal.ACCOUNT_DISABLED,
    Reason.PASSWORD_EXPIRED: Refusal.PASSWORD_CHANGE_REQUIRED,
    Reason.MUST_CHANGE: Refusal.PASSWORD_CHANGE_REQUIRED,
    Reason.BAD_CALLBACK: Refusal.INVALID_CALLBACK,
}
