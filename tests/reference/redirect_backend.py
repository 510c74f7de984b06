"""The smallest redirect backend that is right. Read it before writing one."""

from collections.abc import Callable, Mapping
from hmac import compare_digest
from secrets import token_urlsafe
from typing import TypeVar
from urllib.parse import urlencode

from emolytics.errors import BackendUnavailable
from emolytics.identity import Authenticated, Denied, Identity, Outcome, Reason, Redirect
from tests.reference.provider import Provider, Tokens, challenge_of
from tests.reference.wire import WireError

Answer = TypeVar("Answer")

PROVIDER_TROUBLE = ("server_error", "temporarily_unavailable")


class ProviderBackend:
    """People of a `Provider`, known by its permanent subject."""

    def __init__(self, name: str, provider: Provider, client_secret: str) -> None:
        self.name = name
        self._provider = provider
        self._client_secret = client_secret

    def check_health(self) -> None:
        self._ask(self._provider.take_request)

    def close(self) -> None:
        """A real one gives its connections back here."""

    def begin(self, callback_url: str, *, fresh: bool = False) -> Redirect:
        pending = {key: token_urlsafe(32) for key in ("state", "nonce", "verifier")}
        asked = {
            "redirect_uri": callback_url,
            "state": pending["state"],
            "nonce": pending["nonce"],
            "code_challenge": challenge_of(pending["verifier"]),
            "code_challenge_method": "S256",
            **({"max_age": "0"} if fresh else {}),
        }
        url = f"{self._provider.issuer}/authorize?{urlencode(asked)}"
        return Redirect(url, {**pending, "callback_url": callback_url})

    def complete(self, params: Mapping[str, str], pending: Mapping[str, str]) -> Outcome:
        if not is_same(params.get("state", ""), pending.get("state", "")):
            return Denied(Reason.BAD_CALLBACK, "the state is not that of this attempt")
        if "error" in params:
            return self._refusal(params["error"])
        tokens = self._ask(
            lambda: self._provider.exchange(
                params.get("code", ""),
                pending.get("verifier", ""),
                pending.get("callback_url", ""),
                self._client_secret,
            )
        )
        if tokens is None:
            return Denied(Reason.BAD_CALLBACK, "the provider does not accept the code")
        if not self._fits(tokens, pending):
            return Denied(Reason.BAD_CALLBACK, "the nonce is not that of this attempt")
        return self._authenticated(tokens)

    def logout_url(self, held: Authenticated, return_to: str) -> str | None:
        return f"{self._provider.issuer}/logout?{urlencode({'return_to': return_to, 'state': token_urlsafe(32)})}"

    def revalidate(self, held: Authenticated) -> Outcome:
        refresh_token = held.retained.get("refresh_token", "")
        tokens = self._ask(lambda: self._provider.refresh(refresh_token, self._client_secret))
        if tokens is None:
            return Denied(Reason.SIGN_IN_AGAIN, "the provider does not accept the refresh token")
        outcome = self._authenticated(tokens)
        if (outcome.identity.issuer, outcome.identity.subject) != (
            held.identity.issuer,
            held.identity.subject,
        ):
            return Denied(Reason.SIGN_IN_AGAIN, "the refresh token is another person's")
        return outcome

    def _fits(self, tokens: Tokens, pending: Mapping[str, str]) -> bool:
        return is_same(tokens.nonce, pending.get("nonce", ""))

    def _refusal(self, error: str) -> Denied:
        if error in PROVIDER_TROUBLE:
            raise BackendUnavailable(f"{self.name}: the provider reports {error}")
        reason = Reason.NOT_ALLOWED if error == "access_denied" else Reason.BAD_CALLBACK
        return Denied(reason, "the provider refused")

    def _authenticated(self, tokens: Tokens) -> Authenticated:
        account = tokens.account
        identity = Identity(
            issuer=self._provider.issuer,
            subject=account.subject,
            username=account.name,
            display_name=account.display_name,
            email=account.email,
            groups=account.groups,
        )
        return Authenticated(
            identity, retained={"refresh_token": tokens.refresh_token}, auth_time=tokens.auth_time
        )

    def _ask(self, request: Callable[[], Answer]) -> Answer:
        """Put a request to the provider; its library's own errors end here."""
        try:
            return request()
        except WireError as error:
            raise BackendUnavailable(f"{self.name}: {error}") from None


def is_same(one: str, other: str) -> bool:
    """Compare in constant time (ASVS 11.2.4). Nothing is the same as nothing."""
    if not one:
        return False
    return compare_digest(one.encode("utf-8", "replace"), other.encode("utf-8", "replace"))
