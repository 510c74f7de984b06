"""The way to the provider and back: the authorization request, and what the browser brings in answer.

RFC 6749 section 4.1 with PKCE (RFC 7636), the issuer in the answer (RFC 9207), OpenID Connect Core 1.0.
"""

import hmac
import time
from collections.abc import Mapping

from authlib.common.security import generate_token
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
from authlib.oauth2.rfc7636 import create_s256_code_challenge

from emolytics.errors import BackendUnavailable
from emolytics.identity import Reason, Redirect
from emolytics_oauth.id_token import Expected
from emolytics_oauth.origins import origin_of
from emolytics_oauth.provider import Endpoints, Provider
from emolytics_oauth.rejected import Rejected, printable
from emolytics_oauth.settings import OauthSettings
from emolytics_oauth.token_endpoint import Tokens

# Letters and digits: 190 bits, and 380 for the verifier; RFC 7636 wants 43 to 128 characters (X067, X068).
_RANDOM = 32
_VERIFIER = 64
_LONGEST_CODE = 8000

_ASK_AGAIN = frozenset(
    ["login_required", "interaction_required", "consent_required", "account_selection_required"]
)
_NOT_LET_IN = frozenset(["access_denied", "unmet_authentication_requirements"])
_NOT_NOW = frozenset(["temporarily_unavailable", "server_error"])
_OUR_REGISTRATION = frozenset(["unauthorized_client", "unsupported_response_type", "invalid_scope"])


def authorization_request(
    settings: OauthSettings, endpoints: Endpoints, callback_url: str, *, fresh: bool
) -> Redirect:
    """Make the URL to send the browser to, and what must be known when it comes back."""
    pending = {
        "state": generate_token(_RANDOM),
        "nonce": generate_token(_RANDOM),
        "verifier": generate_token(_VERIFIER),
        "callback_url": callback_url,
    }
    params = {
        "state": pending["state"],
        "code_challenge": create_s256_code_challenge(pending["verifier"]),
        "code_challenge_method": "S256",
        **settings.authorize_params,
    }
    if settings.response_mode != "query":
        params["response_mode"] = settings.response_mode
    if settings.issuer:
        params |= {"nonce": pending["nonce"], **_demands(settings, pending, fresh=fresh)}
    url = prepare_grant_uri(
        endpoints.authorization, settings.client_id, "code", callback_url, settings.scope, **params
    )
    return Redirect(url, pending)


def _demands(settings: OauthSettings, pending: dict[str, str], *, fresh: bool) -> dict[str, str]:
    demands = {"acr_values": " ".join(settings.acr_values)} if settings.acr_values else {}
    if fresh:
        demands["prompt"] = "login"
    if fresh or settings.max_age is not None:
        seconds = 0 if fresh or settings.max_age is None else int(settings.max_age.total_seconds())
        demands["max_age"] = str(seconds)
        pending["oldest_sign_in"] = str(int(time.time()) - seconds)
    return demands


def code_from(params: Mapping[str, str], pending: Mapping[str, str], provider: Provider) -> str:
    """Return the code of a good answer. Raises `Rejected`, or `BackendUnavailable`.

    Nothing is sent anywhere before this has returned.
    """
    if not all(pending.get(name) for name in ("state", "nonce", "verifier", "callback_url")):
        raise Rejected("what was kept of this sign-in is not whole: state")
    if not hmac.compare_digest(params.get("state", "").encode("utf-8", "replace"), pending["state"].encode()):
        raise Rejected("state is not that of this sign-in")
    _check_issuer(params.get("iss"), provider.endpoints)
    if "error" in params:
        raise _told(params["error"], params.get("error_description", ""))
    code = params.get("code", "")
    if not 0 < len(code) <= _LONGEST_CODE or not code.isascii() or not code.isprintable():
        raise Rejected("no code, or not one that a provider makes")
    return code


def expected_of(tokens: Tokens, code: str, pending: Mapping[str, str], settings: OauthSettings) -> Expected:
    """What the ID token of this sign-in has to fit to."""
    oldest = pending.get("oldest_sign_in")
    return Expected(
        access_token=tokens.access,
        code=code,
        nonce=pending["nonce"],
        oldest_sign_in=float(oldest) if oldest else None,
        acr_values=settings.acr_values,
    )


def _check_issuer(told: str | None, endpoints: Endpoints) -> None:
    """A code of one provider must not be shown to another (RFC 9207; A001, A002, X064)."""
    if told is None:
        if endpoints.names_itself:
            raise Rejected("iss is missing from the answer, though the provider says that it sends it")
    elif endpoints.metadata:
        if told != endpoints.issuer:
            raise Rejected(f"the answer is from another issuer: {printable(told)}")
    elif not _same_origin(told, origin_of(endpoints.authorization)):
        raise Rejected(f"the answer is from another server: {printable(told)}")


def _same_origin(url: str, origin: str) -> bool:
    try:
        return origin_of(url) == origin
    except ValueError:
        return False


def _told(error: str, description: str) -> Exception:
    detail = f"the provider answered {printable(error, 50)}: {printable(description)}"
    if error in _NOT_LET_IN:
        return Rejected(detail, Reason.NOT_ALLOWED)
    if error in _ASK_AGAIN:
        return Rejected(detail, Reason.SIGN_IN_AGAIN)
    if error in _NOT_NOW or error in _OUR_REGISTRATION:
        return BackendUnavailable(detail)
    return Rejected(detail)
