"""The configuration of the suite's slapd, as LDIF for its cn=config tree."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.upstreams.certificates import Certificate
from tests.upstreams.directory import Values

BASE = "dc=example,dc=test"
NOBODY = f"cn=nobody,{BASE}"
POLICIES_BASE = f"ou=policies,{BASE}"
SERVICES_BASE = f"ou=services,{BASE}"
REPLICATOR = f"cn=replicator,{SERVICES_BASE}"
REPLICATOR_PASSWORD = "Replicator-Secret-1"
ADMINISTRATOR = f"cn=admin,{BASE}"
READER = f"cn=reader,{SERVICES_BASE}"


@dataclass(frozen=True)
class Behaviour:
    """How a server differs from a well-kept one."""

    anonymous_read: bool = False
    """Anyone may search."""
    empty_bind: bool = False
    """A DN with an empty password is answered with success (RFC 4513 section 5.1.2)."""
    require_tls: bool = False
    """A bind without TLS is answered 13, confidentialityRequired."""
    size_limit: int = 0
    """A search that is not paged ends after so many entries with 4, sizeLimitExceeded. 0: no limit."""
    hide_lockout: bool = False
    """The policy control does not tell a locked account from a wrong password."""
    referral: bool = False
    """Searches of the whole tree return a search reference, too."""
    bulk: int = 0
    """So many further people, bulk0001 …, all in the group "bulk"."""
    max_failures: int = 5
    """Wrong passwords until an account is locked for a minute."""


def policy(rules: Mapping[str, str], max_failures: int) -> Values:
    """A password policy: these rules on top of the suite's common ones."""
    common = {
        "pwdAttribute": "userPassword",
        "pwdLockout": "TRUE",
        "pwdMaxFailure": str(max_failures),
        "pwdLockoutDuration": "60",
        "pwdFailureCountInterval": "300",
        "pwdMustChange": "TRUE",
        "pwdMinLength": "8",
        "pwdCheckQuality": "1",
        "pwdInHistory": "2",
    }
    merged = {name: [value] for name, value in {**common, **rules}.items()}
    return {"objectClass": ["organizationalRole", "pwdPolicy"], **merged}


SCHEMAS = ("core", "cosine", "inetorgperson", "nis")
OVERLAYS = {
    "memberof": ("olcMemberOfConfig", "olcMemberOfRefInt: TRUE\nolcMemberOfDangling: ignore"),
    "refint": ("olcRefintConfig", f"olcRefintAttribute: uniqueMember\nolcRefintNothing: {NOBODY}"),
    "ppolicy": (
        "olcPPolicyConfig",
        f"olcPPolicyDefault: cn=default,{POLICIES_BASE}\nolcPPolicyHashCleartext: TRUE",
    ),
    "syncprov": ("olcSyncProvConfig", "olcSpCheckpoint: 1000 60"),
}


def configuration(
    behaviour: Behaviour, certificate: Certificate, data: Path, *, administrator_password: str, provider: str
) -> str:
    """slapd's configuration as LDIF; with the URL of a `provider` that of its replica."""
    everybody = "read" if behaviour.anonymous_read else "none"
    limit = behaviour.size_limit or "unlimited"
    modules = "".join(f"olcModuleLoad: {name}\n" for name in ("back_mdb", "pw-sha2", *OVERLAYS))
    schemas = "".join(f"include: file:///etc/ldap/schema/{name}.ldif\n\n" for name in SCHEMAS)
    chain = "\n".join(_overlay(number, name, behaviour) for number, name in enumerate(OVERLAYS))
    return f"""\
dn: cn=config
objectClass: olcGlobal
cn: config
olcLocalSSF: 256
olcTLSCACertificateFile: {certificate.ca_file}
olcTLSCertificateFile: {certificate.certificate}
olcTLSCertificateKeyFile: {certificate.key}
olcTLSVerifyClient: allow
olcSizeLimit: size.soft={limit} size.hard={limit} size.pr=unlimited size.prtotal=unlimited
{"olcSecurity: simple_bind=128" if behaviour.require_tls else "olcSecurity: ssf=0"}
{"olcAllows: bind_anon_cred bind_anon_dn" if behaviour.empty_bind else "olcDisallows: tls_2_anon"}

dn: cn=module,cn=config
objectClass: olcModuleList
cn: module
olcModulePath: /usr/lib/ldap
{modules}

dn: cn=schema,cn=config
objectClass: olcSchemaConfig
cn: schema

{schemas}
dn: olcDatabase={{-1}}frontend,cn=config
objectClass: olcDatabaseConfig
objectClass: olcFrontendConfig
olcDatabase: {{-1}}frontend
olcAccess: to dn.base="" by * read
olcAccess: to dn.base="cn=subschema" by * read

dn: olcDatabase={{1}}mdb,cn=config
objectClass: olcDatabaseConfig
objectClass: olcMdbConfig
olcDatabase: {{1}}mdb
olcDbDirectory: {data}
olcDbMaxSize: 1073741824
olcDbNoSync: TRUE
olcSuffix: {BASE}
olcRootDN: {ADMINISTRATOR}
olcRootPW: {administrator_password}
olcDbIndex: objectClass,member,uniqueMember,memberUid,memberOf,entryCSN,entryUUID eq
olcDbIndex: uid,mail,cn eq,sub
olcLimits: dn.exact="{REPLICATOR}" size=unlimited time=unlimited
olcAccess: to attrs=userPassword by dn.exact="{REPLICATOR}" read by self =wx by anonymous auth by * none
olcAccess: to dn.subtree="{SERVICES_BASE}" by dn.exact="{REPLICATOR}" read by self read by * none
olcAccess: to * by dn.exact="{READER}" read by dn.exact="{REPLICATOR}" read by self read by * {everybody}
{_replication(provider)}
{chain}"""


def _replication(provider: str) -> str:
    if not provider:
        return ""
    return (
        f"olcSyncrepl: rid=001 provider={provider} bindmethod=simple"
        f' binddn="{REPLICATOR}" credentials={REPLICATOR_PASSWORD} searchbase="{BASE}"'
        ' type=refreshAndPersist retry="1 +" scope=sub attrs="*,+"\n'
        f"olcUpdateRef: {provider}\n"
    )


def _overlay(number: int, name: str, behaviour: Behaviour) -> str:
    object_class, settings = OVERLAYS[name]
    if name == "ppolicy":
        settings += f"\nolcPPolicyUseLockout: {'FALSE' if behaviour.hide_lockout else 'TRUE'}"
    return f"""\
dn: olcOverlay={{{number}}}{name},olcDatabase={{1}}mdb,cn=config
objectClass: olcOverlayConfig
objectClass: {object_class}
olcOverlay: {{{number}}}{name}
{settings}
"""
