"""Puts the parts together, once per process, from the settings. Knows no Flask."""

import logging
import re
from collections.abc import Sequence
from urllib.parse import urlsplit

from pydantic import SecretStr
from sqlalchemy import Engine, select

from emolytics.attempts import Attempts
from emolytics.audit import Audit, Event, Record
from emolytics.backend import (
    Context,
    DatesCredentials,
    IssuesTokens,
    KeepsAccounts,
    PasswordBackend,
    RedirectBackend,
    RequestBackend,
)
from emolytics.basic import Basic
from emolytics.chain import Chain, Link
from emolytics.database import Database
from emolytics.errors import SettingsError
from emolytics.hashing import Hasher
from emolytics.hooks import Hooks
from emolytics.host_engine import beside
from emolytics.issuers import require_one_meaning
from emolytics.known_devices import KnownDevices
from emolytics.linking import Linking
from emolytics.password_links import PasswordLinks
from emolytics.passwords import PasswordPolicy
from emolytics.pending import PendingSignIns
from emolytics.reauthentication import Reauthentication
from emolytics.redis_counters import open_counters
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

    `hooks` are those of the host application, and `url_prefix` is what our pages lie under there; `engine` is its own
    database, instead of that of the settings. Raises `SettingsError` when a backend cannot be opened, or the engine
    cannot serve.
    """

    def __init__(
        self,
        settings: Settings,
        keys: tuple[SecretStr, ...],
        hooks: Hooks | None = None,
        engine: Engine | None = None,
        url_prefix: str = "",
    ) -> None:
        self.settings = settings
        self._url_prefix = url_prefix
        self._options = {configured.name: configured.options for configured in settings.backends}
        self.database = Database(settings.database.get_secret_value() if engine is None else beside(engine))
        self.policy = PasswordPolicy(settings.passwords.minimum_length, _context_words(settings))
        self.hasher = Hasher(
            cost=settings.hashing.cost,
            concurrency=settings.hashing.concurrency,
            places=settings.hashing.places,
        )
        self.audit = Audit(self.database)
        self.hooks = hooks or Hooks()
        self.audit.subscribe(self.hooks.hear)
        self.users = Users(self.database)
        self.sealer = Sealer(keys)
        self.sessions = Sessions(self.database, settings.session, self.sealer)
        self.pending = PendingSignIns(self.database, self.sealer)
        self.throttle = Throttle(
            open_counters(settings.limits.storage, self.database, self._tell_of_redis), settings.limits
        )
        self._opened = open_backends(settings, self._context)
        self._check_issuers()
        self.backends = {each.name: each.backend for each in self._opened}
        # Asked once: what a protocol asks of an object costs more than all else that a request does here.
        opened = list(self.backends.values())
        self._password_backends = [backend for backend in opened if isinstance(backend, PasswordBackend)]
        self._redirect_backends = [backend for backend in opened if isinstance(backend, RedirectBackend)]
        self._request_backends = [backend for backend in opened if isinstance(backend, RequestBackend)]
        dated = {name: one for name, one in self.backends.items() if isinstance(one, DatesCredentials)}
        self.attempts = Attempts(self.throttle, KnownDevices(keys, dated))
        self.password_links = PasswordLinks(self.database, self.sessions, self.audit, self.backends)
        self.sign_in = SignIn(
            settings,
            self.database,
            self._chain(self.password_backends()),
            self.users,
            self.sessions,
            self.attempts,
            self.audit,
            dated,
            self.hooks,
            self._believed_on_addresses(),
            {name for name, one in self.backends.items() if isinstance(one, IssuesTokens)},
        )
        self.reauthentication = Reauthentication(
            settings,
            self.database,
            self.users,
            self.sessions,
            self.sign_in,
            self.audit,
            self.backends,
            self.chain_of,
        )
        self.linking = Linking(settings, self.database, self.sign_in, self.audit, self.backends)
        self.basic = self._basic()

        self.revalidation = Revalidation(settings, self.database, self.sessions, self.audit, self.backends)

        _warn_of_what_waits(settings)

    def _check_issuers(self) -> None:
        try:
            require_one_meaning(self._opened)
        except SettingsError:
            self.close()
            raise

    def _context(self, name: str) -> Context:
        return Context(
            name,
            self.settings.folder,
            self.database,
            self.hasher,
            self.policy,
            self.settings.public_url,
            self._url_prefix,
        )

    def _chain(self, asked: Sequence[PasswordBackend]) -> Chain:
        patterns = {name: re.compile(options.usernames) for name, options in self._options.items()}
        links = [Link(backend, patterns[backend.name]) for backend in asked]
        return Chain(links, idle=lambda password: self.hasher.verify(None, password))

    def chain_of(self, backend: str) -> Chain:
        """A chain of this one password backend, for a password that is meant for it alone."""
        return self._chain([each for each in self.password_backends() if each.name == backend])

    def _believed_on_addresses(self) -> frozenset[str]:
        """The backends whose `email_verified` counts: an operator says so, or made the accounts."""
        return frozenset(
            name
            for name, backend in self.backends.items()
            if self._options[name].link_by_email or isinstance(backend, KeepsAccounts)
        )

    def _basic(self) -> Basic | None:
        asked = [backend for backend in self.password_backends() if self._options[backend.name].basic]
        if not asked:
            return None
        by_name = {backend.name: backend for backend in asked}
        return Basic(self.sign_in, self.users, self.audit, self._chain(asked), by_name)

    def _tell_of_redis(self, wrong: str) -> None:
        if wrong:
            log.warning("limits.storage: %s; the counts are kept in the database meanwhile", wrong)
        else:
            log.warning("limits.storage: Redis answers again and keeps the counts")
        event = Event.LIMITS_STORE_LOST if wrong else Event.LIMITS_STORE_BACK
        self.audit.note(Record(event, reason=wrong))

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
        self.throttle.counters.close()
        self.database.close()


def _warn_of_what_waits(settings: Settings) -> None:
    """Settings that are understood and not acted on yet must not look as if they were."""


def _context_words(settings: Settings) -> tuple[str, ...]:
    """The words that no password may be made of: the product, the portal, its host, and the operator's own."""
    host = urlsplit(settings.public_url).hostname or ""
    labels = [label for label in host.split(".")[:-1] if len(label) > 2]
    return ("emolytics", settings.title, *labels, *settings.passwords.context_words)
