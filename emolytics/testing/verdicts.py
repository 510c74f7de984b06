"""What an answer must look like, whoever gives it."""

import json
from collections.abc import Callable, Mapping
from dataclasses import FrozenInstanceError, fields
from threading import Thread

import pytest

from emolytics.errors import BackendUnavailable
from emolytics.identity import Authenticated, Denied, Identity, Outcome, Reason


def expect_authenticated(outcome: Outcome | None) -> Authenticated:
    """Return the outcome if it lets somebody in and is complete, typed and frozen."""
    assert type(outcome) is Authenticated, f"expected Authenticated, got {outcome!r}"
    assert bool(outcome) is True
    _check_identity(outcome.identity)
    _check_texts(outcome.retained)
    _check_frozen(outcome, "identity")
    return outcome


def expect_denied(outcome: Outcome | None, *reasons: Reason, proven: bool | None = False) -> Denied:
    """Return the outcome if it is a denial for one of the reasons (any, if none is given).

    `proven`: whether the right credential was shown; None where that cannot be known. Only then may `message`
    speak of the account.
    """
    assert type(outcome) is Denied, f"expected Denied, got {outcome!r}"
    assert bool(outcome) is False
    assert type(outcome.reason) is Reason
    assert not reasons or outcome.reason in reasons, f"denied for another reason: {outcome!r}"
    assert proven is None or outcome.credential_proven is proven, (
        f"credential_proven must be {proven}: {outcome!r}"
    )
    assert outcome.credential_proven or not outcome.message, f"a message before proof: {outcome!r}"
    assert all(isinstance(text, str) for text in (outcome.detail, outcome.message, outcome.subject))
    _check_frozen(outcome, "credential_proven")
    return outcome


def expect_unavailable(call: Callable[[], object]) -> BackendUnavailable:
    """Return the error if the call raises `BackendUnavailable`, which says something for the log."""
    try:
        answer = call()
    except BackendUnavailable as caught:
        error = caught
    else:
        pytest.fail(f"nothing was learned about the person, yet the answer is {answer!r}")
    assert str(error).strip(), "the log gets no word of what failed"
    assert error.retry_after > 0
    return error


def within(seconds: float, call: Callable[[], object]) -> Callable[[], object]:
    """Return a call that gives the same result or exception, and fails the test if it takes too long."""

    def limited() -> object:
        ended: list[tuple[object, BaseException | None]] = []
        thread = Thread(target=lambda: ended.append(_ending(call)), daemon=True)
        thread.start()
        thread.join(seconds)
        if not ended:
            pytest.fail(f"still waiting after {seconds:g} s: nothing limits how long the upstream may take")
        answer, error = ended[0]
        if error is not None:
            raise error
        return answer

    return limited


def _ending(call: Callable[[], object]) -> tuple[object, BaseException | None]:
    try:
        return call(), None
    except BaseException as error:  # raised again in the test's own thread
        return None, error


def _check_identity(identity: Identity) -> None:
    assert type(identity) is Identity
    texts = (getattr(identity, item.name) for item in fields(identity) if item.type is str)
    assert all(type(text) is str for text in texts), f"every text is a plain str: {identity!r}"
    for name in ("issuer", "subject", "username"):
        assert getattr(identity, name).strip(), f"{name} is empty: {identity!r}"
    assert type(identity.email_verified) is bool
    assert type(identity.groups) is tuple, f"groups is a tuple: {identity!r}"
    assert all(type(group) is str and group for group in identity.groups)
    assert len(set(identity.groups)) == len(identity.groups), f"a group twice: {identity!r}"
    _check_frozen(identity, "subject")


def _check_texts(kept: Mapping[str, str]) -> None:
    """The core keeps it as JSON, encrypted; what does not survive that is lost."""
    assert isinstance(kept, Mapping)
    assert all(type(key) is str and type(value) is str for key, value in kept.items())
    assert json.loads(json.dumps(dict(kept))) == dict(kept)


def _check_frozen(value: object, name: str) -> None:
    with pytest.raises(FrozenInstanceError):
        setattr(value, name, getattr(value, name))
