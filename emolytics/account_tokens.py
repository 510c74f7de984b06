"""What the account page shows of API tokens."""

from typing import Any, NamedTuple

from emolytics.backend import ApiToken, IssuesTokens, NewToken
from emolytics.times import in_words, iso, on_day

_DAYS = 90


class TokenForm(NamedTuple):
    """What was typed, and what is wrong with it."""

    name: str = ""
    days: str = str(_DAYS)
    errors: dict[str, str] = {}  # noqa: RUF012 - never written to


def token_part(
    issuer: IssuesTokens | None,
    user_id: int,
    form: TokenForm | None = None,
    new_token: NewToken | None = None,
) -> dict[str, Any]:
    """What the account page shows of tokens; nothing where no backend makes them."""
    if issuer is None:
        return {"tokens": None}
    return {
        "tokens": [_shown(token) for token in issuer.list_tokens(user_id)],
        "token_form": form or TokenForm(),
        "new_token": new_token,
    }


def _shown(token: ApiToken) -> dict[str, Any]:
    return {
        "ref": token.id,
        "name": token.name,
        "since": in_words(token.created_at),
        "since_iso": iso(token.created_at),
        "expires": on_day(token.expires_at),
        "expires_iso": iso(token.expires_at),
        "last_used": in_words(token.last_used_at) if token.last_used_at else "",
        "last_used_iso": iso(token.last_used_at),
    }
