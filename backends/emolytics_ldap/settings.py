"""The table `[backends.NAME]` of a directory, checked so far as that goes without asking the directory."""

import ipaddress
import ssl
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from typing import Annotated, Any, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from emolytics.setting_types import BackendSettings, Duration, LocalPath, Secret, Section
from emolytics_ldap.dn import Dn
from emolytics_ldap.escaping import DnValue
from emolytics_ldap.filters import Template
from emolytics_ldap.flavors import DEFAULTS, Flavor

USER_PLACEHOLDERS = ("username",)
GROUP_PLACEHOLDERS = ("dn", "username", "gid")
_ATTRIBUTE = r"^[A-Za-z0-9][A-Za-z0-9.;-]*$"


class Security(Enum):
    """How a connection to a server is protected."""

    TLS = "TLS from the start"
    START_TLS = "StartTLS"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One server of the list."""

    url: str
    host: str
    port: int
    security: Security

    @classmethod
    def parse(cls, url: str, *, start_tls: bool = False) -> "Endpoint":
        """Read `ldap://host:port` or `ldaps://host:port`. Raises ValueError."""
        parts = urlsplit(url)
        if parts.scheme not in ("ldap", "ldaps") or not parts.hostname:
            raise ValueError(f"{url!r} is not a server; write ldaps://host or ldap://host:port")
        if parts.username or parts.path.strip("/") or parts.query or parts.fragment:
            raise ValueError(f"{url!r} has more than a host and a port")
        if parts.scheme == "ldaps":
            return cls(url, parts.hostname, parts.port or 636, Security.TLS)
        security = Security.START_TLS if start_tls else Security.NONE
        return cls(url, parts.hostname, parts.port or 389, security)

    @property
    def loopback(self) -> bool:
        """Whether what is sent stays on this machine."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


def _server(url: str) -> str:
    Endpoint.parse(url)
    return url


def _dn(text: str) -> str:
    if text:
        Dn.parse(text)
    return text


ServerUrl = Annotated[str, AfterValidator(_server)]
DnText = Annotated[str, AfterValidator(_dn)]
Attribute = Annotated[str, Field(pattern=_ATTRIBUTE)]


class Attributes(Section):
    """Which attribute of an entry holds what. What is left out, `flavor` fills in."""

    subject: Attribute = "entryUUID"
    username: Attribute = "uid"
    email: Attribute = "mail"
    display_name: Attribute = "cn"
    group: Attribute = "cn"
    member_of: Attribute = "memberOf"


class LdapSettings(BackendSettings):
    """A corporate directory."""

    servers: Annotated[tuple[ServerUrl, ...], Field(min_length=1)]
    flavor: Flavor = Flavor.OPENLDAP
    start_tls: bool = False
    insecure: bool = False
    ca_file: LocalPath | None = None
    client_certificate: LocalPath | None = None
    client_key: LocalPath | None = None
    bind_dn: str = ""
    bind_password: Secret | None = None
    user_dn: str = ""
    user_base: DnText = ""
    user_filter: str = ""
    group_base: DnText = ""
    group_filter: str = ""
    nested_groups: bool = False
    required_groups: tuple[str, ...] = ()
    password_policy: DnText = ""
    timeout: Duration = timedelta(seconds=5)
    pool_size: Annotated[int, Field(ge=1, le=200)] = 8
    attributes: Attributes = Attributes()

    @model_validator(mode="before")
    @classmethod
    def _fill_by_flavor(cls, table: Any) -> Any:
        if not isinstance(table, dict) or table.get("flavor", Flavor.OPENLDAP) not in DEFAULTS:
            return table
        defaults = DEFAULTS[Flavor(table.get("flavor", Flavor.OPENLDAP))]
        named = table.get("attributes", {})
        if isinstance(named, dict):
            table = {**table, "attributes": {**defaults.attributes, **named}}
        return {"user_filter": defaults.user_filter, **table}

    @field_validator("start_tls")
    @classmethod
    def _start_tls_has_a_use(cls, start_tls: bool, info: ValidationInfo) -> bool:
        servers = info.data.get("servers", ())
        if start_tls and servers and all(url.startswith("ldaps:") for url in servers):
            raise ValueError("is for ldap:// servers; ldaps:// is TLS from the start. Leave one of them out")
        return start_tls

    @field_validator("insecure")
    @classmethod
    def _plaintext_stays_here(cls, insecure: bool, info: ValidationInfo) -> bool:
        for url in () if insecure else info.data.get("servers", ()):
            endpoint = Endpoint.parse(url, start_tls=info.data.get("start_tls", False))
            if endpoint.security is Security.NONE and not endpoint.loopback:
                raise ValueError(
                    f"is needed for {url}, which would carry passwords in clear: "
                    "write ldaps://, or start_tls = true, or (if it must be) insecure = true"
                )
        return insecure

    @field_validator("ca_file")
    @classmethod
    def _certificates_load(cls, path: Any) -> Any:
        if path is not None:
            try:
                ssl.create_default_context(cafile=path)
            except (OSError, ValueError) as error:
                raise ValueError(f"cannot be used: no certificates in {path} ({error})") from None
        return path

    @field_validator("client_key")
    @classmethod
    def _client_certificate_loads(cls, key: Any, info: ValidationInfo) -> Any:
        certificate = info.data.get("client_certificate")
        if key is not None and certificate is None:
            raise ValueError("needs client_certificate too")
        if certificate is not None:
            try:
                # a password is given so that OpenSSL does not ask for one on the terminal
                ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(certificate, key, password="")
            except (OSError, ValueError) as error:
                raise ValueError(f"and client_certificate cannot be used together: {error}") from None
        return key

    @field_validator("bind_password")
    @classmethod
    def _service_account_is_whole(cls, password: Any, info: ValidationInfo) -> Any:
        bind_dn = info.data.get("bind_dn", "")
        if bind_dn and (password is None or not password.get_secret_value()):
            # without one the bind would be "unauthenticated" (RFC 4513 section 5.1.2) and succeed as nobody
            raise ValueError("is missing or empty; bind_dn needs one")
        if password is not None and not bind_dn:
            raise ValueError("is given without bind_dn")
        return password

    @field_validator("user_dn")
    @classmethod
    def _user_dn_names_one(cls, template: str) -> str:
        if template and template.count("{username}") != 1:
            raise ValueError("must have {username} in it, once")
        if template and "=" in template:
            Dn.parse(template.replace("{username}", str(DnValue("x"))))
        elif template and template.strip() == "{username}":
            # a visitor who types a whole DN would choose what is bound
            raise ValueError("must have something beside {username}, such as {username}@corp.example.com")
        return template

    @field_validator("user_base")
    @classmethod
    def _base_is_known(cls, base: str, info: ValidationInfo) -> str:
        template = info.data.get("user_dn", "")
        if not base and "=" in template:
            leaf, _, rest = template.replace("{username}", "x").partition(",")
            base = rest if "x" in leaf else ""
        if not base:
            raise ValueError("is missing: the DN under which people stand")
        if "=" in template and not Dn.parse(template.replace("{username}", "x")).within(Dn.parse(base)):
            # people would be bound, and then be sought where they are not: the next revalidation ends all sessions
            raise ValueError(
                f"is {base!r}, but user_dn names people who do not stand below it: write what user_dn ends in, or "
                "a base above that"
            )
        return base

    @field_validator("user_filter")
    @classmethod
    def _user_filter_asks_for_the_name(cls, text: str) -> str:
        if "username" not in Template.parse(text, USER_PLACEHOLDERS).names():
            raise ValueError("must have {username} in it, or everybody would be found")
        return text

    @field_validator("group_filter")
    @classmethod
    def _group_filter_asks_for_the_person(cls, text: str, info: ValidationInfo) -> str:
        if not text:
            return text
        if not Template.parse(text, GROUP_PLACEHOLDERS).names():
            raise ValueError(
                "must have {dn}, {username} or {gid} in it, or everybody would be in every group"
            )
        if not info.data.get("group_base"):
            raise ValueError("needs group_base, the DN under which groups stand")
        return text

    @field_validator("nested_groups")
    @classmethod
    def _nesting_has_a_base(cls, nested: bool, info: ValidationInfo) -> bool:
        if (
            nested
            and not info.data.get("group_base")
            and info.data.get("flavor") is not Flavor.ACTIVE_DIRECTORY
        ):
            raise ValueError("needs group_base, the DN under which groups stand")
        return nested

    @field_validator("password_policy")
    @classmethod
    def _policy_is_openldap_s(cls, policy: str, info: ValidationInfo) -> str:
        if policy and info.data.get("flavor", Flavor.OPENLDAP) is not Flavor.OPENLDAP:
            raise ValueError("is for the flavor openldap; other directories tell themselves what has expired")
        return policy

    @field_validator("timeout")
    @classmethod
    def _timeout_is_sensible(cls, timeout: timedelta) -> timedelta:
        if not timedelta(seconds=1) <= timeout <= timedelta(minutes=1):
            raise ValueError('must be between "1s" and "60s"')
        return timeout

    @model_validator(mode="after")
    def _external_needs_tls(self) -> Self:
        if self.client_certificate and any(e.security is Security.NONE for e in self.endpoints()):
            raise ValueError("client_certificate needs TLS: write ldaps://, or start_tls = true")
        return self

    def endpoints(self) -> tuple[Endpoint, ...]:
        """The servers, in order."""
        return tuple(Endpoint.parse(url, start_tls=self.start_tls) for url in self.servers)

    @property
    def has_service_account(self) -> bool:
        """Whether searches are made as an account of ours (else anonymously, or as the person)."""
        return bool(self.bind_dn or (self.client_certificate and not self.user_dn))
