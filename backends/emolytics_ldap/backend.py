"""Signs people in with the password of a corporate directory, and asks after them while they are here."""

import re
import secrets
from collections.abc import Callable, Iterable
from contextlib import suppress

from emolytics.backend import Context, Finding
from emolytics.errors import BackendUnavailable
from emolytics.identity import Authenticated, Denied, Outcome, Reason
from emolytics_ldap.answers import Entry, Search
from emolytics_ldap.breaker import Purpose
from emolytics_ldap.deadline import Deadline
from emolytics_ldap.diagnosis import diagnose
from emolytics_ldap.directory import Link
from emolytics_ldap.explanation import explain
from emolytics_ldap.groups import Ask
from emolytics_ldap.outcomes import NOT_SHOWN, SUCCESS, denial, judge, outage
from emolytics_ldap.people import People, Person
from emolytics_ldap.servers import Servers
from emolytics_ldap.settings import LdapSettings
from emolytics_ldap.standing import Standing, standing

# A longer request is cut off by some servers with the whole connection, which would look like an outage.
_LONGEST_NAME, _LONGEST_PASSWORD = 1024, 4096

# What directories leave out, or take for a space, when they compare (RFC 4518 section 2.2): with such
# characters one could type somebody's name in ever new ways.
_INVISIBLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u034f\u061c\u06dd\u070f\u115f\u1160\u17b4\u17b5\u1806\u180b-\u180f\u200b-\u200f"
    "\u2028-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\uffff\U0001bca0-\U0001bca3"
    "\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)

_NO_GROUP = "Your account is in no group that may sign in here. Ask your administrators."
_POLICY = ("pwdMaxAge", "pwdGraceAuthNLimit", "pwdLockoutDuration")


class LdapBackend:
    """Checks passwords by binding as the person: after a search for the entry, or at once by `user_dn`.

    Safe for any number of threads; connections are opened on demand.
    """

    def __init__(self, settings: LdapSettings, context: Context) -> None:
        self.name = context.name
        self.settings = settings
        self.people = People(settings)
        self.servers = Servers(settings)
        self.issuer = self.people.issuer
        self.subject_source = f"the attribute {settings.attributes.subject.lower()}"

    def authenticate(self, username: str, password: str) -> Outcome:
        """Say whether the password is this person's. Raises `BackendUnavailable` within `timeout`."""
        return self.check_password(username, password, _uncounted)

    def check_password(self, username: str, password: str, before: Callable[[str, str], None]) -> Outcome:
        """The same; `before` is told whose entry was found, and the person is bound only after it.

        By `user_dn` the bind comes first, and there is nothing to tell before it.
        """
        refused = self.refuse_at_once(username, password)
        if refused is not None:
            return refused
        if self.settings.user_dn:
            return self._bind_first(username, password.encode(), self.deadline())
        return self._search_first(username, password.encode(), self.deadline(), before)

    def diagnose(self) -> Iterable[Finding]:
        """Each server, then each setting that only the directory can judge."""
        return diagnose(self)

    def explain(self, username: str, password: str | None) -> Iterable[Finding]:
        """One sign-in step by step, with the server's own codes. No password is shown."""
        return explain(self, username, password)

    def refuse_at_once(self, username: str, password: str) -> Denied | None:
        """The denial of a name or a password that no server need be asked about."""
        secret = _octets(password)
        if not secret or b"\0" in secret or len(secret) > _LONGEST_PASSWORD:
            # an empty one would be an "unauthenticated" bind, which many servers accept (RFC 4513 5.1.2)
            return Denied(Reason.BAD_CREDENTIAL, "a password that no account can have")
        if not _octets(username) or len(username) > _LONGEST_NAME or _INVISIBLE.search(username):
            return Denied(Reason.UNKNOWN_SUBJECT, "a name that no account can have")
        return None

    def check_health(self) -> None:
        """Return if a server answers and lets us look at `user_base`; raise `BackendUnavailable` if not."""
        base = self.settings.user_base
        result = self.ask(self.deadline())(Search(base, "(objectClass=*)", (), whole_subtree=False))
        # who binds directly may have no right to look at anything before that
        if result.code and not self.settings.user_dn:
            raise outage(result, f"a look at {base}")

    def close(self) -> None:
        self.servers.close()

    def deadline(self) -> Deadline:
        """`timeout` from now: for everything that one sign-in takes."""
        return Deadline(self.settings.timeout.total_seconds())

    def ask(self, deadline: Deadline) -> Ask:
        """Searches as the service account."""
        return lambda wanted: self.servers.search(wanted, deadline)

    def _search_first(
        self, username: str, secret: bytes, deadline: Deadline, before: Callable[[str, str], None]
    ) -> Outcome:
        ask = self.ask(deadline)
        person = self.people.by_name(username, ask)
        if isinstance(person, Denied):
            self._bind_nobody(deadline)
            return person
        before(self.people.issuer, person.subject)
        result = self.servers.bind(person.entry.dn, secret, deadline)
        denied = judge(result, self.settings.flavor, person.subject)
        if denied is None:
            return self._welcome(person, ask)
        return self._say_more(denied, person)

    def _bind_first(self, username: str, secret: bytes, deadline: Deadline) -> Outcome:
        name = self.people.direct_name(username)
        if not name:
            return Denied(Reason.UNKNOWN_SUBJECT, "a name that no account can have")

        def attempt(link: Link) -> Outcome:
            def bind(dn: str) -> Denied | None:
                return judge(link.bind(dn, secret), self.settings.flavor)

            # without an account of ours the person looks at their own entry; the connection then goes back
            # among those that only ever begin with another bind
            ask = self.ask(deadline) if self.settings.has_service_account else link.search
            denied = bind(name)
            return self._find_bound(username, name, bind, ask) if denied is None else denied

        return self.servers.ask(Purpose.BIND, attempt, deadline)

    def _find_bound(
        self, username: str, name: str, bind: Callable[[str], Denied | None], ask: Ask
    ) -> Outcome:
        person = self.people.bound(name, username, ask)

        if isinstance(person, Denied):
            detail = f"the bind as {name} was right, but then: {person.detail}"
            reason = Reason.AMBIGUOUS if person.reason is Reason.AMBIGUOUS else Reason.NOT_ALLOWED
            return denial(reason, detail, proven=True)
        if not self.people.direct_name_is_dn:
            # Active Directory may read `name` as somebody else's explicit userPrincipalName
            denied = bind(person.entry.dn)
            if denied is not None:
                return denied
        return self._welcome(person, ask)

    def _bind_nobody(self, deadline: Deadline) -> None:
        """Take as many round trips for a name that nobody has as for a wrong password (ASVS 6.3.8)."""
        with suppress(BackendUnavailable):
            name = f"cn={secrets.token_hex(8)},{self.settings.user_base}"
            self.servers.bind(name, secrets.token_bytes(12).hex().encode(), deadline)

    def _say_more(self, denied: Denied, person: Person) -> Denied:
        """OpenLDAP calls an account locked whose time has not come, or is over."""
        found = self.standing(person) if denied.reason is Reason.LOCKED else None
        if not found or found[0] is not Reason.DISABLED:
            return denied
        return denial(found[0], f"{denied.detail}; {found[1]}", proven=False, subject=person.subject)

    def _welcome(self, person: Person, ask: Ask) -> Outcome:
        """What follows a right password."""
        found = self.standing(person)
        # a lock that the bind did not mind is over, or is not for us
        if found and found[0] is not Reason.LOCKED:
            return denial(*found, proven=True, subject=person.subject)
        return self.admit(person, ask, proven=True)

    def admit(self, person: Person, ask: Ask, *, proven: bool) -> Outcome:
        """Let in somebody who is who they say, if they are in a required group."""
        groups = self.people.groups.of(person.entry, ask)
        if self.people.lacks_group(groups):
            held = ", ".join(sorted(group.name for group in groups)) or "none"
            detail = f"{person.entry.dn} is in none of required_groups, but in {held}"
            return Denied(Reason.NOT_ALLOWED, detail, _NO_GROUP if proven else "", proven, person.subject)
        return Authenticated(self.people.identity(person, groups))

    def standing(self, person: Person, ask: Ask | None = None) -> Standing:
        """Why the entry says that this person may not be signed in, or None.

        Without `ask` no password policy is looked up: after a bind the server itself has heeded it.
        """

        def read_policy(dn: str) -> Entry | None:
            if ask is None:
                return None
            result = ask(Search(dn, "(objectClass=*)", _POLICY, whole_subtree=False))
            if result.code not in (SUCCESS, *NOT_SHOWN):
                raise outage(result, f"a look at {dn}")
            return result.entries[0] if result.entries else None

        settings = self.settings
        return standing(settings.flavor, person.entry, read_policy, settings.password_policy)


class RevalidatingLdapBackend(LdapBackend):
    """The same where entries can be searched for at any time, and not only with the person's password."""

    def revalidate(self, held: Authenticated) -> Outcome:
        """Say whether somebody may stay, with fresh attributes and groups. Raises `BackendUnavailable`."""
        if held.identity.issuer != self.people.issuer:
            return Denied(Reason.UNKNOWN_SUBJECT, "of another directory, or of another user_base")
        ask = self.ask(self.deadline())
        person = self.people.by_subject(held.identity.subject, ask)
        if isinstance(person, Denied):
            return person
        if found := self.standing(person, ask):
            return denial(*found, proven=False, subject=person.subject)
        return self.admit(person, ask, proven=False)


def _uncounted(_issuer: str, _subject: str) -> None:
    """For who counts nothing."""


def _octets(text: str) -> bytes:
    """The text as it goes over the wire: UTF-8, not prepared in any way. b"" for what has no such form."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return b""
