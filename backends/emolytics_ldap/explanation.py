"""`emolytics explain NAME USERNAME` for a directory: one sign-in, said aloud. No password is ever shown."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from emolytics.backend import Finding
from emolytics.errors import BackendUnavailable
from emolytics.identity import Denied
from emolytics_ldap.answers import Search
from emolytics_ldap.breaker import Purpose
from emolytics_ldap.diagnosis import describe_link, remedy
from emolytics_ldap.directory import Link
from emolytics_ldap.groups import Ask
from emolytics_ldap.outcomes import describe, judge
from emolytics_ldap.people import Person

if TYPE_CHECKING:
    from emolytics_ldap.backend import LdapBackend


def explain(backend: "LdapBackend", username: str, password: str | None) -> Iterator[Finding]:
    """Walk one sign-in, as far as that goes without a password if there is none."""
    step = "server"
    try:
        for finding in _walk(backend, username, password):
            step = finding.step
            yield finding
    except BackendUnavailable as error:
        yield Finding(f"after {step}", False, str(error), remedy(error))


def _walk(backend: "LdapBackend", username: str, password: str | None) -> Iterator[Finding]:
    settings, deadline = backend.settings, backend.deadline()
    refused = backend.refuse_at_once(username, password if password is not None else "some")
    if refused is not None:
        yield _denied("name and password", refused)
        return
    if settings.user_dn and not settings.has_service_account:
        yield from _direct(backend, username, password)
        return
    yield backend.servers.ask(Purpose.SEARCH, lambda link: _server(backend, link), deadline)
    ask = backend.ask(deadline)
    name = backend.people.direct_name(username) if settings.user_dn else ""
    if settings.user_dn:
        yield _direct_name(name)
        if not name:
            return
    person = backend.people.at(name, ask) if name and backend.people.direct_name_is_dn else None
    if person is None:
        account = backend.people.account(username, ask)
        wanted = backend.people.search_for(account)
        yield _entries(wanted, ask)
        person = backend.people.by_name(username, ask)
    if isinstance(person, Denied):
        yield _denied("person", person)
        return
    yield _person(backend, person)
    if password is None:
        yield Finding("bind", True, "not tried: no password was given")
    else:
        yield backend.servers.ask(
            Purpose.BIND, lambda link: _bind(backend, link, name or person.entry.dn, password), deadline
        )
    yield from _the_rest(backend, person, ask)


def _direct(backend: "LdapBackend", username: str, password: str | None) -> Iterator[Finding]:
    name = backend.people.direct_name(username)
    yield _direct_name(name)
    if not name or password is None:
        return

    def attempt(link: Link) -> list[Finding]:
        findings = [_server(backend, link), _bind(backend, link, name, password)]
        if not findings[-1].ok:
            return findings
        ask: Ask = link.search
        person = backend.people.bound(name, username, ask)

        if isinstance(person, Denied):
            return [*findings, _denied("entry", person)]
        return [*findings, _person(backend, person), *_the_rest(backend, person, ask)]

    yield from backend.servers.ask(Purpose.BIND, attempt, backend.deadline())


def _server(backend: "LdapBackend", link: Link) -> Finding:
    return Finding("server", True, f"{link.endpoint.url}: {describe_link(link, backend.settings)}")


def _direct_name(name: str) -> Finding:
    return Finding("user_dn", bool(name), f"binds as {name}" if name else "no account can have this name")


def _entries(wanted: Search, ask: Ask) -> Finding:
    result = ask(wanted)
    found = "; ".join(entry.dn for entry in result.entries) or "no entry"
    detail = f"{wanted.filter} below {wanted.base}: {describe(result)}, {found}"
    return Finding("search", len(result.entries) == 1, detail)


def _person(backend: "LdapBackend", person: Person) -> Finding:
    identity = backend.people.identity(person, ())
    detail = (
        f"{person.entry.dn}: subject {identity.subject}, username {identity.username}, "
        f"email {identity.email or 'none'}, name {identity.display_name or 'none'}"
    )
    return Finding("entry", True, detail)


def _bind(backend: "LdapBackend", link: Link, name: str, password: str) -> Finding:
    result = link.bind(name, password.encode())
    denied = judge(result, backend.settings.flavor)
    words = f"{name}, password ***, at {link.endpoint.url}: {describe(result)}"
    if denied is None:
        return Finding("bind", True, words)
    return Finding("bind", False, f"{words}, {denied.reason}", denied.message)


def _the_rest(backend: "LdapBackend", person: Person, ask: Ask) -> Iterator[Finding]:
    state = backend.standing(person, ask)
    yield Finding(
        "account state", state is None, f"{state[0]}: {state[1]}" if state else "nothing against it"
    )
    groups = backend.people.groups.of(person.entry, ask)
    listed = sorted(groups, key=lambda group: group.name)
    detail = "; ".join(f"{group.name} [{group.how}] {group.dn.text}" for group in listed) or "none"
    yield Finding("groups", True, detail, groups=tuple(sorted({group.name for group in groups})))
    if backend.settings.required_groups:
        lacking = backend.people.lacks_group(groups)
        yield Finding("required_groups", not lacking, "in none of them" if lacking else "in one of them")


def _denied(step: str, denied: Denied) -> Finding:
    return Finding(step, False, f"{denied.reason}: {denied.detail}")
