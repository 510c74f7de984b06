"""A name that a trusted proxy in front has put into a header. Type `proxy`."""

from emolytics.backend import Context
from emolytics_proxy.backend import ProxyBackend
from emolytics_proxy.settings import ProxySettings


def open_backend(settings: ProxySettings, context: Context) -> ProxyBackend:
    """Open it; there is nothing to connect to."""
    return ProxyBackend(settings, context)
