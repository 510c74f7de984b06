"""Sign-in with the passwords of a corporate directory: OpenLDAP, Active Directory, 389 DS, FreeIPA.

`open_backend` is what the entry point `ldap` of the group `emolytics.backends` names.
"""

from emolytics.backend import Context
from emolytics_ldap.backend import LdapBackend, RevalidatingLdapBackend
from emolytics_ldap.settings import LdapSettings

__all__ = ["LdapBackend", "LdapSettings", "RevalidatingLdapBackend", "open_backend"]


def open_backend(settings: LdapSettings, context: Context) -> LdapBackend:
    """Open a directory. Nothing is sent until somebody signs in, so a directory may be down at the start.

    Without a service account a direct bind leaves no way to ask after a person later: what is returned
    then does not revalidate.
    """
    may_search = settings.has_service_account or not settings.user_dn
    return (RevalidatingLdapBackend if may_search else LdapBackend)(settings, context)
