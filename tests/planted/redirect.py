"""Redirect backends with one thing wrong each."""

import itertools
import logging
import time
from collections.abc import Mapping
from dataclasses import replace
from secrets import token_urlsafe
from urllib.parse import parse_qsl, urlencode, urlsplit

from emolytics.errors import BackendUnavailable
from emolytics.identity import Authenticated, Denied, Outcome, Reason, Redirect
from tests.planted import planted
from tests.reference.provider import Provider, Tokens, challenge_of
from tests.reference.redirect_backend import ProviderBackend
from tests.reference.wire import WireError

logger = logging.getLogger(__name__)
Params = Mapping[str, str]


class Begins(ProviderBackend):
    """Begins with other values in `pending` and other parameters in the address."""

    def begin(self, callback_url: str, *, fresh: bool = False) -> Redirect:
        redirect = super().begin(callback_url, fresh=fresh)
        pending = dict(redirect.pending)
        endpoint, _, query = redirect.url.partition("?")
        asked = {**dict(parse_qsl(query)), **self.change(pending)}
        return Redirect(f"{endpoint}?{urlencode(asked)}", pending)

    def change(self, pending: dict[str, str]) -> dict[str, str]:
        """Change `pending`, and return the parameters to send in place of the right ones."""
        return {}


@planted("test_it_is_a_redirect_backend")
class NoBackend(ProviderBackend):
    logout_url = None  # type: ignore[assignment]


@planted("test_begin_gives_an_address_and_what_to_keep")
class TupleForARedirect(ProviderBackend):
    def begin(self, callback_url: str, *, fresh: bool = False) -> Redirect:
        redirect = super().begin(callback_url, fresh=fresh)
        return (redirect.url, redirect.pending)  # type: ignore[return-value]


@planted("test_begin_gives_an_address_and_what_to_keep")
class AddressWithoutAHost(ProviderBackend):
    def begin(self, callback_url: str, *, fresh: bool = False) -> Redirect:
        redirect = super().begin(callback_url, fresh=fresh)
        return replace(redirect, url=f"/authorize?{urlsplit(redirect.url).query}")


@planted("test_an_unguessable_value_comes_back_with_the_answer")
class ConstantState(Begins):
    """OmniAuth, CVE-2012-6134."""

    def change(self, pending: dict[str, str]) -> dict[str, str]:
        pending["state"] = "emolytics"
        return {"state": pending["state"]}


@planted(
    "test_an_unguessable_value_comes_back_with_the_answer",
    "test_what_the_browser_sees_of_pending_is_unguessable_and_meant_to_be_seen",
)
class StateIsACounter(Begins):
    """Argo CD, CVE-2022-31034: not random enough."""

    numbers = itertools.count(10_000_000)

    def change(self, pending: dict[str, str]) -> dict[str, str]:
        pending["state"] = f"emolytics-{next(self.numbers)}"
        return {"state": pending["state"]}


@planted("test_an_unguessable_value_comes_back_with_the_answer")
class StateOf96Bits(Begins):
    def change(self, pending: dict[str, str]) -> dict[str, str]:
        pending["state"] = token_urlsafe(12)
        return {"state": pending["state"]}


@planted("test_what_the_browser_sees_of_pending_is_unguessable_and_meant_to_be_seen")
class NonceFromTheClock(Begins):
    numbers = itertools.count(1_700_000_000)

    def change(self, pending: dict[str, str]) -> dict[str, str]:
        pending["nonce"] = str(next(self.numbers))
        return {"nonce": pending["nonce"]}


@planted(
    "test_what_the_browser_sees_of_pending_is_unguessable_and_meant_to_be_seen",
    "test_pkce_is_used_and_its_verifier_stays_here",
)
class VerifierInTheAddress(Begins):
    def change(self, pending: dict[str, str]) -> dict[str, str]:
        return {"code_verifier": pending["verifier"]}


@planted("test_pkce_is_used_and_its_verifier_stays_here")
class PlainChallenge(Begins):
    def change(self, pending: dict[str, str]) -> dict[str, str]:
        return {"code_challenge": pending["verifier"], "code_challenge_method": "plain"}


@planted("test_pkce_is_used_and_its_verifier_stays_here")
class VerifierTooShort(Begins):
    def change(self, pending: dict[str, str]) -> dict[str, str]:
        pending["verifier"] = token_urlsafe(16)
        return {"code_challenge": challenge_of(pending["verifier"])}


@planted(
    "test_pkce_is_used_and_its_verifier_stays_here",
    "test_an_answer_injected_into_my_own_attempt_is_refused",
)
class OneVerifier(Begins):
    """And the nonce is not looked at."""

    def change(self, pending: dict[str, str]) -> dict[str, str]:
        pending["verifier"] = "the-same-verifier-for-every-attempt-of-everybody"
        return {"code_challenge": challenge_of(pending["verifier"])}

    def _fits(self, tokens: Tokens, pending: Params) -> bool:
        return True


@planted("test_the_callback_address_is_passed_on_unchanged")
class CallbackWithASlash(ProviderBackend):
    def begin(self, callback_url: str, *, fresh: bool = False) -> Redirect:
        return super().begin(f"{callback_url}/", fresh=fresh)


@planted("test_a_fresh_sign_in_tells_the_provider_to_ask_again")
class NeverFresh(ProviderBackend):
    def begin(self, callback_url: str, *, fresh: bool = False) -> Redirect:
        return super().begin(callback_url)


@planted("test_a_fresh_sign_in_tells_the_provider_to_ask_again")
class FreshWithoutATime(ProviderBackend):
    """The provider is told to ask, and nobody looks whether it did (OpenID Connect Core section 3.1.2.1)."""

    def complete(self, params: Params, pending: Params) -> Outcome:
        outcome = super().complete(params, pending)
        return replace(outcome, auth_time=0) if outcome else outcome


@planted("test_without_what_was_kept_nobody_is_signed_in")
class PendingIndexed(ProviderBackend):
    def complete(self, params: Params, pending: Params) -> Outcome:
        return super().complete(params, dict(pending, state=pending["state"]))


@planted("test_the_browser_may_come_back_to_another_worker", "test_without_what_was_kept_nobody_is_signed_in")
class PendingKeptInTheBackend(ProviderBackend):
    """Works with one worker, and for whoever has the state."""

    def __init__(self, name: str, provider: Provider, client_secret: str) -> None:
        super().__init__(name, provider, client_secret)
        self._begun: dict[str, Params] = {}

    def begin(self, callback_url: str, *, fresh: bool = False) -> Redirect:
        redirect = super().begin(callback_url, fresh=fresh)
        self._begun[redirect.pending["state"]] = redirect.pending
        return redirect

    def complete(self, params: Params, pending: Params) -> Outcome:
        return super().complete(params, self._begun.get(params.get("state", ""), {}))


@planted("test_an_answer_counts_once")
class AnswerCountsTwice(ProviderBackend):
    def __init__(self, name: str, provider: Provider, client_secret: str) -> None:
        super().__init__(name, provider, client_secret)
        self._done: dict[str, Outcome] = {}

    def complete(self, params: Params, pending: Params) -> Outcome:
        state = params.get("state", "")
        self._done[state] = self._done.get(state) or super().complete(params, pending)
        return self._done[state]


@planted(
    "test_a_tampered_answer_is_refused",
    "test_an_answer_without_its_proof_is_refused",
    "test_an_answer_injected_into_my_own_attempt_is_refused",
)
class StateNotChecked(OneVerifier):
    """Mattermost, CVE-2025-12419."""

    def complete(self, params: Params, pending: Params) -> Outcome:
        return super().complete({**params, "state": pending.get("state", "")}, pending)


@planted("test_an_answer_without_its_proof_is_refused")
class StateOptional(ProviderBackend):
    def complete(self, params: Params, pending: Params) -> Outcome:
        return super().complete({"state": pending.get("state", ""), **params}, pending)


@planted("test_a_tampered_answer_is_refused")
class StateTrimmed(ProviderBackend):
    def complete(self, params: Params, pending: Params) -> Outcome:
        trimmed = {key: value.strip() for key, value in params.items()}
        return super().complete(trimmed, pending)


@planted("test_an_answer_to_somebody_elses_attempt_is_refused")
class AnyAttemptWillDo(OneVerifier):
    """The state is one of ours, but nobody asks whose: Authlib, CVE-2025-68158."""

    def __init__(self, name: str, provider: Provider, client_secret: str) -> None:
        super().__init__(name, provider, client_secret)
        self._ours: set[str] = set()

    def begin(self, callback_url: str, *, fresh: bool = False) -> Redirect:
        redirect = super().begin(callback_url, fresh=fresh)
        self._ours.add(redirect.pending["state"])
        return redirect

    def complete(self, params: Params, pending: Params) -> Outcome:
        state = params.get("state", "")
        return super().complete(params, {**pending, "state": state if state in self._ours else ""})


@planted("test_an_empty_answer_is_refused")
class ParamsIndexed(ProviderBackend):
    def complete(self, params: Params, pending: Params) -> Outcome:
        return super().complete(dict(params, state=params["state"]), pending)


@planted("test_an_empty_answer_is_refused")
class NothingEqualsNothing(ProviderBackend):
    def complete(self, params: Params, pending: Params) -> Outcome:
        if params.get("state") != pending.get("state"):
            return Denied(Reason.BAD_CALLBACK)
        if "code" not in params:
            return Denied(Reason.NOT_ALLOWED)
        return super().complete(params, pending)


@planted("test_junk_is_refused")
class JunkRaises(ProviderBackend):
    """`hmac.compare_digest` of two texts raises for anything but ASCII."""

    def complete(self, params: Params, pending: Params) -> Outcome:
        params.get("state", "").encode("ascii")
        return super().complete(params, pending)


@planted("test_an_error_made_of_junk_signs_nobody_in")
class UnknownErrorRaises(ProviderBackend):
    def _refusal(self, error: str) -> Denied:
        known = {"access_denied": Reason.NOT_ALLOWED}
        return Denied(known[error])


@planted(
    "test_an_error_made_of_junk_signs_nobody_in",
    "test_a_refusal_nobody_asked_for_is_refused_itself",
)
class ErrorBeforeState(ProviderBackend):
    """Anybody can open the breaker with one address."""

    def complete(self, params: Params, pending: Params) -> Outcome:
        error = params.get("error")
        if error == "access_denied":
            return Denied(Reason.NOT_ALLOWED)
        if error:
            raise BackendUnavailable("the provider reports an error")
        return super().complete(params, pending)


@planted("test_an_error_made_of_junk_signs_nobody_in")
class ErrorShown(ProviderBackend):
    """Argo CD, CVE-2022-24905: the text on the page came from the address."""

    def complete(self, params: Params, pending: Params) -> Outcome:
        if "error" in params:
            return Denied(Reason.BAD_CALLBACK, message=params.get("error_description", ""))
        return super().complete(params, pending)


@planted("test_an_error_beside_a_good_answer_signs_nobody_in")
class ErrorIgnoredBesideACode(ProviderBackend):
    def complete(self, params: Params, pending: Params) -> Outcome:
        rest = {key: value for key, value in params.items() if key != "error" or "code" not in params}
        return super().complete(rest, pending)


@planted("test_unknown_parameters_are_passed_over")
class BelievesTheAddress(ProviderBackend):
    """omniauth-apple, CVE-2020-26254."""

    def complete(self, params: Params, pending: Params) -> Outcome:
        outcome = super().complete(params, pending)
        if not outcome or "username" not in params:
            return outcome
        return replace(outcome, identity=replace(outcome.identity, username=params["username"]))


@planted("test_unknown_parameters_are_passed_over")
class StrictAboutParameters(ProviderBackend):
    def complete(self, params: Params, pending: Params) -> Outcome:
        if set(params) - {"state", "code", "error", "error_description"}:
            return Denied(Reason.BAD_CALLBACK)
        return super().complete(params, pending)


@planted("test_fifty_attempts_at_once_are_not_mixed_up")
class AnswerKeptInTheBackend(ProviderBackend):
    def complete(self, params: Params, pending: Params) -> Outcome:
        self._outcome = super().complete(params, pending)
        time.sleep(0.001)
        return self._outcome


@planted("test_a_refusal_at_the_provider_is_a_denial")
class RefusalIsAnOutage(ProviderBackend):
    def _refusal(self, error: str) -> Denied:
        raise BackendUnavailable("the provider refused")


@planted("test_trouble_told_by_the_provider_is_not_a_denial")
class TroubleIsADenial(ProviderBackend):
    def _refusal(self, error: str) -> Denied:
        return Denied(Reason.NOT_ALLOWED if error == "access_denied" else Reason.BAD_CALLBACK)


@planted("test_an_outage_is_not_a_denial", "test_an_outage_at_any_step_is_not_a_denial")
class OutageIsADenial(ProviderBackend):
    def complete(self, params: Params, pending: Params) -> Outcome:
        try:
            return super().complete(params, pending)
        except BackendUnavailable:
            return Denied(Reason.BAD_CALLBACK)


@planted("test_beginning_during_an_outage_works_or_says_so")
class DiscoveryErrorLeaks(ProviderBackend):
    def begin(self, callback_url: str, *, fresh: bool = False) -> Redirect:
        self._provider.take_request()
        return super().begin(callback_url, fresh=fresh)


@planted("test_beginning_during_an_outage_works_or_says_so")
class DiscoveryFailureRemembered(ProviderBackend):
    failed = False

    def begin(self, callback_url: str, *, fresh: bool = False) -> Redirect:
        try:
            self._provider.take_request()
        except WireError:
            self.failed = True
        if self.failed:
            raise BackendUnavailable("discovery failed")
        return super().begin(callback_url, fresh=fresh)


@planted("test_signing_out_gives_an_address_or_nothing")
class SignOutToNowhere(ProviderBackend):
    def logout_url(self, held: Authenticated, return_to: str) -> str | None:
        return "/logout"


@planted("test_a_flow_says_nothing_of_its_secrets")
class CodeInTheLog(ProviderBackend):
    """Flask-AppBuilder until 5.2.1 logged tokens."""

    def complete(self, params: Params, pending: Params) -> Outcome:
        logger.debug("callback %s", dict(params))
        return super().complete(params, pending)


@planted("test_a_flow_says_nothing_of_its_secrets")
class VerifierInTheDetail(ProviderBackend):
    def complete(self, params: Params, pending: Params) -> Outcome:
        outcome = super().complete(params, pending)
        return outcome or replace(outcome, detail=f"{outcome.detail}: {dict(pending)}")


@planted("test_a_sign_in_says_no_secret")
class RefreshTokenInTheLog(ProviderBackend):
    def _authenticated(self, tokens: Tokens) -> Authenticated:
        logger.info("tokens: %s", vars(tokens))
        return super()._authenticated(tokens)
