"""`link_by_email`: a newcomer joins the account that holds the same address, where both sides are believed.

An address that is only written somewhere proves nothing: whoever gets an account first would be joined by the
address's owner later (CVE-2024-38351, CVE-2026-44166). So each side's address must be verified, by a backend whose
word the settings believe, or by an operator; and there must be exactly one such account.
"""

import logging
import re
from collections.abc import Collection

from sqlalchemy import Connection, func, select

from emolytics.audit import Audit, Client, Event, Record
from emolytics.identity import Identity
from emolytics.schema import identities, users
from emolytics.users import Provisioned, Users

log = logging.getLogger(__name__)

# ASCII alone: two addresses that only look alike, or fold to one another, are two (CVE-2019-19844, X060).
_ADDRESS = re.compile(r"[!#$%&'*+/=?^_`{|}~.\w-]{1,64}@[a-z0-9.-]{1,255}", re.ASCII)


def join(
    connection: Connection,
    believed: Collection[str],
    audit: Audit,
    backend: str,
    identity: Identity,
    client: Client,
) -> Provisioned | None:
    """Give a new identity to the user who holds its address; None where it is nobody's to give, or known already.

    `believed` are the backends whose word on addresses counts. Nobody joins an account that is disabled, nor gets
    another one beside it: the result says `disabled`, and nothing is written. Called within `Database.run`.
    """
    address = _comparable(identity.email) if identity.email_verified and backend in believed else ""
    if not address or Users.owner(connection, identity) is not None:
        return None
    user_id = _only_owner(connection, believed, backend, address)
    if user_id is None or _has_one_from_there(connection, user_id, backend, identity):
        return None
    mine = select(users.c.username, users.c.disabled).where(users.c.id == user_id)
    found = connection.execute(mine.with_for_update()).one()
    if not found.disabled and Users.attach(connection, user_id, backend, identity):
        detail = {"issuer": identity.issuer, "subject": identity.subject}
        event = Event.IDENTITY_LINKED
        audit.within(
            connection, Record(event, client, found.username, backend, user_id, "verified_email", detail)
        )
    return Provisioned(user_id, 0, found.username, found.disabled)


def _only_owner(connection: Connection, believed: Collection[str], backend: str, address: str) -> int | None:
    owners = _owners(connection, believed, address)
    if len(owners) > 1:
        log.warning("%d accounts hold one verified address: who comes by %s joins none", len(owners), backend)
    return owners.pop() if len(owners) == 1 else None


def _owners(connection: Connection, believed: Collection[str], address: str) -> set[int]:
    wanted = (
        select(identities.c.user_id, identities.c.email)
        .where(func.lower(identities.c.email) == address, identities.c.email_verified.is_(True))
        .where(identities.c.backend.in_(sorted(believed)))
    )
    return {row.user_id for row in connection.execute(wanted) if _comparable(row.email) == address}


def _has_one_from_there(connection: Connection, user_id: int, backend: str, identity: Identity) -> bool:
    """Somebody else of the same place had the address before: it was given away, and the account stays behind."""
    same_place = (identities.c.issuer == identity.issuer) | (identities.c.backend == backend)
    wanted = select(identities.c.id).where(identities.c.user_id == user_id, same_place).limit(1)
    if connection.execute(wanted).first() is None:
        return False
    log.warning("backend %s gives an address to another person: no account is joined", backend)
    return True


def _comparable(email: str) -> str:
    """The address without the difference of case; "" for one that is not plain enough to compare."""
    return email.lower() if _ADDRESS.fullmatch(email.lower()) and email.isascii() else ""
