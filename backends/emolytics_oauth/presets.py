"""What is known of well-known providers: a table each, which a backend's own keys add to or replace.

The shapes are those of the providers' documentation; docs/providers/ has a page for each.
"""

from collections.abc import Mapping
from typing import Any

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "google": {
        "label": "Google",
        "issuer": "https://accounts.google.com",
        "allowed_hosts": ["oauth2.googleapis.com", "www.googleapis.com", "openidconnect.googleapis.com"],
        # Google keeps no user name. `hd` is the Workspace domain; a mail address alone proves no membership.
        "claims": {"username": "email", "groups": "", "domain": "hd"},
    },
    "microsoft": {
        "label": "Microsoft",
        "issuer": "https://login.microsoftonline.com/{tenant}/v2.0",
        "allowed_hosts": ["graph.microsoft.com"],
        # `sub` differs for each application, `oid` does not. A mail address is whatever the tenant's
        # administrator typed, unless the optional claim `xms_edov` says that its domain is theirs (nOAuth).
        "claims": {"subject": "oid", "email_verified": "xms_edov"},
    },
    "github": {
        "label": "GitHub",
        "authorize_url": "https://github.com/login/oauth/authorize",
        "token_url": "https://github.com/login/oauth/access_token",
        "userinfo_url": "https://api.github.com/user",
        "scopes": ["read:user", "user:email", "read:org"],
        "claims": {"subject": "id", "username": "login"},
    },
    "gitlab": {
        "label": "GitLab",
        "issuer": "https://gitlab.com",
    },
    "keycloak": {
        "label": "Keycloak",
    },
    "okta": {
        "label": "Okta",
    },
    "auth0": {
        "label": "Auth0",
        # Auth0 drops claims without a namespace; its documentation adds groups under one of your own.
        "claims": {"username": "nickname", "groups": ""},
    },
    "authentik": {
        "label": "authentik",
    },
}
