"""People as the database knows them: the columns that a statement has to select, and what is read from its rows."""

import json
from functools import lru_cache
from typing import Any

from sqlalchemy import Row

from emolytics.identity import Identity
from emolytics.schema import identities, users
from emolytics.user import User

IDENTITY_COLUMNS = (
    identities.c.issuer,
    identities.c.subject,
    identities.c.username,
    identities.c.email,
    identities.c.email_verified,
    identities.c.groups,
    users.c.display_name,
)

USER_COLUMNS = (
    users.c.id.label("user_id"),
    users.c.username,
    users.c.display_name,
    users.c.email,
    users.c.disabled,
    users.c.roles,
    identities.c.id.label("identity_id"),
    identities.c.backend,
    identities.c.issuer,
    identities.c.subject,
    identities.c.groups,
)


def identity_of(row: Row[Any]) -> Identity:
    """The identity of a row with `IDENTITY_COLUMNS`, as its backend described it last."""
    return Identity(
        row.issuer,
        row.subject,
        row.username,
        row.display_name,
        row.email,
        row.email_verified,
        tuple(json.loads(row.groups)),
    )


def user_of(row: Any, *, auth_time: int, **session: Any) -> User:
    """The user of a row with `USER_COLUMNS`; `session` are the fields of `User` that a session adds."""
    return User(
        id=row.user_id,
        username=row.username,
        display_name=row.display_name or row.username,
        email=row.email,
        backend=row.backend,
        subject=row.subject,
        issuer=row.issuer,
        groups=_texts(row.groups),
        roles=_texts(row.roles),
        auth_time=auth_time,
        identity_id=row.identity_id,
        **session,
    )


@lru_cache(maxsize=1024)
def _texts(stored: str) -> tuple[str, ...]:
    """Many people have the same few roles and groups, and each of them asks again and again."""
    return tuple(json.loads(stored))
