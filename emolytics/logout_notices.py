"""Obeys a provider that says a session is over, once."""

import hashlib
import time

from sqlalchemy import delete, exc, insert

from emolytics.audit import Client, Event, Record
from emolytics.core import Core
from emolytics.identity import LogoutNotice
from emolytics.schema import seen_tokens

_REMEMBER_SECONDS = 24 * 3600


def obey(core: Core, backend: str, notice: LogoutNotice, client: Client) -> bool:
    """End exactly the sessions meant; False for a notice that was obeyed before (its `jti` is remembered)."""
    now = int(time.time())
    name = hashlib.sha256(f"{notice.issuer}\0{notice.token_id}".encode()).hexdigest()
    try:
        with core.database.transaction() as connection:
            connection.execute(delete(seen_tokens).where(seen_tokens.c.expires_at <= now))
            connection.execute(
                insert(seen_tokens), {"token_hash": name, "expires_at": now + _REMEMBER_SECONDS}
            )
            ended = core.sessions.end_upstream(
                connection, notice.issuer, notice.subject, notice.upstream_session
            )
            told = {"sessions": str(ended)}
            core.audit.within(
                connection, Record(Event.SIGNED_OUT_UPSTREAM, client, backend=backend, detail=told)
            )
    except exc.IntegrityError:
        return False
    return True
