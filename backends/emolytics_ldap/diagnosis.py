"""`emolytics check NAME` for a directory: each server, then what only the directory can judge."""

from collections.abc import Iterator
from datetime import UTC, datetime
from ssl import cert_time_to_seconds
from typing import TYPE_CHECKING, Any

from emolytics.backend import Finding
from emolytics.errors import BackendMisbehaved, BackendUnavailable
from emolytics_ldap.answers import Entry, NoAnswer, Result, Search
from emolytics_ldap.breaker import Purpose, ServiceAccountRefused
from emolytics_ldap.directory import Link
from emolytics_ldap.filters import Template, Verdict
from emolytics_ldap.flavors import DEFAULTS, Flavor
from emolytics_ldap.groups import Ask
from emolytics_ldap.outcomes import describe
from emolytics_ldap.settings import GROUP_PLACEHOLDERS, Endpoint, LdapSettings, Security

if TYPE_CHECKING:
    from emolytics_ldap.backend import LdapBackend

_ANYTHING = "(objectClass=*)"
_CERTIFICATE_ENDS_SOON = 14
_SERVICE_ACCOUNT_REMEDY = (
    "Check bind_dn and bind_password: has the account been moved, locked, or has its password expired?"
)


def diagnose(backend: "LdapBackend") -> Iterator[Finding]:
    """Try everything that can be tried without a person's password."""
    well = 0
    for endpoint in backend.settings.endpoints():
        finding = _server(backend, endpoint)
        well += finding.ok
        yield finding
    if not well:
        return
    if backend.settings.user_dn and not backend.settings.has_service_account:
        yield _direct_bind()
        return

    def ask(wanted: Search) -> Result:
        return backend.ask(backend.deadline())(wanted)

    for step in (_user_base, _people, _password_policy, _groups):
        try:
            yield from step(backend, ask)
        except BackendUnavailable as error:
            yield Finding(step.__name__.strip("_"), False, str(error), remedy(error))
            return


def remedy(error: BackendUnavailable) -> str:
    """What mends this, as far as the error tells."""
    if isinstance(error, ServiceAccountRefused):
        return _SERVICE_ACCOUNT_REMEDY
    if isinstance(error, NoAnswer) and error.remedy:
        return error.remedy
    return "See the log of the directory for this moment."


def describe_link(link: Link, settings: LdapSettings) -> str:
    """How a connection is protected, and as whom we are on it."""
    tls = link.describe_tls()
    ours = "the client certificate" if settings.has_service_account else "nobody (anonymous)"
    who = settings.bind_dn or ours
    if not tls:
        return f"no TLS, bound as {who}"
    how = "StartTLS" if link.endpoint.security is Security.START_TLS else "ldaps"
    names = ", ".join(name for _, name in tls["certificate"].get("subjectAltName", ())) or "no names"
    return f"{how}, {tls['version']}, certificate for {names}, bound as {who}"


def _server(backend: "LdapBackend", endpoint: Endpoint) -> Finding:
    step = f"server {endpoint.url}"
    try:
        link = backend.servers.open_link(endpoint, Purpose.SEARCH, backend.deadline())
    except BackendUnavailable as error:
        return Finding(step, False, str(error), remedy(error))
    try:
        days = _days_left(link.describe_tls())
        detail = describe_link(link, backend.settings)
    finally:
        link.close()
    if days is not None and days < _CERTIFICATE_ENDS_SOON:
        return Finding(step, False, f"{detail}; its certificate ends in {days} days", "Have it renewed.")
    return Finding(step, True, detail)


def _days_left(tls: Any) -> int | None:
    ends = tls.get("certificate", {}).get("notAfter")
    return int((cert_time_to_seconds(ends) - datetime.now(UTC).timestamp()) // 86400) if ends else None


def _direct_bind() -> Finding:
    return Finding(
        "user_dn",
        True,
        "people are bound at once: nothing more can be tried without somebody's password (see `emolytics "
        "explain`), and nobody can be asked after later: who is disabled stays until the session ends",
        "Set bind_dn and bind_password, so that sessions are revalidated.",
    )


def _user_base(backend: "LdapBackend", ask: Ask) -> Iterator[Finding]:
    yield _base("user_base", backend.settings.user_base, ask)


def _base(step: str, base: str, ask: Ask) -> Finding:
    result = ask(Search(base, _ANYTHING, (), whole_subtree=False))
    if result.code or not result.entries:
        return Finding(
            step,
            False,
            f"{base}: {describe(result)}",
            "Check its spelling, and that the service account may read it.",
        )
    return Finding(step, True, base)


def _people(backend: "LdapBackend", ask: Ask) -> Iterator[Finding]:
    settings, people = backend.settings, backend.people
    wanted = people.search_for_anybody()
    result = ask(wanted)
    # sizeLimitExceeded is what was hoped for: there are more
    if not result.entries:
        yield Finding(
            "user_filter",
            False,
            f"{wanted.filter} finds nobody below {wanted.base}: {describe(result)}",
            "Check user_filter and user_base, and that the service account may read people's entries.",
        )
        return
    entry = result.entries[0]
    yield Finding("user_filter", True, f"{wanted.filter} finds people, such as {entry.dn}")
    try:
        subject = people.subject(entry)
    except BackendMisbehaved as error:
        yield Finding("subject", False, str(error), f"Usual for this flavor: {_usual_subject(settings)}.")
    else:
        yield Finding("subject", True, f"{settings.attributes.subject}, such as {subject}")
    yield _account_state(settings, entry)


def _usual_subject(settings: LdapSettings) -> str:
    return DEFAULTS[settings.flavor].attributes["subject"]


def _account_state(settings: LdapSettings, entry: Entry) -> Finding:
    seen = [name for name in DEFAULTS[settings.flavor].state if entry.raw(name)]
    if not seen and settings.flavor is Flavor.ACTIVE_DIRECTORY:
        return Finding(
            "account state",
            False,
            "userAccountControl cannot be read: who is disabled would stay signed in",
            "Let the service account read it.",
        )
    return Finding("account state", True, f"readable of {entry.dn}: {', '.join(seen) or 'nothing'}")


def _password_policy(backend: "LdapBackend", ask: Ask) -> Iterator[Finding]:
    name = backend.settings.password_policy
    if name:
        result = ask(Search(name, _ANYTHING, ["pwdMaxAge"], whole_subtree=False))
        if not result.entries:
            yield Finding(
                "password_policy",
                False,
                f"{name}: {describe(result)}",
                "Check its spelling (olcPPolicyDefault tells it), and that the service account may read it.",
            )
            return
        longest = result.entries[0].first("pwdMaxAge") or "0"
        yield Finding("password_policy", True, f"{name}: pwdMaxAge {longest}")
    elif backend.settings.flavor is Flavor.OPENLDAP:
        yield from _policy_unknown(backend, ask)


def _policy_unknown(backend: "LdapBackend", ask: Ask) -> Iterator[Finding]:
    anybody = backend.people.search_for_anybody().filter
    wanted = f"(&{anybody}(pwdChangedTime=*)(!(pwdPolicySubentry=*)))"
    result = ask(Search(backend.settings.user_base, wanted, (), size_limit=1))
    if result.entries:
        # no failure: the server dates passwords also where its default policy never lets them expire
        yield Finding(
            "password_policy",
            True,
            f"{result.entries[0].dn} has pwdChangedTime and names no policy: if the server's default lets passwords "
            "expire (olcPPolicyDefault), set password_policy to it, or else whose expires stays signed in",
        )


def _groups(backend: "LdapBackend", ask: Ask) -> Iterator[Finding]:
    settings = backend.settings
    if settings.group_base:
        base = _base("group_base", settings.group_base, ask)
        yield base
        if not base.ok:
            return
    if settings.group_filter:
        yield _group_filter(settings, ask)
    elif settings.flavor is not Flavor.ACTIVE_DIRECTORY:
        yield _member_of(backend, ask)
    elif settings.nested_groups:
        yield _token_groups(backend, ask)


def _group_filter(settings: LdapSettings, ask: Ask) -> Finding:
    template = Template.parse(settings.group_filter, GROUP_PLACEHOLDERS)
    wanted = template.fill(dict.fromkeys(GROUP_PLACEHOLDERS, Verdict.PRESENT))
    result = ask(Search(settings.group_base, wanted, [settings.attributes.group], size_limit=1))
    return _some("group_filter", result, wanted, "Check group_filter, and whether groups can be read.")


def _member_of(backend: "LdapBackend", ask: Ask) -> Finding:
    name = backend.settings.attributes.member_of
    wanted = f"(&{backend.people.search_for_anybody().filter}({name}=*))"
    result = ask(Search(backend.settings.user_base, wanted, [name], size_limit=1))
    advice = f"Does the server keep {name}? If not, set group_base and group_filter."
    return _some(name, result, wanted, advice)


def _token_groups(backend: "LdapBackend", ask: Ask) -> Finding:
    somebody = ask(backend.people.search_for_anybody()).entries[0].dn
    found = ask(Search(somebody, _ANYTHING, ["tokenGroups"], whole_subtree=False))
    if any(entry.raw("tokenGroups") for entry in found.entries):
        return Finding("tokenGroups", True, f"readable of {somebody}")
    return Finding(
        "tokenGroups",
        False,
        "cannot be read; a slow search is made instead",
        "Put the service account into the group Windows Authorization Access Group.",
    )


def _some(step: str, result: Result, wanted: str, advice: str) -> Finding:
    if not result.entries:
        return Finding(step, False, f"{wanted} finds nothing: {describe(result)}", advice)
    return Finding(step, True, f"{wanted} finds {result.entries[0].dn}")
