"""Who the tokens are about: ID token and UserInfo, or the profile that a plain OAuth 2.0 server gives."""

from dataclasses import dataclass
from typing import Any

from emolytics.errors import BackendMisbehaved
from emolytics.identity import Identity, Reason
from emolytics_oauth import github
from emolytics_oauth.claims import MISSING, Statement, identity_from, lacks, reach, require_member
from emolytics_oauth.http_client import HttpClient
from emolytics_oauth.id_token import Expected, IdTokenJudge, require_subject, sign_in_time
from emolytics_oauth.provider import Provider
from emolytics_oauth.rejected import Rejected
from emolytics_oauth.settings import OauthSettings
from emolytics_oauth.token_endpoint import Tokens
from emolytics_oauth.userinfo import ask, fetch_userinfo


@dataclass(frozen=True, slots=True)
class Learned:
    """What the provider says of the person, its name for its session with her, and when it last asked her."""

    statement: Statement
    upstream_session: str = ""
    auth_time: int = 0


class Identifier:
    """Reads identities from tokens; keeps nothing."""

    def __init__(self, settings: OauthSettings, provider: Provider, http: HttpClient) -> None:
        self._settings = settings
        self._provider = provider
        self._http = http
        self._judge = IdTokenJudge(settings, provider)

    def learn(self, tokens: Tokens, expected: Expected) -> Learned:
        """Ask at a sign-in. Raises `Rejected`, `BackendUnavailable`."""
        if not self._settings.issuer:
            return Learned(self._profile(tokens))
        if tokens.id_token is None:
            raise BackendMisbehaved("the token endpoint gave no ID token")
        claims = self._judge.judge(tokens.id_token, expected)
        statement = Statement(claims, self._missing_from(claims, tokens))
        return Learned(statement, _session(claims), sign_in_time(claims))

    def learn_again(self, tokens: Tokens, known: dict[str, Any]) -> Statement | None:
        """Ask later; None where the provider says nothing new. Raises as `learn`.

        `known` are the claims of the ID token before. Without a new one UserInfo is the newer answer, and
        goes before what that one said.
        """
        if not self._settings.issuer:
            return self._profile(tokens)
        if tokens.id_token is not None:
            claims = self._judge.judge(
                tokens.id_token, Expected(tokens.access, subject=str(known.get("sub")))
            )
            if claims.get("nonce", known.get("nonce")) != known.get(
                "nonce"
            ):  # OpenID Connect Core section 12.2
                raise Rejected("the new ID token belongs to another sign-in")
            return Statement(claims, self._missing_from(claims, tokens))
        if self.can_read_again:
            return Statement(self._userinfo(tokens, known), known)
        return None

    def identify(self, statement: Statement) -> Identity:
        """Make the identity. Raises `Rejected` for a person who may not enter, too."""
        names = self._settings.claims
        subject = statement.read(names.subject)
        if not self._settings.issuer and isinstance(subject, int) and not isinstance(subject, bool):
            subject = str(subject)
        identity = identity_from(statement, self._provider.issuer, require_subject({"sub": subject}), names)
        require_member(statement, identity, self._settings)
        return identity

    def require_own(self, identity: Identity, known: dict[str, Any]) -> None:
        """Raise `Rejected` unless a held identity is this issuer's, and of the kept ID token's subject."""
        named = reach(known, self._settings.claims.subject) if known else identity.subject
        if identity.issuer != self._provider.issuer or named not in (identity.subject, MISSING):
            raise Rejected("the session is not one of this provider's", Reason.SIGN_IN_AGAIN)

    @property
    def most_requests(self) -> int:
        """How many requests it may take to ask later: metadata, keys twice, tokens, and the person."""
        return 4 + (github.MOST_REQUESTS if self._settings.preset == "github" else 1)

    @property
    def can_read_again(self) -> bool:
        """Whether the identity can be read with an access token alone."""
        asked = self._settings.userinfo != "never" or not self._settings.issuer
        return asked and bool(self._provider.endpoints.userinfo)

    def _missing_from(self, claims: dict[str, Any], tokens: Tokens) -> dict[str, Any]:
        wanted = self._settings.userinfo == "always" or lacks(claims, self._settings.claims)
        return self._userinfo(tokens, claims) if wanted and self.can_read_again else {}

    def _userinfo(self, tokens: Tokens, claims: dict[str, Any]) -> dict[str, Any]:
        return fetch_userinfo(
            self._http, self._provider.endpoints.userinfo, tokens.access, require_subject(claims)
        )

    def _profile(self, tokens: Tokens) -> Statement:
        url = self._provider.endpoints.userinfo
        if self._settings.preset == "github":
            profile = github.read_profile(self._http, url, tokens.access, self._settings.claims)
        else:
            profile = ask(self._http, url, tokens.access).json_object()
        return Statement(profile, {})


def _session(claims: dict[str, Any]) -> str:
    sid = claims.get("sid")
    return sid if isinstance(sid, str) and len(sid) <= 255 and sid.isprintable() else ""
