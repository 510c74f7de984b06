"""Roles: what this application grants. Groups are the upstream's; rules of the settings map one to the other."""

import functools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import ParamSpec, TypeVar

from flask import abort, current_app
from flask_login import current_user
from sqlalchemy import Connection, delete, insert, select, update

from emolytics.schema import grants, users

P = ParamSpec("P")
R = TypeVar("R")

BY_HAND = "hand"
BY_DEFAULT = "default"


def by_rules(rules: Mapping[str, Sequence[str]], backend: str, groups: Iterable[str]) -> frozenset[str]:
    """The roles that rules of the form "BACKEND:GROUP" grant; the group may be a glob, compared with case."""
    held = [f"{backend}:{group}" for group in groups]
    return frozenset(
        role
        for role, patterns in rules.items()
        if any(fnmatchcase(name, rule) for rule in patterns for name in held)
    )


def sync(
    connection: Connection, user_id: int, backend: str, granted: Iterable[str], default: Iterable[str] = ()
) -> None:
    """Replace what this backend's rules and the settings' defaults granted; other grants stay."""
    _replace(connection, user_id, f"rule:{backend}", frozenset(granted))
    _replace(connection, user_id, BY_DEFAULT, frozenset(default))
    _write_out(connection, user_id)


def change_by_hand(
    connection: Connection, user_id: int, *, add: Iterable[str], remove: Iterable[str]
) -> None:
    """An operator's grants. A role that a rule grants too comes back with the rule, so removing it says nothing new."""
    ours = (grants.c.user_id == user_id) & (grants.c.granted_by == BY_HAND)
    held = set(connection.execute(select(grants.c.role).where(ours)).scalars())
    _replace(connection, user_id, BY_HAND, (held | set(add)) - set(remove))
    _write_out(connection, user_id)


def _replace(connection: Connection, user_id: int, granted_by: str, wanted: Iterable[str]) -> None:
    ours = (grants.c.user_id == user_id) & (grants.c.granted_by == granted_by)
    held = set(connection.execute(select(grants.c.role).where(ours)).scalars())
    wanted = set(wanted)
    if held - wanted:
        connection.execute(delete(grants).where(ours, grants.c.role.in_(held - wanted)))
    if wanted - held:
        rows = [
            {"user_id": user_id, "role": role, "granted_by": granted_by} for role in sorted(wanted - held)
        ]
        connection.execute(insert(grants), rows)


def _write_out(connection: Connection, user_id: int) -> None:
    """Keep the sum in the user's row too: a signed-in request then reads it in its one statement."""
    held = sorted(set(connection.execute(select(grants.c.role).where(grants.c.user_id == user_id)).scalars()))
    mine = users.c.id == user_id
    text = json.dumps(held)
    connection.execute(update(users).where(mine, users.c.roles != text).values(roles=text))


def roles_required(*roles: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """A view for those who have all of these roles: 401 or the sign-in page for a visitor, 403 for others."""

    def decorate(view: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(view)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
            if not current_user.is_authenticated:
                answer: R = current_app.login_manager.unauthorized()  # type: ignore[attr-defined]
                return answer
            if not all(current_user.has_role(role) for role in roles):
                abort(403)
            return view(*args, **kwargs)

        return guarded

    return decorate
