"""Believes a header, when it comes from a peer that is named in the settings."""

from collections.abc import Mapping
from ipaddress import ip_address

from emolytics.backend import Context
from emolytics.errors import InvalidName
from emolytics.identity import Authenticated, Denied, Identity, Outcome, Reason
from emolytics.names import canonical, prepare
from emolytics_proxy.settings import ProxySettings

_LONGEST = 8192


class ProxyBackend:
    """Matches `RequestBackend`. `remote_addr` is the peer of the connection, never a forwarded address."""

    def __init__(self, settings: ProxySettings, context: Context) -> None:
        self.name = context.name
        self._settings = settings
        self.issuer = f"proxy:{self.name}"
        self.subject_source = "the name in a header"

    def authenticate_request(self, headers: Mapping[str, str], remote_addr: str) -> Outcome | None:
        said = headers.get(self._settings.user_header)
        if not said or not self._trusts(remote_addr):
            return None  # what a stranger writes into the header is not worth a word
        try:
            return self._judge(headers, _text(said))
        except (InvalidName, UnicodeError) as error:
            return Denied(Reason.BAD_CREDENTIAL, f"the proxy's header holds no name: {error}")

    def check_health(self) -> None:
        """Nothing is far away: the proxy comes to us."""

    def close(self) -> None:
        """Nothing is open."""

    def _judge(self, headers: Mapping[str, str], said: str) -> Outcome:
        if "," in said:
            # A header that came twice arrives joined by a comma: one of the two may be the visitor's own.
            return Denied(Reason.AMBIGUOUS, "the proxy's header came more than once")
        name = prepare(said)
        return Authenticated(
            Identity(
                issuer=self.issuer,
                subject=canonical(said)[:255],
                username=name,
                display_name=self._value(headers, self._settings.name_header)[:256],
                email=self._value(headers, self._settings.email_header)[:320],
                groups=self._groups(headers),
            )
        )

    def _groups(self, headers: Mapping[str, str]) -> tuple[str, ...]:
        listed = self._value(headers, self._settings.groups_header)
        parts = (part.strip() for part in listed.split(self._settings.groups_separator))
        return tuple(sorted({part for part in parts if part}))

    def _value(self, headers: Mapping[str, str], name: str | None) -> str:
        return _text(headers.get(name, "")) if name else ""

    def _trusts(self, remote_addr: str) -> bool:
        try:
            peer = ip_address(remote_addr)
        except ValueError:
            return False
        peer = getattr(peer, "ipv4_mapped", None) or peer
        return any(peer in network for network in self._settings.trusted)


def _text(value: str) -> str:
    """WSGI hands bytes over as latin-1 (PEP 3333); proxies send UTF-8. Raises UnicodeError."""
    if len(value) > _LONGEST:
        raise UnicodeError("too long")
    return value if value.isascii() else value.encode("latin-1").decode("utf-8")
