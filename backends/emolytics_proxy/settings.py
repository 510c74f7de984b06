"""The keys of a `type = "proxy"` table."""

from ipaddress import IPv4Network, IPv6Network
from typing import Annotated

from pydantic import Field, StringConstraints

from emolytics.setting_types import BackendSettings

# A header's name in letters, digits and hyphens: with an underscore it could not be told from its hyphened twin.
HeaderName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9-]*$", max_length=64)]


class ProxySettings(BackendSettings):
    """`trusted` has no default: whose word is taken for who somebody is has to be said."""

    trusted: Annotated[tuple[IPv4Network | IPv6Network, ...], Field(min_length=1)]
    user_header: HeaderName = "X-Remote-User"
    groups_header: HeaderName | None = None
    email_header: HeaderName | None = None
    name_header: HeaderName | None = None
    groups_separator: Annotated[str, StringConstraints(min_length=1, max_length=1)] = ","
