"""Roles: what this application grants. Groups are the upstream's; rules of the settings map one to the other."""

import functools
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, ParamSpec, TypeVar

from flask import abort, current_app, request
from flask_login import current_user
from sqlalchemy import Connection, and_, bindparam, delete, insert, select, update

from emolytics.audit import Event, Record
from emolytics.errors import InvalidName
from emolytics.schema import grants, users
from emolytics.settings import ROLE, Settings
from emolytics.visitor import client

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


def granted(settings: Settings, backend: str, groups: Iterable[str]) -> frozenset[str]:
    """The roles of somebody whom this backend vouches for: everybody's, and those of the rules."""
    return by_rules(settings.roles, backend, groups) | frozenset(settings.default_roles)


def sync(
    connection: Connection, user_id: int, settings: Settings, backend: str, groups: Iterable[str]
) -> None:
    """Replace what this backend's rules and the settings' defaults granted by what they grant now.

    Grants by hand stay, and those of other backends, unless the settings no longer have that backend: nobody
    would ever take them back.
    """
    held = _held(connection, user_id)
    own = f"rule:{backend}"
    lasting = {BY_HAND, *(f"rule:{configured.name}" for configured in settings.backends)} - {own}
    wanted = {(role, source) for role, source in held if source in lasting}
    wanted |= {(role, own) for role in by_rules(settings.roles, backend, groups)}
    wanted |= {(role, BY_DEFAULT) for role in settings.default_roles}
    _store(connection, user_id, held, wanted)


def change_by_hand(
    connection: Connection, user_id: int, *, add: Iterable[str], remove: Iterable[str]
) -> None:
    """An operator's grants. A role that the settings grant too comes back with them, so removing it says nothing.

    Raises `InvalidName` as `check` does.
    """
    added = {(role, BY_HAND) for role in check(add)}
    held = _held(connection, user_id)
    _store(connection, user_id, held, (held | added) - {(role, BY_HAND) for role in remove})


def check(names: Iterable[str]) -> tuple[str, ...]:
    """The names, all of which can be roles. Raises `InvalidName` if one cannot."""
    checked = tuple(names)
    for name in checked:
        if not re.fullmatch(ROLE, name):
            raise InvalidName(
                f"{name!r} cannot be a role, which is 1 to 64 letters, digits and _ . : @ / + -"
            )
    return checked


def _held(connection: Connection, user_id: int) -> set[tuple[str, str]]:
    """Every role of the user, with what grants it. Until the commit nobody else changes them."""
    connection.execute(select(users.c.id).where(users.c.id == user_id).with_for_update())
    wanted = select(grants.c.role, grants.c.granted_by).where(grants.c.user_id == user_id)
    return {(role, source) for role, source in connection.execute(wanted)}


def _store(
    connection: Connection, user_id: int, held: set[tuple[str, str]], wanted: set[tuple[str, str]]
) -> None:
    if held - wanted:
        mine = and_(grants.c.user_id == user_id, grants.c.role == bindparam("r"))
        gone = delete(grants).where(mine, grants.c.granted_by == bindparam("by"))
        connection.execute(gone, [{"r": role, "by": source} for role, source in sorted(held - wanted)])
    if wanted - held:
        rows = [{"role": role, "granted_by": source} for role, source in sorted(wanted - held)]
        connection.execute(insert(grants), [row | {"user_id": user_id} for row in rows])
    # The sum is kept in the user's row too: a signed-in request then reads it in its one statement.
    text = json.dumps(sorted({role for role, _ in wanted}))
    of_user = and_(users.c.id == user_id, users.c.roles != text)
    connection.execute(update(users).where(of_user).values(roles=text))


def roles_required(*roles: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """A view for those who have all of these roles: 401 or the sign-in page for a visitor, 403 for others."""

    def decorate(view: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(view)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
            if not current_user.is_authenticated:
                answer: R = _sign_in_first()
                return answer
            if lacks(*roles):
                refused: R = _not_allowed()
                return refused
            return view(*args, **kwargs)

        return guarded

    return decorate


def lacks(*roles: str) -> bool:
    """Whether the one who is signed in is without any of these roles; if so, the audit trail has it (ASVS 16.3.2)."""
    missing = [role for role in roles if not current_user.has_role(role)]
    if missing:
        record = Record(
            Event.ROLE_MISSING,
            client(),
            current_user.username,
            current_user.backend,
            current_user.id,
            detail={"roles": ", ".join(missing), "path": request.path},
        )
        current_app.extensions["emolytics"].audit.note(record)
    return bool(missing)


def _sign_in_first() -> Any:
    from emolytics.loaders import closed  # imports the sign-in, which imports this module

    return closed()


def _not_allowed() -> Any:
    """403: for programs the contract's JSON, for people the application's own page."""
    from emolytics.answers import error, wants_json  # imports the sign-in, which imports this module

    return error("access_denied") if wants_json() else abort(403)
