"""Puts the parts together, once per process, from the settings. Knows no Flask."""

import logging
import re
from collections.abc import Sequence
from urllib.parse import urlsplit

from pydantic import SecretStr
from sqlalchemy import select

from emolytics.audit import Audit
from emolytics.backend import (
    Context,
    DatesCredentials,
    IssuesTokens,
    PasswordBackend,
    RedirectBackend,
    RequestBackend,
)
from emolytics.basic import Basic
from emolytics.chain import Chain, Link
from emolytics.database import Database
from emolytics.hashing import Hasher
from emolytics.passwords import PasswordPolicy
from emolytics.pending import PendingSignIns
from emolytics.registry import close_backends, open_backends
from emolytics.revalidation import Revalidation
from emolytics.schema import local_accounts
from emolytics.sealing import Sealer
from emolytics.sessions import Sessions
from emolytics.settings import Settings
from emolytics.sign_in import SignIn
from emolytics.throttle import Throttle
from emolytics.users import Users

log = logging.getLogger(__name__)

_LABELS = {"local": "Local account", "token": "API token"}
_ICONS = {"ldap": "directory.svg", "oauth": "openid.svg"}
_ICON = "key.svg"


class Core:
    """All that the views and the commands work with. `close` gives everything back.

    Raises `SettingsError` when a backend cannot be opened.
    """

    def __init__(self, settings: Settings, keys: tuple[SecretStr, ...]) -> None:
        self.settings = settings
        self._options = {configured.name: configured.options for configured in settings.backends}
        self.database = Database(settings.database.get_secret_value())
        self.policy = PasswordPolicy(settings.passwords.minimum_length, _context_words(settings))
        self.hasher = Hasher(
            cost=settings.hashing.cost,
            concurrency=settings.hashing.concurrency,
            places=settings.hashing.places,
        )
        self.audit = Audit(self.database)
        self.users = Users(self.database)
        self.sealer = Sealer(keys)
        self.sessions = Sessions(self.database, settings.session, self.sealer)
        self.pending = PendingSignIns(self.database, self.sealer)
        self.throttle = Throttle(self.database, settings.limits)
        self._opened = open_backends(settings, self._context)
        self.backends = {each.name: each.backend for each in self._opened}
        # Asked once: what a protocol asks of an object costs more than all else that a request does here.
        opened = list(self.backends.values())
        self._password_backends = [backend for backend in opened if isinstance(backend, PasswordBackend)]
        self._redirect_backends = [backend for backend in opened if isinstance(backend, RedirectBackend)]
        self._request_backends = [backend for backend in opened if isinstance(backend, RequestBackend)]
        self.sign_in = SignIn(
            settings,
            self.database,
            self._chain(self.password_backends()),
            self.users,
            self.sessions,
            self.throttle,
            self.audit,
            {name: one for name, one in self.backends.items() if isinstance(one, DatesCredentials)},
        )
        self.basic = self._basic()

        self.revalidation = Revalidation(settings, self.database, self.sessions, self.audit, self.backends)

        _warn_of_what_waits(settings)

    def _context(self, name: str) -> Context:
        return Context(
            name, self.settings.folder, self.database, self.hasher, self.policy, self.settings.public_url
        )

    def _chain(self, asked: Sequence[PasswordBackend]) -> Chain:
        patterns = {name: re.compile(options.usernames) for name, options in self._options.items()}
        links = [Link(backend, patterns[backend.name]) for backend in asked]
        return Chain(links, idle=lambda password: self.hasher.verify(None, password))

    def _basic(self) -> Basic | None:
        asked = [backend for backend in self.password_backends() if self._options[backend.name].basic]
        if not asked:
            return None
        by_name = {backend.name: backend for backend in asked}
        return Basic(self.sign_in, self.users, self.audit, self._chain(asked), by_name)

    def password_backends(self) -> Sequence[PasswordBackend]:
        return self._password_backends

    def redirect_backends(self) -> Sequence[RedirectBackend]:
        return self._redirect_backends

    def request_backends(self) -> Sequence[RequestBackend]:
        return self._request_backends

    def token_issuer(self) -> IssuesTokens | None:
        """The backend that makes API tokens, if the settings have one."""
        return next((one for one in self.backends.values() if isinstance(one, IssuesTokens)), None)

    def keeps_locally(self, issuer: str, subject: str) -> bool:
        """Whether the table of local accounts holds this one, whichever backends are on."""
        mine = (local_accounts.c.issuer == issuer) & (local_accounts.c.subject == subject)
        return self.database.fetch_one(select(local_accounts.c.subject).where(mine), {}) is not None

    def label(self, backend: str) -> str:
        """What people are told the backend's name is."""
        options = self._options.get(backend)
        return (options.label if options else "") or _LABELS.get(options.type if options else "", backend)

    def icon(self, backend: str) -> str:
        options = self._options.get(backend)
        return str(getattr(self.backends.get(backend), "icon", "")) or _ICONS.get(
            options.type if options else "", _ICON
        )

    def providers(self) -> list[dict[str, object]]:
        """The buttons of the sign-in page, in declared order."""
        return [
            {
                "name": backend.name,
                "label": self.label(backend.name),
                "icon": self.icon(backend.name),
                "available": bool(getattr(backend, "available", True)),
            }
            for backend in self.redirect_backends()
        ]

    def close(self) -> None:
        close_backends(self._opened)
        self.hasher.close()
        self.database.close()


def _warn_of_what_waits(settings: Settings) -> None:
    """Settings that are understood and not acted on yet must not look as if they were."""
    if settings.limits.storage.get_secret_value() != "database":
        log.warning("limits.storage: Redis is not used yet; the counts are kept in the database")
    for each in settings.backends:
        if each.options.link_by_email:
            log.warning("backends.%s.link_by_email: not done yet; nobody is linked", each.name)


def _context_words(settings: Settings) -> tuple[str, ...]:
    """The words that no password may be made of: the product, the portal, its host, and the operator's own."""
    host = urlsplit(settings.public_url).hostname or ""
    labels = [label for label in host.split(".")[:-1] if len(label) > 2]
    return ("emolytics", settings.title, *labels, *settings.passwords.context_words)
